//! PrimeCell UART (PL011), Arm DDI 0183: a guest's console.
//!
//! The transmitter hands every byte to its sink at once, so it is never full and never busy; a terminal that is always
//! there asserts the modem inputs. Not modelled: DMA, IrDA, line errors, modem interrupts. Bytes move whether or not
//! UARTEN, TXE and RXE are set, because small guests leave that to firmware they do not have here.

use alloc::sync::Arc;

use kspin::SpinNoIrq;

use crate::queue::ByteQueue;
use crate::{Access, ByteSink, Device, InterruptLine};

/// Register offsets, section 3.2.
mod reg {
    pub(super) const UARTDR: usize = 0x000;
    pub(super) const UARTRSR: usize = 0x004;
    pub(super) const UARTFR: usize = 0x018;
    pub(super) const UARTILPR: usize = 0x020;
    pub(super) const UARTIBRD: usize = 0x024;
    pub(super) const UARTFBRD: usize = 0x028;
    pub(super) const UARTLCR_H: usize = 0x02c;
    pub(super) const UARTCR: usize = 0x030;
    pub(super) const UARTIFLS: usize = 0x034;
    pub(super) const UARTIMSC: usize = 0x038;
    pub(super) const UARTRIS: usize = 0x03c;
    pub(super) const UARTMIS: usize = 0x040;
    pub(super) const UARTICR: usize = 0x044;
    pub(super) const UARTDMACR: usize = 0x048;
    pub(super) const PERIPH_ID0: usize = 0xfe0;
    pub(super) const PERIPH_ID1: usize = 0xfe4;
    pub(super) const PERIPH_ID2: usize = 0xfe8;
    pub(super) const PERIPH_ID3: usize = 0xfec;
    pub(super) const PCELL_ID0: usize = 0xff0;
    pub(super) const PCELL_ID1: usize = 0xff4;
    pub(super) const PCELL_ID2: usize = 0xff8;
    pub(super) const PCELL_ID3: usize = 0xffc;
}

const FR_CTS_DSR_DCD: u32 = 0b111;
const FR_RXFE: u32 = 1 << 4;
const FR_RXFF: u32 = 1 << 6;
const FR_TXFE: u32 = 1 << 7;

const LCR_H_FEN: u32 = 1 << 4;
const CR_LBE: u32 = 1 << 7;
const RSR_OE: u32 = 1 << 3;

const INT_RX: u32 = 1 << 4;
const INT_TX: u32 = 1 << 5;
const INT_RT: u32 = 1 << 6;
const INT_OE: u32 = 1 << 10;
const INT_ALL: u32 = 0x7ff;

/// Depth of the FIFOs in r1p5, the revision the identification registers show; drivers derive it from there.
const FIFO_DEPTH: usize = 32;

struct State {
    /// Input that waits: the FIFO the guest sees is the front of this queue, the rest is still "on the wire".
    rx: ByteQueue,
    rsr: u32,
    ilpr: u32,
    ibrd: u32,
    fbrd: u32,
    lcr_h: u32,
    cr: u32,
    ifls: u32,
    imsc: u32,
    ris: u32,
    dmacr: u32,
    line_high: bool,
}

impl State {
    /// Reset values of table 3-1.
    const fn power_on() -> Self {
        Self {
            rx: ByteQueue::new(),
            rsr: 0,
            ilpr: 0,
            ibrd: 0,
            fbrd: 0,
            lcr_h: 0,
            cr: 0x300,
            ifls: 0x12,
            imsc: 0,
            ris: 0,
            dmacr: 0,
            line_high: false,
        }
    }

    fn fifo_enabled(&self) -> bool {
        self.lcr_h & LCR_H_FEN != 0
    }

    fn depth(&self) -> usize {
        if self.fifo_enabled() { FIFO_DEPTH } else { 1 }
    }

    /// How many bytes in the FIFO raise UARTRXINTR: UARTIFLS.RXIFLSEL; reserved encodings as the deepest.
    fn trigger(&self) -> usize {
        if !self.fifo_enabled() {
            return 1;
        }
        match self.ifls >> 3 & 7 {
            0 => FIFO_DEPTH / 8,
            1 => FIFO_DEPTH / 4,
            2 => FIFO_DEPTH / 2,
            3 => FIFO_DEPTH * 3 / 4,
            _ => FIFO_DEPTH * 7 / 8,
        }
    }

    fn flags(&self) -> u32 {
        let mut flags = FR_TXFE | FR_CTS_DSR_DCD;
        if self.rx.is_empty() {
            flags |= FR_RXFE;
        }
        if self.rx.len() >= self.depth() {
            flags |= FR_RXFF;
        }
        flags
    }

    /// Receive interrupts after bytes came or went. The timeout interrupt does not wait its 32 bit times: it is raised
    /// as soon as a byte is there, so input below the trigger level is never late.
    fn receive_interrupts(&mut self) {
        self.ris &= !(INT_RX | INT_RT);
        if !self.rx.is_empty() {
            self.ris |= INT_RT;
        }
        if self.rx.len() >= self.trigger() {
            self.ris |= INT_RX;
        }
    }

