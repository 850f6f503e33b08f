//! The rows that need one CPU.

use super::row::{Row, SAMPLES, Table};
use super::{SGI, taken};
use crate::board::Board;
use crate::gic::{self, Bank};
use crate::report::{Failure, Outcome, ensure};
use crate::stopwatch::{self, Lap};
use crate::{pl031, psci, timer, uart};
use core::ops::Range;

/// How far ahead the timer is set: enough to be spinning or asleep by then.
const AHEAD_MICROS: u64 = 50;
/// What is copied at once.
const COPY_BYTES: u64 = 64 << 10;
/// A deadline that never comes.
const NEVER: u64 = u64::MAX >> 1;

/// All of them; those about a device where there is one.
pub(super) fn measure(board: &Board, table: &mut Table) -> Outcome {
    gic::enable(timer::INTID);
    gic::enable(SGI);
    memory(board, table)?;
    without_exit(table);
    exits(table);
    interrupts(table);
    devices(board, table);
    passed(table)
}

/// What no hypervisor should notice.
fn without_exit(table: &mut Table) {
    table.add(Row::measure("cntvct-read", || stopwatch::nothing().ticks()));
    table.add(Row::measure("cntv-cval-write", || stopwatch::timer_write(NEVER).ticks()));
    table.add(Row::measure("tlbi", || stopwatch::tlb_invalidation().ticks()));
    let own = gic::sgi_to(crate::cpu::affinity(0), SGI);
    table.add(Row::measure("eoi", || {
        stopwatch::send_to_self(own);
        taken(SGI, || ())
    }));
}

/// What is emulated.
fn exits(table: &mut Table) {
    let spi = gic::line_count() - 1;
    let (isenabler, bit) = (gic::bank_address(Bank::SetEnable, spi), 1 << (spi % 32));
    let call = |function| stopwatch::hvc(function, [0; 3]).0.ticks();
    table.add(Row::measure("hvc-psci-version", || call(psci::PSCI_VERSION)));
    table.add(Row::measure("hvc-unknown", || call(psci::UNKNOWN)));
    table.add(Row::measure("id-register-read", || stopwatch::id_register().ticks()));
    table.add(Row::measure("id-register-kept", || stopwatch::id_register_kept().ticks()));
    let typer = gic::typer_address();
    table.add(Row::measure("gicd-typer-read", || stopwatch::device_read(typer).ticks()));
    let enable = || stopwatch::device_write(isenabler, bit).ticks();
    table.add(Row::measure("gicd-isenabler-write", enable));
    let flags = uart::flag_register();
    table.add(Row::measure("uart-fr-read", || stopwatch::device_read(flags).ticks()));
    gic::disable(spi);
}

fn interrupts(table: &mut Table) {
    table.add(Row::measure("vtimer-spinning", || timer_latency(stopwatch::spin_for_interrupt)));
    table.add(Row::measure("vtimer-wfi", || timer_latency(stopwatch::sleep_for_interrupt)));
    let own = gic::sgi_to(crate::cpu::affinity(0), SGI);
    table.add(Row::measure("sgi-self", || {
        let lap = stopwatch::send_to_self(own);
        taken(SGI, || ());
        lap.ticks()
    }));
}

/// From the deadline to the handler's first instruction.
fn timer_latency(wait: fn() -> Lap) -> u64 {
    let deadline = timer::now() + timer::micros(AHEAD_MICROS);
    timer::arm(deadline);
    let handled = wait().after();
    taken(timer::INTID, timer::stop);
    handled.saturating_sub(deadline)
}

/// The devices that boot arguments name. Each is read behind another one, as if nobody knew where the next access goes.
fn devices(board: &Board, table: &mut Table) {
    for (name, argument) in [("device-first", "near"), ("device-last", "far")] {
        let Some(address) = board.number(argument) else { continue };
        table.add(Row::measure(name, || {
            stopwatch::device_read(uart::flag_register());
            stopwatch::device_read(address as usize).ticks()
        }));
    }
}

/// The interrupt of a device that the hypervisor does not emulate: a clock whose alarm has rung, and is unmasked.
fn passed(table: &mut Table) -> Outcome {
    if !pl031::is_here() {
        return Ok(());
    }
    pl031::write(pl031::IMSC, 0);
    pl031::write(pl031::MR, pl031::read(pl031::DR));
    ensure("the clock did not ring", timer::wait_for(|| pl031::read(pl031::RIS) == 1))?;
    gic::enable(pl031::INTID);
    table.add(Row::measure("passed-interrupt", || {
        let lap = stopwatch::write_for_interrupt(pl031::address(pl031::IMSC), 1);
        taken(pl031::INTID, || pl031::write(pl031::IMSC, 0));
        lap.ticks()
    }));
    gic::disable(pl031::INTID);
    Ok(())
}

/// The first write to pages that neither the loader nor this guest has touched, and copies among them.
fn memory(board: &Board, table: &mut Table) -> Outcome {
    let range = free(board, SAMPLES as u64 * 4096)?;
    let mut laps = stopwatch::touches(range.clone()).map(|lap| lap.ticks());
    table.add(Row::measure("page-first-touch", || laps.next().unwrap_or(0)));
    let part = range.start..range.start + 2 * COPY_BYTES;
    table.add(Row::measure("copy-64k", || stopwatch::copy(&part).ticks()));
    Ok(())
}

/// The last `bytes` of free RAM, by pages.
fn free(board: &Board, bytes: u64) -> Result<Range<u64>, Failure> {
    let pages =
        board.free_ram().map(|range| range.start.next_multiple_of(4096)..range.end & !0xfff);
    let last = pages.filter(|range| range.start + bytes <= range.end).last();
    let range = last.ok_or(Failure::of("no free mebibyte"))?;
    Ok(range.end - bytes..range.end)
}
