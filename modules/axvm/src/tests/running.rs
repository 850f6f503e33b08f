//! Who may run a vCPU, and when it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use axerrno::AxError;
use axvcpu::{AxVCpuExitReason, VCpuSlot, VCpuState};

use super::bench::*;
use super::calls::{CPU_ON, code};
use super::guest::Did;
use crate::{KICK_SGI, RunOptions, StopReason};

const ENTRY_POINT: u64 = ENTRY as u64;

#[test]
fn a_vcpu_that_is_asked_to_leave_does_not_enter_the_guest() {
    let mut bench = Bench::new(1);
    bench.vm.shutdown(StopReason::Operator).unwrap();
    assert_eq!(bench.port.kicks(), [0]);
    assert!(bench.vm.must_leave(0));
    assert_eq!(bench.run(0), Ok(AxVCpuExitReason::Nothing));
    assert_eq!(bench.guest(0).see().runs, 0);
}

#[test]
fn a_vcpu_that_is_asked_to_leave_in_the_guest_leaves_when_it_is_kicked() {
    let mut bench = Bench::new(1);
    let vm = bench.vm.clone();
    bench.guest(0).acts(move || {
        vm.shutdown(StopReason::Operator).unwrap();
        call(0x8400_0000, [0; 3])
    });
    bench.cpu.pending.lock().unwrap().push_back(KICK_SGI);
    bench.guest(0).exits(AxVCpuExitReason::ExternalInterrupt { vector: u64::from(KICK_SGI) });
    bench.guest(0).exits(AxVCpuExitReason::Halt);
    assert_eq!(bench.run(0), Ok(AxVCpuExitReason::Nothing));
    assert_eq!(bench.guest(0).did(), [Did::Return(0x1_0001)]);
    assert!(!bench.guest(0).is_through());
}

#[test]
fn a_runner_that_has_something_else_to_do_gets_the_vcpu_back() {
    let mut bench = Bench::new(1);
    bench.want_attention();
    assert_eq!(bench.run(0), Ok(AxVCpuExitReason::Nothing));
    assert_eq!(bench.guest(0).see().runs, 0);
    assert!(!bench.vm.must_leave(0));
    bench.attention.store(false, SeqCst);
    assert_eq!(bench.run(0), Ok(host_interrupt()));
}

#[test]
fn wfi_traps_while_the_cpu_is_shared() {
    let mut bench = Bench::new(1);
    for shared in [true, false] {
        let options = RunOptions { shared, attention: &bench.attention };
        bench.vm.run_vcpu(0, &mut bench.slot, options).unwrap();
        assert_eq!(bench.guest(0).see().traps_wfi, shared);
    }
}

#[test]
fn a_vcpu_that_does_not_exist_is_invalid() {
    let mut bench = Bench::new(2);
    for absent in [2, 64, usize::MAX] {
        assert_eq!(bench.run(absent), Err(AxError::InvalidInput));
        assert!(bench.vm.vcpu(absent).is_none());
        assert!(!bench.vm.vcpu_off(absent));
        assert!(!bench.vm.must_leave(absent) && !bench.vm.has_interrupt(absent));
    }
}

#[test]
fn a_vcpu_that_is_off_is_not_run_and_stays_off() {
    let mut bench = Bench::created(config(2, ""), IMAGES);
    assert_eq!(bench.run(0), Err(AxError::BadState), "not booted yet");
    bench.boot();
    assert_eq!(bench.run(1), Err(AxError::BadState), "not started yet");
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY_POINT, 0]), 0);
    assert!(!bench.retire(1));
    assert_eq!(bench.run(1), Err(AxError::BadState), "off again");
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY_POINT, 0]), 0);
    assert!(!bench.retire(1));
    assert!(bench.retire(0), "the count of those that are on is right");
    assert_eq!(bench.vm.state(), crate::State::Stopped(StopReason::PowerOff));
}

#[test]
fn a_vcpu_that_somebody_else_runs_is_a_bad_state() {
    let mut bench = Bench::new(1);
    let (vm, host) = (bench.vm.clone(), bench.host.clone());
    bench.guest(0).acts(move || {
        // Another physical CPU tries while the guest runs.
        thread::scope(|scope| {
            scope.spawn(|| {
                host.stand_on(1);
                let attention = AtomicBool::new(false);
                let options = RunOptions { shared: false, attention: &attention };
                let mut slot = VCpuSlot::new(1);
                assert_eq!(vm.vcpu(0).unwrap().state(), VCpuState::Running);
                assert_eq!(vm.run_vcpu(0, &mut slot, options), Err(AxError::BadState));
                assert!(slot.loaded().is_none());
            });
        });
        AxVCpuExitReason::Nothing
    });
    assert_eq!(bench.run(0), Ok(host_interrupt()));
    assert_eq!(bench.vm.vcpu(0).unwrap().state(), VCpuState::Free);
}

