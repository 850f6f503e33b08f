//! What single operations cost, in counter ticks made nanoseconds.
//!
//! Under an emulator that counts instructions (QEMU `-icount shift=0,sleep=off`, 1 GHz counter) a nanosecond is one
//! instruction. Nothing is printed while measuring.

mod others;
pub(super) mod row;

use crate::board::Board;
use crate::gic::{self, Bank};
use crate::report::{Outcome, check, ensure};
use crate::stopwatch::{self, Lap};
use crate::{psci, timer, uart};
use row::{Row, SAMPLES};

/// The SGI that is timed.
const SGI: u32 = 3;
/// How far ahead the timer is set: enough to be spinning or asleep by then.
const AHEAD_MICROS: u64 = 50;

pub(super) use others::secondary;

/// Measures all rows, then prints them.
pub(super) fn run(board: &Board) -> Outcome {
    check("an unknown function", psci::call(psci::UNKNOWN, [0; 3]), psci::NOT_SUPPORTED)?;
    let mut rows: [Option<Row>; 13] = [const { None }; 13];
    let alone = local(board)?.into_iter().map(Ok).chain(others::measure());
    for (slot, row) in rows.iter_mut().zip(alone) {
        *slot = Some(row?);
    }
    rows.iter().flatten().for_each(Row::print);
    Ok(())
}

/// The rows that need one CPU.
fn local(board: &Board) -> Result<[Row; 10], crate::report::Failure> {
    let spi = gic::line_count() - 1;
    let (isenabler, bit) = (gic::bank_address(Bank::SetEnable, spi), 1 << (spi % 32));
    gic::enable(timer::INTID);
    gic::enable(SGI);
    let own = gic::sgi_to(crate::cpu::affinity(0), SGI);
    let rows = [
        first_touch(board)?,
        Row::measure("cntvct-read", || stopwatch::nothing().ticks()),
        Row::measure("hvc-psci-version", || stopwatch::hvc(psci::PSCI_VERSION, [0; 3]).0.ticks()),
        Row::measure("hvc-unknown", || stopwatch::hvc(psci::UNKNOWN, [0; 3]).0.ticks()),
        Row::measure("gicd-typer-read", || stopwatch::device_read(gic::typer_address()).ticks()),
        Row::measure("gicd-isenabler-write", || stopwatch::device_write(isenabler, bit).ticks()),
        Row::measure("uart-fr-read", || stopwatch::device_read(uart::flag_register()).ticks()),
        Row::measure("vtimer-spinning", || timer_latency(stopwatch::spin_for_interrupt)),
        Row::measure("vtimer-wfi", || timer_latency(stopwatch::sleep_for_interrupt)),
        Row::measure("sgi-self", || self_latency(own)),
    ];
    gic::disable(spi);
    check("interrupts that were not the measured one", row::strangers(), 0u64)?;
    Ok(rows)
}

/// The first write to pages that neither the loader nor this guest has touched.
fn first_touch(board: &Board) -> Result<Row, crate::report::Failure> {
    let bytes = SAMPLES as u64 * 4096;
    let last = board.free_ram().map(|range| range.start.next_multiple_of(4096)..range.end & !0xfff);
    let Some(range) = last.filter(|range| range.start + bytes <= range.end).last() else {
        ensure("no free mebibyte", false)?;
        return Ok(Row::measure("page-first-touch", || 0));
    };
    let mut laps = stopwatch::touches(range.end - bytes..range.end).map(|lap| lap.ticks());
    Ok(Row::measure("page-first-touch", || laps.next().unwrap_or(0)))
}

/// From the deadline to the handler's first instruction.
fn timer_latency(wait: fn() -> Lap) -> u64 {
    let deadline = timer::now() + timer::micros(AHEAD_MICROS);
    timer::arm(deadline);
    let handled = wait().after();
    taken(timer::INTID, timer::stop);
    handled.saturating_sub(deadline)
}

/// From ICC_SGI1R_EL1 to the handler's first instruction on the same CPU.
fn self_latency(value: u64) -> u64 {
    let lap = stopwatch::send_to_self(value);
    taken(SGI, || ());
    lap.ticks()
}

/// Acknowledges the interrupt that was just taken, which should be `intid`, lowers its line by `quench`, ends it.
fn taken(intid: u32, quench: fn()) {
    let got = gic::acknowledge();
    quench();
    if got != intid {
        row::note_stranger();
    }
    if got < gic::SPECIAL {
        gic::end(got);
    }
}
