//! The virtual timer by interrupt: in order, none lost, none too many, spinning and asleep.

use super::Completion;
use crate::report::{Outcome, check, ensure};
use crate::sysreg::{CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTV_TVAL_EL0};
use crate::{cpu, gic, timer, trap};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

const PERIODS: usize = 100;
const PERIOD_MICROS: u64 = 2_000;

static FIRED: AtomicUsize = AtomicUsize::new(0);
/// Interrupts before their deadline, or with the timer's condition not met.
static EARLY: AtomicUsize = AtomicUsize::new(0);
static FOREIGN: AtomicUsize = AtomicUsize::new(0);
/// How many more periods the handler shall arm.
static LEFT: AtomicUsize = AtomicUsize::new(0);
static TAKEN_AT: [AtomicU64; PERIODS] = [const { AtomicU64::new(0) }; PERIODS];

/// Counts, then sets the next deadline one period after the last one.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid != timer::INTID {
        FOREIGN.fetch_add(1, Relaxed);
        return Completion::Done;
    }
    let (now, deadline, control) = (timer::now(), CNTV_CVAL_EL0::read(), CNTV_CTL_EL0::read());
    if now < deadline || control & timer::ISTATUS == 0 {
        EARLY.fetch_add(1, Relaxed);
    }
    if let Some(slot) = TAKEN_AT.get(FIRED.fetch_add(1, Relaxed)) {
        slot.store(now, Relaxed);
    }
    let left = LEFT.load(Relaxed).saturating_sub(1);
    LEFT.store(left, Relaxed);
    match left {
        0 => timer::stop(),
        _ => CNTV_CVAL_EL0::write(deadline + timer::micros(PERIOD_MICROS)),
    }
    Completion::Done
}

/// All of it.
pub(super) fn run() -> Outcome {
    gic::enable(timer::INTID);
    cpu::unmask_irq();
    periods()?;
    nothing_more()?;
    masked_at_the_timer()?;
    disabled_at_the_gic()?;
    countdown_view()?;
    deadline_in_the_past()?;
    check("interrupts before their deadline", EARLY.load(Relaxed), 0usize)?;
    check("interrupts of others", FOREIGN.load(Relaxed), 0usize)?;
    check("interrupts without a number", trap::spurious(), 0u64)
}

/// A hundred periods: the first half is spent spinning over the counter, the second in WFI.
fn periods() -> Outcome {
    let start = timer::now() + timer::micros(PERIOD_MICROS);
    LEFT.store(PERIODS, Relaxed);
    timer::arm(start);
    let (mut last, limit) = (timer::now(), start + timer::micros(10_000_000));
    while FIRED.load(Relaxed) < PERIODS / 2 {
        let now = timer::now();
        ensure("the counter went backwards", now >= last)?;
        ensure("the timer stopped firing", now < limit)?;
        last = now;
    }
    cpu::sleep_until(|| FIRED.load(Relaxed) >= PERIODS);
    for (index, slot) in TAKEN_AT.iter().enumerate() {
        let (deadline, taken) =
            (start + index as u64 * timer::micros(PERIOD_MICROS), slot.load(Relaxed));
        ensure("a period was reported early", taken >= deadline)?;
        ensure(
            "a later period was reported first",
            index == 0 || taken > TAKEN_AT[index - 1].load(Relaxed),
        )?;
    }
    Ok(())
}

fn nothing_more() -> Outcome {
    timer::delay(10 * PERIOD_MICROS);
    check("interrupts for a hundred periods", FIRED.load(Relaxed), PERIODS)
}

/// CNTV_CTL_EL0.IMASK holds the interrupt back and shows the condition.
fn masked_at_the_timer() -> Outcome {
    let before = FIRED.load(Relaxed);
    CNTV_CVAL_EL0::write(timer::now());
    CNTV_CTL_EL0::write(timer::ENABLE | timer::IMASK);
    timer::delay(PERIOD_MICROS);
    check("interrupts while IMASK is set", FIRED.load(Relaxed), before)?;
    check(
        "CNTV_CTL_EL0 while masked and due",
        CNTV_CTL_EL0::read(),
        timer::ENABLE | timer::IMASK | timer::ISTATUS,
    )?;
    CNTV_CTL_EL0::write(timer::ENABLE);
    fires_once("after IMASK", before)
}

fn disabled_at_the_gic() -> Outcome {
    let before = FIRED.load(Relaxed);
    gic::disable(timer::INTID);
    timer::arm(timer::now());
    timer::delay(PERIOD_MICROS);
    check("interrupts while disabled at the GIC", FIRED.load(Relaxed), before)?;
    gic::enable(timer::INTID);
    fires_once("after GIC enable", before)
}

/// CNTV_TVAL_EL0 is the distance to CNTV_CVAL_EL0, both ways.
fn countdown_view() -> Outcome {
    let before = FIRED.load(Relaxed);
    let (distance, start) = (timer::micros(PERIOD_MICROS), timer::now());
    CNTV_TVAL_EL0::write(distance);
    let (deadline, end) = (CNTV_CVAL_EL0::read(), timer::now());
    ensure("CVAL after a write of TVAL", (start + distance..=end + distance).contains(&deadline))?;
    let left = CNTV_TVAL_EL0::read();
    ensure("TVAL as it counts down", left <= distance)?;
    CNTV_CTL_EL0::write(timer::ENABLE);
    fires_once("by TVAL", before)?;
    ensure("the interrupt by TVAL came early", timer::now() >= deadline)
}

fn deadline_in_the_past() -> Outcome {
    let before = FIRED.load(Relaxed);
    timer::arm(0);
    fires_once("for deadline zero", before)
}

/// Exactly one interrupt more than `before`.
fn fires_once(why: &'static str, before: usize) -> Outcome {
    timer::wait_for(|| FIRED.load(Relaxed) > before);
    timer::delay(PERIOD_MICROS);
    check(why, FIRED.load(Relaxed), before + 1)
}
