//! From creation to deletion, again and again.

use std::format;
use std::sync::atomic::Ordering::SeqCst;

use axaddrspace::MappingFlags;
use axvcpu::AxVCpuExitReason;

use super::bench::*;
use super::calls::CPU_ON;
use super::host::{Host, some_vmids};
use crate::{AxVMError, Boot, Images, State, StopReason};

#[test]
fn a_vm_boots_stops_and_boots_again_a_hundred_times_and_keeps_nothing() {
    let _vmids = some_vmids();
    let host = Host::new();
    let free = host.free_bytes();
    drop(make(9, config(2, ""), IMAGES).unwrap());
    assert_eq!(host.free_bytes(), free, "never booted");
    drop(_vmids);

    let mut bench = Bench::created(config(2, ""), IMAGES);
    let (host, taken) = (bench.host.clone(), bench.host.free_bytes());
    for round in 1..=100 {
        bench.boot();
        assert_eq!(bench.vm.state(), State::Running);
        assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
        assert_eq!(bench.port.starts(), [1]);
        bench.run(1).unwrap();
        bench.stop(StopReason::Operator);
        assert_eq!(bench.vm.state(), State::Stopped(StopReason::Operator));
        assert!(bench.slot.loaded().is_none());
        assert_eq!(bench.guest(0).see().setups, round);
        assert_eq!(bench.host.free_bytes(), taken, "round {round}");
    }
    drop(bench);
    assert_eq!(host.free_bytes(), free);
}

#[test]
fn a_vm_is_made_and_deleted_a_hundred_times_and_keeps_nothing() {
    let _vmids = some_vmids();
    let host = Host::new();
    let free = host.free_bytes();
    for id in 1..=100 {
        let vm = make(id, config(4, ""), IMAGES).unwrap();
        vm.boot(Boot::Operator).unwrap();
        assert!(host.free_bytes() < free);
        vm.vcpu_off(0);
        drop(vm);
        assert_eq!(host.free_bytes(), free);
    }
}

#[test]
fn a_boot_puts_the_kernel_into_memory_and_the_vcpu_at_its_start() {
    let bench = Bench::created(config(2, ""), IMAGES);
    assert_eq!(bench.vm.state(), State::Created);
    bench.host.counter.store(4242, SeqCst);
    bench.boot();
    let mut code = [0; KERNEL.len()];
    bench.vm.read_guest(gpa(ENTRY), &mut code).unwrap();
    assert_eq!(code, *KERNEL);
    let guest = bench.guest(0);
    let seen = guest.see();
    assert_eq!(seen.pc, ENTRY as u64);
    assert_eq!(seen.argument, RAM as u64, "the device tree");
    assert_eq!(seen.counter_offset, 4242);
    assert_eq!(seen.root, bench.vm.ept_root().as_usize());
    assert_ne!(seen.vmid, 0);
    assert_eq!((seen.mpidr, bench.guest(1).see().mpidr), (0, 1));
    let mut magic = [0; 4];
    bench.vm.read_guest(gpa(RAM), &mut magic).unwrap();
    assert_eq!(magic, [0xd0, 0x0d, 0xfe, 0xed]);
}

#[test]
fn a_boot_puts_back_what_the_guest_changed() {
    let mut bench = Bench::new(1);
    bench.vm.write_guest(gpa(ENTRY), b"evil").unwrap();
    bench.vm.write_guest(gpa(RAM), b"evil").unwrap();
    bench.store(0, GICD, 0b11);
    bench.store(0, UART + 0x38, 0x10);
    bench.stop(StopReason::Reset);
    bench.boot();
    let mut bytes = [0; 4];
    bench.vm.read_guest(gpa(ENTRY), &mut bytes).unwrap();
    assert_eq!(bytes, *KERNEL);
    bench.vm.read_guest(gpa(RAM), &mut bytes).unwrap();
    assert_eq!(bytes, [0xd0, 0x0d, 0xfe, 0xed]);
    assert_eq!(bench.load(0, GICD) & 3, 0, "the interrupt controller is as at power-on");
    assert_eq!(bench.load(0, UART + 0x38), 0, "and so is the console");
}

#[test]
fn interrupts_pending_at_a_reset_are_gone_after_it() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    let addr = arm_vcpu::sysreg::names::ICC_SGI1R_EL1;
    for sgi in 0..8 {
        bench.settles(0, AxVCpuExitReason::SysRegWrite { addr, value: sgi << 24 | 1 });
    }
    bench.stop(StopReason::Reset);
    assert_eq!(bench.cpu.listed(), []);
    bench.boot();
    bench.enable_interrupts();
    bench.run(0).unwrap();
    assert_eq!(bench.cpu.listed(), []);
}

