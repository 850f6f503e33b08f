//! Between the interrupt state and the list registers of a CPU.

use crate::{
    ListRegisters,
    bank::Bank,
    bits::ones,
    lr::{self, ACTIVE, PENDING, STATE},
    outbox::Outbox,
    state::{MAX_LIST_REGISTERS, State},
};

/// What becomes of an interrupt that is pending in its list register.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fold {
    /// It stays as long as it may still be delivered there.
    Keep,
    /// It goes back to the ready queues.
    Withdraw,
}

/// The value for a list register that holds interrupt `n` in `state`. The end of a level-triggered interrupt must be
/// seen, because its input may still be high; so must the end of any that is `watched`, because others wait.
pub(crate) fn compose(bank: &Bank, n: u32, state: u64, watched: bool) -> u64 {
    let mask = 1 << n;
    let mut value = state | lr::interrupt(bank.intid(n), bank.priority(n));
    if bank.group1 & mask != 0 {
        value |= lr::GROUP1;
    }
    match bank.physical.get(n as usize) {
        Some(&physical) if physical != 0 => value |= lr::linked(u32::from(physical)),
        _ if watched || bank.edge & mask == 0 => value |= lr::EOI,
        _ => {}
    }
    value
}

impl State {
    /// Takes over what the guest did to list register `slot` of `vcpu`, which reads `value`, brings it up to date
    /// with the registers, and returns what it must now hold.
    pub(crate) fn fold(
        &mut self,
        (vcpu, slot): (usize, usize),
        value: u64,
        how: Fold,
        out: &mut Outbox,
    ) -> u64 {
        let Self { banks, vcpus, groups, .. } = self;
        let Some(owner) = vcpus.get_mut(vcpu) else {
            return 0;
        };
        let Some(&(index, n)) = owner.listing.get(slot) else {
            return 0;
        };
        let Some(bank) = banks.get_mut(index) else {
            return 0;
        };
        let mask = 1 << n;
        if bank.sourced & mask != 0 {
            return self.fold_sourced((vcpu, slot), value, how, out);
        }
        let mut state = value & STATE;
        if state & PENDING == 0 {
            // The guest has acknowledged what the list register took over.
            bank.lr_latched &= !mask;
        }
        if bank.deactivate & mask != 0 {
            bank.deactivate &= !mask;
            state &= !ACTIVE;
        }
        let here = how == Fold::Keep && bank.target(n) == vcpu && bank.open(*groups) & mask != 0;
        let wanted = here && (bank.pending() | bank.lr_latched) & mask != 0;
        if state & PENDING != 0 && !wanted {
            state &= !PENDING;
            bank.latch |= bank.lr_latched & mask;
            bank.lr_latched &= !mask;
        } else if wanted && (state != ACTIVE || may_pend_while_active(bank, n)) {
            state |= PENDING;
            bank.lr_latched |= bank.latch & mask;
            bank.latch &= !mask;
        }
        bank.note(mask, state);
        if state != 0 {
            // The end of one that is active and may not come again must be seen: its list register is not for it then.
            return compose(bank, n, state, owner.crowded || !here);
        }
        self.unlist((vcpu, slot), index, mask, out);
        0
    }

    /// The guest is done with the interrupt in list register `slot` of `vcpu`, or it was withdrawn.
    #[inline]
    pub(crate) fn unlist(
        &mut self,
        (vcpu, slot): (usize, usize),
        index: usize,
        mask: u32,
        out: &mut Outbox,
    ) {
        let (Some(bank), Some(owner)) = (self.banks.get_mut(index), self.vcpus.get_mut(vcpu))
        else {
            return;
        };
        bank.listed &= !mask;
        owner.used &= !(1 << slot);
        if owner.crowded {
            out.attend(vcpu);
        }
        self.settle(index, mask, out);
    }

    /// Looks at the general list registers `slots` of the loaded `vcpu`.
    #[inline(never)]
    pub(crate) fn fold_slots(
        &mut self,
        vcpu: usize,
        slots: u16,
        lrs: &impl ListRegisters,
        out: &mut Outbox,
    ) {
        for slot in ones(u64::from(slots)) {
            let slot = slot as usize;
            let before = lrs.read(slot);
            let after = self.fold((vcpu, slot), before, Fold::Keep, out);
            if after != before {
                lrs.write(slot, after);
            }
        }
    }

