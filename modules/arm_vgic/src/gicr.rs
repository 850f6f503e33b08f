//! The redistributors' registers: GICR_*, IHI 0069 sections 12.10 and 12.11.

use alloc::sync::Arc;

use axaddrspace::AccessWidth;
use axdevice::{Access, Device};

use crate::{
    ListRegisters,
    bits::low,
    registers::{BitRegister, Register},
    sgi::affinity,
    vgic::{IIDR, PIDR2, Vgic},
};

/// Size of one redistributor in bytes: RD_base, then SGI_base, 64 KiB each.
pub const REDISTRIBUTOR_STRIDE: usize = 0x2_0000;

const SGI_BASE: usize = 0x1_0000;

const GICR_IIDR: usize = 0x0004;
const GICR_TYPER: usize = 0x0008;
const GICR_TYPER_HIGH: usize = 0x000c;
const GICR_WAKER: usize = 0x0014;
const GICR_PIDR2: usize = 0xffe8;

const TYPER_LAST: u64 = 1 << 4;

const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;

/// All redistributors of a virtual GIC as one device, one after the other in order of the vCPUs.
///
/// The frame decides whose registers they are, not the vCPU that makes the access.
pub(crate) struct Redistributors<L>(pub(crate) Arc<Vgic<L>>);

impl<L: ListRegisters> Device for Redistributors<L> {
    #[inline]
    fn read(&self, access: Access) -> u64 {
        let Access { offset, width, initiator } = access;
        let (vcpu, offset) = (offset / REDISTRIBUTOR_STRIDE, offset % REDISTRIBUTOR_STRIDE);
        if vcpu >= self.0.vcpus() {
            return 0;
        }
        match width {
            AccessWidth::Dword if offset & 3 != 0 => 0,
            AccessWidth::Dword if offset < SGI_BASE => u64::from(self.read_control(vcpu, offset)),
            AccessWidth::Dword => u64::from(self.read_private(vcpu, offset ^ SGI_BASE, initiator)),
            AccessWidth::Byte if offset >= SGI_BASE => match Register::at(offset ^ SGI_BASE) {
                Some(Register::Ipriorityr(n)) => {
                    u64::from(self.priorities(vcpu, n) >> ((n % 4) << 3) & 0xff)
                }
                Some(Register::Icfgr(_)) | None => 0,
            },
            AccessWidth::Qword if offset == GICR_TYPER => self.typer(vcpu),
            AccessWidth::Byte | AccessWidth::Word | AccessWidth::Qword => 0,
        }
    }

    #[inline]
    fn write(&self, access: Access, value: u64) {
        let Access { offset, width, initiator } = access;
        let (vcpu, offset) = (offset / REDISTRIBUTOR_STRIDE, offset % REDISTRIBUTOR_STRIDE);
        if vcpu >= self.0.vcpus() {
            return;
        }
        match BitRegister::at(offset ^ SGI_BASE) {
            Some(register) if width == AccessWidth::Dword => {
                if BitRegister::word(offset) == 0 {
                    self.0.write_bits(vcpu, register, low(value), initiator);
                }
            }
            _ => self.write_any(vcpu, Access { offset, width, initiator }, value),
        }
    }
}

impl<L: ListRegisters> Redistributors<L> {
    #[inline(never)]
    fn write_any(&self, vcpu: usize, access: Access, value: u64) {
        let Access { offset, width, initiator } = access;
        match width {
            AccessWidth::Dword if offset & 3 != 0 => {}
            AccessWidth::Dword if offset == GICR_WAKER => self.write_waker(vcpu, low(value)),
            AccessWidth::Dword if offset >= SGI_BASE => {
                self.write_private(vcpu, offset ^ SGI_BASE, low(value), initiator);
            }
            AccessWidth::Byte if offset >= SGI_BASE => {
                if let Some(Register::Ipriorityr(n)) = Register::at(offset ^ SGI_BASE) {
                    self.set_priorities(vcpu, n, &[value.to_le_bytes()[0]], initiator);
                }
            }
            AccessWidth::Byte | AccessWidth::Word | AccessWidth::Dword | AccessWidth::Qword => {}
        }
    }

    fn typer(&self, vcpu: usize) -> u64 {
        let last = if vcpu.wrapping_add(1) == self.0.vcpus() { TYPER_LAST } else { 0 };
        affinity(vcpu) << 32 | (vcpu as u64 & 0xffff) << 8 | last
    }

    /// RD_base.
    fn read_control(&self, vcpu: usize, offset: usize) -> u32 {
        match offset {
            GICR_IIDR => IIDR,
            GICR_TYPER => low(self.typer(vcpu)),
            GICR_TYPER_HIGH => low(self.typer(vcpu) >> 32),
            GICR_WAKER => self.read_waker(vcpu),
            GICR_PIDR2 => PIDR2,
            // GICR_CTLR: no LPIs to enable, every write has taken effect.
            _ => 0,
        }
    }

    /// The interface follows at once: ChildrenAsleep is always what ProcessorSleep is.
    fn read_waker(&self, vcpu: usize) -> u32 {
        let asleep = self.0.look(|state| state.vcpus.get(vcpu).is_some_and(|vcpu| vcpu.asleep));
        if asleep { WAKER_PROCESSOR_SLEEP | WAKER_CHILDREN_ASLEEP } else { 0 }
    }

    fn write_waker(&self, vcpu: usize, value: u32) {
        self.0.change(usize::MAX, |state, _| {
            if let Some(vcpu) = state.vcpus.get_mut(vcpu) {
                vcpu.asleep = value & WAKER_PROCESSOR_SLEEP != 0;
            }
        });
    }

    /// SGI_base.
    fn read_private(&self, vcpu: usize, offset: usize, initiator: usize) -> u32 {
        if let Some(register) = BitRegister::at(offset) {
            return match BitRegister::word(offset) {
                0 => self.0.read_bits(vcpu, register, initiator),
                _ => 0,
            };
        }
        match Register::at(offset) {
            Some(Register::Ipriorityr(n)) => self.priorities(vcpu, n),
            Some(Register::Icfgr(half @ 0..2)) => {
                self.0.look(|state| state.read_config(vcpu, half))
            }
            Some(Register::Icfgr(_)) | None => 0,
        }
    }

    fn write_private(&self, vcpu: usize, offset: usize, value: u32, initiator: usize) {
        match Register::at(offset) {
            Some(Register::Ipriorityr(n)) => {
                self.set_priorities(vcpu, n, &value.to_le_bytes(), initiator);
            }
            // GICR_ICFGR0 is read-only: SGIs are edges.
            Some(Register::Icfgr(1)) => {
                self.0.change(initiator, |s, out| s.write_config(vcpu, 1, value, out));
            }
            Some(Register::Icfgr(_)) | None => {}
        }
    }

    fn priorities(&self, vcpu: usize, n: usize) -> u32 {
        match u32::try_from(n) {
            Ok(n @ 0..32) => self.0.look(|state| state.read_priorities(vcpu, n & !3)),
            _ => 0,
        }
    }

    fn set_priorities(&self, vcpu: usize, first: usize, values: &[u8], initiator: usize) {
        let Ok(first @ 0..32) = u32::try_from(first) else {
            return;
        };
        self.0.change(initiator, |state, out| {
            for (n, &value) in (first..32).zip(values) {
                state.write_priority(vcpu, n, value, out);
            }
        });
    }
}
