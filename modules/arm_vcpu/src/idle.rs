//! A physical CPU with no guest to run.

use crate::gic;
use crate::regs::{barrier, mrs, msr};
use crate::timer::SliceTimer;

/// Sleeps until an interrupt comes, unless `busy` says that there is work: it is asked with
/// interrupts masked, so that what arrives after it looked still ends the sleep. Interrupts are then
/// taken by whoever the vectors give them to.
pub fn wait(busy: impl FnOnce() -> bool) {
    let masked = mrs!("DAIF");
    barrier!("msr daifset, #2");
    if !busy() {
        barrier!("dsb sy");
        barrier!("wfi");
        take_own();
    }
    msr!("DAIF", masked);
}

/// Takes a kick or a slice timer at once: their only effect was to end the sleep.
fn take_own() {
    if gic::pending() == SliceTimer::INTID {
        SliceTimer::disarm();
    }
}
