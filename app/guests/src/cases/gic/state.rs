//! One interrupt at a time, acknowledged by hand behind a masked CPU: states, priorities, the two ways of EOI.

use super::spis;
use crate::gic::{self, Bank, EoiMode, Trigger};
use crate::report::{Outcome, check, ensure};
use crate::sysreg::ISR_EL1;
use crate::{cpu, timer};

/// ISR_EL1.I: an IRQ waits for this CPU.
const IRQ_WAITS: u64 = 1 << 7;

/// All of it; interrupts stay masked.
pub(super) fn run() -> Outcome {
    cpu::mask_irq();
    let mut lines = spis();
    let (Some(a), Some(b), Some(c)) = (lines.next(), lines.next(), lines.next()) else {
        return ensure("too few SPIs", false);
    };
    for intid in [a, b, c] {
        gic::enable(intid);
        configuration(intid)?;
        life(intid)?;
        active_by_register(intid)?;
    }
    order()?;
    preemption(a, b, c)?;
    priority_mask(a)?;
    eoi_apart(a, b)
}

/// Takes `wanted`, which may need a moment to reach the CPU.
fn take(wanted: u32) -> Outcome {
    let waits = timer::wait_for(|| ISR_EL1::read() & IRQ_WAITS != 0);
    ensure("no interrupt waits", waits)?;
    check("HPPIR", gic::highest_pending(), u64::from(wanted))?;
    check("IAR", gic::acknowledge(), wanted)
}

/// Nothing waits and there is nothing to take, now and shortly after.
fn nothing(what: &'static str) -> Outcome {
    timer::delay(500);
    ensure(what, ISR_EL1::read() & IRQ_WAITS == 0)?;
    ensure(what, gic::acknowledge() >= gic::SPECIAL)
}

fn state(what: &'static str, intid: u32, pending: bool, active: bool) -> Outcome {
    let word = |pending: bool, active: bool| u32::from(pending) | u32::from(active) << 4;
    let got = word(gic::get(Bank::SetPending, intid), gic::get(Bank::SetActive, intid));
    let by_clear = word(gic::get(Bank::ClearPending, intid), gic::get(Bank::ClearActive, intid));
    check(what, got, word(pending, active))?;
    check(what, by_clear, word(pending, active))
}

/// GICD_ICFGR and GICD_IPRIORITYR keep what is written, and touch no neighbour.
fn configuration(intid: u32) -> Outcome {
    let beside = intid ^ 1;
    let (trigger_beside, priority_beside) = (gic::trigger(beside), gic::priority(beside));
    gic::disable(intid);
    for trigger in [Trigger::Edge, Trigger::Level, Trigger::Edge] {
        gic::set_trigger(intid, trigger);
        ensure("GICD_ICFGR", gic::trigger(intid) == trigger)?;
    }
    for priority in [0x00, 0x50, 0xf0, 0x80] {
        gic::set_priority(intid, priority);
        check("GICD_IPRIORITYR", gic::priority(intid), priority)?;
    }
    gic::enable(intid);
    ensure("GICD_ICFGR of the interrupt beside", gic::trigger(beside) == trigger_beside)?;
    check("GICD_IPRIORITYR of the interrupt beside", gic::priority(beside), priority_beside)
}

/// Inactive, pending, active, active and pending, pending, active, inactive.
fn life(intid: u32) -> Outcome {
    state("inactive", intid, false, false)?;
    gic::set(Bank::SetPending, intid);
    state("pending", intid, true, false)?;
    take(intid)?;
    state("active", intid, false, true)?;
    check("RPR", gic::running_priority(), u64::from(gic::priority(intid)))?;
    nothing("an active interrupt came again")?;
    gic::set(Bank::SetPending, intid);
    state("active and pending", intid, true, true)?;
    nothing("an active and pending interrupt came again")?;
    gic::end(intid);
    state("pending after EOI", intid, true, false)?;
    take(intid)?;
    gic::end(intid);
    state("inactive again", intid, false, false)?;
    ensure("RPR is not idle", gic::running_priority() >= 0xf0)?;
    nothing("an interrupt at rest came")
}

/// GICD_ISACTIVER holds a pending interrupt back, GICD_ICACTIVER lets it go.
fn active_by_register(intid: u32) -> Outcome {
    gic::set(Bank::SetActive, intid);
    state("made active", intid, false, true)?;
    gic::set(Bank::SetPending, intid);
    nothing("an interrupt made active came")?;
    gic::set(Bank::ClearActive, intid);
    state("made inactive", intid, true, false)?;
    take(intid)?;
    gic::end(intid);
    nothing("an interrupt at rest came")
}

/// Up to fifteen at once, made pending in some other order, come by priority.
fn order() -> Outcome {
    let lines = || spis().take(15);
    let rank = |intid: u32| (intid - spis().start) * 7 % 15;
    for intid in lines() {
        gic::enable(intid);
        gic::set_priority(intid, (rank(intid) * 0x10) as u8);
    }
    for intid in lines() {
        gic::set(Bank::SetPending, intid);
    }
    for wanted in 0..15 {
        for intid in lines().filter(|&intid| rank(intid) == wanted) {
            take(intid)?;
            gic::end(intid);
        }
    }
    nothing("an interrupt too many")
}

/// While one is active only a more urgent one is signalled; ends come innermost first.
fn preemption(middle: u32, same: u32, urgent: u32) -> Outcome {
    gic::set_priority(middle, 0x80);
    gic::set_priority(same, 0x80);
    gic::set_priority(urgent, 0x40);
    gic::set(Bank::SetPending, middle);
    take(middle)?;
    gic::set(Bank::SetPending, same);
    nothing("an interrupt of the same priority came")?;
    gic::set(Bank::SetPending, urgent);
    take(urgent)?;
    check("RPR within", gic::running_priority(), 0x40u64)?;
    gic::end(urgent);
    check("RPR back outside", gic::running_priority(), 0x80u64)?;
    nothing("the interrupt of the same priority came early")?;
    gic::end(middle);
    take(same)?;
    gic::end(same);
    nothing("an interrupt at rest came")
}

/// PMR lets through what is more urgent than itself, and nothing else.
fn priority_mask(intid: u32) -> Outcome {
    gic::set_priority(intid, 0x80);
    gic::set(Bank::SetPending, intid);
    for mask in [0x00, 0x40, 0x80] {
        gic::set_priority_mask(mask);
        nothing("an interrupt passed PMR")?;
        check("pending behind PMR", gic::get(Bank::SetPending, intid), true)?;
    }
    gic::set_priority_mask(0x90);
    take(intid)?;
    gic::end(intid);
    gic::set_priority_mask(0xff);
    nothing("an interrupt at rest came")
}

/// EOImode 1: EOIR lets others come, DIR lets the same one come.
fn eoi_apart(first: u32, second: u32) -> Outcome {
    gic::set_priority(first, 0x80);
    gic::set_priority(second, 0x80);
    gic::set_eoi_mode(EoiMode::Apart);
    gic::set(Bank::SetPending, first);
    take(first)?;
    gic::end(first);
    state("after EOIR alone", first, false, true)?;
    gic::set(Bank::SetPending, first);
    nothing("an interrupt came that is still active")?;
    gic::set(Bank::SetPending, second);
    take(second)?;
    gic::end(second);
    gic::deactivate(first);
    take(first)?;
    gic::end(first);
    for intid in [second, first] {
        state("before DIR", intid, false, true)?;
        gic::deactivate(intid);
        state("after DIR", intid, false, false)?;
    }
    gic::set_eoi_mode(EoiMode::Together);
    nothing("an interrupt at rest came")?;
    life(first)
}
