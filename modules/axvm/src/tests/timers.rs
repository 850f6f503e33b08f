//! The emulated physical timer and other trapped system registers.

use std::sync::atomic::Ordering::SeqCst;

use arm_vcpu::sysreg::names;
use axvcpu::{AxVCpuExitReason, GuestFault, SysRegAddr};

use super::bench::*;
use super::guest::{Did, STEP};

const START: u64 = 1_000_000;

impl Bench {
    fn set_time(&self, guest_ticks: u64) {
        self.host.counter.store(START + guest_ticks, SeqCst);
    }

    fn mrs(&mut self, addr: SysRegAddr) -> u64 {
        match self.settles(0, AxVCpuExitReason::SysRegRead { addr, reg: 4 })[..] {
            [Did::Gpr(4, value), Did::Finish] => value,
            ref other => panic!("{other:?}"),
        }
    }

    /// Writes a register of the timer; the runner then looks at the timer anew.
    fn msr(&mut self, addr: SysRegAddr, value: u64) {
        self.guest(0).did();
        let exit = self.leaves(0, AxVCpuExitReason::SysRegWrite { addr, value });
        assert_eq!(exit, AxVCpuExitReason::Nothing);
        assert_eq!(self.guest(0).did(), [Did::Finish]);
    }
}

#[test]
fn the_guests_time_starts_when_it_boots() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.guest(0).see().counter_offset, START);
    assert_eq!(bench.mrs(names::CNTPCT_EL0), 0);
    bench.set_time(77);
    assert_eq!(bench.mrs(names::CNTPCT_EL0), 77);
    assert_eq!(bench.mrs(names::CNTPCTSS_EL0), 77);
}

#[test]
fn the_physical_timer_interrupts_when_it_is_due() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    bench.msr(names::CNTP_TVAL_EL0, 500);
    bench.msr(names::CNTP_CTL_EL0, 1);
    assert_eq!(bench.mrs(names::CNTP_CVAL_EL0), 500);
    assert_eq!(bench.mrs(names::CNTP_CTL_EL0), 1);
    assert_eq!(bench.vm.poll_timer(0), Some(START + 500), "in physical time");
    bench.set_time(499);
    assert_eq!(bench.vm.poll_timer(0), Some(START + 500));
    assert!(!bench.vm.has_interrupt(0));
    bench.set_time(500);
    assert_eq!(bench.vm.poll_timer(0), None);
    assert!(bench.vm.has_interrupt(0));
    bench.run(0).unwrap();
    assert_eq!(bench.cpu.listed(), [(30, 1)]);
    assert_eq!(bench.mrs(names::CNTP_CTL_EL0), 5);
    bench.msr(names::CNTP_CTL_EL0, 3);
    bench.run(0).unwrap();
    assert_eq!(bench.cpu.listed(), [], "masked, the line falls");
}

#[test]
fn a_timer_set_in_the_past_interrupts_at_once() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    bench.set_time(10);
    bench.msr(names::CNTP_CVAL_EL0, 3);
    bench.msr(names::CNTP_CTL_EL0, 1);
    bench.run(0).unwrap();
    assert_eq!(bench.cpu.listed(), [(30, 1)]);
    assert_eq!(bench.mrs(names::CNTP_TVAL_EL0), 0xffff_fff9);
    bench.msr(names::CNTP_CVAL_EL0, 1000);
    bench.run(0).unwrap();
    assert_eq!(bench.cpu.listed(), []);
}

#[test]
fn the_sooner_timer_ends_a_wait() {
    let mut bench = Bench::new(1);
    bench.msr(names::CNTP_CVAL_EL0, 400);
    bench.msr(names::CNTP_CTL_EL0, 1);
    for (deadline, wake) in
        [(None, START + 400), (Some(START + 300), START + 300), (Some(START + 500), START + 400)]
    {
        bench.guest(0).see().deadline = deadline;
        assert_eq!(bench.leaves(0, AxVCpuExitReason::Halt), AxVCpuExitReason::Halt);
        assert_eq!(bench.vm.wake_at(0), Some(wake));
    }
}

#[test]
fn a_timer_set_to_the_end_of_time_is_not_due_before() {
    let mut bench = Bench::new(1);
    bench.msr(names::CNTP_CTL_EL0, 1);
    for compare in [u64::MAX, u64::MAX - START + 1] {
        bench.msr(names::CNTP_CVAL_EL0, compare);
        let deadline = bench.vm.poll_timer(0);
        assert!(deadline.is_none_or(|at| at > u64::MAX / 2), "due at {deadline:?}");
    }
}

#[test]
fn a_boot_forgets_the_timer_of_the_run_before() {
    let mut bench = Bench::new(1);
    bench.msr(names::CNTP_CVAL_EL0, 400);
    bench.msr(names::CNTP_CTL_EL0, 1);
    bench.stop(crate::StopReason::Operator);
    bench.boot();
    assert_eq!(bench.vm.poll_timer(0), None);
    assert_eq!(bench.mrs(names::CNTP_CVAL_EL0), 0);
}

#[test]
fn a_register_nobody_emulates_is_undefined() {
    let mut bench = Bench::new(1);
    let before = bench.guest(0).see().pc;
    let undefined = [Did::Fault(GuestFault::Undefined)];
    for addr in [names::ACTLR_EL1, SysRegAddr(0), SysRegAddr(usize::MAX)] {
        assert_eq!(bench.settles(0, AxVCpuExitReason::SysRegRead { addr, reg: 1 }), undefined);
        let write = AxVCpuExitReason::SysRegWrite { addr, value: 1 };
        assert_eq!(bench.settles(0, write), undefined);
    }
    for addr in [names::CNTPCT_EL0, names::CNTPCTSS_EL0] {
        let write = AxVCpuExitReason::SysRegWrite { addr, value: 1 };
        assert_eq!(bench.settles(0, write), undefined, "the counter is read-only");
    }
    let read = AxVCpuExitReason::SysRegRead { addr: names::ICC_SGI1R_EL1, reg: 1 };
    assert_eq!(bench.settles(0, read), undefined, "and this one write-only");
    assert_eq!(bench.guest(0).see().pc, before);
    assert_eq!(bench.mrs(names::CNTPCT_EL0), 0);
    assert_eq!(bench.guest(0).see().pc, before + STEP);
}

#[test]
fn each_vcpu_has_its_own_timer() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.calls(0, super::calls::CPU_ON, [1, ENTRY as u64, 0]), 0);
    bench.msr(names::CNTP_CVAL_EL0, 400);
    bench.msr(names::CNTP_CTL_EL0, 1);
    assert_eq!(bench.vm.poll_timer(0), Some(START + 400));
    assert_eq!(bench.vm.poll_timer(1), None);
    assert_eq!(bench.vm.poll_timer(2), None, "there is no such vCPU");
    assert_eq!(bench.vm.wake_at(2), None);
}
