//! Loads, stores and fetches that stage 2 does not let through.

use std::vec::Vec;

use axaddrspace::AccessWidth::{Byte, Dword, Qword, Word};
use axaddrspace::MappingFlags;
use axvcpu::{AxVCpuExitReason, GuestFault};

use super::bench::*;
use super::guest::{Did, STEP};

/// A byte in GICD_IPRIORITYR, with the top bit and the bits that exist.
const PRIORITY: usize = GICD + 0x400 + 40;
const READ_ONLY: usize = 0x5000_0000;
const WITH_READ_ONLY: &str = "\
    [[region]]\nbase = 0x4000_0000\nsize = \"4M\"\n\
    [[region]]\nbase = 0x5000_0000\nsize = \"64K\"\nflags = \"r\"\n";
const ABORT: [Did; 1] = [Did::Fault(GuestFault::DataAbort)];

fn signed(
    width: axaddrspace::AccessWidth,
    reg_width: axaddrspace::AccessWidth,
) -> AxVCpuExitReason {
    let (addr, reg) = (gpa(PRIORITY), 7);
    AxVCpuExitReason::MmioRead { addr, width, reg, reg_width, signed_ext: true }
}

#[test]
fn a_load_fills_its_register_and_only_then_moves_on() {
    let mut bench = Bench::new(1);
    bench.store(0, PRIORITY, 0xf8f8_f8f8);
    let before = bench.guest(0).see().pc;
    let did = bench.settles(0, read(PRIORITY, Dword, 7));
    assert_eq!(did, [Did::Gpr(7, 0xf8f8_f8f8), Did::Finish]);
    assert_eq!(bench.guest(0).see().pc, before + STEP);
    assert_eq!(bench.settles(0, read(PRIORITY, Byte, 30)), [Did::Gpr(30, 0xf8), Did::Finish]);
}

#[test]
fn a_load_takes_the_sign_as_far_as_its_register_goes() {
    let mut bench = Bench::new(1);
    bench.store(0, PRIORITY, 0xf8f8_f8f8);
    for (width, reg_width, value) in [
        (Byte, Dword, 0xffff_fff8),
        (Byte, Qword, 0xffff_ffff_ffff_fff8),
        (Dword, Qword, 0xffff_ffff_f8f8_f8f8),
        (Dword, Dword, 0xf8f8_f8f8),
    ] {
        assert_eq!(bench.settles(0, signed(width, reg_width)), [Did::Gpr(7, value), Did::Finish]);
    }
    bench.store(0, PRIORITY, 0x7878_7878);
    assert_eq!(bench.settles(0, signed(Byte, Qword)), [Did::Gpr(7, 0x78), Did::Finish]);
}

#[test]
fn a_load_into_register_31_moves_on_and_changes_nothing() {
    let mut bench = Bench::new(1);
    bench.store(0, PRIORITY, 0xf8f8_f8f8);
    let did = bench.settles(0, read(PRIORITY, Dword, 31));
    assert_eq!(did.last(), Some(&Did::Finish));
    assert_eq!(bench.guest(0).see().gprs, [0; 31]);
}

#[test]
fn a_store_reaches_its_device() {
    let mut bench = Bench::new(1);
    for byte in *b"hi" {
        bench.store(0, UART, u64::from(byte));
    }
    assert_eq!(bench.port.output(), b"hi");
}

#[test]
fn what_nobody_answers_is_aborted_and_stays_where_it_is() {
    let mut bench = Bench::new(1);
    let before = bench.guest(0).see().pc;
    for addr in [0, UART - 4, RAM + RAM_SIZE, (1 << 39) - 8, 1 << 39, usize::MAX - 7] {
        for width in [Byte, Word, Dword, Qword] {
            assert_eq!(bench.settles(0, read(addr, width, 1)), ABORT, "{addr:#x}");
            assert_eq!(bench.settles(0, write(addr, width, 1)), ABORT, "{addr:#x}");
        }
    }
    assert_eq!(bench.guest(0).see().pc, before);
    assert_eq!(bench.guest(0).see().gprs, [0; 31]);
}

#[test]
fn an_access_across_the_end_of_a_device_is_aborted() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.settles(0, read(UART + 0x1000 - 4, Qword, 1)), ABORT);
    assert_eq!(bench.settles(0, write(GICR + GICR_STRIDE - 2, Dword, 1)), ABORT);
}

#[test]
fn every_width_at_every_offset_of_every_device_is_answered_or_aborted() {
    let mut bench = Bench::new(2);
    let windows: Vec<_> = bench.vm.devices().map(|w| (w.gpa.as_usize(), w.size)).collect();
    assert_eq!(windows.len(), 4);
    for (start, size) in windows {
        for offset in (0..size).step_by(0x1f).chain(size - 16..size) {
            for width in [Byte, Word, Dword, Qword] {
                let mut inside = bench.settles(0, read(start + offset, width, 1));
                inside.extend(bench.settles(0, write(start + offset, width, u64::MAX)));
                let whole = offset + width.bytes() <= size;
                assert_eq!(inside.contains(&Did::Finish), whole, "{offset:#x}");
            }
        }
    }
}

