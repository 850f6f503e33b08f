//! The registers of a GICv2's distributor: GICD_*, IHI 0048 section 4.3.
//!
//! What belongs to one CPU interface (INTIDs 0 to 31) is banked: which vCPU makes the access decides whose it is. SGIs
//! can be disabled, which the architecture leaves open, and are enabled at power-on, as on boards where they cannot.

use alloc::sync::Arc;

use axaddrspace::AccessWidth;
use axdevice::{Access, Device};

use crate::{
    ListRegisters, VgicConfig,
    bank::Groups,
    bits::{low, ones, vcpu_bit},
    registers::{BitRegister, Register},
    sourced::SGIS,
    vgic::Vgic,
};

/// Size of a GICv2 distributor's window in bytes.
pub const GICV2_DISTRIBUTOR_WINDOW: usize = 0x1000;

const GICD_CTLR: usize = 0x000;
const GICD_TYPER: usize = 0x004;
const GICD_IIDR: usize = 0x008;
const GICD_SGIR: usize = 0xf00;
const ICPIDR2: usize = 0xfe8;

/// The architecture's implementer, a product number no erratum is known for.
const IIDR: u32 = 0x4100_043b;
/// ArchRev 2.
const PIDR2: u32 = 0x20;

/// GICD_TYPER: no Security Extensions, no lockable SPIs.
pub(crate) fn typer(config: VgicConfig) -> u32 {
    let field = |value: usize, bits: u32| u32::try_from(value).unwrap_or(0) & bits;
    field(config.vcpus.saturating_sub(1), 7) << 5 | field(config.spis / 32, 0x1f)
}

/// A register that only a GICv2 has; the field is the byte within its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnRegister {
    /// One byte per interrupt.
    Itargetsr(usize),
    /// One byte per SGI.
    Cpendsgir(usize),
    /// Likewise.
    Spendsgir(usize),
}

impl OwnRegister {
    fn at(offset: usize) -> Option<Self> {
        match offset {
            0x800..0xc00 => Some(Self::Itargetsr(offset & 0x3ff)),
            0xf10..0xf20 => Some(Self::Cpendsgir(offset & 0xf)),
            0xf20..0xf30 => Some(Self::Spendsgir(offset & 0xf)),
            _ => None,
        }
    }
}

/// A write of GICD_SGIR by vCPU `from` where the vCPUs in the mask `all` are: the SGI, and to whom it goes.
fn sgir(value: u32, from: usize, all: u64) -> (u32, u64) {
    let targets = match value >> 24 & 3 {
        0 => u64::from(value >> 16 & 0xff) & all,
        1 => all & !vcpu_bit(from),
        2 => all & vcpu_bit(from),
        _ => 0,
    };
    (value & 0xf, targets)
}

/// The distributor of a virtual GICv2 as a device.
pub(crate) struct Gicv2Distributor<L>(pub(crate) Arc<Vgic<L>>);

impl<L: ListRegisters> Device for Gicv2Distributor<L> {
    fn read(&self, access: Access) -> u64 {
        let Access { offset, width, initiator } = access;
        match width {
            AccessWidth::Dword if offset & 3 == 0 => u64::from(self.read32(offset, initiator)),
            AccessWidth::Byte => u64::from(self.read_byte(offset, initiator)),
            AccessWidth::Word | AccessWidth::Dword | AccessWidth::Qword => 0,
        }
    }

    fn write(&self, access: Access, value: u64) {
        let Access { offset, width, initiator } = access;
        match width {
            AccessWidth::Dword if offset & 3 == 0 => self.write32(offset, low(value), initiator),
            AccessWidth::Byte => self.write_bytes(offset, &[value.to_le_bytes()[0]], initiator),
            AccessWidth::Word | AccessWidth::Dword | AccessWidth::Qword => {}
        }
    }

    fn reset(&self) {
        self.0.reset();
    }
}

impl<L: ListRegisters> Gicv2Distributor<L> {
    fn read32(&self, offset: usize, initiator: usize) -> u32 {
        if let Some(register) = BitRegister::at(offset) {
            let index = self.bank(BitRegister::word(offset), initiator);
            return self.0.read_bits(index, register, initiator);
        }
        match (Register::at(offset), offset) {
            (Some(Register::Icfgr(n)), _) => {
                let index = self.bank(n / 2, initiator);
                self.0.look(|state| state.read_config(index, n % 2))
            }
            (_, GICD_CTLR) => self.read_ctlr(),
            (_, GICD_TYPER) => self.0.typer(),
            (_, GICD_IIDR) => IIDR,
            (_, ICPIDR2) => PIDR2,
            _ => u32::from_le_bytes(
                [0, 1, 2, 3].map(|byte| self.read_byte(offset | byte, initiator)),
            ),
        }
    }

    fn write32(&self, offset: usize, value: u32, initiator: usize) {
        if let Some(register) = BitRegister::at(offset) {
            return self.write_bits(register, BitRegister::word(offset), value, initiator);
        }
        match (Register::at(offset), offset) {
            // GICD_ICFGR0 is read-only: SGIs are edges.
            (Some(Register::Icfgr(0)), _) => {}
            (Some(Register::Icfgr(n)), _) => {
                let index = self.bank(n / 2, initiator);
                self.0.change(initiator, |s, out| s.write_config(index, n % 2, value, out));
            }
            (_, GICD_CTLR) => self.write_ctlr(value, initiator),
            (_, GICD_SGIR) => self.send(value, initiator),
            _ => self.write_bytes(offset, &value.to_le_bytes(), initiator),
        }
    }

