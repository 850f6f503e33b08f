//! What a call costs while every other CPU calls as well.

use super::row::{Row, Table};
use super::{CALL, OFF, ORDER};
use crate::report::{Outcome, check, ensure};
use crate::{cpu, psci, stopwatch, timer};
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// CPUs that call.
static CALLING: AtomicUsize = AtomicUsize::new(0);

/// Calls until it is told not to.
pub(super) fn secondary() {
    CALLING.fetch_add(1, SeqCst);
    while ORDER.load(SeqCst) == CALL {
        psci::call(psci::PSCI_VERSION, [0; 3]);
    }
}

/// The row of all CPUs.
pub(super) fn measure(table: &mut Table) -> Outcome {
    ORDER.store(CALL, SeqCst);
    for number in 1..cpu::count() {
        check("CPU_ON", psci::cpu_on(number, 0), psci::SUCCESS)?;
    }
    let all = || CALLING.load(SeqCst) == cpu::count() - 1;
    ensure("a CPU did not arrive", timer::wait_for(all))?;
    let call = || stopwatch::hvc(psci::PSCI_VERSION, [0; 3]).0.ticks();
    table.add(Row::measure("hvc-crowd", call));
    ORDER.store(OFF, SeqCst);
    Ok(())
}
