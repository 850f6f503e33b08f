//! A neighbour nobody wants: floods its console, leaves the guest all the time, sleeps for moments, for ever.
//!
//! Its timer never rests, either: under an emulator that runs its CPUs in turn, a turn ends when a timer is due, so that its
//! neighbours' figures are not those of the emulator.

use super::Completion;
use crate::board::Board;
use crate::report::Outcome;
use crate::stopwatch;
use crate::{cpu, gic, println, psci, timer, uart};

const CALLS: usize = 2_000;
const NAPS: usize = 20;
const NAP_MICROS: u64 = 50;
const PERIOD_MICROS: u64 = 100;

/// Comes again.
pub(super) fn interrupt(_intid: u32) -> Completion {
    timer::arm(timer::now() + timer::micros(PERIOD_MICROS));
    Completion::Done
}

/// Never ends.
pub(super) fn run(_board: &Board) -> Outcome {
    gic::enable(timer::INTID);
    timer::arm(timer::now() + timer::micros(PERIOD_MICROS));
    cpu::unmask_irq();
    for round in 0u64.. {
        println!(
            "noise {round}: the quick brown fox jumps over the lazy dog and over all the others"
        );
        for _ in 0..CALLS {
            psci::call(psci::UNKNOWN, [0; 3]);
            stopwatch::device_read(uart::flag_register());
        }
        for _ in 0..NAPS {
            let end = timer::now() + timer::micros(NAP_MICROS);
            timer::arm(end);
            cpu::sleep_until(|| timer::now() >= end);
        }
    }
    Ok(())
}
