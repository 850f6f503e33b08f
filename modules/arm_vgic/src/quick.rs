//! The ways that are gone most often, kept short: an SGI to oneself, and entering the guest after another one's.

use crate::{
    ListRegisters,
    bits::ones,
    lr::{PENDING, STATE},
    state::{MAX_LIST_REGISTERS, State},
};

impl State {
    /// Before the loaded `vcpu` runs on: lists what waits. False when [`Self::flush`] has to, because settings changed
    /// or list registers are short.
    #[inline]
    pub(crate) fn flush_simple(&mut self, vcpu: usize, lrs: &impl ListRegisters) -> bool {
        let Some(owner) = self.vcpus.get_mut(vcpu).filter(|v| v.loaded) else { return true };
        let again = core::mem::take(&mut owner.again) & owner.used;
        for slot in ones(u64::from(again)) {
            if !self.pend_again(vcpu, slot as usize, lrs)
                && let Some(owner) = self.vcpus.get_mut(vcpu)
            {
                owner.recheck |= 1 << slot;
            }
        }
        let Some(owner) = self.vcpus.get(vcpu) else { return true };
        if owner.timer_stale || owner.crowded || owner.recheck != 0 {
            return false;
        }
        owner.queue.is_empty() || self.list_waiting(vcpu, lrs)
    }

    /// Fills free list registers; false when there are too few.
    #[inline(never)]
    fn list_waiting(&mut self, vcpu: usize, lrs: &impl ListRegisters) -> bool {
        // Each round takes one list register.
        for _ in 0..=MAX_LIST_REGISTERS {
            let Some(owner) = self.vcpus.get(vcpu) else { return true };
            let Some((word, n)) = owner.queue.first() else { return true };
            let free = self.slots & !owner.used;
            if free == 0 {
                break;
            }
            let index = self.index(vcpu, word);
            self.list((vcpu, free.trailing_zeros() as usize), index, n, lrs);
        }
        false
    }

    /// Makes SGI `n` of `vcpu`, which this exit is of, pending in a list register, if that is simple; otherwise false,
    /// and the caller does it the long way.
    #[inline]
    pub(crate) fn pend_here(&mut self, vcpu: usize, n: u32, lrs: &impl ListRegisters) -> bool {
        let mask = 1 << n;
        let Self { banks, vcpus, slots, groups } = self;
        let (Some(bank), Some(owner)) = (banks.get_mut(vcpu), vcpus.get(vcpu)) else {
            return false;
        };
        if !owner.loaded {
            return false;
        }
        if bank.listed & mask != 0 {
            let (_, slot) = bank.place(n);
            let value = lrs.read(slot);
            let done = value & STATE == 0 && owner.recheck >> slot & 1 == 0;
            if done {
                bank.relist(mask);
                lrs.write(slot, value | PENDING);
            }
            return done;
        }
        let free = *slots & !owner.used;
        let open = bank.open(*groups) & !bank.active & mask != 0;
        if free == 0 || !open || !owner.queue.is_empty() {
            return false;
        }
        bank.latch |= mask;
        let slot = free.trailing_zeros() as usize;
        let value = self.enlist((vcpu, slot), vcpu, n);
        lrs.write(slot, value);
        true
    }

    /// The SGI in list register `slot` of the loaded `vcpu` was latched once more. If the guest is done with it and its
    /// settings did not change, the list register needs its pending bit and nothing else; otherwise false.
    #[inline]
    fn pend_again(&mut self, vcpu: usize, slot: usize, lrs: &impl ListRegisters) -> bool {
        let Some(owner) = self.vcpus.get(vcpu) else { return false };
        let value = lrs.read(slot);
        if owner.recheck >> slot & 1 != 0 || value & STATE != 0 {
            return false;
        }
        let Some(&(index, n)) = owner.listing.get(slot) else { return false };
        let Some(bank) = self.banks.get_mut(index) else { return false };
        let mask = 1 << n;
        if bank.latch & mask == 0 {
            // The list register was given to another interrupt since.
            return true;
        }
        bank.latch &= !mask;
        bank.relist(mask);
        lrs.write(slot, value | PENDING);
        true
    }
}