#[test]
fn steps_that_make_no_sense_are_refused_and_say_so() {
    let mut bench = Bench::created(config(1, ""), IMAGES);
    let stop = |bench: &Bench| bench.vm.shutdown(StopReason::Operator);
    let error = stop(&bench).unwrap_err();
    assert_eq!(sentence(&error), "it is created: it cannot be stopped");
    bench.boot();
    assert!(bench.vm.running() && !bench.vm.shutting_down());
    let error = bench.vm.boot(Boot::Operator).unwrap_err();
    assert_eq!(sentence(&error), "it is running: it cannot be started");
    assert_eq!(axerrno::AxError::from(error), axerrno::AxError::BadState);
    stop(&bench).unwrap();
    assert!(bench.vm.shutting_down() && !bench.vm.running());
    let error = bench.vm.boot(Boot::Operator).unwrap_err();
    assert_eq!(sentence(&error), "it is stopping: it cannot be started");
    bench.retire_all();
    let error = stop(&bench).unwrap_err();
    assert_eq!(sentence(&error), "it is stopped: it cannot be stopped");
    bench.boot();
}

#[test]
fn a_boot_of_a_running_vm_touches_neither_memory_nor_devices() {
    let mut bench = Bench::new(1);
    bench.vm.write_guest(gpa(ENTRY), b"mine").unwrap();
    bench.store(0, GICD, 0b11);
    assert!(bench.vm.boot(Boot::Operator).is_err());
    let mut bytes = [0; 4];
    bench.vm.read_guest(gpa(ENTRY), &mut bytes).unwrap();
    assert_eq!(&bytes, b"mine");
    assert_eq!(bench.load(0, GICD) & 3, 3);
    assert_eq!(bench.port.starts(), []);
}

#[test]
fn a_host_that_cannot_run_guests_boots_none() {
    let bench = Bench::created(config(1, ""), IMAGES);
    bench.host.at_el2.store(false, SeqCst);
    assert_eq!(bench.vm.boot(Boot::Operator), Err(AxVMError::NoHardware));
    assert_eq!(bench.vm.state(), State::Created);
    assert_eq!(refused(&bench.host, config(1, ""), IMAGES), AxVMError::NoHardware);
    bench.host.at_el2.store(true, SeqCst);
    bench.boot();
}

#[test]
fn a_reset_boots_by_itself_unless_the_operator_stops_it() {
    let mut bench = Bench::new(1);
    let reset = call(0x8400_0009, [0; 3]);
    assert_eq!(bench.leaves(0, reset), AxVCpuExitReason::SystemReset);
    bench.vm.shutdown(StopReason::Reset).unwrap();
    bench.vm.shutdown(StopReason::Operator).unwrap();
    bench.retire_all();
    assert_eq!(bench.vm.state(), State::Stopped(StopReason::Operator));
    bench.boot();
    bench.stop(StopReason::Operator);
    assert!(bench.vm.boot(Boot::AfterReset).is_err(), "nobody asked for a reset");
    bench.boot();
    bench.stop(StopReason::Reset);
    assert_eq!(bench.vm.state(), State::Stopped(StopReason::Reset));
    assert!(bench.vm.state().is_out());
    bench.vm.shutdown(StopReason::Operator).unwrap();
    assert!(bench.vm.boot(Boot::AfterReset).is_err(), "the operator stopped it meanwhile");
    bench.boot();
    bench.stop(StopReason::Reset);
    bench.vm.boot(Boot::AfterReset).unwrap();
    assert!(bench.vm.running());
}

#[test]
fn a_thousand_resets_lose_nothing() {
    let mut bench = Bench::new(1);
    let free = bench.host.free_bytes();
    for _ in 0..1000 {
        assert_eq!(bench.leaves(0, call(0x8400_0009, [0; 3])), AxVCpuExitReason::SystemReset);
        bench.stop(StopReason::Reset);
        bench.vm.boot(Boot::AfterReset).unwrap();
        assert_eq!(bench.port.starts(), [0]);
    }
    assert_eq!(bench.host.free_bytes(), free);
}

#[test]
fn a_deleted_vm_does_nothing_any_more() {
    let mut bench = Bench::new(1);
    assert!(bench.vm.retire().is_err(), "it runs");
    bench.stop(StopReason::Operator);
    bench.vm.retire().unwrap();
    assert_eq!(bench.vm.state(), State::Deleted);
    assert!(bench.vm.state().is_out());
    assert!(bench.vm.boot(Boot::Operator).is_err());
    assert!(bench.vm.shutdown(StopReason::Operator).is_err());
    assert!(bench.vm.pause().is_err() && bench.vm.resume().is_err() && bench.vm.retire().is_err());
    assert!(bench.run(0).is_err());
}

