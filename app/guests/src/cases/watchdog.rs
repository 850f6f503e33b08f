//! The watchdog (Arm BSA, "Generic watchdog"): refreshes keep it quiet, its first timeout interrupts, its second one ends this.
//!
//! Nothing is printed behind "watchdog waits"; the host says what became of the guest. With `storm=yes` the guest does nothing
//! but switch it on anew, a millisecond before it would run out.

use super::Completion;
use crate::board::Board;
use crate::report::{Outcome, check, ensure};
use crate::{cpu, gic, mmio, println, timer, trap};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

const WCS: usize = 0x000;
const WOR: usize = 0x008;
const WCV: usize = 0x010;
const W_IIDR: usize = 0xfcc;
const WRR: usize = 0x000;
const ENABLED: u32 = 1;
const WS0: u32 = 2;

/// SPI 10.
const INTID: u32 = 42;
/// What a stage takes here.
const STAGE_MICROS: u64 = 600_000;

static CONTROL: AtomicUsize = AtomicUsize::new(0);
static REFRESH: AtomicUsize = AtomicUsize::new(0);
static FIRED: AtomicUsize = AtomicUsize::new(0);
static FIRED_AT: AtomicU64 = AtomicU64::new(0);
/// Interrupts of others, or without a timeout.
static FOREIGN: AtomicUsize = AtomicUsize::new(0);

fn read(register: usize) -> u32 {
    mmio::read(CONTROL.load(Relaxed) + register)
}

fn write(register: usize, value: u32) {
    mmio::write(CONTROL.load(Relaxed) + register, value);
}

fn write_wide(register: usize, value: u64) {
    write(register, value as u32);
    write(register + 4, (value >> 32) as u32);
}

fn read_wide(register: usize) -> u64 {
    u64::from(read(register)) | u64::from(read(register + 4)) << 32
}

fn refresh() {
    mmio::write(REFRESH.load(Relaxed) + WRR, 0);
}

/// The first timeout: counted, and taken back by a refresh.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid != INTID || read(WCS) != ENABLED | WS0 {
        FOREIGN.fetch_add(1, Relaxed);
    }
    FIRED_AT.store(timer::now(), Relaxed);
    FIRED.fetch_add(1, Relaxed);
    refresh();
    Completion::Done
}

/// All of it; comes back only if the second timeout ends nothing.
pub(super) fn run(board: &Board) -> Outcome {
    let frames = board.watchdog();
    ensure("the device tree has no watchdog", frames.is_some())?;
    let (control, refresh) = frames.unwrap_or((0, 0));
    CONTROL.store(control, Relaxed);
    REFRESH.store(refresh, Relaxed);
    check("the version in W_IIDR", read(W_IIDR) >> 16 & 0xf, 1u32)?;
    check("WCS of a watchdog nobody has switched on", read(WCS), 0u32)?;
    gic::enable(INTID);
    cpu::unmask_irq();
    if board.argument("storm") == Some("yes") {
        storm();
    }
    write_wide(WOR, 1 << 40 | timer::micros(STAGE_MICROS));
    write_wide(WOR, timer::micros(STAGE_MICROS));
    check("WOR", read_wide(WOR), timer::micros(STAGE_MICROS))?;
    write(WCS, ENABLED);
    quiet_while_refreshed()?;
    first_timeout()?;
    off()?;
    check("interrupts of others", FOREIGN.load(Relaxed), 0usize)?;
    check("interrupts without a number", trap::spurious(), 0u64)?;
    hang()
}

fn storm() -> ! {
    println!("watchdog storms");
    loop {
        write_wide(WOR, timer::micros(1_000));
        write(WCS, ENABLED);
        refresh();
    }
}

fn quiet_while_refreshed() -> Outcome {
    for _ in 0..10 {
        timer::delay(STAGE_MICROS / 6);
        refresh();
    }
    check("interrupts of a watchdog that is refreshed", FIRED.load(Relaxed), 0usize)?;
    check("WCS", read(WCS), ENABLED)
}

/// Asleep, so that the interrupt has to wake the CPU.
fn first_timeout() -> Outcome {
    let start = timer::now();
    refresh();
    let end = read_wide(WCV);
    let stage = timer::micros(STAGE_MICROS);
    ensure("WCV", (start + stage..=timer::now() + stage).contains(&end))?;
    cpu::sleep_until(|| FIRED.load(Relaxed) > 0);
    ensure("the first timeout came early", FIRED_AT.load(Relaxed) > end)?;
    check("WCS after the refresh", read(WCS), ENABLED)?;
    check("interrupts for one timeout", FIRED.load(Relaxed), 1usize)
}

fn off() -> Outcome {
    write(WCS, 0);
    timer::delay(3 * STAGE_MICROS / 2);
    check("interrupts of a watchdog that is off", FIRED.load(Relaxed), 1usize)
}

/// With interrupts masked nobody refreshes: the second timeout comes two stages later.
fn hang() -> Outcome {
    cpu::mask_irq();
    write(WCS, ENABLED);
    println!("watchdog waits");
    timer::delay(10 * STAGE_MICROS);
    ensure("the second timeout ended nothing", false)
}