    fn read_data(&mut self) -> u32 {
        let byte = self.rx.pop().unwrap_or(0);
        self.receive_interrupts();
        u32::from(byte)
    }

    /// The byte is gone before the guest looks again: the level falls through every trigger (UARTTXINTR).
    fn write_data(&mut self, byte: u8, sink: &dyn ByteSink) {
        if self.cr & CR_LBE == 0 {
            sink.put(byte);
        } else if self.rx.push(byte) {
            self.receive_interrupts();
        } else {
            self.rsr |= RSR_OE;
            self.ris |= INT_OE;
        }
        self.ris |= INT_TX;
    }

    fn write_line_control(&mut self, value: u32) {
        self.lcr_h = value & 0xff;
        // The FIFO the guest sees became deeper or shallower; what waits in it is kept.
        if !self.rx.is_empty() {
            self.receive_interrupts();
        }
    }
}

/// One UART: 4 KiB of registers, one combined interrupt (UARTINTR), one byte sink.
///
/// Lock order: the UART's lock, then whatever the sink and the line take.
pub struct Pl011 {
    state: SpinNoIrq<State>,
    sink: Arc<dyn ByteSink>,
    line: Arc<dyn InterruptLine>,
}

impl Pl011 {
    /// Size of the register window in bytes.
    pub const WINDOW: usize = 0x1000;

    /// A UART at power-on that sends to `sink` and raises `line`.
    pub fn new(sink: Arc<dyn ByteSink>, line: Arc<dyn InterruptLine>) -> Self {
        Self { state: SpinNoIrq::new(State::power_on()), sink, line }
    }

    /// Gives the guest input and returns how many of `bytes` were taken; the caller offers the others again later.
    pub fn receive(&self, bytes: &[u8]) -> usize {
        let mut state = self.state.lock();
        let taken = bytes.iter().take_while(|byte| state.rx.push(**byte)).count();
        if taken > 0 {
            state.receive_interrupts();
            self.drive(&mut state);
        }
        taken
    }

    /// Whether [`Self::receive`] would take a byte now.
    pub fn can_receive(&self) -> bool {
        !self.state.lock().rx.is_full()
    }

    #[inline(never)]
    fn read_data(&self) -> u64 {
        let mut state = self.state.lock();
        let data = state.read_data();
        self.drive(&mut state);
        u64::from(data)
    }

    /// Under the lock, so that two vCPUs cannot leave the line at the older of their levels.
    fn drive(&self, state: &mut State) {
        let high = state.ris & state.imsc != 0;
        if high != state.line_high {
            state.line_high = high;
            self.line.set_level(high);
        }
    }
}

impl Device for Pl011 {
    fn read(&self, access: Access) -> u64 {
        if access.offset == reg::UARTDR {
            return self.read_data();
        }
        let state = self.state.lock();
        let value = match access.offset {
            reg::UARTRSR => state.rsr,
            reg::UARTFR => state.flags(),
            reg::UARTILPR => state.ilpr,
            reg::UARTIBRD => state.ibrd,
            reg::UARTFBRD => state.fbrd,
            reg::UARTLCR_H => state.lcr_h,
            reg::UARTCR => state.cr,
            reg::UARTIFLS => state.ifls,
            reg::UARTIMSC => state.imsc,
            reg::UARTRIS => state.ris,
            reg::UARTMIS => state.ris & state.imsc,
            reg::UARTDMACR => state.dmacr,
            // Part 0x011, designer 0x41 (Arm), revision 3 (r1p5).
            reg::PERIPH_ID0 => 0x11,
            reg::PERIPH_ID1 => 0x10,
            reg::PERIPH_ID2 => 0x34,
            reg::PERIPH_ID3 => 0x00,
            reg::PCELL_ID0 => 0x0d,
            reg::PCELL_ID1 => 0xf0,
            reg::PCELL_ID2 => 0x05,
            reg::PCELL_ID3 => 0xb1,
            _ => 0,
        };
        u64::from(value)
    }

    fn write(&self, access: Access, value: u64) {
        // No register is wider than 16 bits.
        let value = u32::from(u16::from_le_bytes([byte(value), byte(value >> 8)]));
        let mut state = self.state.lock();
        match access.offset {
            reg::UARTDR => state.write_data(byte(u64::from(value)), &*self.sink),
            reg::UARTRSR => state.rsr = 0,
            reg::UARTILPR => state.ilpr = value & 0xff,
            reg::UARTIBRD => state.ibrd = value,
            reg::UARTFBRD => state.fbrd = value & 0x3f,
            reg::UARTLCR_H => state.write_line_control(value),
            reg::UARTCR => state.cr = value & 0xff87,
            reg::UARTIFLS => state.ifls = value & 0x3f,
            reg::UARTIMSC => state.imsc = value & INT_ALL,
            reg::UARTICR => state.ris &= !value,
            reg::UARTDMACR => state.dmacr = value & 0b111,
            _ => return,
        }
        self.drive(&mut state);
    }

    fn reset(&self) {
        let mut state = self.state.lock();
        *state = State::power_on();
        // Even if it was low: the controller it leads to may remember otherwise.
        self.line.set_level(false);
    }
}

/// The low byte of `value`.
const fn byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
#[path = "pl011_tests.rs"]
mod tests;