    /// The settings of the interrupts in `mask` changed: those in list registers must follow.
    #[inline]
    pub(crate) fn touch(&mut self, index: usize, mask: u32, out: &mut Outbox) {
        let listed = self.banks.get(index).map_or(0, |bank| bank.listed & mask);
        for n in ones(u64::from(listed)) {
            let Some((holder, slot)) = self.banks.get(index).map(|bank| bank.place(n)) else {
                return;
            };
            let Some(vcpu) = self.vcpus.get_mut(holder) else {
                continue;
            };
            if vcpu.loaded {
                vcpu.recheck |= 1 << slot;
                out.kick(holder);
                continue;
            }
            let value = vcpu.saved.get(slot).copied().unwrap_or(0);
            let value = self.fold((holder, slot), value, Fold::Withdraw, out);
            if let Some(saved) = self.vcpus.get_mut(holder).and_then(|v| v.saved.get_mut(slot)) {
                *saved = value;
            }
        }
    }

    /// What the guest did to the list registers of `vcpu` so far; nothing when it is not loaded.
    pub(crate) fn sync(&mut self, vcpu: usize, lrs: &impl ListRegisters, out: &mut Outbox) {
        let Some(owner) = self.vcpus.get(vcpu).filter(|v| v.loaded) else {
            return;
        };
        let used = owner.used;
        if owner.crowded {
            // Which maintenance interrupt to ask for depends on what the guest did.
            out.attend(vcpu);
        }
        if used != 0 {
            self.fold_slots(vcpu, used, lrs, out);
        }
        self.note_timer(vcpu, lrs.read(0));
    }

    /// Before the loaded `vcpu` runs on: follows changed settings, then lists what waits, displacing what is weaker.
    pub(crate) fn flush(&mut self, vcpu: usize, lrs: &impl ListRegisters, out: &mut Outbox) {
        let Some(owner) = self.vcpus.get_mut(vcpu).filter(|v| v.loaded) else { return };
        let recheck = core::mem::take(&mut owner.recheck) & owner.used;
        if owner.timer_stale {
            self.apply_timer(vcpu, lrs);
        }
        self.fold_slots(vcpu, recheck, lrs, out);
        self.refill(vcpu, lrs, out);
    }

    /// Moves waiting interrupts into list registers, best first. When all are taken, a waiting interrupt displaces the
    /// weakest that is pending and weaker than itself; an active one stays until the guest deactivates it.
    #[inline(never)]
    fn refill(&mut self, vcpu: usize, lrs: &impl ListRegisters, out: &mut Outbox) {
        let mut folded = false;
        // Each register is freed, displaced and filled at most once.
        for _ in 0..3 * MAX_LIST_REGISTERS {
            let Some(owner) = self.vcpus.get(vcpu) else {
                return;
            };
            let Some((word, n)) = owner.queue.first() else {
                break;
            };
            let free = self.slots & !owner.used;
            let used = owner.used;
            let index = self.index(vcpu, word);
            let slot = if free != 0 {
                free.trailing_zeros() as usize
            } else if !folded {
                folded = true;
                self.fold_slots(vcpu, used, lrs, out);
                continue;
            } else if let Some(slot) = self.weakest(vcpu, index, n) {
                self.fold((vcpu, slot), lrs.read(slot), Fold::Withdraw, out);
                slot
            } else {
                return self.set_crowded(vcpu, true, lrs, out);
            };
            self.list((vcpu, slot), index, n, lrs);
        }
        self.set_crowded(vcpu, false, lrs, out);
    }

    /// The list register whose interrupt interrupt `n` of bank `index` displaces, as they were last read.
    fn weakest(&self, vcpu: usize, index: usize, n: u32) -> Option<usize> {
        let owner = self.vcpus.get(vcpu)?;
        let priority = self.banks.get(index)?.priority(n);
        let pending = ones(u64::from(owner.used)).filter_map(|slot| {
            let (index, n) = *owner.listing.get(slot as usize)?;
            let bank = self.banks.get(index)?;
            (bank.active >> n & 1 == 0).then(|| (bank.priority(n), slot as usize))
        });
        let (weakest, slot) = pending.max()?;
        (weakest > priority).then_some(slot)
    }

    /// Puts the ready interrupt `n` of bank `index` into the free list register `slot`.
    #[inline]
    pub(crate) fn list(
        &mut self,
        (vcpu, slot): (usize, usize),
        index: usize,
        n: u32,
        lrs: &impl ListRegisters,
    ) {
        self.unqueue(index, 1 << n);
        let mut value = self.enlist((vcpu, slot), index, n);
        if let Some(bank) = self.banks.get_mut(index).filter(|bank| bank.sourced >> n & 1 == 1) {
            value |= bank.take_sender(n);
        }
        lrs.write(slot, value);
    }

