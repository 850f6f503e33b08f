//! What a guest is owed: interrupts that must be delivered, and those that may be.

use axaddrspace::AccessWidth::{self, Dword};

use super::{ICFGR, ICPENDR, ISPENDR, Run, SGI_BASE, SGIR};
use arm_vgic::{REDISTRIBUTOR_STRIDE, TIMER_PPI};

impl Run {
    /// What a write may make of what is owed: anything it could touch is owed no more; what it makes pending may come.
    pub(super) fn expect(
        &mut self,
        vcpu: usize,
        gicr: bool,
        offset: usize,
        width: AccessWidth,
        value: u64,
    ) {
        let (owner, at) = if gicr {
            (offset / REDISTRIBUTOR_STRIDE, (offset % REDISTRIBUTOR_STRIDE).wrapping_sub(SGI_BASE))
        } else {
            (vcpu, offset)
        };
        let banked = gicr || self.machine.gicv2;
        let first = (at & 0x7f) as u32 * 8;
        let bits = |bits: u64| (0..32).filter(move |n| bits >> n & 1 == 1).map(move |n| first + n);
        match at & !0x7f {
            // Pending by a write.
            ISPENDR if width == Dword && at % 4 == 0 => {
                for intid in bits(value) {
                    self.allow(owner, intid, banked);
                }
            }
            ICPENDR if width == Dword && at % 4 == 0 => {
                for intid in bits(value) {
                    self.forgive(owner, intid, banked);
                }
            }
            // Edge or level.
            ICFGR | 0xc80 => {
                let first = (at & 0xff & !3) as u32 * 4;
                for intid in first..first + 16 {
                    self.forgive(owner, intid, banked);
                    self.allow(owner, intid, banked);
                }
            }
            // SGIs by their senders, and messages.
            _ if (0xf10..0xf30).contains(&(at & !3)) && self.machine.gicv2 => {
                for intid in (at as u32 & 0xf & !3)..=(at as u32 & 0xf | 3) {
                    self.forgive(owner, intid, true);
                    self.allow(owner, intid, true);
                }
            }
            0 if !gicr && !self.machine.gicv2 && matches!(at, 0x40 | 0x48) => {
                let intid = value as u32 & 0x3ff;
                self.forgive(0, intid, false);
                self.allow(0, intid, false);
                // A message drives the level of one that is level-triggered.
                self.lines.remove(&intid);
            }
            _ if at == SGIR && self.machine.gicv2 && width == Dword => {
                let all = (1 << self.vcpus.len()) - 1;
                let targets = match value >> 24 & 3 {
                    0 => value >> 16 & 0xff & all,
                    1 => all & !(1 << vcpu),
                    2 => 1 << vcpu,
                    _ => 0,
                };
                self.sent(targets, value as u32 & 0xf);
            }
            _ => {}
        }
    }

    pub(super) fn allow(&mut self, owner: usize, intid: u32, banked: bool) {
        match self.vcpus.get_mut(owner).filter(|_| banked && intid < 32) {
            Some(vcpu) => vcpu.may |= 1 << intid,
            None => drop(self.may.insert(intid)),
        }
    }

    pub(super) fn forgive(&mut self, owner: usize, intid: u32, banked: bool) {
        match self.vcpus.get_mut(owner).filter(|_| banked && intid < 32) {
            Some(vcpu) => vcpu.must &= !(1 << intid),
            None => drop(self.must.remove(&intid)),
        }
    }

    /// An SGI to each of `targets`.
    pub(super) fn sent(&mut self, targets: u64, sgi: u32) {
        for (number, vcpu) in self.vcpus.iter_mut().enumerate() {
            if targets >> number & 1 == 1 {
                vcpu.must |= 1 << sgi;
                vcpu.may |= 1 << sgi;
            }
        }
    }

    pub(super) fn taken(&mut self, vcpu: usize, intid: u32) {
        let state = &mut self.vcpus[vcpu];
        if intid < 32 {
            assert!(
                intid == TIMER_PPI || state.may >> intid & 1 == 1,
                "INTID {intid} of {vcpu} came by itself"
            );
            state.must &= !(1 << intid);
        } else {
            assert!(self.may.contains(&intid), "INTID {intid} came by itself");
            self.must.remove(&intid);
        }
    }
}
