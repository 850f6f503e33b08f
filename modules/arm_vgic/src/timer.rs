//! The virtual timer's interrupt: PPI 27, linked to the physical one, in list register 0.

use crate::{
    ListRegisters,
    bits::vcpu_bit,
    lr::{self, ACTIVE, PENDING, STATE},
    outbox::Outbox,
    state::State,
};

/// INTID of the virtual timer, physical and virtual (Base System Architecture, PPI assignment).
pub const TIMER_PPI: u32 = 27;

pub(crate) const TIMER_BIT: u32 = 1 << TIMER_PPI;

impl State {
    /// What list register 0 must hold when the timer of `vcpu` fires; 0 when it must not be delivered.
    pub(crate) fn timer_lr(&self, vcpu: usize) -> u64 {
        let Some(bank) = self.banks.get(vcpu) else {
            return 0;
        };
        if bank.open(self.groups) & TIMER_BIT == 0 {
            return 0;
        }
        let group = if bank.group1 & TIMER_BIT == 0 { 0 } else { lr::GROUP1 };
        let interrupt = lr::interrupt(TIMER_PPI, bank.priority(TIMER_PPI));
        PENDING | lr::linked(TIMER_PPI) | group | interrupt
    }

    /// The guest changed how the timer of `vcpu` is delivered.
    pub(crate) fn timer_changed(&mut self, vcpu: usize, out: &mut Outbox) {
        if let Some(owner) = self.vcpus.get_mut(vcpu) {
            owner.timer_stale = true;
            if owner.loaded {
                out.kick(vcpu);
            }
            out.timer |= vcpu_bit(vcpu);
        }
    }

    /// Brings list register 0 and the physical interrupt of the loaded `vcpu` up to date with its settings.
    pub(crate) fn apply_timer(&mut self, vcpu: usize, lrs: &impl ListRegisters) {
        let before = lrs.read(0);
        let Some((after, on)) = self.settle_timer(vcpu, before) else {
            return;
        };
        if after != before {
            lrs.write(0, after);
        }
        if before & STATE != 0 && after == 0 {
            // Nobody is left to deactivate it: while the timer asserts it, it comes again once it is enabled.
            lrs.set_physical_ppi_active(TIMER_PPI, false);
        }
        lrs.enable_physical_ppi(TIMER_PPI, on);
    }

    /// Takes list register 0 and the physical interrupt from `vcpu`; the latter is inactive then and let through, which
    /// mostly is what it has been all the time.
    #[inline]
    pub(crate) fn save_timer(&mut self, vcpu: usize, lrs: &impl ListRegisters) {
        let value = lrs.read(0);
        self.note_timer(vcpu, value);
        let is_empty = value & STATE == 0;
        let Some(owner) = self.vcpus.get_mut(vcpu) else {
            return;
        };
        if let Some(saved) = owner.saved.first_mut() {
            *saved = if is_empty { 0 } else { value };
        }
        if !is_empty {
            lrs.set_physical_ppi_active(TIMER_PPI, false);
        }
        if owner.timer_kept_back {
            lrs.enable_physical_ppi(TIMER_PPI, true);
        }
    }

    /// The other way.
    #[inline]
    pub(crate) fn load_timer(&mut self, vcpu: usize, lrs: &impl ListRegisters) {
        let saved = self.vcpus.get(vcpu).and_then(|v| v.saved.first()).copied().unwrap_or(0);
        let Some((value, on)) = self.settle_timer(vcpu, saved) else {
            return;
        };
        lrs.write(0, value);
        if value != 0 {
            lrs.set_physical_ppi_active(TIMER_PPI, true);
        }
        if !on {
            lrs.enable_physical_ppi(TIMER_PPI, false);
        }
    }

    /// What list register 0 holds, now `value`, as the guest's settings allow it: not pending while it does not want the
    /// timer, not active once it was cleared. And whether it wants the timer; if not, the physical interrupt is kept back.
    #[inline]
    fn settle_timer(&mut self, vcpu: usize, mut value: u64) -> Option<(u64, bool)> {
        let Self { banks, vcpus, groups, .. } = self;
        let (bank, owner) = (banks.get_mut(vcpu)?, vcpus.get_mut(vcpu)?);
        let on = bank.open(*groups) & TIMER_BIT != 0;
        owner.timer_stale = false;
        owner.timer_kept_back = !on;
        if bank.deactivate & TIMER_BIT != 0 {
            bank.deactivate &= !TIMER_BIT;
            value &= !ACTIVE;
        }
        if !on {
            value &= !PENDING;
        }
        if value & STATE == 0 {
            value = 0;
        }
        bank.note(TIMER_BIT, value);
        Some((value, on))
    }

    /// Whether the timer is pending in the list register 0 that was last read.
    pub(crate) fn timer_pending(&self, vcpu: usize) -> bool {
        self.banks.get(vcpu).is_some_and(|bank| bank.lr_pending & TIMER_BIT != 0)
    }

    /// Remembers what list register 0 said, for the pending and active registers.
    #[inline]
    pub(crate) fn note_timer(&mut self, vcpu: usize, value: u64) {
        if let Some(bank) = self.banks.get_mut(vcpu) {
            bank.note(TIMER_BIT, value);
        }
    }
}
