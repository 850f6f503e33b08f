//! The registers that distributor and redistributors have in common, as operations on a bank of 32 interrupts.

use crate::{lr::PRIORITY_MASK, outbox::Outbox, state::State};

/// A register with one bit per interrupt. The others there are (GICD_IGRPMODR, GICD_NSACR) are RAZ/WI with one
/// security state. The numbers are those of the 128-byte blocks they lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BitRegister {
    Igroupr = 1,
    Isenabler,
    Icenabler,
    Ispendr,
    Icpendr,
    Isactiver,
    Icactiver,
}

impl BitRegister {
    /// The register at `offset` of GICD or of SGI_base, if a 32-bit access there is one to a bit register.
    #[inline]
    pub(crate) fn at(offset: usize) -> Option<Self> {
        if offset & 3 != 0 {
            return None;
        }
        match offset >> 7 {
            1 => Some(Self::Igroupr),
            2 => Some(Self::Isenabler),
            3 => Some(Self::Icenabler),
            4 => Some(Self::Ispendr),
            5 => Some(Self::Icpendr),
            6 => Some(Self::Isactiver),
            7 => Some(Self::Icactiver),
            _ => None,
        }
    }

    /// Which register of its array is at `offset`.
    #[inline]
    pub(crate) fn word(offset: usize) -> usize {
        offset >> 2 & 31
    }

    /// Whether what it shows may have changed in the list registers.
    pub(crate) fn lives_in_list_registers(self) -> bool {
        match self {
            Self::Igroupr | Self::Isenabler | Self::Icenabler => false,
            Self::Ispendr | Self::Icpendr | Self::Isactiver | Self::Icactiver => true,
        }
    }
}

/// A register other than those of bits that both frames have at the same offset; the fields are the number within its
/// array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    /// GICx_IPRIORITYR by byte: the number of the interrupt.
    Ipriorityr(usize),
    Icfgr(usize),
}

impl Register {
    /// The register at `offset` of GICD or of SGI_base.
    #[inline]
    pub(crate) fn at(offset: usize) -> Option<Self> {
        match offset >> 7 {
            8..16 => Some(Self::Ipriorityr(offset & 0x3ff)),
            24 | 25 => Some(Self::Icfgr(offset >> 2 & 63)),
            _ => None,
        }
    }
}

impl State {
    pub(crate) fn read_bits(&self, index: usize, register: BitRegister) -> u32 {
        let Some(bank) = self.banks.get(index) else {
            return 0;
        };
        match register {
            BitRegister::Igroupr => bank.group1,
            BitRegister::Isenabler | BitRegister::Icenabler => bank.enabled,
            BitRegister::Ispendr | BitRegister::Icpendr => bank.pending() | bank.lr_pending,
            BitRegister::Isactiver | BitRegister::Icactiver => bank.active,
        }
    }

    /// Writes a bit register; returns the interrupts for which [`Self::follow`] has to be called, often none.
    #[inline(always)]
    pub(crate) fn write_bits(&mut self, index: usize, register: BitRegister, value: u32) -> u32 {
        let Some(bank) = self.banks.get_mut(index) else { return 0 };
        let value = value & bank.valid;
        let changed = match register {
            BitRegister::Igroupr => {
                let changed = bank.group1 ^ value;
                bank.group1 = value;
                changed
            }
            BitRegister::Isenabler => {
                let changed = value & !bank.enabled;
                bank.enabled |= value;
                changed
            }
            BitRegister::Icenabler => {
                let changed = value & bank.enabled;
                bank.enabled &= !value;
                changed
            }
            BitRegister::Ispendr => {
                bank.latch |= value & !bank.timer;
                value & !bank.timer
            }
            BitRegister::Icpendr => {
                bank.latch &= !value;
                bank.lr_latched &= !value;
                value
            }
            BitRegister::Isactiver => {
                // In a list register, active is the guest's to say.
                bank.active |= value & !bank.listed & !bank.timer;
                value
            }
            BitRegister::Icactiver => {
                bank.deactivate |= value & (bank.listed | bank.timer);
                bank.active &= !value | bank.listed | bank.timer;
                value
            }
        };
        changed & (bank.pending() | bank.queued | bank.listed | bank.timer)
    }

    /// Does what a change of the settings of the interrupts in `changed` asks for.
    #[inline(never)]
    pub(crate) fn follow(&mut self, index: usize, changed: u32, out: &mut Outbox) {
        self.settle(index, changed, out);
        self.touch(index, changed, out);
        if self.banks.get(index).is_some_and(|bank| bank.timer & changed != 0) {
            self.timer_changed(index, out);
        }
    }

    /// Four priorities from interrupt `first` on, the first in the low byte.
    pub(crate) fn read_priorities(&self, index: usize, first: u32) -> u32 {
        let Some(bank) = self.banks.get(index) else {
            return 0;
        };
        u32::from_le_bytes([0, 1, 2, 3].map(|n| bank.priority(first | n)))
    }

    pub(crate) fn write_priority(&mut self, index: usize, n: u32, value: u8, out: &mut Outbox) {
        let mask = 1 << n;
        let value = value & PRIORITY_MASK;
        let Some(bank) = self.banks.get(index) else {
            return;
        };
        if bank.valid & mask == 0 || bank.priority(n) == value {
            return;
        }
        self.unqueue(index, mask);
        let bank = self.banks.get_mut(index);
        if let Some(priority) = bank.and_then(|bank| bank.priority.get_mut(n as usize)) {
            *priority = value;
        }
        self.follow(index, mask, out);
    }

    /// GICx_ICFGR: two bits per interrupt for the 16 in `half` 0 or 1 of the bank; the upper one says edge-triggered.
    pub(crate) fn read_config(&self, index: usize, half: usize) -> u32 {
        let edge = self.banks.get(index).map_or(0, |bank| bank.edge) >> (half << 4) & 0xffff;
        (0..16).fold(0, |value, n| value | (edge >> n & 1) << (n << 1 | 1))
    }

    pub(crate) fn write_config(&mut self, index: usize, half: usize, value: u32, out: &mut Outbox) {
        let edge = (0..16).fold(0, |edge, n| edge | (value >> (n << 1 | 1) & 1) << n);
        let Some(bank) = self.banks.get_mut(index) else {
            return;
        };
        let writable = 0xffff << (half << 4) & bank.valid & !bank.timer;
        let changed = (bank.edge ^ edge << (half << 4)) & writable;
        bank.edge ^= changed;
        self.follow(index, changed, out);
    }
}
