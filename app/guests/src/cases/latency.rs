//! How long this guest is kept from its CPU, and how late its timer interrupts it, at worst.
//!
//! The timer's period is short not only to have many of them: under an emulator that runs its CPUs in turn, a turn ends
//! when a timer is due, so that the figures are not those of the emulator.

use super::Completion;
use crate::board::Board;
use crate::report::{Outcome, ensure};
use crate::sysreg::{CNTV_CTL_EL0, CNTV_CVAL_EL0};
use crate::{cpu, gic, println, timer};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const PERIOD_MICROS: u64 = 20;
/// How long it spins, and then sleeps, unless the boot arguments say otherwise.
const PHASE_MILLIS: u64 = 500;
/// What is measured until then does not count.
const SETTLE_MILLIS: u64 = 20;

static FIRED: AtomicU64 = AtomicU64::new(0);
/// The worst lateness, in ticks.
static LATE: AtomicU64 = AtomicU64::new(0);

/// Notes how late it is, and sets the next deadline.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid == timer::INTID {
        let now = timer::now();
        LATE.fetch_max(now.saturating_sub(CNTV_CVAL_EL0::read()), Relaxed);
        FIRED.fetch_add(1, Relaxed);
        CNTV_CVAL_EL0::write(timer::now() + timer::micros(PERIOD_MICROS));
    }
    Completion::Done
}

/// The boot argument `bound=MICROSECONDS` is what it may take, `phase=` and `settle=` are milliseconds.
pub(super) fn run(board: &Board) -> Outcome {
    let bound = board.number("bound").unwrap_or(u64::MAX);
    let phase_micros = 1000 * board.number("phase").unwrap_or(PHASE_MILLIS);
    let settle_micros = 1000 * board.number("settle").unwrap_or(SETTLE_MILLIS);
    gic::enable(timer::INTID);
    timer::arm(timer::now() + timer::micros(PERIOD_MICROS));
    cpu::unmask_irq();
    spin(settle_micros);
    LATE.store(0, Relaxed);
    let gap = spin(phase_micros);
    let late_spinning = LATE.swap(0, Relaxed);
    let end = timer::now() + timer::micros(phase_micros);
    cpu::sleep_until(|| timer::now() >= end);
    let late_asleep = LATE.load(Relaxed);
    CNTV_CTL_EL0::write(0);
    let worst = [gap, late_spinning, late_asleep].map(timer::nanos);
    println!("LATENCY gap={} spinning={} asleep={} ns", worst[0], worst[1], worst[2]);
    println!("{} timer interrupts", FIRED.load(Relaxed));
    let bound = bound.saturating_mul(1000);
    ensure("kept from its CPU for longer than it may be", worst[0] <= bound)?;
    ensure("a timer interrupt was too late while it spun", worst[1] <= bound)?;
    ensure("a timer interrupt was too late while it slept", worst[2] <= bound)
}

/// Reads the counter all the time for `micros_count`; gives the longest time between two reads, in ticks.
fn spin(micros_count: u64) -> u64 {
    let (mut last, mut gap) = (timer::now(), 0);
    let end = last + timer::micros(micros_count);
    while last < end {
        let now = timer::now();
        gap = gap.max(now - last);
        last = now;
    }
    gap
}
