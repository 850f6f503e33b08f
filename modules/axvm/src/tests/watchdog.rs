//! A guest's watchdog: whose time it goes by, and what it ends.

use std::sync::atomic::Ordering::SeqCst;

use super::bench::*;
use crate::{Departure, State, StopReason};

const CONTROL: usize = 0x090c_0000;
const REFRESH: usize = 0x090d_0000;
const WOR: usize = 0x008;
/// The INTID of the first timeout.
const INTID: usize = 42;

/// A guest whose watchdog is on, with 1000 ticks for each stage.
fn watched() -> Bench {
    let mut bench = Bench::with(1, "[[device]]\ntype = \"watchdog\"");
    bench.enable_interrupts();
    bench.store(0, GICD + 0x80 + INTID / 32 * 4, 1 << (INTID % 32));
    bench.store(0, GICD + 0x100 + INTID / 32 * 4, 1 << (INTID % 32));
    bench.store(0, CONTROL + WOR, 1000);
    bench.store(0, CONTROL, 1);
    bench
}

impl Bench {
    fn passes(&self, ticks: u64) {
        self.host.counter.fetch_add(ticks, SeqCst);
    }

    /// How many ticks it is until the watchdog is to be looked at.
    fn next_look(&self) -> Option<u64> {
        self.vm.poll_watchdog().map(|at| at - self.host.counter.load(SeqCst))
    }
}

#[test]
fn the_first_timeout_interrupts_and_the_second_one_ends_the_run() {
    let mut bench = watched();
    assert_eq!(bench.next_look(), Some(1001));
    bench.passes(1001);
    assert_eq!(bench.next_look(), Some(1001));
    bench.run(0).unwrap();
    assert!(bench.cpu.listed().iter().any(|(intid, _)| *intid == INTID as u32));
    bench.passes(1001);
    assert_eq!(bench.next_look(), None);
    assert_eq!(bench.vm.state(), State::Stopping(StopReason::Watchdog));
    assert_eq!(bench.vm.departure(0), Departure::Ends);
    bench.retire_all();
    let state = State::Stopped(StopReason::Watchdog);
    assert_eq!(bench.vm.state(), state);
    assert_eq!(std::format!("{state}"), "failed");
    bench.boot();
    assert_eq!(bench.next_look(), None, "a new run begins with it off");
}

#[test]
fn a_guest_that_refreshes_lives() {
    let mut bench = watched();
    for _ in 0..20 {
        bench.passes(900);
        assert_eq!(bench.next_look(), Some(101));
        bench.store(0, REFRESH, 0);
    }
    assert_eq!(bench.vm.state(), State::Running);
}

#[test]
fn the_time_of_a_paused_guest_stands_still() {
    let mut bench = watched();
    bench.passes(600);
    bench.vm.pause().unwrap();
    bench.passes(10_000);
    assert_eq!(bench.next_look(), None, "on its way out");
    bench.slot.evict().unwrap();
    bench.vm.vcpu_parked(0);
    bench.passes(10_000);
    assert_eq!(bench.next_look(), None);
    bench.vm.resume().unwrap();
    assert_eq!(bench.next_look(), Some(401));
}

#[test]
fn a_vm_that_stops_already_stops_for_that_reason() {
    let mut bench = watched();
    bench.passes(1001);
    bench.next_look();
    bench.passes(1001);
    bench.vm.shutdown(StopReason::PowerOff).unwrap();
    assert_eq!(bench.next_look(), None);
    bench.retire_all();
    assert_eq!(bench.vm.state(), State::Stopped(StopReason::PowerOff));
}

#[test]
fn a_vm_without_a_watchdog_is_not_looked_at() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.next_look(), None);
    let fault = bench.settles(0, write(CONTROL, axaddrspace::AccessWidth::Dword, 1));
    assert!(!fault.contains(&super::guest::Did::Finish), "{fault:?}");
}
