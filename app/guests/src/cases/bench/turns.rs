//! What it takes from one vCPU's last instruction to another's first, on a CPU that both share.
//!
//! The two are vCPUs of this guest, or of two guests with a channel between them, whose counters have different origins: the mean
//! of both directions is free of that.

use super::row::{Row, Table};
use super::{OFF, ORDER, TURN};
use crate::board::Board;
use crate::report::{Outcome, check, ensure};
use crate::stopwatch::Turns;
use crate::{ivc, psci, timer};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Turns that are measured; each takes a slice of both.
const TURNS: usize = 32;

/// In the channel: behind both stamps, a word of each side that it is done, then the samples of side 1.
const DONE: [usize; 2] = [16, 24];
const SAMPLES_AT: usize = 32;

/// Where the two vCPUs of this guest stamp.
static STAMPS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// CPU 1: takes turns until it is told not to.
pub(super) fn secondary() {
    let turns = Turns { own: address(1), other: address(0) };
    while ORDER.load(SeqCst) == TURN {
        turns.next();
    }
}

fn address(number: usize) -> usize {
    STAMPS[number].as_ptr() as usize
}

/// The row of two vCPUs of this guest, or of this guest and another one.
pub(super) fn measure(board: &Board, table: &mut Table) -> Outcome {
    match board.number("side") {
        Some(side) => between_guests(side as usize & 1, table),
        None => between_vcpus(table),
    }
}

fn between_vcpus(table: &mut Table) -> Outcome {
    ORDER.store(TURN, SeqCst);
    check("CPU_ON", psci::cpu_on(1, 0), psci::SUCCESS)?;
    let arrived = || STAMPS[1].load(SeqCst) != 0;
    ensure("CPU 1 did not arrive", timer::wait_for(arrived))?;
    let turns = Turns { own: address(0), other: address(1) };
    let mut samples: [u64; TURNS] = core::array::from_fn(|_| turns.next().ticks());
    ORDER.store(OFF, SeqCst);
    table.add(Row::of("turn-vcpus", &mut samples));
    Ok(())
}

/// Side 1 leaves its samples in the channel, side 0 makes the row.
fn between_guests(side: usize, table: &mut Table) -> Outcome {
    ensure("there is no channel", ivc::bytes() >= SAMPLES_AT + 8 * TURNS)?;
    let turns = Turns { own: ivc::address(8 * side), other: ivc::address(8 * (1 - side)) };
    while ivc::load(8 * (1 - side)) == 0 {
        turns.next();
    }
    let one = |_| turns.next().difference();
    let mut samples: [i64; TURNS] = core::array::from_fn(one);
    samples.sort_unstable();
    if side == 1 {
        for (index, &sample) in samples.iter().enumerate() {
            ivc::store(SAMPLES_AT + 8 * index, sample as u64);
        }
        ivc::store(DONE[1], 1);
    }
    while ivc::load(DONE[1]) == 0 || side == 1 && ivc::load(DONE[0]) == 0 {
        turns.next();
    }
    if side == 0 {
        let other = |index| ivc::load(SAMPLES_AT + 8 * index) as i64;
        let mut both: [u64; TURNS] =
            core::array::from_fn(|index| samples[index].wrapping_add(other(index)) as u64 / 2);
        table.add(Row::of("turn-vms", &mut both));
        ivc::store(DONE[0], 1);
        // The other waits for one more stamp.
        ivc::store(0, timer::now());
    }
    Ok(())
}
