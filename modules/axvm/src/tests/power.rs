//! vCPUs switched on and off by several at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;

use axvcpu::{AxVCpuExitReason, VCpuSlot};

use super::bench::*;
use super::calls::{CPU_OFF, CPU_ON, code};
use crate::psci::PowerState;
use crate::{RunOptions, State, StopReason};

#[test]
fn of_all_who_claim_a_vcpu_one_wins() {
    const ROUNDS: usize = 20_000;
    let bench = Bench::new(2);
    let (held, wins, barrier) = (AtomicBool::new(false), AtomicUsize::new(0), Barrier::new(3));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..ROUNDS {
                    if bench.vm.claim_off_vcpu(1) {
                        assert!(!held.swap(true, SeqCst), "two have won");
                        assert_eq!(bench.vm.power(1), Some(PowerState::OnPending));
                        wins.fetch_add(1, SeqCst);
                        held.store(false, SeqCst);
                        assert!(!bench.vm.vcpu_off(1), "vCPU 0 is on");
                    }
                }
            });
        }
    });
    assert!(wins.into_inner() > 0);
    assert!(bench.vm.vcpu_off(0), "the count of those that are on is right");
}

#[test]
fn of_all_who_end_a_vcpu_one_ends_it() {
    let bench = Bench::new(2);
    for _ in 0..200 {
        assert!(bench.vm.claim_off_vcpu(1));
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    assert!(!bench.vm.vcpu_off(1));
                });
            }
        });
        assert!(bench.vm.running());
    }
    assert!(bench.vm.vcpu_off(0));
    assert!(!bench.vm.vcpu_off(0), "it was off");
}

/// What the runner of `vcpu` does on a physical CPU of its own until the vCPU is off.
fn run_to_its_end(bench: &Bench, vcpu: usize) -> bool {
    bench.host.stand_on(vcpu);
    let mut slot = VCpuSlot::new(vcpu);
    let attention = AtomicBool::new(false);
    loop {
        let options = RunOptions { shared: false, attention: &attention };
        let exit = bench.vm.run_vcpu(vcpu, &mut slot, options).unwrap();
        let off = match exit {
            AxVCpuExitReason::CpuDown { .. } => true,
            AxVCpuExitReason::SystemDown => {
                let _ = bench.vm.shutdown(StopReason::PowerOff);
                true
            }
            AxVCpuExitReason::SystemReset => {
                let _ = bench.vm.shutdown(StopReason::Reset);
                true
            }
            _ => bench.vm.must_leave(vcpu),
        };
        if off {
            slot.evict().unwrap();
            return bench.vm.vcpu_off(vcpu);
        }
        thread::yield_now();
    }
}

