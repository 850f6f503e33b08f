//! Physical interrupts while the guest runs, SGIs between vCPUs, and waiting for either.

use std::sync::atomic::Ordering::SeqCst;

use arm_vcpu::{SliceTimer, sysreg::names};
use arm_vgic::TIMER_PPI;
use axvcpu::AxVCpuExitReason::{self, ExternalInterrupt, Halt, Nothing};

use super::bench::*;
use super::calls::CPU_ON;
use super::guest::{Did, HOST_INTERRUPT};
use super::host::Irq::{Acknowledged, Deactivated, Dropped};
use crate::{KICK_SGI, MAINTENANCE_PPI};

const PENDING: u64 = 1;
const TIMER_LINKED: u64 = 1 << 61;

impl Bench {
    /// The guest is interrupted by `peeked`, and `acknowledged` is what there is by then.
    fn interrupted(&mut self, peeked: u32, acknowledged: Option<u32>) -> AxVCpuExitReason {
        self.cpu.pending.lock().unwrap().extend(acknowledged);
        let exit = ExternalInterrupt { vector: u64::from(peeked) };
        let reason = self.leaves(0, exit);
        assert_eq!(self.guest(0).did(), [], "interrupts stand between instructions");
        assert!(self.cpu.pending.lock().unwrap().is_empty());
        reason
    }

    fn sgi(&mut self, from: usize, value: u64) {
        let addr = names::ICC_SGI1R_EL1;
        let did = self.settles(from, AxVCpuExitReason::SysRegWrite { addr, value });
        assert_eq!(did, [Did::Finish]);
    }
}

#[test]
fn a_kick_is_completed_and_the_guest_goes_on() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.interrupted(KICK_SGI, Some(KICK_SGI)), host_interrupt());
    assert_eq!(bench.cpu.irqs(), [Acknowledged(1), Dropped(1), Deactivated(1)]);
    assert_eq!(bench.guest(0).see().runs, 2);
}

#[test]
fn the_timer_goes_into_its_list_register_and_is_left_to_the_guest() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    assert_eq!(bench.interrupted(TIMER_PPI, Some(TIMER_PPI)), host_interrupt());
    assert_eq!(bench.cpu.irqs(), [Acknowledged(TIMER_PPI), Dropped(TIMER_PPI)]);
    let value = bench.cpu.lrs[0].load(SeqCst);
    assert_eq!((value as u32, value >> 62), (TIMER_PPI, PENDING));
    assert_eq!(value & TIMER_LINKED, TIMER_LINKED);
}

#[test]
fn a_timer_that_the_guest_does_not_want_is_deactivated_for_it() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.interrupted(TIMER_PPI, Some(TIMER_PPI)), host_interrupt());
    let timer = [Acknowledged(TIMER_PPI), Dropped(TIMER_PPI), Deactivated(TIMER_PPI)];
    assert_eq!(bench.cpu.irqs(), timer);
    assert_eq!(bench.cpu.listed(), []);
}

#[test]
fn a_maintenance_interrupt_fills_the_list_registers_again() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    for sgi in 0..5 {
        bench.sgi(0, sgi << 24 | 1);
    }
    assert_eq!(bench.cpu.listed().len(), 3, "one register is the timer's");
    for lr in &bench.cpu.lrs {
        // The guest has taken and ended them.
        lr.fetch_and(!(3 << 62), SeqCst);
    }
    assert_eq!(bench.interrupted(MAINTENANCE_PPI, Some(MAINTENANCE_PPI)), host_interrupt());
    assert_eq!(bench.cpu.irqs(), [Acknowledged(25), Dropped(25), Deactivated(25)]);
    let mut listed = bench.cpu.listed();
    listed.sort_unstable();
    assert_eq!(listed, [(3, PENDING), (4, PENDING)]);
}

#[test]
fn an_interrupt_of_the_hosts_is_left_to_it() {
    let mut bench = Bench::new(1);
    for intid in [0, 26, 33, 1019, 1023, 0xff_ffff] {
        let vector = u64::from(intid);
        assert_eq!(bench.interrupted(intid, None), ExternalInterrupt { vector });
    }
    assert_eq!(
        bench.leaves(0, ExternalInterrupt { vector: u64::MAX }),
        ExternalInterrupt { vector: u64::MAX }
    );
    assert_eq!(bench.cpu.irqs(), [], "nothing was acknowledged");
}

