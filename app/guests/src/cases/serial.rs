//! A serial port of the host (PL011, ARM DDI 0183) that is given to the guest, beside its console.

use super::Completion;
use crate::board::Board;
use crate::report::{Outcome, check, ensure};
use crate::{cpu, gic, mmio, timer, trap};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const DR: usize = 0x00;
const FR: usize = 0x18;
const LCR_H: usize = 0x2c;
const CR: usize = 0x30;
const IMSC: usize = 0x38;
const MIS: usize = 0x40;
const ICR: usize = 0x44;

const TXFF: u32 = 1 << 5;
const RX: u32 = 1 << 4;
/// Eight bits, one at a time.
const EIGHT_BITS: u32 = 3 << 5;
/// Receiver, transmitter and port on.
const ON: u32 = 1 << 9 | 1 << 8 | 1;
/// What is sent is received, and nothing leaves.
const LOOPBACK: u32 = 1 << 7;

/// SPI 8 of QEMU's virt board.
const INTID: u32 = 40;
const ECHOES: usize = 64;

static BASE: AtomicUsize = AtomicUsize::new(0);
/// Bytes that came back, and what they add up to.
static CAME: AtomicUsize = AtomicUsize::new(0);
static SUM: AtomicUsize = AtomicUsize::new(0);
static FOREIGN: AtomicUsize = AtomicUsize::new(0);

fn read(register: usize) -> u32 {
    mmio::read(BASE.load(Relaxed) + register)
}

fn write(register: usize, value: u32) {
    mmio::write(BASE.load(Relaxed) + register, value);
}

fn send(byte: u8) {
    while read(FR) & TXFF != 0 {}
    write(DR, u32::from(byte));
}

/// Takes one byte; the line falls with it.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid == INTID && read(MIS) & RX != 0 {
        SUM.fetch_add((read(DR) & 0xff) as usize, Relaxed);
        CAME.fetch_add(1, Relaxed);
    } else {
        FOREIGN.fetch_add(1, Relaxed);
    }
    Completion::Done
}

/// A line goes out to whoever is at the other end; then each byte sent to itself interrupts.
pub(super) fn run(board: &Board) -> Outcome {
    let base = board.spare_uart();
    ensure("the device tree has no second serial port", base.is_some())?;
    BASE.store(base.unwrap_or(0), Relaxed);
    write(IMSC, 0);
    write(ICR, 0x7ff);
    write(LCR_H, EIGHT_BITS);
    write(CR, ON);
    b"out of the second port\n".iter().for_each(|byte| send(*byte));
    write(CR, ON | LOOPBACK);
    gic::enable(INTID);
    cpu::unmask_irq();
    write(IMSC, RX);
    let mut sum = 0;
    for count in 1..=ECHOES {
        sum += count;
        send(count as u8);
        ensure("no interrupt for a byte", timer::wait_for(|| CAME.load(Relaxed) >= count))?;
    }
    write(IMSC, 0);
    write(CR, 0);
    check("bytes", CAME.load(Relaxed), ECHOES)?;
    check("what they add up to", SUM.load(Relaxed), sum)?;
    check("interrupts of others", FOREIGN.load(Relaxed), 0usize)?;
    check("interrupts without a number", trap::spurious(), 0u64)
}