#[test]
fn of_all_vcpus_that_start_the_same_one_exactly_one_succeeds() {
    let mut bench = Bench::new(4);
    for vcpu in 1..3 {
        assert_eq!(bench.calls(0, CPU_ON, [vcpu, ENTRY as u64, 0]), 0);
    }
    bench.slot.evict().unwrap();
    for round in 0..50 {
        bench.port.starts();
        let (won, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let barrier = Barrier::new(3);
        thread::scope(|scope| {
            for vcpu in 0..3 {
                let (bench, barrier, won, lost) = (&bench, &barrier, &won, &lost);
                scope.spawn(move || {
                    bench.host.stand_on(vcpu);
                    let mut slot = VCpuSlot::new(vcpu);
                    let attention = AtomicBool::new(false);
                    let options = RunOptions { shared: false, attention: &attention };
                    bench.guest(vcpu).exits(call(CPU_ON, [3, ENTRY as u64, round]));
                    barrier.wait();
                    bench.vm.run_vcpu(vcpu, &mut slot, options).unwrap();
                    slot.evict().unwrap();
                    match bench.guest(vcpu).see().gprs[0] {
                        0 => won.fetch_add(1, SeqCst),
                        value => {
                            assert!(value == code(-4) || value == code(-5), "{value:#x}");
                            lost.fetch_add(1, SeqCst)
                        }
                    };
                });
            }
        });
        assert_eq!((won.load(SeqCst), lost.load(SeqCst)), (1, 2));
        assert_eq!(bench.port.starts(), [3]);
        assert_eq!(bench.guest(3).see().argument, round);
        assert!(!bench.vm.vcpu_off(3));
    }
}

#[test]
fn cpu_on_and_cpu_off_race_without_losing_count() {
    let bench = Bench::new(2);
    let done = AtomicBool::new(false);
    /// Ends the other thread, whatever becomes of this one.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let started = AtomicUsize::new(0);
    thread::scope(|scope| {
        let bench = &bench;
        let runner = scope.spawn(|| {
            let mut ended = 0;
            while !done.load(SeqCst) || bench.vm.power(1) != Some(PowerState::Off) {
                if bench.port.starts().contains(&1) {
                    bench.guest(1).exits(call(CPU_OFF, [0; 3]));
                    assert!(!run_to_its_end(bench, 1));
                    ended += 1;
                }
                thread::yield_now();
            }
            ended
        });
        let ending = Done(&done);
        let mut slot = VCpuSlot::new(0);
        let attention = AtomicBool::new(false);
        let options = RunOptions { shared: false, attention: &attention };
        for _ in 0..10_000 {
            bench.guest(0).exits(call(CPU_ON, [1, ENTRY as u64, 0]));
            bench.vm.run_vcpu(0, &mut slot, options).unwrap();
            match bench.guest(0).see().gprs[0] {
                0 => drop(started.fetch_add(1, SeqCst)),
                value => assert!(value == code(-4) || value == code(-5), "{value:#x}"),
            }
        }
        slot.evict().unwrap();
        drop(ending);
        assert_eq!(runner.join().unwrap(), started.load(SeqCst));
    });
    assert!(started.load(SeqCst) > 0);
    assert!(bench.vm.running());
    assert!(bench.vm.vcpu_off(0), "it is the last");
}

#[test]
fn four_vcpus_on_four_cpus_stop_when_one_powers_off() {
    let mut bench = Bench::new(4);
    for round in 0..20 {
        for vcpu in 1..4 {
            assert_eq!(bench.calls(0, CPU_ON, [vcpu, ENTRY as u64, 0]), 0);
        }
        bench.slot.evict().unwrap();
        let reset = round % 2 == 0;
        let nr = if reset { 0x8400_0009 } else { 0x8400_0008 };
        bench.guest(2).exits(call(nr, [0; 3]));
        let last: usize = thread::scope(|scope| {
            let bench = &bench;
            let runners: std::vec::Vec<_> =
                (0..4).map(|vcpu| scope.spawn(move || run_to_its_end(bench, vcpu))).collect();
            runners.into_iter().map(|runner| usize::from(runner.join().unwrap())).sum()
        });
        assert_eq!(last, 1, "one of them was the last");
        let reason = if reset { StopReason::Reset } else { StopReason::PowerOff };
        assert_eq!(bench.vm.state(), State::Stopped(reason));
        bench.port.starts();
        bench.boot();
    }
}

#[test]
fn a_vcpu_started_while_its_vm_stops_leaves_before_its_first_instruction() {
    let mut bench = Bench::new(2);
    let vm = bench.vm.clone();
    bench.guest(0).acts(move || {
        vm.shutdown(StopReason::Operator).unwrap();
        call(CPU_ON, [1, ENTRY as u64, 0])
    });
    assert_eq!(bench.run(0), Ok(AxVCpuExitReason::Nothing));
    assert_eq!(bench.port.starts(), [1]);
    assert!(!bench.retire(0), "vCPU 1 is on its way");
    assert_eq!(bench.run(1), Ok(AxVCpuExitReason::Nothing));
    assert_eq!(bench.guest(1).see().runs, 0);
    assert!(bench.retire(1));
    assert_eq!(bench.vm.state(), State::Stopped(StopReason::Operator));
}