    /// The same for one that is in no queue; returns what the list register must hold.
    #[inline]
    pub(crate) fn enlist(&mut self, (vcpu, slot): (usize, usize), index: usize, n: u32) -> u64 {
        let mask = 1 << n;
        let Some(owner) = self.vcpus.get_mut(vcpu) else {
            return 0;
        };
        let Some(bank) = self.banks.get_mut(index) else {
            return 0;
        };
        bank.listed |= mask;
        bank.lr_pending |= mask;
        bank.lr_latched |= bank.latch & mask;
        bank.latch &= !mask;
        if let (Some(holder), Ok(vcpu)) = (bank.holder.get_mut(n as usize), u8::try_from(vcpu)) {
            *holder = vcpu;
        }
        if let (Some(place), Ok(slot)) = (bank.slot.get_mut(n as usize), u8::try_from(slot)) {
            *place = slot;
        }
        owner.used |= 1 << slot;
        if let Some(listing) = owner.listing.get_mut(slot) {
            *listing = (index, n);
        }
        compose(bank, n, PENDING, owner.crowded)
    }

    /// Asks for a maintenance interrupt as soon as a list register may have become free, or for none.
    fn set_crowded(
        &mut self,
        vcpu: usize,
        crowded: bool,
        lrs: &impl ListRegisters,
        out: &mut Outbox,
    ) {
        let Some(owner) = self.vcpus.get_mut(vcpu) else {
            return;
        };
        let (before, used) = (owner.crowded, owner.used);
        owner.crowded = crowded;
        if crowded && !before {
            // Sets their EOI bits.
            self.fold_slots(vcpu, used, lrs, out);
        }
        if crowded || before {
            // With only active ones listed it would come at once and for ever; their EOI bits do then.
            lrs.set_maintenance(crowded && self.any_pending_listed(vcpu));
        }
    }

    /// Whether a general list register of `vcpu` can be acknowledged, as they were last read.
    pub(crate) fn any_pending_listed(&self, vcpu: usize) -> bool {
        let Some(owner) = self.vcpus.get(vcpu) else {
            return false;
        };
        ones(u64::from(owner.used)).any(|slot| {
            let listing = owner.listing.get(slot as usize);
            let bank = listing.and_then(|&(index, n)| Some((self.banks.get(index)?, n)));
            bank.is_some_and(|(bank, n)| (bank.lr_pending & !bank.active) >> n & 1 == 1)
        })
    }

    /// Takes the state of `vcpu` out of the list registers: the general ones are empty then, there is no maintenance
    /// interrupt, and the timer's physical interrupt is inactive and let through. Only a load changes that.
    pub(crate) fn save(&mut self, vcpu: usize, lrs: &impl ListRegisters, out: &mut Outbox) {
        let Some(owner) = self.vcpus.get_mut(vcpu).filter(|v| v.loaded) else {
            return;
        };
        owner.loaded = false;
        owner.recheck = 0;
        let (used, crowded) = (owner.used, core::mem::take(&mut owner.crowded));
        for slot in ones(u64::from(used)) {
            let slot = slot as usize;
            let value = self.fold((vcpu, slot), lrs.read(slot), Fold::Withdraw, out);
            if let Some(saved) = self.vcpus.get_mut(vcpu).and_then(|v| v.saved.get_mut(slot)) {
                *saved = value;
            }
            lrs.write(slot, 0);
        }
        if crowded {
            lrs.set_maintenance(false);
        }
        self.save_timer(vcpu, lrs);
    }

    /// Makes the list registers, which are as [`Self::save`] left them, those of `vcpu`.
    pub(crate) fn load(&mut self, vcpu: usize, lrs: &impl ListRegisters, out: &mut Outbox) {
        let Some(owner) = self.vcpus.get_mut(vcpu) else {
            return;
        };
        owner.loaded = true;
        owner.recheck = 0;
        for slot in ones(u64::from(owner.used)) {
            let slot = slot as usize;
            let saved = self.vcpus.get(vcpu).and_then(|vcpu| vcpu.saved.get(slot));
            let value = saved.copied().unwrap_or(0);
            lrs.write(slot, self.fold((vcpu, slot), value, Fold::Keep, out));
        }
        self.load_timer(vcpu, lrs);
        if self.vcpus.get(vcpu).is_some_and(|vcpu| !vcpu.queue.is_empty()) {
            self.refill(vcpu, lrs, out);
        }
    }
}

/// A latched edge becomes active and pending. A level waits: its end is seen. A linked interrupt cannot be both.
fn may_pend_while_active(bank: &Bank, n: u32) -> bool {
    let linked = bank.physical.get(n as usize).is_some_and(|&physical| physical != 0);
    (bank.edge & bank.latch) >> n & 1 == 1 && !linked
}
