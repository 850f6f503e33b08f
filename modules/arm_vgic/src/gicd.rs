//! The distributor's registers: GICD_*, IHI 0069 section 12.9.

use alloc::sync::Arc;

use axaddrspace::AccessWidth;
use axdevice::{Access, Device};

use crate::{
    ListRegisters,
    bank::Groups,
    bits::low,
    outbox::Outbox,
    registers::{BitRegister, Register},
    state::State,
    vgic::{IIDR, PIDR2, Vgic},
};

/// Size of the distributor's window in bytes.
pub const DISTRIBUTOR_WINDOW: usize = 0x1_0000;

const GICD_CTLR: usize = 0x0000;
const GICD_TYPER: usize = 0x0004;
const GICD_IIDR: usize = 0x0008;
const GICD_SETSPI_NSR: usize = 0x0040;
const GICD_CLRSPI_NSR: usize = 0x0048;
const GICD_IROUTER: core::ops::Range<usize> = 0x6100..0x8000;
const GICD_PIDR2: usize = 0xffe8;

const CTLR_ENABLE_GRP0: u32 = 1 << 0;
const CTLR_ENABLE_GRP1: u32 = 1 << 1;
/// Affinity routing cannot be turned off.
const CTLR_ARE: u32 = 1 << 4;
/// One security state.
const CTLR_DS: u32 = 1 << 6;

const TYPER_MBIS: u32 = 1 << 16;
const TYPER_NO1N: u32 = 1 << 25;

/// GICD_TYPER of a distributor with `spis` SPIs: 10 bits of INTID, no LPIs, no extended SPIs, no range selector.
pub(crate) fn typer(spis: usize) -> u32 {
    let lines = u32::try_from(spis / 32).unwrap_or(0) & 0x1f;
    TYPER_NO1N | TYPER_MBIS | 9 << 19 | lines
}

/// The distributor of a virtual GIC as a device.
pub(crate) struct Distributor<L>(pub(crate) Arc<Vgic<L>>);

impl<L: ListRegisters> Device for Distributor<L> {
    #[inline]
    fn read(&self, access: Access) -> u64 {
        if access.offset == GICD_TYPER && access.width == AccessWidth::Dword {
            return u64::from(self.0.typer());
        }
        self.read_any(access)
    }

    #[inline]
    fn write(&self, access: Access, value: u64) {
        let Access { offset, width, initiator } = access;
        match BitRegister::at(offset) {
            Some(register) if width == AccessWidth::Dword => {
                let index = self.shared(BitRegister::word(offset));
                self.0.write_bits(index, register, low(value), initiator);
            }
            _ => self.write_any(access, value),
        }
    }

    fn reset(&self) {
        self.0.reset();
    }
}

impl<L: ListRegisters> Distributor<L> {
    #[inline(never)]
    fn read_any(&self, access: Access) -> u64 {
        let Access { offset, width, initiator } = access;
        match width {
            AccessWidth::Dword if offset & 3 == 0 => u64::from(self.read32(offset, initiator)),
            AccessWidth::Byte => match Register::at(offset) {
                Some(Register::Ipriorityr(n)) => {
                    u64::from(self.priorities(n) >> ((n % 4) << 3) & 0xff)
                }
                Some(Register::Icfgr(_)) | None => 0,
            },
            AccessWidth::Qword if offset & 7 == 0 && GICD_IROUTER.contains(&offset) => {
                u64::from(self.read_route(offset))
            }
            AccessWidth::Word | AccessWidth::Dword | AccessWidth::Qword => 0,
        }
    }

    #[inline(never)]
    fn write_any(&self, access: Access, value: u64) {
        let Access { offset, width, initiator } = access;
        match width {
            AccessWidth::Dword if offset & 3 == 0 => self.write32(offset, low(value), initiator),
            AccessWidth::Byte => {
                if let Some(Register::Ipriorityr(n)) = Register::at(offset) {
                    self.set_priorities(n, &[value.to_le_bytes()[0]], initiator);
                }
            }
            AccessWidth::Word if offset == GICD_SETSPI_NSR || offset == GICD_CLRSPI_NSR => {
                self.message(offset == GICD_SETSPI_NSR, low(value), initiator);
            }
            AccessWidth::Qword if offset & 7 == 0 && GICD_IROUTER.contains(&offset) => {
                self.write_route(offset, low(value), initiator);
            }
            AccessWidth::Word | AccessWidth::Dword | AccessWidth::Qword => {}
        }
    }

