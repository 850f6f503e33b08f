//! The PL011 (DDI 0183): polled output, `println!`, and its interrupts for the uart case.

use crate::mmio;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

/// SPI 1 of QEMU's virt board, and of the boards made after it.
pub(crate) const INTID: u32 = 33;

static BASE: AtomicUsize = AtomicUsize::new(0x0900_0000);

const UARTDR: usize = 0x00;
const UARTFR: usize = 0x18;
const UARTIBRD: usize = 0x24;
const UARTFBRD: usize = 0x28;
const UARTLCR_H: usize = 0x2c;
const UARTCR: usize = 0x30;
const UARTIMSC: usize = 0x38;
const UARTMIS: usize = 0x40;
const UARTICR: usize = 0x44;

/// UARTFR: receive FIFO empty, transmit FIFO full.
const RXFE: u32 = 1 << 4;
const TXFF: u32 = 1 << 5;

/// Bits of UARTIMSC, UARTMIS and UARTICR: receive, transmit, receive timeout.
pub(crate) const RX: u32 = 1 << 4;
pub(crate) const TX: u32 = 1 << 5;
pub(crate) const RT: u32 = 1 << 6;

fn register(offset: usize) -> usize {
    BASE.load(Ordering::Relaxed) + offset
}

/// Where the device tree has the UART.
pub(crate) fn set_base(base: usize) {
    BASE.store(base, Ordering::Relaxed);
}

/// Its first register.
pub(crate) fn base() -> usize {
    register(0)
}

/// UARTIBRD and UARTFBRD, which matter on a real line only.
pub(crate) fn set_divisors(integer: u32, fraction: u32) {
    mmio::write(register(UARTIBRD), integer);
    mmio::write(register(UARTFBRD), fraction);
}

/// The address of UARTFR, for measuring one read.
pub(crate) fn flag_register() -> usize {
    register(UARTFR)
}

/// UARTLCR_H.FEN: both FIFOs on; zero leaves one holding register each way.
pub(crate) const FIFOS: u32 = 1 << 4;

/// Eight bits, receiver and transmitter on, no interrupts; `fifos` is `FIFOS` or zero.
pub(crate) fn init(fifos: u32) {
    mmio::write(register(UARTIMSC), 0);
    mmio::write(register(UARTICR), 0x7ff);
    mmio::write(register(UARTLCR_H), (3 << 5) | fifos);
    mmio::write(register(UARTCR), (1 << 9) | (1 << 8) | 1);
}

/// Lets the sources in `mask` interrupt.
pub(crate) fn unmask(mask: u32) {
    mmio::write(register(UARTIMSC), mask);
}

/// The sources that interrupt now.
pub(crate) fn raised() -> u32 {
    mmio::read(register(UARTMIS))
}

/// Takes back the sources in `mask`.
pub(crate) fn clear(mask: u32) {
    mmio::write(register(UARTICR), mask);
}

/// Sends one byte, waiting for room.
pub(crate) fn send(byte: u8) {
    while mmio::read(register(UARTFR)) & TXFF != 0 {}
    mmio::write(register(UARTDR), u32::from(byte));
}

/// The next received byte, if there is one.
pub(crate) fn receive() -> Option<u8> {
    let empty = mmio::read(register(UARTFR)) & RXFE != 0;
    (!empty).then(|| mmio::read(register(UARTDR)) as u8)
}

/// The way `println!` takes.
pub(crate) struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                send(b'\r');
            }
            send(byte);
        }
        Ok(())
    }
}

/// Prints a line on the UART.
#[macro_export]
macro_rules! println {
    ($($arguments:tt)*) => {{
        use core::fmt::Write;
        let _ = writeln!($crate::uart::Console, $($arguments)*);
    }};
}
