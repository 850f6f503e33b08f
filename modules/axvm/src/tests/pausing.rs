//! Standing still and going on.

use std::sync::atomic::Ordering::SeqCst;

use arm_vcpu::sysreg::names;
use axvcpu::AxVCpuExitReason;

use super::bench::*;
use super::calls::CPU_ON;
use crate::{Departure, State, StopReason};

impl Bench {
    /// What a runner does with a vCPU that is to stand still.
    fn park(&mut self, vcpu: usize) {
        assert_eq!(self.run(vcpu), Ok(AxVCpuExitReason::Nothing));
        assert_eq!(self.vm.departure(vcpu), Departure::Parks);
        self.slot.evict().unwrap();
        self.vm.vcpu_parked(vcpu);
    }

    /// The guest's counter, as vCPU 0 reads it.
    fn now(&mut self) -> u64 {
        let exit = AxVCpuExitReason::SysRegRead { addr: names::CNTPCT_EL0, reg: 3 };
        self.settles(0, exit);
        self.guest(0).see().gprs[3]
    }
}

#[test]
fn a_vm_is_paused_once_every_vcpu_that_is_on_is_out() {
    let mut bench = Bench::new(3);
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
    bench.port.kicks();
    assert_eq!(bench.vm.departure(0), Departure::Stays);
    bench.vm.pause().unwrap();
    assert_eq!(bench.port.kicks(), [0, 1, 2]);
    assert_eq!(bench.vm.state(), State::Pausing);
    bench.park(0);
    assert_eq!(bench.vm.state(), State::Pausing, "vCPU 1 is not out");
    bench.park(1);
    assert_eq!(bench.vm.state(), State::Paused);
    assert!(!bench.vm.state().is_out(), "it goes on without being started");
    let runs = bench.guest(0).see().runs;
    bench.vm.resume().unwrap();
    assert_eq!(bench.port.unparked(), [0, 1, 2]);
    assert!(bench.vm.running());
    assert_eq!(bench.run(0), Ok(host_interrupt()));
    assert_eq!(bench.run(1), Ok(host_interrupt()));
    assert_eq!(bench.guest(0).see().runs, runs + 1, "it stood still meanwhile");
}

#[test]
fn a_start_that_failed_holds_up_no_pause() {
    let mut bench = Bench::new(2);
    bench.guest(1).see().refuses_setup = true;
    assert_ne!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
    bench.vm.pause().unwrap();
    assert_eq!(bench.vm.state(), State::Pausing, "vCPU 0 is not out");
    bench.park(0);
    assert_eq!(bench.vm.state(), State::Paused);
}

#[test]
fn the_guests_time_stands_still_while_it_is_paused() {
    let mut bench = Bench::new(2);
    bench.host.counter.fetch_add(500, SeqCst);
    assert_eq!(bench.now(), 500);
    bench.vm.pause().unwrap();
    bench.park(0);
    bench.host.counter.fetch_add(1_000_000, SeqCst);
    bench.vm.resume().unwrap();
    assert_eq!(bench.now(), 500);
    let offset = bench.guest(0).see().counter_offset;
    assert_eq!(offset, 1_000_000 + 1_000_000, "for its virtual timer as well");
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
    assert_eq!(bench.guest(1).see().counter_offset, offset, "and for one that starts later");
    bench.host.counter.fetch_add(7, SeqCst);
    assert_eq!(bench.now(), 507);
}

#[test]
fn a_timer_that_was_set_before_a_pause_is_due_as_much_later() {
    let mut bench = Bench::new(1);
    for (addr, value) in [(names::CNTP_CVAL_EL0, 300), (names::CNTP_CTL_EL0, 1)] {
        bench.leaves(0, AxVCpuExitReason::SysRegWrite { addr, value });
    }
    let due = bench.vm.poll_timer(0).unwrap();
    bench.vm.pause().unwrap();
    bench.park(0);
    bench.host.counter.fetch_add(1_000, SeqCst);
    bench.vm.resume().unwrap();
    assert_eq!(bench.vm.poll_timer(0), Some(due + 1_000));
}

