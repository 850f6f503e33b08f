//! A physical CPU with no guest to run.

use crate::gic;
use crate::regs::{barrier, mrs, msr};
use crate::timer::SliceTimer;

/// Sleeps until an interrupt comes, unless `busy` says that there is work: it is asked with
/// interrupts masked, so that what arrives after it looked still ends the sleep. The hypervisor's own
/// kick, SGI `kick`, is taken here; others are taken by whoever the vectors give them to, but for one
/// that was acknowledged in the kick's place: that one is given back.
pub fn wait(kick: u32, busy: impl FnOnce() -> bool) -> Option<u32> {
    let mut acknowledged = None;
    let masked = mrs!("DAIF");
    barrier!("msr daifset, #2");
    if !busy() {
        barrier!("dsb sy");
        barrier!("wfi");
        acknowledged = take_own(kick);
    }
    msr!("DAIF", masked);
    acknowledged
}

/// Takes a kick or a slice timer at once: their only effect was to end the sleep.
fn take_own(kick: u32) -> Option<u32> {
    match gic::pending() {
        SliceTimer::INTID => SliceTimer::disarm(),
        intid if intid == kick => {
            // Another may have come before it; that one is then the caller's to see to.
            let taken = gic::acknowledge();
            if gic::intid(taken) == kick {
                gic::complete(taken);
            } else if gic::intid(taken) < gic::SPURIOUS {
                return Some(taken);
            }
        }
        _ => {}
    }
    None
}