#[test]
fn the_end_of_a_slice_is_the_runners() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.interrupted(SliceTimer::INTID, None), Nothing);
    assert_eq!(bench.cpu.irqs(), [], "it is gone once the timer is off");
}

#[test]
fn what_was_acknowledged_counts_and_not_what_was_seen() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    for peeked in [TIMER_PPI, KICK_SGI, MAINTENANCE_PPI] {
        assert_eq!(bench.interrupted(peeked, Some(KICK_SGI)), host_interrupt());
        assert_eq!(bench.cpu.irqs(), [Acknowledged(1), Dropped(1), Deactivated(1)]);
        assert_eq!(bench.interrupted(peeked, Some(MAINTENANCE_PPI)), host_interrupt());
        assert_eq!(bench.cpu.irqs(), [Acknowledged(25), Dropped(25), Deactivated(25)]);
        assert_eq!(bench.interrupted(peeked, Some(TIMER_PPI)), host_interrupt());
        assert_eq!(bench.cpu.irqs(), [Acknowledged(27), Dropped(27)]);
        assert_eq!(bench.interrupted(peeked, Some(SliceTimer::INTID)), Nothing);
        assert_eq!(bench.cpu.irqs(), [Acknowledged(30), Dropped(30), Deactivated(30)]);
        let host = AxVCpuExitReason::AcknowledgedInterrupt { vector: 33 };
        assert_eq!(bench.interrupted(peeked, Some(33)), host);
        assert_eq!(bench.cpu.irqs(), [Acknowledged(33)], "the rest is the host's");
        let message = AxVCpuExitReason::AcknowledgedInterrupt { vector: 8192 };
        assert_eq!(bench.interrupted(peeked, Some(8192)), message);
        assert_eq!(bench.cpu.irqs(), [Acknowledged(8192)]);
    }
}

#[test]
fn an_interrupt_that_went_away_is_nothing() {
    let mut bench = Bench::new(1);
    for spurious in [None, Some(1020), Some(1021), Some(1022), Some(1023)] {
        assert_eq!(bench.interrupted(KICK_SGI, spurious), host_interrupt());
    }
    assert_eq!(bench.cpu.irqs(), []);
}

#[test]
fn an_sgi_kicks_the_vcpu_it_names_and_is_listed_when_that_runs() {
    let mut bench = Bench::new(4);
    bench.enable_interrupts();
    for vcpu in 1..4 {
        assert_eq!(bench.calls(0, CPU_ON, [vcpu, ENTRY as u64, 0]), 0);
    }
    bench.run(1).unwrap();
    bench.port.kicks();
    bench.sgi(0, 7 << 24 | 1 << 2);
    assert_eq!(bench.port.kicks(), [2]);
    assert!(bench.vm.has_interrupt(2) && !bench.vm.has_interrupt(1));
    bench.run(1).unwrap();
    assert_eq!(bench.cpu.listed(), []);
    bench.run(2).unwrap();
    assert_eq!(bench.cpu.listed(), [(7, PENDING)]);
    bench.sgi(1, 1 << 40 | 3 << 24);
    let mut kicked = bench.port.kicks();
    kicked.sort_unstable();
    assert_eq!(kicked, [0, 2, 3], "all but itself");
}

#[test]
fn an_sgi_to_oneself_needs_no_kick() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    bench.port.kicks();
    bench.sgi(0, 5 << 24 | 1);
    assert_eq!(bench.port.kicks(), []);
    assert_eq!(bench.cpu.listed(), [(5, PENDING)]);
}

#[test]
fn an_sgi_to_nobody_is_ignored() {
    let mut bench = Bench::new(2);
    bench.enable_interrupts();
    bench.port.kicks();
    for value in [0, 1 << 2, 1 << 16 | 1, 1 << 32 | 1, 1 << 44 | 1, 1 << 48 | 1] {
        bench.sgi(0, value);
    }
    assert_eq!(bench.port.kicks(), []);
    assert_eq!(bench.cpu.listed(), []);
}

