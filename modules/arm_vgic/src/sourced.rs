//! The SGIs of a GICv2, which are pending once for each vCPU that sent them (IHI 0048 section 4.3.15).
//!
//! A list register holds one of them at a time, with its sender. The next sender's follows when the guest has
//! deactivated that one: while others wait, its end is to be seen.

use crate::{
    ListRegisters,
    bank::{Bank, NOBODY},
    listing::{Fold, compose},
    lr::{self, ACTIVE, PENDING, STATE},
    outbox::Outbox,
    state::State,
};

/// All SGIs.
pub(crate) const SGIS: u32 = 0xffff;

impl Bank {
    /// The senders of SGI `n` that wait, one bit each.
    pub(crate) fn senders(&self, n: u32) -> u8 {
        self.senders.get(n as usize).copied().unwrap_or(0)
    }

    fn set_senders(&mut self, n: u32, senders: u8) {
        if let Some(place) = self.senders.get_mut(n as usize) {
            *place = senders;
        }
        let mask = 1 << n;
        self.latch = self.latch & !mask | if senders == 0 { 0 } else { mask };
    }

    /// One of the senders of SGI `n` goes into a list register: what that holds of it.
    pub(crate) fn take_sender(&mut self, n: u32) -> u64 {
        let senders = self.senders(n);
        self.set_senders(n, senders & senders.wrapping_sub(1));
        self.sender_bits(n, senders.trailing_zeros() & 7)
    }

    /// What a list register with SGI `n` from `sender` holds beside.
    fn sender_bits(&self, n: u32, sender: u32) -> u64 {
        let more = if self.latch >> n & 1 == 0 { 0 } else { lr::EOI };
        lr::sent_by(sender) | more
    }
}

impl State {
    /// Makes the interrupts those of a GICv2 at power-on: group 0, SGIs enabled, SPIs sent to nobody but on a board
    /// with one vCPU.
    pub(crate) fn become_gicv2(&mut self) {
        let alone = self.vcpus.len() == 1;
        for bank in &mut self.banks {
            bank.group1 = 0;
            if bank.word == 0 {
                bank.sourced = SGIS;
                bank.enabled = SGIS;
            } else if !alone {
                bank.target = [NOBODY; 32];
            }
        }
    }

    /// Makes SGI `n` of `vcpu` pending, sent by each of `senders`.
    pub(crate) fn pend_from(&mut self, vcpu: usize, n: u32, senders: u8, out: &mut Outbox) {
        let Some(bank) = self.banks.get_mut(vcpu).filter(|bank| bank.sourced >> n & 1 == 1) else {
            return;
        };
        bank.set_senders(n, bank.senders(n) | senders);
        if senders != 0 {
            self.pend(vcpu, 1 << n, out);
        }
    }

    /// Takes SGI `n` of `vcpu`, which is loaded here, back from `senders`.
    pub(crate) fn unpend_from(
        &mut self,
        vcpu: usize,
        n: u32,
        (senders, lrs): (u8, &impl ListRegisters),
        out: &mut Outbox,
    ) {
        let listed = self.listed_sender(vcpu, n, lrs);
        let Some(bank) = self.banks.get_mut(vcpu).filter(|bank| bank.sourced >> n & 1 == 1) else {
            return;
        };
        bank.set_senders(n, bank.senders(n) & !senders);
        if listed & senders != 0 {
            bank.lr_latched &= !(1 << n);
        }
        self.follow(vcpu, 1 << n, out);
    }

    /// The senders from which SGI `n` of `vcpu`, which is loaded here, is pending.
    pub(crate) fn senders(&self, vcpu: usize, n: u32, lrs: &impl ListRegisters) -> u8 {
        let waiting = self.banks.get(vcpu).map_or(0, |bank| bank.senders(n));
        waiting | self.listed_sender(vcpu, n, lrs)
    }

    /// Of those the one in a list register.
    fn listed_sender(&self, vcpu: usize, n: u32, lrs: &impl ListRegisters) -> u8 {
        let loaded = self.vcpus.get(vcpu).is_some_and(|vcpu| vcpu.loaded);
        let Some(bank) = self.banks.get(vcpu).filter(|_| loaded) else { return 0 };
        if bank.listed & bank.lr_latched & bank.sourced & 1 << n == 0 {
            return 0;
        }
        let (_, slot) = bank.place(n);
        let value = lrs.read(slot);
        if value & PENDING == 0 { 0 } else { 1 << lr::sender(value) }
    }

    /// [`Self::fold`] of an SGI with senders: one at a time, and none while one is active.
    pub(crate) fn fold_sourced(
        &mut self,
        (vcpu, slot): (usize, usize),
        value: u64,
        how: Fold,
        out: &mut Outbox,
    ) -> u64 {
        let Self { banks, vcpus, groups, .. } = self;
        let Some(owner) = vcpus.get(vcpu) else { return 0 };
        let Some(&(index, n)) = owner.listing.get(slot) else { return 0 };
        let Some(bank) = banks.get_mut(index) else { return 0 };
        let mask = 1 << n;
        let (mut state, mut sender) = (value & STATE, lr::sender(value));
        if state & PENDING == 0 {
            bank.lr_latched &= !mask;
        }
        if bank.deactivate & mask != 0 {
            bank.deactivate &= !mask;
            state &= !ACTIVE;
        }
        let here = how == Fold::Keep && bank.open(*groups) & mask != 0;
        let latched = bank.lr_latched & mask != 0;
        if state & PENDING != 0 && !(here && latched) {
            state &= !PENDING;
            bank.lr_latched &= !mask;
            if latched {
                bank.set_senders(n, bank.senders(n) | 1 << sender);
            }
        }
        if state == 0 && here && bank.latch & mask != 0 {
            sender = lr::sender(bank.take_sender(n));
            bank.lr_latched |= mask;
            state = PENDING;
        }
        bank.note(mask, state);
        if state != 0 {
            return compose(bank, n, state, owner.crowded) | bank.sender_bits(n, sender);
        }
        self.unlist((vcpu, slot), index, mask, out);
        0
    }
}