#[test]
fn a_stop_that_is_still_on_its_way_does_not_reach_the_next_run() {
    let mut bench = Bench::new(2);
    let vm = bench.vm.clone();
    bench.port.at_kick(move || {
        // The first vCPU is out at once, it was the only one, and somebody starts the VM again.
        assert!(vm.vcpu_off(0));
        vm.boot(Boot::Operator).unwrap();
    });
    bench.vm.shutdown(StopReason::Operator).unwrap();
    assert!(bench.vm.running());
    assert!(!bench.vm.must_leave(0) && !bench.vm.must_leave(1));
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
    assert_eq!(bench.run(1), Ok(host_interrupt()));
}

#[test]
fn a_boot_that_fails_half_way_can_be_tried_again() {
    let bench = Bench::created(config(2, ""), IMAGES);
    let free = bench.host.free_bytes();
    bench.guest(0).see().refuses_setup = true;
    let error = bench.vm.boot(Boot::Operator).unwrap_err();
    assert!(matches!(error, AxVMError::Vcpu(_)), "{error}");
    assert_eq!(bench.vm.state(), State::Stopped(StopReason::NotLoaded(sentence(&error))));
    assert_eq!(bench.port.starts(), []);
    assert_eq!(bench.host.free_bytes(), free);
    bench.boot();
    assert!(bench.vm.vcpu_off(0), "it counted once");
    assert_eq!(bench.vm.state(), State::Stopped(StopReason::PowerOff));
}

#[test]
fn a_boot_whose_device_tree_cannot_be_made_gives_everything_back() {
    let mut bad = config(1, "");
    bad.kernel.cmdline = "a\0b".into();
    let bench = Bench::created(bad, IMAGES);
    let host = bench.host.clone();
    let error = bench.vm.boot(Boot::Operator).unwrap_err();
    assert_eq!(sentence(&error), "cmdline contains a NUL character; remove it");
    assert_eq!(format!("{}", bench.vm.state()), "failed");
    assert_eq!(bench.port.starts(), []);
    drop(bench);
    assert_eq!(host.free_bytes(), super::host::HOST_RAM_SIZE);
}

#[test]
fn a_truncated_image_is_refused_before_anything_is_taken() {
    let _vmids = some_vmids();
    let host = Host::new();
    let truncated = forever(b"\x7fELF\x02\x01\x01".to_vec());
    let images = Images { kernel: truncated, ..IMAGES };
    let error = refused(&host, config(1, ""), images);
    assert!(matches!(error, AxVMError::Image(_)), "{error}");
    let images = Images { device_tree: Some(b"\xd0\x0d\xfe\xed"), ..IMAGES };
    let error = refused(&host, config(1, ""), images);
    assert!(matches!(error, AxVMError::DeviceTree(_)), "{error}");
    let images = Images { kernel: forever(std::vec![1; 3 << 20]), ..IMAGES };
    let error = refused(&host, config(1, ""), images);
    assert!(matches!(error, AxVMError::Image(_)), "{error}");
    assert_eq!(host.vmids_forgotten.lock().unwrap().len(), 0);
}

#[test]
fn deleted_memory_holds_nothing_of_its_guest() {
    let bench = Bench::new(1);
    let host = bench.host.clone();
    let secret = [0x5a; 4096];
    bench.vm.write_guest(gpa(RAM + 0x10_0000), &secret).unwrap();
    let at = bench.vm.machine.space.translate(gpa(RAM + 0x10_0000)).unwrap().0.as_usize();
    assert_eq!(host.word(at).load(SeqCst), 0x5a5a_5a5a_5a5a_5a5a);
    drop(bench);
    for word in (at..at + 4096).step_by(8) {
        assert_eq!(host.word(word).load(SeqCst), 0);
    }
}

#[test]
fn a_guest_finds_its_memory_zeroed() {
    let bench = Bench::created(config(1, ""), IMAGES);
    let mut bytes = std::vec![1; RAM_SIZE];
    bench.vm.read_guest(gpa(RAM), &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
    let (_, flags, _) = bench.vm.machine.space.translate(gpa(RAM)).unwrap();
    assert!(flags.contains(MappingFlags::READ | MappingFlags::WRITE | MappingFlags::EXECUTE));
}

#[test]
fn guest_memory_is_reached_within_its_bounds_only() {
    let bench = Bench::new(1);
    let mut byte = [0; 2];
    for bad in [0, RAM - 1, RAM + RAM_SIZE - 1, usize::MAX - 1, UART] {
        assert!(bench.vm.read_guest(gpa(bad), &mut byte).is_err(), "{bad:#x}");
        assert!(bench.vm.write_guest(gpa(bad), &byte).is_err(), "{bad:#x}");
    }
}
