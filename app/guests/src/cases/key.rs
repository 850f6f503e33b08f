//! The power key, an input of a PL061 (ARM DDI 0190): with `answer=yes` a press ends the guest, else it is only counted.

use super::Completion;
use crate::board::Board;
use crate::report::{Outcome, check, ensure};
use crate::{cpu, gic, mmio, println, trap};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const IBE: usize = 0x408;
const IE: usize = 0x410;
const MIS: usize = 0x418;
const IC: usize = 0x41c;

/// SPI 7 of QEMU's virt board, and the input of the GPIO controller.
const INTID: u32 = 39;
const KEY: u32 = 1 << 3;

static BASE: AtomicUsize = AtomicUsize::new(0);
static PRESSED: AtomicUsize = AtomicUsize::new(0);
static RELEASED: AtomicUsize = AtomicUsize::new(0);
/// Interrupts of others, or without an edge.
static FOREIGN: AtomicUsize = AtomicUsize::new(0);

fn read(register: usize) -> u32 {
    mmio::read(BASE.load(Relaxed) + register)
}

fn write(register: usize, value: u32) {
    mmio::write(BASE.load(Relaxed) + register, value);
}

/// The level of the key; bits 9:2 of the address say which inputs are meant.
fn level() -> u32 {
    read((KEY as usize) << 2)
}

/// Tells the two edges apart by the level, as drivers do.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid != INTID || read(MIS) != KEY {
        FOREIGN.fetch_add(1, Relaxed);
    }
    write(IC, KEY);
    let edge = if level() == KEY { &PRESSED } else { &RELEASED };
    edge.fetch_add(1, Relaxed);
    Completion::Done
}

/// Waits for the key, for ever unless it shall answer.
pub(super) fn run(board: &Board) -> Outcome {
    let base = board.gpio();
    ensure("the device tree has no GPIO controller", base.is_some())?;
    BASE.store(base.unwrap_or(0), Relaxed);
    check("the level of a key nobody presses", level(), 0u32)?;
    write(IBE, KEY);
    write(IE, KEY);
    gic::enable(INTID);
    cpu::unmask_irq();
    println!("key waits");
    loop {
        cpu::sleep_until(|| PRESSED.load(Relaxed) > 0);
        println!("key pressed");
        cpu::sleep_until(|| RELEASED.load(Relaxed) > 0);
        println!("key released");
        check("presses", PRESSED.swap(0, Relaxed), 1usize)?;
        check("releases", RELEASED.swap(0, Relaxed), 1usize)?;
        if board.argument("answer") == Some("yes") {
            break;
        }
    }
    check("interrupts of others", FOREIGN.load(Relaxed), 0usize)?;
    check("interrupts without a number", trap::spurious(), 0u64)
}