    /// The bank of INTIDs `word * 32` and up as the vCPU `initiator` sees it.
    fn bank(&self, word: usize, initiator: usize) -> usize {
        if word == 0 { initiator } else { self.0.vcpus().wrapping_add(word).wrapping_sub(1) }
    }

    /// GICD_ISPENDR0 and GICD_ICPENDR0 only show SGIs.
    fn write_bits(&self, register: BitRegister, word: usize, value: u32, initiator: usize) {
        let by_sender = matches!(register, BitRegister::Ispendr | BitRegister::Icpendr);
        let value = if word == 0 && by_sender { value & !SGIS } else { value };
        self.0.write_bits(self.bank(word, initiator), register, value, initiator);
    }

    fn read_ctlr(&self) -> u32 {
        let groups = self.0.look(|state| state.groups);
        groups.group0 & 1 | groups.group1 & 2
    }

    fn write_ctlr(&self, value: u32, initiator: usize) {
        let mask = |bit| if value & bit == 0 { 0 } else { u32::MAX };
        let groups = Groups { group0: mask(1), group1: mask(2) };
        self.0.change(initiator, |state, out| {
            if state.groups != groups {
                state.set_groups(groups, out);
            }
        });
    }

    fn send(&self, value: u32, from: usize) {
        let (sgi, targets) = sgir(value, from, self.0.all());
        let sender = vcpu_bit(from).to_le_bytes()[0];
        self.0.change(from, |state, out| {
            ones(targets).for_each(|target| state.pend_from(target as usize, sgi, sender, out));
        });
    }

    fn read_byte(&self, offset: usize, initiator: usize) -> u8 {
        if let Some(Register::Ipriorityr(n)) = Register::at(offset) {
            let index = self.bank(n / 32, initiator);
            return self
                .0
                .look(|state| state.banks.get(index).map_or(0, |bank| bank.priority(bit(n))));
        }
        match OwnRegister::at(offset) {
            Some(OwnRegister::Itargetsr(n)) => self.read_targets(n, initiator),
            Some(OwnRegister::Cpendsgir(n) | OwnRegister::Spendsgir(n)) => {
                self.0.change(initiator, |state, out| {
                    state.sync(initiator, &self.0.lrs, out);
                    state.senders(initiator, bit(n), &self.0.lrs)
                })
            }
            None => 0,
        }
    }

    /// Writes `values` to the registers with one byte per interrupt from `offset` on.
    fn write_bytes(&self, offset: usize, values: &[u8], initiator: usize) {
        if let Some(Register::Ipriorityr(first)) = Register::at(offset) {
            let index = self.bank(first / 32, initiator);
            return self.0.change(initiator, |state, out| {
                for (n, &value) in (bit(first)..32).zip(values) {
                    state.write_priority(index, n, value, out);
                }
            });
        }
        let Some(register) = OwnRegister::at(offset) else { return };
        let vgic = &self.0;
        let all = vgic.all().to_le_bytes()[0];
        for (n, &value) in values.iter().enumerate() {
            let value = value & all;
            match register {
                OwnRegister::Itargetsr(first) => {
                    self.write_targets(first.wrapping_add(n), value, initiator)
                }
                OwnRegister::Cpendsgir(first) => vgic.change(initiator, |state, out| {
                    state.sync(initiator, &vgic.lrs, out);
                    state.unpend_from(
                        initiator,
                        bit(first.wrapping_add(n)),
                        (value, &vgic.lrs),
                        out,
                    );
                }),
                OwnRegister::Spendsgir(first) => vgic.change(initiator, |state, out| {
                    state.pend_from(initiator, bit(first.wrapping_add(n)), value, out);
                }),
            }
        }
    }

    /// The reader itself for private interrupts; zero on a board with one vCPU, where there is nothing to choose.
    fn read_targets(&self, n: usize, initiator: usize) -> u8 {
        if self.0.vcpus() == 1 {
            return 0;
        }
        if n < 32 {
            return vcpu_bit(initiator).to_le_bytes()[0];
        }
        let index = self.bank(n / 32, initiator);
        let route = self.0.look(|state| {
            let bank = state.banks.get(index);
            bank.and_then(|bank| bank.route.get(n % 32)).copied().unwrap_or(0)
        });
        route.to_le_bytes()[0]
    }

    /// Of several targets the lowest takes the interrupt: which one does is left open.
    fn write_targets(&self, n: usize, targets: u8, initiator: usize) {
        let index = self.bank(n / 32, initiator);
        if n < 32 || self.0.vcpus() == 1 {
            return;
        }
        let target = ones(u64::from(targets)).next().map(|target| target as usize);
        self.0.change(initiator, |state, out| {
            if state.banks.get(index).is_some_and(|bank| bank.valid >> bit(n) & 1 == 1) {
                state.set_target(index, bit(n), (u32::from(targets), target), out);
            }
        });
    }
}

/// The place of interrupt `n` within its bank.
#[inline]
fn bit(n: usize) -> u32 {
    u32::try_from(n % 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sgi::all_of;

    #[test]
    fn an_sgi_goes_to_a_list_to_all_others_or_to_oneself() {
        assert_eq!(sgir(0x00a5_0003, 0, all_of(8)), (3, 0xa5));
        assert_eq!(sgir(0x00a5_0003, 0, all_of(4)), (3, 0x05));
        assert_eq!(sgir(0x01ff_000f, 2, all_of(4)), (15, 0b1011));
        assert_eq!(sgir(0x02ff_0000, 2, all_of(4)), (0, 0b0100));
        assert_eq!(sgir(0x03ff_0001, 2, all_of(4)), (1, 0));
        assert_eq!(sgir(0x02ff_8000, usize::MAX, all_of(4)), (0, 0));
    }
}
