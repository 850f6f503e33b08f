//! What guests and the world do beside registers: entering, acknowledging, ending, sending, and wires.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arm_vgic::{TIMER_PPI, affinity};
use axaddrspace::AccessWidth::Dword;

use super::machine::{ACTIVE, EOI, HW, LINKED, PENDING, STATE};
use super::{Run, SGIR};
use crate::input::Input;

impl Run {
    /// Enters the guest: afterwards nothing asks for an exit.
    pub(super) fn enter(&mut self, vcpu: usize) {
        let kicked = self.machine.kicked.fetch_and(!(1 << vcpu), Relaxed) >> vcpu & 1 == 1;
        self.vcpus[vcpu].quiet &= !kicked;
        self.on(vcpu);
        if self.is_maintained(vcpu) {
            self.vgic.sync(vcpu);
            self.vgic.flush(vcpu);
        }
        let doorbell = self.vgic.doorbell(vcpu).unwrap();
        if doorbell.has_rung() {
            self.vgic.flush_rung(vcpu, doorbell);
        }
        assert!(!doorbell.has_rung(), "it rings and rings");
        assert!(!self.is_maintained(vcpu), "a maintenance interrupt that never ends");
        self.check_lists();
    }

    pub(super) fn is_maintained(&self, vcpu: usize) -> bool {
        let lrs = &self.cpu(vcpu).lrs[..self.machine.count];
        let ended = |lr: &AtomicU64| lr.load(Relaxed) & (HW | EOI | STATE) == EOI;
        let pending = |lr: &AtomicU64| lr.load(Relaxed) & STATE == PENDING;
        lrs.iter().any(ended) || self.cpu(vcpu).no_pending.load(Relaxed) && !lrs.iter().any(pending)
    }

    /// No interrupt is in two list registers, and none in one that it cannot have.
    pub(super) fn check_lists(&self) {
        let mut shared = BTreeSet::new();
        for (vcpu, state) in self.vcpus.iter().enumerate() {
            let Some(cpu) = state.cpu else { continue };
            let mut own = BTreeSet::new();
            let lrs = &self.machine.cpus[cpu].lrs[..self.machine.count];
            for (n, lr) in lrs.iter().enumerate().filter(|(_, lr)| lr.load(Relaxed) & STATE != 0) {
                let intid = lr.load(Relaxed) as u32;
                assert_eq!(n == 0, intid == TIMER_PPI, "INTID {intid} in list register {n}");
                let seen = if intid < 32 { &mut own } else { &mut shared };
                assert!(seen.insert(intid), "INTID {intid} is listed twice ({vcpu})");
                assert!(intid < 32 + self.spis as u32);
            }
        }
    }

    /// The guest on `vcpu` acknowledges what is best in its list registers, if anything is pending there.
    pub(super) fn acknowledge(&mut self, vcpu: usize) -> Option<u32> {
        if self.machine.kicked.load(Relaxed) >> vcpu & 1 == 1 || self.is_maintained(vcpu) {
            self.enter(vcpu);
        }
        let lrs = &self.cpu(vcpu).lrs[..self.machine.count];
        let pending = lrs.iter().filter(|lr| lr.load(Relaxed) & STATE == PENDING);
        let best = pending.min_by_key(|lr| lr.load(Relaxed) >> 48 & 0xff)?;
        let value = best.load(Relaxed);
        best.store(value & !PENDING | ACTIVE, Relaxed);
        let intid = value as u32;
        self.taken(vcpu, intid);
        Some(intid)
    }

    /// The guest on `vcpu` ends one of those it has acknowledged.
    pub(super) fn end(&mut self, vcpu: usize, which: usize) -> Option<u32> {
        let lrs = &self.cpu(vcpu).lrs[..self.machine.count];
        let active: Vec<_> = lrs.iter().filter(|lr| lr.load(Relaxed) & ACTIVE != 0).collect();
        let lr = active.get(which % active.len().max(1))?;
        let value = lr.fetch_and(!ACTIVE, Relaxed);
        if value & HW != 0 {
            // The physical one, too.
            match (value >> 32 & 0x1fff) as u32 {
                TIMER_PPI => self.cpu(vcpu).timer_active.store(false, Relaxed),
                spi => drop(self.machine.active_spis.fetch_and(!(1 << spi), Relaxed)),
            }
        }
        Some(value as u32)
    }