#[test]
fn a_write_to_read_only_memory_is_aborted() {
    let mut bench = Bench::with(1, WITH_READ_ONLY);
    assert_eq!(bench.settles(0, write(READ_ONLY, Dword, 1)), ABORT);
    let access_flags = MappingFlags::WRITE;
    let fault = AxVCpuExitReason::NestedPageFault { addr: gpa(READ_ONLY), access_flags };
    assert_eq!(bench.settles(0, fault), ABORT);
}

#[test]
fn a_fetch_from_where_no_code_can_be_is_a_prefetch_abort() {
    let mut bench = Bench::with(1, WITH_READ_ONLY);
    let access_flags = MappingFlags::EXECUTE;
    for addr in [0, UART, READ_ONLY, usize::MAX & !3] {
        let fault = AxVCpuExitReason::NestedPageFault { addr: gpa(addr), access_flags };
        assert_eq!(bench.settles(0, fault), [Did::Fault(GuestFault::PrefetchAbort)], "{addr:#x}");
    }
}

#[test]
fn a_table_walk_to_where_no_memory_is_is_aborted() {
    let mut bench = Bench::new(1);
    let access_flags = MappingFlags::READ;
    let fault = AxVCpuExitReason::NestedPageFault { addr: gpa(UART), access_flags };
    assert_eq!(bench.settles(0, fault), ABORT);
}

#[test]
fn a_guests_own_fault_is_given_to_it() {
    let mut bench = Bench::new(1);
    for fault in [GuestFault::Undefined, GuestFault::DataAbort, GuestFault::PrefetchAbort] {
        assert_eq!(bench.settles(0, AxVCpuExitReason::Fault(fault)), [Did::Fault(fault)]);
    }
}

/// The guest executes `word` at its entry, which accesses `addr`.
fn undescribed(bench: &Bench, addr: usize, word: u32) -> AxVCpuExitReason {
    bench.vm.write_guest(gpa(ENTRY), &word.to_le_bytes()).unwrap();
    undecoded(addr, ENTRY)
}

fn undecoded(addr: usize, instruction: usize) -> AxVCpuExitReason {
    AxVCpuExitReason::Undecoded { addr: gpa(addr), instruction: gpa(instruction) }
}

#[test]
fn an_undescribed_access_to_a_device_is_fetched_decoded_and_done() {
    let mut bench = Bench::new(1);
    let exit = undescribed(&bench, UART, 0xb800_4420);
    bench.guest(0).see().decoded = Some(write(UART, Dword, u64::from(b'x')));
    assert_eq!(bench.settles(0, exit), [Did::Decode(0xb800_4420), Did::Finish]);
    assert_eq!(bench.port.output(), b"x");
    bench.guest(0).see().decoded = Some(read(PRIORITY, Dword, 3));
    let did = bench.settles(0, exit);
    assert_eq!(did, [Did::Decode(0xb800_4420), Did::Gpr(3, 0), Did::Finish]);
}

#[test]
fn an_undescribed_access_that_is_not_plain_is_aborted() {
    let mut bench = Bench::new(1);
    let exit = undescribed(&bench, UART, 0x3d80_0020);
    bench.guest(0).see().decoded = Some(AxVCpuExitReason::Fault(GuestFault::DataAbort));
    assert_eq!(bench.settles(0, exit), [Did::Decode(0x3d80_0020), ABORT[0]]);
    // The word was replaced by one that accesses something else.
    bench.guest(0).see().decoded = Some(write(0, Dword, 1));
    assert_eq!(bench.settles(0, exit), [Did::Decode(0x3d80_0020), ABORT[0]]);
    // Its address is not translated any more.
    bench.guest(0).see().decoded = Some(AxVCpuExitReason::Nothing);
    assert_eq!(bench.settles(0, exit), [Did::Decode(0x3d80_0020)]);
}

#[test]
fn an_undescribed_access_outside_of_devices_needs_no_instruction() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.settles(0, undecoded(0, ENTRY)), ABORT);
}

#[test]
fn an_instruction_that_cannot_be_fetched_is_aborted() {
    let mut bench = Bench::new(1);
    for instruction in [0, UART, RAM + RAM_SIZE, ENTRY + 2, usize::MAX & !3] {
        assert_eq!(bench.settles(0, undecoded(UART, instruction)), ABORT);
    }
}

#[test]
fn an_undescribed_write_to_read_only_memory_is_aborted() {
    let mut bench = Bench::with(1, WITH_READ_ONLY);
    assert_eq!(bench.settles(0, undecoded(READ_ONLY, ENTRY)), ABORT);
}
