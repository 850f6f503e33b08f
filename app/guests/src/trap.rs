//! Where the vectors lead: interrupts to the running case, all else to a failed verdict.

use crate::cases::{Case, Completion};
use crate::{gic, println, psci, report};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

core::arch::global_asm!(include_str!("vectors.s"));

static SPURIOUS: AtomicU64 = AtomicU64::new(0);
static DYING: AtomicBool = AtomicBool::new(false);
/// The address at which a data abort is what the case is after; none until then.
static WANTED: AtomicU64 = AtomicU64::new(u64::MAX);

/// A data abort of this exception level in bits 31:26 of ESR_EL1.
const DATA_ABORT: u64 = 0x25;

/// From here on a data abort at `address` ends the case, and it has passed.
pub(crate) fn pass_on_abort(address: usize) {
    WANTED.store(address as u64, Ordering::Relaxed);
}

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
    if esr >> 26 == DATA_ABORT && far == WANTED.load(Ordering::Relaxed) {
        report::verdict(Case::current().name(), Ok(()));
    }
    println!("exception: vector {vector}, ESR_EL1 {esr:#x}, ELR_EL1 {elr:#x}, FAR_EL1 {far:#x}");
    report::verdict(Case::current().name(), report::fail("unexpected exception"))
}