#[test]
fn sgis_of_other_groups_and_deactivations_are_ignored() {
    let mut bench = Bench::new(1);
    for addr in [names::ICC_ASGI1R_EL1, names::ICC_SGI0R_EL1, names::ICC_DIR_EL1] {
        let write = AxVCpuExitReason::SysRegWrite { addr, value: 1 };
        assert_eq!(bench.settles(0, write), [Did::Finish]);
    }
    assert_eq!(bench.cpu.listed(), []);
}

#[test]
fn a_wait_with_nothing_pending_is_the_runners() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    bench.guest(0).did();
    assert_eq!(bench.leaves(0, Halt), Halt);
    assert_eq!(bench.guest(0).did(), [Did::Finish], "it goes on behind the WFI");
    assert_eq!(bench.vm.wake_at(0), None);
    assert!(!bench.vm.has_interrupt(0));
}

#[test]
fn a_wait_ends_when_the_virtual_timer_is_due() {
    let mut bench = Bench::new(1);
    bench.guest(0).see().deadline = Some(5_000_000);
    assert_eq!(bench.leaves(0, Halt), Halt);
    assert_eq!(bench.vm.wake_at(0), Some(5_000_000));
    bench.guest(0).see().deadline = None;
    assert_eq!(bench.leaves(0, Halt), Halt);
    assert_eq!(bench.vm.wake_at(0), None);
}

#[test]
fn a_wait_with_something_pending_is_over_at_once() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    bench.sgi(0, 1);
    assert_eq!(bench.settles(0, Halt), [Did::Finish]);
}

#[test]
fn an_interrupt_that_comes_during_the_wait_is_seen() {
    let mut bench = Bench::new(2);
    bench.enable_interrupts();
    assert_eq!(bench.calls(0, CPU_ON, [1, ENTRY as u64, 0]), 0);
    assert_eq!(bench.leaves(1, Halt), Halt);
    assert!(!bench.vm.has_interrupt(1));
    bench.sgi(0, 1 << 1);
    assert!(bench.vm.has_interrupt(1));
}

#[test]
fn an_injected_interrupt_reaches_the_guest() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    bench.store(0, GICD + 0x104, 1 << 8);
    bench.port.kicks();
    bench.vm.inject_interrupt(40);
    assert_eq!(bench.port.kicks(), [0]);
    bench.run(0).unwrap();
    assert_eq!(bench.cpu.listed(), [(40, PENDING)]);
    for absent in [0, 31, 256, 1023, u32::MAX] {
        bench.vm.inject_interrupt(absent);
    }
}

#[test]
fn typing_at_the_console_interrupts_the_guest() {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    bench.store(0, GICD + 0x104, 1 << 1);
    bench.store(0, UART + 0x38, 1 << 4);
    assert_eq!(bench.vm.console_input(b"x"), 1);
    bench.run(0).unwrap();
    assert_eq!(bench.cpu.listed(), [(33, PENDING)]);
    assert_eq!(bench.load(0, UART), u64::from(b'x'));
    bench.run(0).unwrap();
    assert_eq!(bench.cpu.listed(), [], "the line fell");
}

#[test]
fn exits_no_aarch64_vcpu_makes_are_given_back() {
    let mut bench = Bench::new(1);
    let entry_point = gpa(ENTRY);
    for exit in [
        AxVCpuExitReason::AcknowledgedInterrupt { vector: 5 },
        AxVCpuExitReason::SystemDown,
        AxVCpuExitReason::FailEntry { hardware_entry_failure_reason: 3 },
    ] {
        assert_eq!(bench.leaves(0, exit), exit);
        assert_eq!(bench.guest(0).did(), []);
    }
    for another_architecture_s in [
        AxVCpuExitReason::IoRead { port: 1, width: axaddrspace::AccessWidth::Byte },
        AxVCpuExitReason::CpuUp { target_cpu: 1, entry_point, arg: 0 },
    ] {
        assert_eq!(bench.leaves(0, another_architecture_s), AxVCpuExitReason::Nothing);
        assert_eq!(bench.guest(0).did(), []);
    }
    assert_eq!(bench.leaves(0, ExternalInterrupt { vector: HOST_INTERRUPT }), host_interrupt());
}
