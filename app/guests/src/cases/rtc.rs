//! A clock of the host (PL031, ARM DDI 0224) that is given to the guest: it is read, and its alarm interrupts.

use super::Completion;
use crate::board::Board;
use crate::report::{Outcome, check, ensure};
use crate::{cpu, gic, mmio, println, timer, trap};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const DR: usize = 0x00;
const MR: usize = 0x04;
const IMSC: usize = 0x10;
const RIS: usize = 0x14;
const ICR: usize = 0x1c;

/// SPI 2 of QEMU's virt board.
const INTID: u32 = 34;
/// Alarms taken, half of them awake and half asleep.
const ALARMS: usize = 4;
/// 2020-01-01: no host is older.
const NEW_YEAR_2020: u32 = 1_577_836_800;

static BASE: AtomicUsize = AtomicUsize::new(0);
static RANG: AtomicUsize = AtomicUsize::new(0);
/// Interrupts of others, or without an alarm.
static FOREIGN: AtomicUsize = AtomicUsize::new(0);

fn read(register: usize) -> u32 {
    mmio::read(BASE.load(Relaxed) + register)
}

fn write(register: usize, value: u32) {
    mmio::write(BASE.load(Relaxed) + register, value);
}

/// Takes the alarm back.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid == INTID && read(RIS) & 1 == 1 {
        write(ICR, 1);
        RANG.fetch_add(1, Relaxed);
    } else {
        FOREIGN.fetch_add(1, Relaxed);
    }
    Completion::Done
}

/// All of it.
pub(super) fn run(board: &Board) -> Outcome {
    let base = board.rtc();
    ensure("the device tree has no clock", base.is_some())?;
    BASE.store(base.unwrap_or(0), Relaxed);
    println!("rtc reads {}", read(DR));
    ensure("the clock is older than its makers", read(DR) > NEW_YEAR_2020)?;
    gic::enable(INTID);
    cpu::unmask_irq();
    write(ICR, 1);
    write(IMSC, 1);
    for count in 1..=ALARMS {
        let start = read(DR);
        write(MR, start + 1);
        if count % 2 == 0 {
            cpu::sleep_until(|| RANG.load(Relaxed) >= count);
        } else {
            while RANG.load(Relaxed) < count && read(DR) < start + 4 {
                core::hint::spin_loop();
            }
        }
        check("alarms", RANG.load(Relaxed), count)?;
        ensure("the alarm was early", read(DR) > start)?;
        println!("rtc alarm {count}");
    }
    timer::delay(2_000);
    check("alarms", RANG.load(Relaxed), ALARMS)?;
    check("interrupts of others", FOREIGN.load(Relaxed), 0usize)?;
    check("interrupts without a number", trap::spurious(), 0u64)
}
