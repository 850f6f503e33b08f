//! PrimeCell GPIO (PL061), Arm DDI 0190: eight lines, one of which a board uses for its power key.
//!
//! Outputs lead nowhere, and only inputs interrupt. Not modelled: hardware control, whose register (GPIOAFSEL) keeps what it
//! is given. Registers are eight bits wide; a wider access reaches the one it starts at.

use alloc::sync::Arc;

use kspin::SpinNoIrq;

use crate::{Access, Device, InterruptLine};

/// Offsets of table 3-1.
mod reg {
    /// The last of the GPIODATA addresses, whose bits 9:2 say which lines are meant.
    pub(super) const GPIODATA_LAST: usize = 0x3fc;
    pub(super) const GPIODIR: usize = 0x400;
    pub(super) const GPIOIS: usize = 0x404;
    pub(super) const GPIOIBE: usize = 0x408;
    pub(super) const GPIOIEV: usize = 0x40c;
    pub(super) const GPIOIE: usize = 0x410;
    pub(super) const GPIORIS: usize = 0x414;
    pub(super) const GPIOMIS: usize = 0x418;
    pub(super) const GPIOIC: usize = 0x41c;
    pub(super) const GPIOAFSEL: usize = 0x420;
    pub(super) const PERIPH_ID0: usize = 0xfe0;
    pub(super) const PERIPH_ID1: usize = 0xfe4;
    pub(super) const PERIPH_ID2: usize = 0xfe8;
    pub(super) const PERIPH_ID3: usize = 0xfec;
    pub(super) const PCELL_ID0: usize = 0xff0;
    pub(super) const PCELL_ID1: usize = 0xff4;
    pub(super) const PCELL_ID2: usize = 0xff8;
    pub(super) const PCELL_ID3: usize = 0xffc;
}

/// One bit for each line everywhere; all are 0 at reset.
#[derive(Default)]
struct State {
    /// What the world drives the inputs with.
    inputs: u8,
    /// What was written for outputs.
    data: u8,
    /// 1 for an output.
    dir: u8,
    /// 1 for an interrupt by level, 0 by edge.
    is: u8,
    /// 1 for an interrupt at both edges.
    ibe: u8,
    /// 1 for the rising edge or the high level.
    iev: u8,
    ie: u8,
    afsel: u8,
    /// Edges that came and were not cleared.
    edges: u8,
    line_high: bool,
}

impl State {
    fn levels(&self) -> u8 {
        (self.data & self.dir) | (self.inputs & !self.dir)
    }

    /// GPIORIS: edges stay until they are cleared, levels as long as they last.
    fn raised(&self) -> u8 {
        let levels = !(self.inputs ^ self.iev) & !self.dir;
        (self.edges & !self.is) | (levels & self.is)
    }

    fn drive(&mut self, lines: u8, high: bool) {
        let now = if high { self.inputs | lines } else { self.inputs & !lines };
        let changed = (self.inputs ^ now) & !self.dir & !self.is;
        self.inputs = now;
        self.edges |= changed & (self.ibe | !(now ^ self.iev));
    }
}

/// One GPIO controller: 4 KiB of registers, one combined interrupt (GPIOINTR).
///
/// Lock order: the controller's lock, then whatever the line takes.
pub struct Pl061 {
    state: SpinNoIrq<State>,
    line: Arc<dyn InterruptLine>,
}

impl Pl061 {
    /// Size of the register window in bytes.
    pub const WINDOW: usize = 0x1000;

    /// A controller at power-on that raises `line`; all its inputs are low.
    pub fn new(line: Arc<dyn InterruptLine>) -> Self {
        Self { state: SpinNoIrq::new(State::default()), line }
    }

    /// Drives input `number` (0 to 7; there are no others) from outside.
    pub fn drive_input(&self, number: u32, high: bool) {
        let mut state = self.state.lock();
        state.drive(mask(number), high);
        self.update(&mut state);
    }

    /// Whether the guest wants an interrupt for input `number`.
    pub fn is_listening(&self, number: u32) -> bool {
        let state = self.state.lock();
        state.ie & !state.dir & mask(number) != 0
    }

    /// Under the lock, so that two vCPUs cannot leave the line at the older of their levels.
    fn update(&self, state: &mut State) {
        let high = state.raised() & state.ie != 0;
        if high != state.line_high {
            state.line_high = high;
            self.line.set_level(high);
        }
    }
}

impl Device for Pl061 {
    fn read(&self, access: Access) -> u64 {
        let state = self.state.lock();
        let value = match access.offset {
            reg::GPIODIR => state.dir,
            reg::GPIOIS => state.is,
            reg::GPIOIBE => state.ibe,
            reg::GPIOIEV => state.iev,
            reg::GPIOIE => state.ie,
            reg::GPIORIS => state.raised(),
            reg::GPIOMIS => state.raised() & state.ie,
            reg::GPIOAFSEL => state.afsel,
            // Part 0x061, designer 0x41 (Arm), revision 0.
            reg::PERIPH_ID0 => 0x61,
            reg::PERIPH_ID1 => 0x10,
            reg::PERIPH_ID2 => 0x04,
            reg::PERIPH_ID3 => 0x00,
            reg::PCELL_ID0 => 0x0d,
            reg::PCELL_ID1 => 0xf0,
            reg::PCELL_ID2 => 0x05,
            reg::PCELL_ID3 => 0xb1,
            offset => data_lines(offset).map_or(0, |lines| state.levels() & lines),
        };
        u64::from(value)
    }

    fn write(&self, access: Access, value: u64) {
        let [value, ..] = value.to_le_bytes();
        let mut state = self.state.lock();
        match access.offset {
            reg::GPIODIR => state.dir = value,
            reg::GPIOIS => state.is = value,
            reg::GPIOIBE => state.ibe = value,
            reg::GPIOIEV => state.iev = value,
            reg::GPIOIE => state.ie = value,
            reg::GPIOIC => state.edges &= !value,
            reg::GPIOAFSEL => state.afsel = value,
            offset => {
                let lines = data_lines(offset).unwrap_or(0);
                state.data = (state.data & !lines) | (value & lines);
            }
        }
        self.update(&mut state);
    }

    fn reset(&self) {
        *self.state.lock() = State::default();
        // Even if it was low: the controller it leads to may remember otherwise.
        self.line.set_level(false);
    }
}

fn mask(number: u32) -> u8 {
    1_u8.checked_shl(number).unwrap_or(0)
}

/// The lines that a GPIODATA address means; nothing for other addresses.
fn data_lines(offset: usize) -> Option<u8> {
    if offset > reg::GPIODATA_LAST || !offset.is_multiple_of(4) {
        return None;
    }
    u8::try_from(offset / 4).ok()
}

#[cfg(test)]
#[path = "pl061_tests.rs"]
mod tests;