    /// The physical timer of the CPU of `vcpu` fires.
    pub(super) fn fire_timer(&mut self, vcpu: usize) {
        let cpu = self.cpu(vcpu);
        if !cpu.timer_enabled.load(Relaxed) || cpu.timer_active.load(Relaxed) {
            return;
        }
        let value = self.vgic.doorbell(vcpu).unwrap().timer_lr();
        cpu.lrs[0].store(value, Relaxed);
        cpu.timer_active.store(value != 0, Relaxed);
        self.vcpus[vcpu].quiet = false;
        self.enter(vcpu);
    }

    /// What does not interrupt a vCPU leaves it as it was: nothing to wake up for.
    pub(super) fn probe(&mut self, vcpu: usize) -> bool {
        if self.vcpus[vcpu].cpu.is_some() {
            self.on(vcpu);
        }
        let kicked = self.machine.kicked.load(Relaxed) >> vcpu & 1 == 1;
        let rung = self.vgic.doorbell(vcpu).unwrap().has_rung();
        let deliverable = self.vgic.has_deliverable(vcpu);
        let was_quiet = std::mem::replace(&mut self.vcpus[vcpu].quiet, !deliverable);
        assert!(
            !was_quiet || kicked || !deliverable,
            "{vcpu} has something to do and was not kicked ({rung})"
        );
        deliverable
    }

    pub(super) fn line(&mut self, spi: u32, high: bool) {
        if LINKED.contains(&spi) && !self.machine.gicv2 {
            return;
        }
        if high {
            self.lines.insert(spi);
            self.may.insert(spi);
        } else {
            self.lines.remove(&spi);
        }
        self.vgic.set_spi_level(spi, high);
    }

    pub(super) fn pulse(&mut self, spi: u32) {
        if LINKED.contains(&spi) && !self.machine.gicv2 {
            // It stays active until the guest ends it: another one cannot come before.
            if self.machine.active_spis.fetch_or(1 << spi, Relaxed) >> spi & 1 == 1 {
                return;
            }
        }
        self.may.insert(spi);
        self.must.insert(spi);
        self.vgic.pulse_spi(spi);
    }

    pub(super) fn send(&mut self, vcpu: usize, input: &mut Input<'_>) {
        if self.machine.gicv2 {
            return self.write(vcpu, false, SGIR, Dword, u64::from(input.u32()));
        }
        let target = input.below(self.vcpus.len());
        let sgi = input.below(16) as u64;
        let value = match input.below(4) {
            0 => affinity(vcpu) & 0xf00 | 1 << (affinity(vcpu) & 0xf) | sgi << 24,
            1 => 1 << affinity(target) | sgi << 24,
            2 => 1 << 40 | sgi << 24,
            _ => input.u64(),
        };
        let all = (1 << self.vcpus.len()) - 1;
        let targets = if value >> 40 & 1 == 1 {
            all & !(1 << vcpu)
        } else if value & 0x00ff_f0ff_00ff_0000 == 0 {
            value & 0xffff & all
        } else {
            0
        };
        self.sent(targets, (value >> 24 & 0xf) as u32);
        self.on(vcpu);
        let doorbell = self.vgic.doorbell(vcpu).unwrap();
        if !self.vgic.send_to_self(vcpu, doorbell, value) {
            self.vgic.send_sgi(vcpu, value);
            if doorbell.has_rung() {
                self.vgic.flush_rung(vcpu, doorbell);
            }
        }
        self.vcpus[vcpu].quiet = false;
        self.check_lists();
    }

    /// Takes and ends interrupts until none is left; the handler of a level lowers it.
    pub(super) fn drain(&mut self) -> Vec<(usize, u32)> {
        let mut taken = Vec::new();
        for _ in 0..2 {
            for vcpu in 0..self.vcpus.len() {
                // The guest's next exit, whatever it is.
                self.enter(vcpu);
                while let Some(intid) = self.acknowledge(vcpu) {
                    taken.push((vcpu, intid));
                    assert!(taken.len() < 20_000, "no end of interrupts");
                    if intid >= 32 {
                        self.line(intid, false);
                    } else if intid >= 16 {
                        self.vgic.set_ppi_level(vcpu, intid, false);
                    }
                    self.end(vcpu, 0);
                    self.enter(vcpu);
                }
                let deliverable = self.probe(vcpu);
                assert!(!deliverable, "{vcpu} is told to wake up for nothing");
            }
        }
        taken
    }
}
