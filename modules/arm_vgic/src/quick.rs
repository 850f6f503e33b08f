//! The ways that are gone most often, kept short: an SGI to oneself, and entering the guest after another one's.

use crate::{
    ListRegisters,
    bits::ones,
    outbox::Outbox,
    state::{MAX_LIST_REGISTERS, State},
};

impl State {
    /// Before the loaded `vcpu` runs on: lists what waits, and the SGIs in the mask `sgis` that others have sent it. False
    /// when [`Self::flush`] has to, because settings changed or list registers are short.
    #[inline]
    pub(crate) fn flush_simple(
        &mut self,
        vcpu: usize,
        sgis: u32,
        lrs: &impl ListRegisters,
    ) -> bool {
        for n in ones(u64::from(sgis)) {
            if !self.pend_listed(vcpu, n, lrs) && !self.pend_free(vcpu, n, lrs) {
                // Its place is found below, or by the thorough way.
                self.pend_private(vcpu, n, &mut Outbox::default());
            }
        }
        let Some(owner) = self.vcpus.get(vcpu).filter(|v| v.loaded) else { return true };
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

    /// Makes SGI `n` of `vcpu`, which is loaded here, pending in the list register it has, if it has one that is neither
    /// pending nor active; otherwise false, and nothing has changed.
    #[inline(always)]
    pub(crate) fn pend_listed(&mut self, vcpu: usize, n: u32, lrs: &impl ListRegisters) -> bool {
        let mask = 1 << (n & 15);
        let Some(bank) = self.banks.get_mut(vcpu) else {
            return false;
        };
        if bank.listed & mask == 0 {
            return false;
        }
        // If its settings have changed since, `recheck` says so, and the doorbell has rung.
        let (_, slot) = bank.place(n & 15);
        let done = lrs.pend_if_empty(slot);
        if done {
            bank.relist(mask);
        }
        done
    }

    /// The same in a list register that is free.
    fn pend_free(&mut self, vcpu: usize, n: u32, lrs: &impl ListRegisters) -> bool {
        let mask = 1 << n;
        let Self { banks, vcpus, slots, groups } = self;
        let (Some(bank), Some(owner)) = (banks.get_mut(vcpu), vcpus.get(vcpu)) else {
            return false;
        };
        let free = *slots & !owner.used;
        let open = bank.open(*groups) & !bank.active & !bank.listed & mask != 0;
        if free == 0 || !open || !owner.queue.is_empty() {
            return false;
        }
        bank.latch |= mask;
        let slot = free.trailing_zeros() as usize;
        let value = self.enlist((vcpu, slot), vcpu, n);
        lrs.write(slot, value);
        true
    }
}
