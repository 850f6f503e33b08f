//! What the way from one vCPU to another costs, on a CPU that two of them share.
//!
//! CPU 1 reads the counter all the time. CPU 0 notes the counter, then sleeps: CPU 1's first reading after that note is
//! the end of the switch.

use super::Completion;
use super::bench::row::{Row, SAMPLES};
use crate::report::{Outcome, check, ensure};
use crate::{boot, cpu, gic, psci, timer};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// Longer than CPU 1 needs to see the note.
const NAP_MICROS: u64 = 200;

/// The counter when CPU 0 last fell asleep, until CPU 1 has seen it.
static ASLEEP_AT: AtomicU64 = AtomicU64::new(0);
/// From there to CPU 1's next reading, in ticks.
static TOOK: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

/// Ends a nap.
pub(super) fn interrupt(_intid: u32) -> Completion {
    timer::stop();
    Completion::Done
}

/// CPU 1, until it is told to go.
pub(super) fn secondary() {
    while !DONE.load(SeqCst) {
        let (now, asleep_at) = (timer::now(), ASLEEP_AT.load(SeqCst));
        // The reading before the note is none after it.
        if asleep_at != 0 && now > asleep_at {
            TOOK.store(now - asleep_at, SeqCst);
            ASLEEP_AT.store(0, SeqCst);
        }
    }
}

/// CPU 0.
pub(super) fn run() -> Outcome {
    check("CPUs", cpu::count(), 2usize)?;
    gic::enable(timer::INTID);
    cpu::unmask_irq();
    let started = psci::call(psci::CPU_ON, [cpu::affinity(1), boot::secondary_entry_address(), 1]);
    check("CPU_ON", started, psci::SUCCESS)?;
    let mut missed = 0;
    let row = Row::measure("vcpu-switch", || {
        TOOK.store(0, SeqCst);
        let end = timer::now() + timer::micros(NAP_MICROS);
        timer::arm(end);
        ASLEEP_AT.store(timer::now(), SeqCst);
        cpu::sleep_until(|| timer::now() >= end);
        let took = TOOK.load(SeqCst);
        missed += u64::from(took == 0);
        took
    });
    DONE.store(true, SeqCst);
    row.print();
    ensure("CPU 1 saw hardly a switch", missed < SAMPLES as u64 / 4)
}
