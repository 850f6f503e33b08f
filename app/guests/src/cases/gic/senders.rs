//! A GICv2's SGIs: pending once for each CPU that sent them.

use crate::gic::{self, v2};
use crate::report::{Outcome, check, ensure};
use crate::{cpu, timer};

/// The SGI that is sent by several, and the one that makes CPU 1 send it.
const SHARED: u32 = 5;
pub(super) const ASK: u32 = 6;

/// What CPU 1 does when it is asked.
pub(super) fn answer() {
    gic::send_sgi(gic::sgi_to(cpu::affinity(0), SHARED));
}

/// All of it, with CPU 1 on if there is one.
pub(super) fn run() -> Outcome {
    cpu::mask_irq();
    gic::enable(SHARED);
    let own = v2::own_target();
    by_register(own)?;
    if cpu::count() > 1 {
        for _ in 0..10 {
            by_both(own)?;
        }
    }
    Ok(())
}

/// GICD_SPENDSGIR makes it pending, GICD_CPENDSGIR takes it back.
fn by_register(own: u32) -> Outcome {
    v2::set_pending(SHARED, own, true);
    check("senders after GICD_SPENDSGIR", v2::pending_senders(SHARED), own)?;
    v2::set_pending(SHARED, own, false);
    check("senders after GICD_CPENDSGIR", v2::pending_senders(SHARED), 0u32)?;
    ensure("an SGI that was taken back came", gic::acknowledge() >= gic::SPECIAL)
}

/// Sent by CPU 0 and by CPU 1 it comes twice.
fn by_both(own: u32) -> Outcome {
    gic::send_sgi(gic::sgi_to(cpu::affinity(0), SHARED));
    gic::send_sgi(gic::sgi_to(cpu::affinity(1), ASK));
    let both = timer::wait_for(|| v2::pending_senders(SHARED) & !own != 0);
    ensure("CPU 1 did not send", both)?;
    let senders = v2::pending_senders(SHARED);
    check("senders of one SGI", senders.count_ones(), 2u32)?;
    let mut taken = 0;
    for _ in 0..2 {
        timer::wait_for(|| gic::highest_pending() == u64::from(SHARED));
        check("the SGI of two senders", gic::acknowledge(), SHARED)?;
        taken |= 1 << v2::sender(SHARED);
        gic::end(SHARED);
    }
    check("senders that were heard", taken, senders)?;
    check("senders afterwards", v2::pending_senders(SHARED), 0u32)?;
    timer::delay(100);
    ensure("an SGI too many", gic::acknowledge() >= gic::SPECIAL)
}
