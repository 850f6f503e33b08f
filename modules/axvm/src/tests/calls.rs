//! Calls into the hypervisor: PSCI, and everything that is none.

use axvcpu::AxVCpuExitReason;

use super::bench::*;
use super::guest::{Did, STEP};
use crate::StopReason;

pub(super) const CPU_SUSPEND: u64 = 0xc400_0001;
pub(super) const CPU_OFF: u64 = 0x8400_0002;
pub(super) const CPU_ON: u64 = 0xc400_0003;
const AFFINITY_INFO: u64 = 0xc400_0004;
const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_RESET: u64 = 0x8400_0009;
const SYSTEM_RESET2: u64 = 0x8400_0012;

pub(super) const fn code(value: i64) -> u64 {
    value.cast_unsigned()
}

const ON: u64 = 0;
const OFF: u64 = 1;
const ON_PENDING: u64 = 2;

impl Bench {
    fn affinity_info(&mut self, target: u64) -> u64 {
        self.calls(0, AFFINITY_INFO, [target, 0, 0])
    }
}

#[test]
fn a_call_is_answered_in_the_first_register_and_moves_on() {
    let mut bench = Bench::new(1);
    let before = bench.guest(0).see().pc;
    assert_eq!(bench.calls(0, 0x8400_0000, [0; 3]), 0x1_0001);
    assert_eq!(bench.guest(0).see().pc, before + STEP);
    assert_eq!(bench.guest(0).see().gprs[0], 0x1_0001);
}

#[test]
fn what_is_no_call_is_not_supported() {
    let mut bench = Bench::new(1);
    for nr in [
        0,
        1,
        0x95c1_ba5f,
        0x8400_0005,
        0x8400_00ff,
        0xc600_0002,
        0x8600_0000,
        0xffff_ffff,
        u64::MAX,
    ] {
        assert_eq!(bench.calls(0, nr, [u64::MAX; 3]), code(-1), "{nr:#x}");
    }
}

#[test]
fn the_upper_half_of_a_function_id_is_ignored() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.calls(0, 0xdead_beef_8400_0000, [0; 3]), 0x1_0001);
}

#[test]
fn cpu_on_starts_a_vcpu_at_its_entry_with_its_argument() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.affinity_info(1), OFF);
    bench.host.counter.store(9_000_000, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64 + 8, 0x1234_5678_9abc]), 0);
    assert_eq!(bench.port.starts(), [1]);
    assert_eq!(bench.affinity_info(1), ON_PENDING);
    let (first, second) = (bench.guest(0), bench.guest(1));
    assert_eq!(second.see().pc, ENTRY as u64 + 8);
    assert_eq!(second.see().argument, 0x1234_5678_9abc);
    assert_eq!(second.see().counter_offset, first.see().counter_offset, "one time for all");
    assert_eq!(second.see().root, bench.vm.ept_root().as_usize());
    drop((first, second));
    assert_eq!(bench.run(1), Ok(host_interrupt()));
    assert_eq!(bench.affinity_info(1), ON);
}

#[test]
fn cpu_on_has_a_code_for_every_mistake() {
    let mut bench = Bench::new(3);
    let entry = ENTRY as u64;
    for target in [3, 16, 0x100, 1 << 32, u64::MAX] {
        assert_eq!(bench.calls(0, CPU_ON, [target, entry, 0]), code(-2), "{target:#x}");
    }
    for bad in [0, UART as u64, entry + 2, (RAM + RAM_SIZE) as u64, !3] {
        assert_eq!(bench.calls(0, CPU_ON, [1, bad, 0]), code(-9), "{bad:#x}");
    }
    assert_eq!(bench.calls(0, CPU_ON, [0, entry, 0]), code(-4), "the caller");
    assert_eq!(bench.calls(0, CPU_ON, [1, entry, 0]), 0);
    assert_eq!(bench.calls(0, CPU_ON, [1, entry, 0]), code(-5));
    bench.run(1).unwrap();
    assert_eq!(bench.calls(0, CPU_ON, [1, entry, 0]), code(-4));
    assert_eq!(bench.port.starts(), [1], "once");
    assert_eq!(bench.guest(1).see().setups, 1);
}

#[test]
fn cpu_on_needs_memory_that_can_be_executed() {
    let more = "[[region]]\nbase = 0x4000_0000\nsize = \"4M\"\n\
                [[region]]\nbase = 0x5000_0000\nsize = \"64K\"\nflags = \"rw\"\n";
    let mut bench = Bench::with(2, more);
    assert_eq!(bench.calls(0, CPU_ON, [1, 0x5000_0000, 0]), code(-9));
}

#[test]
fn cpu_on_that_fails_leaves_the_vcpu_off() {
    let mut bench = Bench::new(2);
    bench.guest(1).see().refuses_setup = true;
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), code(-6));
    assert_eq!(bench.port.starts(), []);
    assert_eq!(bench.affinity_info(1), OFF);
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0, "the next time it works");
    assert!(!bench.retire(1) && bench.retire(0));
}

#[test]
fn a_vcpu_that_is_off_can_be_started_again() {
    let mut bench = Bench::new(2);
    for round in 1..=5 {
        assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, round]), 0);
        let down = bench.leaves(1, call(CPU_OFF, [0; 3]));
        assert_eq!(down, AxVCpuExitReason::CpuDown { state: 0 });
        assert!(!bench.retire(1));
        assert_eq!(bench.affinity_info(1), OFF);
        assert_eq!(bench.guest(1).see().argument, round);
    }
    assert!(bench.vm.running());
}

#[test]
fn calls_that_end_something_do_not_return() {
    let mut bench = Bench::new(1);
    let before = bench.guest(0).see().pc;
    let down = AxVCpuExitReason::CpuDown { state: 0 };
    for (nr, reason) in [
        (CPU_OFF, down),
        (SYSTEM_OFF, AxVCpuExitReason::SystemDown),
        (SYSTEM_RESET, AxVCpuExitReason::SystemReset),
        (SYSTEM_RESET2, AxVCpuExitReason::SystemReset),
    ] {
        assert_eq!(bench.leaves(0, call(nr, [0; 3])), reason);
        assert_eq!(bench.guest(0).did(), []);
    }
    assert_eq!(bench.guest(0).see().pc, before + 4 * STEP, "only the calls themselves moved it");
    assert_eq!(bench.calls(0, SYSTEM_RESET2, [1, 0, 0]), code(-2), "no such reset");
}

#[test]
fn cpu_suspend_waits_and_then_succeeds() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.leaves(0, call(CPU_SUSPEND, [0; 3])), AxVCpuExitReason::Halt);
    assert_eq!(bench.guest(0).did(), [Did::Return(0)]);
    assert_eq!(bench.calls(0, CPU_SUSPEND, [1 << 16, 0, 0]), code(-9));
    assert_eq!(bench.calls(0, CPU_SUSPEND, [1 << 24, 0, 0]), code(-2));
}

#[test]
fn the_last_cpu_off_powers_the_machine_off() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
    bench.leaves(0, call(CPU_OFF, [0; 3]));
    assert!(!bench.retire(0), "the other one runs");
    assert!(bench.vm.running());
    bench.leaves(1, call(CPU_OFF, [0; 3]));
    assert!(bench.retire(1));
    assert_eq!(bench.vm.state(), crate::State::Stopped(StopReason::PowerOff));
}
