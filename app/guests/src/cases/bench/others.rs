//! The rows that take a second CPU: SGIs to it, and starting it.

use super::row::{Row, SAMPLES, Table};
use super::{OFF, ORDER, SGI, SLEEP, SPIN, taken};
use crate::report::{Failure, Outcome, check, ensure};
use crate::stopwatch;
use crate::{cpu, gic, psci, timer};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// From CPU 1's word that it will wait until it surely does, also where WFI leads through a hypervisor's scheduler.
const SETTLE_MICROS: u64 = 50;

/// Rises before CPU 1 waits for an interrupt, and after it took one.
static WAITING: AtomicU64 = AtomicU64::new(0);
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// The counter at CPU 1's first instruction, or in its handler.
static STAMP: AtomicU64 = AtomicU64::new(0);
static ARRIVED: AtomicU64 = AtomicU64::new(0);

/// CPU 1: stamps its arrival, then waits for SGIs as ordered, interrupts masked in between.
pub(super) fn secondary(first_tick: u64) {
    gic::enable(SGI);
    STAMP.store(first_tick, SeqCst);
    ARRIVED.fetch_add(1, SeqCst);
    loop {
        let wait = match ORDER.load(SeqCst) {
            SPIN => stopwatch::yield_for_interrupt,
            SLEEP => stopwatch::sleep_for_interrupt,
            _ => return,
        };
        WAITING.fetch_add(1, SeqCst);
        STAMP.store(wait().after(), SeqCst);
        taken(SGI, || ());
        TAKEN.fetch_add(1, SeqCst);
    }
}

/// The rows, none if there is but one CPU.
pub(super) fn measure(table: &mut Table) -> Outcome {
    if cpu::count() > 1 {
        table.add(sgi("sgi-running", SPIN)?);
        table.add(sgi("sgi-wfi", SLEEP)?);
        table.add(start("cpu-on")?);
    }
    Ok(())
}

/// From the sender's ICC_SGI1R_EL1 to the receiver's handler.
fn sgi(name: &'static str, order: u64) -> Result<Row, Failure> {
    ORDER.store(order, SeqCst);
    let waiting = WAITING.load(SeqCst);
    on()?;
    let (target, mut defects) = (gic::sgi_to(cpu::affinity(1), SGI), 0u64);
    let mut sample = 0;
    let row = Row::measure(name, || {
        sample += 1;
        let ready = timer::wait_for(|| WAITING.load(SeqCst) >= waiting + sample);
        timer::delay(SETTLE_MICROS);
        let before = TAKEN.load(SeqCst);
        if sample == SAMPLES as u64 {
            ORDER.store(OFF, SeqCst);
        }
        let sent = stopwatch::send(target);
        let taken = timer::wait_for(|| TAKEN.load(SeqCst) > before);
        defects += u64::from(!ready || !taken);
        STAMP.load(SeqCst).saturating_sub(sent)
    });
    check("SGIs that CPU 1 did not take", defects, 0u64)?;
    gone()?;
    Ok(row)
}

/// From the HVC of CPU_ON to the first instruction of the CPU.
fn start(name: &'static str) -> Result<Row, Failure> {
    let mut failure = Ok(());
    let row = Row::measure(name, || {
        let began = on().and_then(|began| gone().map(|()| began));
        match began {
            Ok(began) => STAMP.load(SeqCst).saturating_sub(began),
            Err(first) => {
                failure = Err(first);
                0
            }
        }
    });
    failure.map(|()| row)
}

/// Starts CPU 1 and waits until it is there; returns the counter before CPU_ON.
fn on() -> Result<u64, Failure> {
    let before = ARRIVED.load(SeqCst);
    let target = [cpu::affinity(1), crate::boot::secondary_entry_address(), 1];
    let (lap, result) = stopwatch::hvc(psci::CPU_ON, target);
    check("CPU_ON", result, psci::SUCCESS)?;
    ensure("CPU 1 did not arrive", timer::wait_for(|| ARRIVED.load(SeqCst) > before))?;
    Ok(lap.before())
}

/// Waits until CPU 1 has gone off by itself.
fn gone() -> Result<(), Failure> {
    ensure(
        "CPU 1 did not go off",
        timer::wait_for(|| psci::affinity_info(cpu::affinity(1)) == psci::OFF),
    )
}
