//! What a guest is owed: interrupts that must be delivered, and those that may be.

use arm_vgic::{REDISTRIBUTOR_STRIDE, TIMER_PPI, affinity};
use axaddrspace::AccessWidth::{self, Byte, Dword, Qword};
use axdevice::Access;

use super::{ICFGR, ICPENDR, IROUTER, ISENABLER, ISPENDR, ITARGETSR, Run, SGI_BASE, SGIR};

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
        assert!(self.is_wanted(vcpu, intid), "INTID {intid} is not enabled, or not for {vcpu}");
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

    /// Whether the registers say that `intid` is to interrupt `vcpu`.
    fn is_wanted(&self, vcpu: usize, intid: u32) -> bool {
        let word = |offset: usize, width| {
            let private = intid < 32 && !self.machine.gicv2;
            let (device, base) = match &self.gicr {
                Some(gicr) if private => (gicr, vcpu * REDISTRIBUTOR_STRIDE + SGI_BASE),
                _ => (&self.gicd, 0),
            };
            device.read(Access { offset: base + offset, width, initiator: vcpu })
        };
        let enabled = word(ISENABLER + intid as usize / 32 * 4, Dword) >> (intid % 32) & 1 == 1;
        let routed = match (intid, self.machine.gicv2) {
            (0..32, _) => true,
            (_, false) => word(IROUTER + 8 * intid as usize, Qword) == affinity(vcpu),
            // The lowest of its targets; a board with one CPU has no choice.
            (_, true) => {
                let targets = word(ITARGETSR + intid as usize, Byte);
                self.vcpus.len() == 1 || targets.trailing_zeros() as usize == vcpu
            }
        };
        enabled && routed
    }
}
