//! Where the vectors lead: interrupts to the running case, all else to a failed verdict.

use crate::cases::{Case, Completion};
use crate::{gic, println, psci, report};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

core::arch::global_asm!(include_str!("vectors.s"));

static SPURIOUS: AtomicU64 = AtomicU64::new(0);
static DYING: AtomicBool = AtomicBool::new(false);

/// How often an interrupt was taken and none was there to acknowledge.
pub(crate) fn spurious() -> u64 {
    SPURIOUS.load(Ordering::Relaxed)
}

#[unsafe(no_mangle)]
extern "C" fn interrupt() {
    let intid = gic::acknowledge();
    if intid >= gic::SPECIAL {
        SPURIOUS.fetch_add(1, Ordering::Relaxed);
        return;
    }
    match Case::current().interrupt(intid) {
        Completion::Done => gic::end(intid),
        Completion::Held => {}
    }
}

#[unsafe(no_mangle)]
extern "C" fn unexpected_exception(vector: u64, esr: u64, elr: u64, far: u64) -> ! {
    if DYING.swap(true, Ordering::Relaxed) {
        psci::system_off();
    }
    println!("exception: vector {vector}, ESR_EL1 {esr:#x}, ELR_EL1 {elr:#x}, FAR_EL1 {far:#x}");
    report::verdict(Case::current().name(), report::fail("unexpected exception"))
}
