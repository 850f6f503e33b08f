//! What single operations cost, in counter ticks made nanoseconds.
//!
//! Under an emulator that counts instructions (QEMU `-icount shift=0,sleep=off`, 1 GHz counter) a nanosecond is one
//! instruction. Nothing is printed while measuring. The boot argument `rows=` chooses: `own` is what one vCPU does to itself,
//! without the argument with what two do to each other; `crowd` and `turns` want other company. `after=` waits that many
//! milliseconds first, while others boot; `near=` and `far=` are the addresses of two devices.

mod crowd;
mod others;
mod own;
pub(super) mod row;
mod turns;

use crate::board::Board;
use crate::report::{Outcome, check, fail};
use crate::{gic, psci, stopwatch, timer};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use row::Table;

/// The SGI that is timed.
const SGI: u32 = 3;

/// What CPUs that are started shall do, and go on doing as long as it stands there.
static ORDER: AtomicU64 = AtomicU64::new(OFF);
const OFF: u64 = 0;
const SPIN: u64 = 1;
const SLEEP: u64 = 2;
const CALL: u64 = 3;
const TURN: u64 = 4;

/// A CPU that was started: does as it is ordered, then goes off.
pub(super) fn secondary(first_tick: u64) {
    match ORDER.load(SeqCst) {
        CALL => crowd::secondary(),
        TURN => turns::secondary(),
        _ => others::secondary(first_tick),
    }
}

/// Measures the rows that are asked for, then prints them.
pub(super) fn run(board: &Board) -> Outcome {
    check("an unknown function", psci::call(psci::UNKNOWN, [0; 3]), psci::NOT_SUPPORTED)?;
    if let Some(millis) = board.number("after") {
        sleep(millis);
    }
    let mut table = Table::new();
    match board.argument("rows") {
        None => {
            own::measure(board, &mut table)?;
            others::measure(&mut table)?;
        }
        Some("own") => own::measure(board, &mut table)?,
        Some("crowd") => crowd::measure(&mut table)?,
        Some("turns") => turns::measure(board, &mut table)?,
        Some(_) => fail("no such rows")?,
    }
    check("interrupts that were not the measured one", row::strangers(), 0u64)?;
    table.print();
    Ok(())
}

/// Lets others run.
fn sleep(millis: u64) {
    gic::enable(timer::INTID);
    timer::arm(timer::now() + timer::micros(millis * 1000));
    stopwatch::sleep_for_interrupt();
    taken(timer::INTID, timer::stop);
}

/// Acknowledges the interrupt that was just taken, which should be `intid`, lowers its line by `quench`, ends it; what the
/// end took.
fn taken(intid: u32, quench: fn()) -> u64 {
    let got = gic::acknowledge();
    quench();
    if got != intid {
        row::note_stranger();
    }
    if got < gic::SPECIAL { stopwatch::end(got).ticks() } else { 0 }
}