#[test]
fn a_vcpu_that_another_cpu_still_holds_is_a_bad_state_until_it_is_evicted() {
    let mut bench = Bench::new(1);
    bench.run(0).unwrap();
    let mut other = VCpuSlot::new(1);
    let cpu1 = bench.host.stand_on(1);
    let options = RunOptions { shared: false, attention: &bench.attention };
    assert_eq!(bench.vm.run_vcpu(0, &mut other, options), Err(AxError::BadState));
    bench.host.switch_to(&bench.cpu);
    bench.slot.evict().unwrap();
    bench.host.switch_to(&cpu1);
    assert_eq!(bench.vm.run_vcpu(0, &mut other, options), Ok(host_interrupt()));
    assert_eq!(bench.guest(0).moves(), (2, 1));
}

#[test]
fn a_vcpu_stays_loaded_until_another_one_needs_its_place() {
    let mut bench = Bench::new(2);
    for _ in 0..5 {
        bench.run(0).unwrap();
    }
    assert_eq!(bench.guest(0).moves(), (1, 0));
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY_POINT, 0]), 0);
    bench.run(1).unwrap();
    assert_eq!(bench.guest(0).moves(), (1, 1));
    assert_eq!(bench.slot.loaded().map(|vcpu| vcpu.id()), Some(1));
    bench.run(0).unwrap();
    assert_eq!((bench.guest(0).moves(), bench.guest(1).moves()), ((2, 1), (1, 1)));
}

#[test]
fn vcpus_of_one_vm_that_take_turns_do_not_see_each_others_translations() {
    let mut bench = Bench::new(2);
    bench.run(0).unwrap();
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY_POINT, 0]), 0);
    let forgotten = |bench: &Bench| bench.cpu.forgotten.swap(0, SeqCst);
    forgotten(&bench);
    for _ in 0..3 {
        bench.run(1).unwrap();
        assert_eq!(forgotten(&bench), 1);
        bench.run(1).unwrap();
        assert_eq!(forgotten(&bench), 0);
        bench.run(0).unwrap();
        assert_eq!(forgotten(&bench), 1);
    }
    bench.slot.evict().unwrap();
    bench.run(0).unwrap();
    assert_eq!(forgotten(&bench), 0, "nobody of its VM was here since");
}

#[test]
fn interrupts_move_with_their_vcpu() {
    let mut bench = Bench::new(2);
    bench.enable_interrupts();
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY_POINT, 0]), 0);
    let addr = arm_vcpu::sysreg::names::ICC_SGI1R_EL1;
    bench.settles(0, AxVCpuExitReason::SysRegWrite { addr, value: 9 << 24 | 1 });
    assert_eq!(bench.cpu.listed(), [(9, 1)]);
    bench.run(1).unwrap();
    assert_eq!(bench.cpu.listed(), []);
    bench.slot.evict().unwrap();
    let cpu1 = bench.host.stand_on(1);
    let mut other = VCpuSlot::new(1);
    let options = RunOptions { shared: false, attention: &bench.attention };
    bench.vm.run_vcpu(0, &mut other, options).unwrap();
    assert_eq!(cpu1.listed(), [(9, 1)]);
}

#[test]
fn a_vcpu_that_cannot_go_on_ends_the_run_and_says_why() {
    let mut bench = Bench::new(1);
    let refused = AxVCpuExitReason::FailEntry { hardware_entry_failure_reason: 3 };
    assert_eq!(bench.leaves(0, refused), refused);
    assert_eq!(bench.vm.vcpu(0).unwrap().state(), VCpuState::Free, "it is unbound");
    bench.vm.fail(0, 0x1234, "it broke");
    let crate::State::Stopping(reason) = bench.vm.state() else { panic!("it goes on") };
    assert_eq!(std::format!("{reason}"), "it broke (vCPU 0, PC 0x1234)");
    bench.retire_all();
    assert_eq!(std::format!("{}", bench.vm.state()), "failed");
    bench.boot();
}

#[test]
fn a_loaded_vcpu_outlives_its_vm_until_it_is_evicted() {
    let mut bench = Bench::new(1);
    bench.run(0).unwrap();
    let weak = Arc::downgrade(bench.vm.vcpu(0).unwrap());
    let port = bench.port.clone();
    let ports = crate::Ports {
        console: port.clone(),
        vcpus: port,
        channels: bench.host.channels,
        devices: std::vec::Vec::new(),
    };
    bench.vm = Vm::new(2, config(1, ""), IMAGES, ports).unwrap();
    assert!(weak.upgrade().is_some(), "the CPU holds it");
    drop(bench.slot.evict().unwrap());
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_vcpu_cannot_be_started_twice_by_being_off_and_still_loaded() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY_POINT, 0]), 0);
    bench.run(1).unwrap();
    // Its runner forgot to evict it: its registers would be those of the life before.
    assert!(!bench.vm.vcpu_off(1));
    let held = std::mem::replace(&mut bench.slot, VCpuSlot::new(0));
    let cpu0 = bench.cpu.clone();
    bench.cpu = bench.host.stand_on(1);
    bench.slot = VCpuSlot::new(1);
    let mut cpu0_slot = held;
    bench.host.switch_to(&cpu0);
    let first = bench.vm.vcpu(0).unwrap();
    assert_eq!(first.state(), VCpuState::Free);
    bench.host.switch_to(&bench.cpu.clone());
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY_POINT, 0]), code(-6));
    bench.host.switch_to(&cpu0);
    cpu0_slot.evict().unwrap();
    bench.host.switch_to(&bench.cpu.clone());
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY_POINT, 0]), 0);
}
