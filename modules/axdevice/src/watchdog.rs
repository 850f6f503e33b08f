//! Arm's generic watchdog, version 1 (Arm BSA, DEN 0094, "Generic watchdog"): a first timeout interrupts, a second one resets.
//!
//! Two frames of 64 KiB, control and refresh. Time is the guest's counter. Nothing here waits: the model finds out what has
//! happened when it is accessed and when it is polled. The second timeout stands until the board is reset.

use alloc::sync::Arc;

use axaddrspace::AccessWidth;
use kspin::SpinNoIrq;

use crate::{Access, Clock, Device, InterruptLine};

/// Where the refresh frame begins.
const REFRESH: usize = 0x1_0000;

/// Offsets from the start of the control frame.
mod reg {
    use super::REFRESH;
    pub(super) const WCS: usize = 0x000;
    pub(super) const WOR: usize = 0x008;
    pub(super) const WOR_HIGH: usize = 0x00c;
    pub(super) const WCV: usize = 0x010;
    pub(super) const WCV_HIGH: usize = 0x014;
    pub(super) const W_IIDR: usize = 0xfcc;
    pub(super) const WRR: usize = REFRESH;
    pub(super) const REFRESH_W_IIDR: usize = REFRESH + 0xfcc;
}

const WCS_EN: u64 = 1 << 0;
const WCS_WS0: u64 = 1 << 1;
const WCS_WS1: u64 = 1 << 2;
/// Architecture version 1, which has 48 bits of WOR; implementer Arm.
const IIDR: u64 = 1 << 16 | 0x43b;
const WOR_BITS: u64 = (1 << 48) - 1;
const LOW: u64 = 0xffff_ffff;

/// What a watchdog waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is off.
    Never,
    /// The next timeout is when the guest's counter reads this.
    At(u64),
    /// The second timeout has come.
    Expired,
}

#[derive(Default)]
struct State {
    enabled: bool,
    ws0: bool,
    ws1: bool,
    /// WS1 has been set; refreshing clears only the bit.
    expired: bool,
    /// WOR.
    offset: u64,
    /// WCV: a timeout comes when the counter is above.
    compare: u64,
    line_high: bool,
}

impl State {
    /// What the clock has brought since it was last looked at. The second stage begins when the first has been noticed, so
    /// that a host that is late takes no time from the guest.
    fn advance(&mut self, now: u64) {
        if !self.enabled || now <= self.compare {
            return;
        }
        if !self.ws0 {
            self.ws0 = true;
            self.compare = now.saturating_add(self.offset);
        } else {
            self.ws1 = true;
            self.expired = true;
        }
    }

    /// An explicit refresh: what a write of WRR, WOR or WCS is.
    fn refresh(&mut self, now: u64) {
        self.ws0 = false;
        self.ws1 = false;
        self.compare = now.saturating_add(self.offset);
    }

    fn control(&self) -> u64 {
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        bit(self.enabled, WCS_EN) | bit(self.ws0, WCS_WS0) | bit(self.ws1, WCS_WS1)
    }

    fn due(&self) -> Due {
        match self {
            Self { expired: true, .. } => Due::Expired,
            Self { enabled: true, compare, .. } => Due::At(compare.saturating_add(1)),
            Self { enabled: false, .. } => Due::Never,
        }
    }
}

/// One watchdog.
///
/// Lock order: the watchdog's lock, then whatever the line takes.
pub struct Watchdog {
    state: SpinNoIrq<State>,
    clock: Arc<dyn Clock>,
    line: Arc<dyn InterruptLine>,
}

impl Watchdog {
    /// Size of both frames in bytes.
    pub const WINDOW: usize = 2 * REFRESH;
    /// Size of one frame in bytes; the control frame is the first.
    pub const FRAME: usize = REFRESH;

    /// A watchdog that is off, reads `clock`, and raises `line` at its first timeout.
    pub fn new(clock: Arc<dyn Clock>, line: Arc<dyn InterruptLine>) -> Self {
        Self { state: SpinNoIrq::new(State::default()), clock, line }
    }

    /// Looks at the clock, and says what is next.
    pub fn poll(&self) -> Due {
        let mut state = self.state.lock();
        state.advance(self.clock.now());
        self.drive(&mut state);
        state.due()
    }

    /// Under the lock, so that two vCPUs cannot leave the line at the older of their levels.
    fn drive(&self, state: &mut State) {
        if state.ws0 != state.line_high {
            state.line_high = state.ws0;
            self.line.set_level(state.ws0);
        }
    }
}

impl Device for Watchdog {
    fn read(&self, access: Access) -> u64 {
        let mut state = self.state.lock();
        state.advance(self.clock.now());
        self.drive(&mut state);
        match access.offset {
            reg::WCS => state.control(),
            reg::WOR => state.offset & access.width.mask(),
            reg::WOR_HIGH => state.offset >> 32,
            reg::WCV => state.compare & access.width.mask(),
            reg::WCV_HIGH => state.compare >> 32,
            reg::W_IIDR | reg::REFRESH_W_IIDR => IIDR,
            _ => 0,
        }
    }

    fn write(&self, access: Access, value: u64) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.advance(now);
        let whole = access.width == AccessWidth::Qword;
        let (low, high) = (value & LOW, (value & LOW) << 32);
        match access.offset {
            reg::WRR => {}
            reg::WCS => state.enabled = value & WCS_EN != 0,
            reg::WOR if whole => state.offset = value & WOR_BITS,
            reg::WOR => state.offset = (state.offset & !LOW) | low,
            reg::WOR_HIGH => state.offset = ((state.offset & LOW) | high) & WOR_BITS,
            reg::WCV if whole => state.compare = value,
            reg::WCV => state.compare = (state.compare & !LOW) | low,
            reg::WCV_HIGH => state.compare = (state.compare & LOW) | high,
            _ => {}
        }
        if matches!(access.offset, reg::WRR | reg::WCS | reg::WOR | reg::WOR_HIGH) {
            state.refresh(now);
        }
        self.drive(&mut state);
    }

    fn reset(&self) {
        *self.state.lock() = State::default();
        // Even if it was low: the controller it leads to may remember otherwise.
        self.line.set_level(false);
    }
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
