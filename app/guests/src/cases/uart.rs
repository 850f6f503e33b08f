//! Lines come in by receive interrupts and go out in upper case, from the handler; "quit" ends it.

use super::Completion;
use crate::report::{Outcome, check, ensure};
use crate::{cpu, gic, println, timer, trap, uart};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

const LINE_BYTES: usize = 256;

static LINE: [AtomicU8; LINE_BYTES] = [const { AtomicU8::new(0) }; LINE_BYTES];
static LENGTH: AtomicUsize = AtomicUsize::new(0);
static QUIT: AtomicBool = AtomicBool::new(false);
static TRANSMITTED: AtomicU64 = AtomicU64::new(0);
static EMPTY_HANDED: AtomicU64 = AtomicU64::new(0);

/// Empties the receiver, and counts transmit interrupts, which it takes back.
pub(super) fn interrupt(intid: u32) -> Completion {
    let raised = uart::raised();
    if intid != uart::INTID || raised == 0 {
        EMPTY_HANDED.fetch_add(1, Relaxed);
    }
    if raised & uart::TX != 0 {
        TRANSMITTED.fetch_add(1, Relaxed);
        uart::clear(uart::TX);
    }
    if raised & (uart::RX | uart::RT) != 0 {
        uart::clear(uart::RX | uart::RT);
        while let Some(byte) = uart::receive() {
            take(byte);
        }
    }
    Completion::Done
}

/// CR or LF ends a line; of a line too long the rest is dropped.
fn take(byte: u8) {
    let length = LENGTH.load(Relaxed);
    if byte != b'\r' && byte != b'\n' {
        if let Some(slot) = LINE.get(length) {
            slot.store(byte, Relaxed);
            LENGTH.store(length + 1, Relaxed);
        }
        return;
    }
    LENGTH.store(0, Relaxed);
    let line = LINE.iter().take(length).map(|byte| byte.load(Relaxed));
    if line.clone().eq(b"quit".iter().copied()) {
        QUIT.store(true, Relaxed);
    } else if length > 0 {
        line.chain(*b"\r\n").for_each(|byte| uart::send(byte.to_ascii_uppercase()));
    }
}

/// First the transmit interrupt, then the echo.
pub(super) fn run() -> Outcome {
    gic::enable(uart::INTID);
    cpu::unmask_irq();
    transmit_interrupt()?;
    uart::init(uart::FIFOS);
    uart::unmask(uart::RX | uart::RT);
    println!("uart ready");
    cpu::sleep_until(|| QUIT.load(Relaxed));
    uart::unmask(0);
    check("UART interrupts with nothing raised", EMPTY_HANDED.load(Relaxed), 0u64)?;
    check("interrupts without a number", trap::spurious(), 0u64)
}

/// Without FIFOs a byte that leaves the holding register raises the interrupt; it stays up until it is cleared, and
/// UARTIMSC holds it back.
fn transmit_interrupt() -> Outcome {
    uart::init(0);
    uart::send(b'.');
    timer::delay(2_000);
    check("transmit interrupts while masked", TRANSMITTED.load(Relaxed), 0u64)?;
    uart::clear(uart::TX);
    for count in 1..=10 {
        uart::unmask(uart::TX);
        uart::send(b'.');
        ensure("no transmit interrupt", timer::wait_for(|| TRANSMITTED.load(Relaxed) >= count))?;
        timer::delay(2_000);
        check("transmit interrupts for one byte each", TRANSMITTED.load(Relaxed), count)?;
    }
    uart::unmask(0);
    println!();
    Ok(())
}
