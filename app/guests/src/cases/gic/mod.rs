//! The interrupt controller, register by register and interrupt by interrupt.

mod delivery;
mod senders;
mod state;

use super::Completion;
use crate::report::{Outcome, check};
use crate::{cpu, gic, trap, uart};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

const INTIDS: usize = gic::SPECIAL as usize;
/// At most so many SPIs are pending at a time: more than any CPU interface has list registers.
const SPIS: u32 = 64;

/// How often each interrupt was taken: by the boot CPU, by any other one.
static HERE: [AtomicU32; INTIDS] = [const { AtomicU32::new(0) }; INTIDS];
static ELSEWHERE: [AtomicU32; INTIDS] = [const { AtomicU32::new(0) }; INTIDS];

/// Counts; a second CPU also does what it is asked.
pub(super) fn interrupt(intid: u32) -> Completion {
    let counts = if cpu::number() == 0 { &HERE } else { &ELSEWHERE };
    if intid == senders::ASK && cpu::number() != 0 {
        senders::answer();
    }
    if let Some(count) = counts.get(intid as usize) {
        count.fetch_add(1, SeqCst);
    }
    Completion::Done
}

/// A second CPU takes what is routed to it.
pub(super) fn secondary() {
    gic::enable(senders::ASK);
    cpu::sleep_until(|| false);
}

/// The last SPIs the distributor has, clear of the UART's.
fn spis() -> core::ops::Range<u32> {
    let end = gic::line_count();
    end.saturating_sub(SPIS).max(uart::INTID + 1)..end
}

fn here(intid: u32) -> u32 {
    HERE[intid as usize].load(SeqCst)
}

fn elsewhere(intid: u32) -> u32 {
    ELSEWHERE[intid as usize].load(SeqCst)
}

/// All of it.
pub(super) fn run() -> Outcome {
    check("GICD_PIDR2.ArchRev", gic::architecture(), if gic::v2::is_here() { 2u32 } else { 3 })?;
    delivery::run()?;
    if gic::v2::is_here() {
        senders::run()?;
    }
    state::run()?;
    check("interrupts without a number", trap::spurious(), 0u64)
}