    fn read32(&self, offset: usize, initiator: usize) -> u32 {
        if let Some(register) = BitRegister::at(offset) {
            let index = self.shared(BitRegister::word(offset));
            return self.0.read_bits(index, register, initiator);
        }
        match (Register::at(offset), offset) {
            (Some(Register::Ipriorityr(n)), _) => self.priorities(n),
            (Some(Register::Icfgr(n)), _) => {
                let index = self.shared(n / 2);
                self.0.look(|state| state.read_config(index, n % 2))
            }
            (None, GICD_CTLR) => self.read_ctlr(),
            (None, GICD_TYPER) => self.0.typer(),
            (None, GICD_IIDR) => IIDR,
            (None, GICD_PIDR2) => PIDR2,
            // Aff3, in the upper halves, does not exist.
            (None, _) if GICD_IROUTER.contains(&offset) && offset & 4 == 0 => {
                self.read_route(offset)
            }
            (None, _) => 0,
        }
    }

    fn write32(&self, offset: usize, value: u32, initiator: usize) {
        match (Register::at(offset), offset) {
            (Some(Register::Ipriorityr(n)), _) => {
                self.set_priorities(n, &value.to_le_bytes(), initiator);
            }
            (Some(Register::Icfgr(n)), _) => {
                let index = self.shared(n / 2);
                self.0.change(initiator, |s, out| s.write_config(index, n % 2, value, out));
            }
            (None, GICD_CTLR) => self.write_ctlr(value, initiator),
            (None, GICD_SETSPI_NSR | GICD_CLRSPI_NSR) => {
                self.message(offset == GICD_SETSPI_NSR, value & 0x3ff, initiator);
            }
            (None, _) if GICD_IROUTER.contains(&offset) && offset & 4 == 0 => {
                self.write_route(offset, value, initiator);
            }
            (None, _) => {}
        }
    }

    /// The bank of SPIs `word`; no bank for word 0, which belongs to the redistributors.
    #[inline]
    fn shared(&self, word: usize) -> usize {
        if word == 0 { usize::MAX } else { self.0.vcpus().wrapping_add(word).wrapping_sub(1) }
    }

    fn read_ctlr(&self) -> u32 {
        let groups = self.0.look(|state| state.groups);
        (groups.group0 & CTLR_ENABLE_GRP0) | (groups.group1 & CTLR_ENABLE_GRP1) | CTLR_ARE | CTLR_DS
    }

    fn write_ctlr(&self, value: u32, initiator: usize) {
        let mask = |bit| if value & bit == 0 { 0 } else { u32::MAX };
        let groups = Groups { group0: mask(CTLR_ENABLE_GRP0), group1: mask(CTLR_ENABLE_GRP1) };
        self.0.change(initiator, |state, out| {
            if state.groups != groups {
                state.set_groups(groups, out);
            }
        });
    }

    fn priorities(&self, n: usize) -> u32 {
        let index = self.shared(n / 32);
        self.0.look(|state| state.read_priorities(index, bit(n) & !3))
    }

    fn set_priorities(&self, first: usize, values: &[u8], initiator: usize) {
        let index = self.shared(first / 32);
        self.0.change(initiator, |state, out| {
            for (n, &value) in (bit(first)..32).zip(values) {
                state.write_priority(index, n, value, out);
            }
        });
    }

    fn read_route(&self, offset: usize) -> u32 {
        let n = (offset & 0x1fff) / 8;
        let index = self.shared(n / 32);
        self.0.look(|state| {
            let bank = state.banks.get(index);
            bank.and_then(|bank| bank.route.get(n % 32)).copied().unwrap_or(0)
        })
    }

    /// Aff2.Aff1.Aff0 only: Interrupt_Routing_Mode is RES0 without 1-of-N.
    fn write_route(&self, offset: usize, value: u32, initiator: usize) {
        let n = (offset & 0x1fff) / 8;
        let index = self.shared(n / 32);
        self.0.change(initiator, |state: &mut State, out: &mut Outbox| {
            let exists = |bank: &crate::bank::Bank| bank.valid >> bit(n) & 1 == 1;
            if state.banks.get(index).is_some_and(exists) {
                state.set_route(index, bit(n), value & 0xff_ffff, out);
            }
        });
    }

    /// A message-based interrupt: an edge, or the level of a level-triggered one.
    fn message(&self, set: bool, intid: u32, initiator: usize) {
        self.0.change(initiator, |state, out| {
            let Some((index, n)) = state.spi(intid) else { return };
            if state.banks.get(index).is_none_or(|bank| bank.edge >> n & 1 == 0) {
                return state.set_line(index, n, set, out);
            }
            let register = if set { BitRegister::Ispendr } else { BitRegister::Icpendr };
            let changed = state.write_bits(index, register, 1 << n);
            state.follow(index, changed, out);
        });
    }
}

/// The place of interrupt `n` within its bank.
#[inline]
fn bit(n: usize) -> u32 {
    u32::try_from(n % 32).unwrap_or(0)
}