#[test]
fn a_vm_pauses_and_goes_on_a_hundred_times() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
    for _ in 0..100 {
        bench.vm.pause().unwrap();
        bench.park(1);
        assert_eq!(bench.vm.state(), State::Pausing, "nothing is left of the pause before");
        bench.park(0);
        assert_eq!(bench.vm.state(), State::Paused);
        bench.vm.resume().unwrap();
        bench.run(0).unwrap();
        bench.run(1).unwrap();
    }
    bench.stop(StopReason::Operator);
}

#[test]
fn a_paused_vm_can_be_stopped() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
    bench.port.starts();
    bench.vm.pause().unwrap();
    bench.park(0);
    bench.park(1);
    bench.port.unparked();
    bench.vm.shutdown(StopReason::Operator).unwrap();
    assert_eq!(bench.port.unparked(), [0, 1], "parked, they would never learn of it");
    assert_eq!(bench.vm.departure(0), Departure::Ends);
    bench.retire_all();
    assert_eq!(bench.vm.state(), State::Stopped(StopReason::Operator));
    bench.boot();
    assert_eq!(bench.run(0), Ok(host_interrupt()));
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
    bench.vm.pause().unwrap();
    bench.park(0);
    assert_eq!(bench.vm.state(), State::Pausing, "nothing is left of the earlier pause");
    bench.park(1);
    assert_eq!(bench.vm.state(), State::Paused);
}

#[test]
fn a_vcpu_that_switches_itself_off_is_not_waited_for() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
    bench.vm.pause().unwrap();
    bench.park(0);
    assert!(!bench.retire(1), "its CPU_OFF came before the pause");
    assert_eq!(bench.vm.state(), State::Paused);
    bench.vm.resume().unwrap();
    bench.vm.pause().unwrap();
    assert!(bench.retire(0), "the last one");
    assert_eq!(bench.vm.state(), State::Stopped(StopReason::PowerOff));
}

#[test]
fn a_vcpu_started_during_a_pause_waits_for_its_end() {
    let mut bench = Bench::new(2);
    let vm = bench.vm.clone();
    bench.guest(0).acts(move || {
        vm.pause().unwrap();
        call(CPU_ON, [1, ENTRY as u64, 0])
    });
    bench.park(0);
    assert_eq!(bench.port.starts(), [1]);
    assert_eq!(bench.vm.state(), State::Pausing);
    bench.park(1);
    assert_eq!(bench.vm.state(), State::Paused);
    assert_eq!(bench.guest(1).see().runs, 0);
    bench.vm.resume().unwrap();
    assert_eq!(bench.run(1), Ok(host_interrupt()));
}

#[test]
fn pausing_and_resuming_what_cannot_be_is_refused() {
    let mut bench = Bench::created(config(1, ""), IMAGES);
    assert_eq!(sentence(&bench.vm.pause().unwrap_err()), "it is created: it cannot be paused");
    bench.boot();
    assert_eq!(sentence(&bench.vm.resume().unwrap_err()), "it is running: it cannot be resumed");
    bench.vm.pause().unwrap();
    assert!(bench.vm.pause().is_err() && bench.vm.resume().is_err() && bench.vm.retire().is_err());
    bench.park(0);
    assert!(bench.vm.pause().is_err() && bench.vm.retire().is_err());
    bench.stop(StopReason::Operator);
    assert!(bench.vm.pause().is_err() && bench.vm.resume().is_err());
}

#[test]
fn a_pause_that_is_still_on_its_way_does_not_outlast_the_resume() {
    let bench = Bench::new(2);
    let vm = bench.vm.clone();
    bench.port.at_kick(move || {
        // The only vCPU that is on is out at once, and somebody lets the VM go on.
        vm.vcpu_parked(0);
        vm.resume().unwrap();
    });
    bench.vm.pause().unwrap();
    assert!(bench.vm.running());
    assert!(!bench.vm.must_leave(0) && !bench.vm.must_leave(1));
}

#[test]
fn interrupts_that_come_during_a_pause_are_there_after_it() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    bench.store(0, GICD + 0x104, 1 << 8);
    bench.vm.pause().unwrap();
    bench.park(0);
    assert_eq!(bench.cpu.listed(), []);
    bench.vm.inject_interrupt(40);
    bench.vm.resume().unwrap();
    bench.run(0).unwrap();
    assert_eq!(bench.cpu.listed(), [(40, 1)]);
}
