//! The interrupts of one VM and how pending ones find the vCPU they are for.

use alloc::vec::Vec;

use crate::{
    bank::{Bank, Groups, NOBODY},
    bits::ones,
    outbox::Outbox,
    ready::ReadyQueue,
    sgi::vcpu_at,
    timer::TIMER_BIT,
};

/// The most list registers a CPU can have.
pub(crate) const MAX_LIST_REGISTERS: usize = 16;

/// INTIDs from here on mean no interrupt (1020 to 1023).
const FIRST_SPECIAL: usize = 1020;

/// The redistributor and list registers of one vCPU.
pub(crate) struct Vcpu {
    pub(crate) queue: ReadyQueue,
    /// General list registers that are in use, one bit each.
    pub(crate) used: u16,
    /// Of those, the ones whose interrupt's settings changed or that became pending once more, to be seen to before the
    /// guest runs on.
    pub(crate) recheck: u16,
    /// The interrupt in each list register in use: index of its bank, and its bit.
    pub(crate) listing: [(usize, u32); MAX_LIST_REGISTERS],
    /// Whether the hardware's list registers are this vCPU's.
    pub(crate) loaded: bool,
    /// The list registers while not loaded: the timer's, and of the others only active ones.
    pub(crate) saved: [u64; MAX_LIST_REGISTERS],
    /// More interrupts wait than list registers are free.
    pub(crate) crowded: bool,
    /// The timer's list register and physical interrupt do not fit the guest's settings yet.
    pub(crate) timer_stale: bool,
    /// The timer's physical interrupt is not let through, because the guest does not want it.
    pub(crate) timer_kept_back: bool,
    /// GICR_WAKER.ProcessorSleep: a handshake only, interrupts are delivered all the same.
    pub(crate) asleep: bool,
}

impl Vcpu {
    fn new(words: usize) -> Self {
        Self {
            queue: ReadyQueue::new(words),
            used: 0,
            recheck: 0,
            listing: [(0, 0); MAX_LIST_REGISTERS],
            loaded: false,
            saved: [0; MAX_LIST_REGISTERS],
            crowded: false,
            timer_stale: true,
            timer_kept_back: false,
            asleep: true,
        }
    }
}

/// Whose rules a virtual GIC follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// IHI 0048.
    V2,
    /// IHI 0069.
    V3,
}

/// All of a virtual GIC that changes.
pub(crate) struct State {
    /// First the private interrupts of each vCPU, then the SPIs, 32 to a bank.
    pub(crate) banks: Vec<Bank>,
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) groups: Groups,
    /// The general list registers of a CPU, one bit each.
    pub(crate) slots: u16,
}

impl State {
    /// Power-on, for `vcpus` of at most 64, `spis` a multiple of 32 and the `slots` of a CPU.
    pub(crate) fn new(vcpus: usize, spis: usize, slots: u16, architecture: Architecture) -> Self {
        let private = (0..vcpus).map(|vcpu| {
            let mut bank = Bank::new(0, u32::MAX, u8::try_from(vcpu).unwrap_or(NOBODY));
            bank.edge = 0xffff;
            bank.timer = TIMER_BIT;
            bank
        });
        let words = (spis / 32).saturating_add(1);
        let shared = (1..words).map(|word| {
            let exist = FIRST_SPECIAL.saturating_sub(word << 5).min(32);
            Bank::new(word, u32::MAX >> 32_usize.saturating_sub(exist), 0)
        });
        let mut state = Self {
            banks: private.chain(shared).collect(),
            vcpus: (0..vcpus).map(|_| Vcpu::new(words)).collect(),
            groups: Groups::default(),
            slots,
        };
        if architecture == Architecture::V2 {
            state.become_gicv2();
        }
        state
    }

    /// The bank of interrupts `word * 32` and up as vCPU `vcpu` sees it.
    #[inline]
    pub(crate) fn index(&self, vcpu: usize, word: usize) -> usize {
        if word == 0 { vcpu } else { self.vcpus.len().wrapping_add(word).wrapping_sub(1) }
    }

    /// The bank and bit of an SPI; `None` when there is no such SPI.
    #[inline]
    pub(crate) fn spi(&self, intid: u32) -> Option<(usize, u32)> {
        let word = intid as usize / 32;
        let index = self.index(0, word);
        let bank = self.banks.get(index).filter(|_| word > 0)?;
        (bank.valid >> (intid % 32) & 1 == 1).then_some((index, intid % 32))
    }

    /// Puts the interrupts of `mask` into the ready queue of their target or takes them out, whichever is due.
    #[inline]
    pub(crate) fn settle(&mut self, index: usize, mask: u32, out: &mut Outbox) {
        let Self { banks, vcpus, groups, .. } = self;
        let Some(bank) = banks.get_mut(index) else {
            return;
        };
        let ready = bank.ready(*groups);
        let changed = (ready ^ bank.queued) & mask;
        bank.queued ^= changed;
        for n in ones(u64::from(changed)) {
            let (target, priority) = (bank.target(n), bank.priority(n));
            let Some(vcpu) = vcpus.get_mut(target) else {
                continue;
            };
            if ready >> n & 1 == 1 {
                vcpu.queue.insert(bank.word, n, priority);
                out.kick(target);
            } else {
                vcpu.queue.remove(bank.word, n, priority);
            }
        }
    }

    /// Takes the interrupts of `mask` out of ready queues, before their target or priority changes.
    pub(crate) fn unqueue(&mut self, index: usize, mask: u32) {
        let Self { banks, vcpus, .. } = self;
        let Some(bank) = banks.get_mut(index) else {
            return;
        };
        let gone = bank.queued & mask;
        bank.queued &= !gone;
        for n in ones(u64::from(gone)) {
            if let Some(vcpu) = vcpus.get_mut(bank.target(n)) {
                vcpu.queue.remove(bank.word, n, bank.priority(n));
            }
        }
    }

    /// Makes the interrupts of `mask` pending by an edge or a write.
    #[inline]
    pub(crate) fn pend(&mut self, index: usize, mask: u32, out: &mut Outbox) {
        let Some(bank) = self.banks.get_mut(index) else {
            return;
        };
        let mask = mask & bank.valid & !bank.timer;
        bank.latch |= mask;
        self.settle(index, mask, out);
        self.touch(index, mask, out);
    }

    /// The same for one private interrupt, `n` below 16, of `vcpu`.
    #[inline]
    pub(crate) fn pend_private(&mut self, vcpu: usize, n: u32, out: &mut Outbox) {
        let mask = 1 << n;
        let Self { banks, vcpus, groups, .. } = self;
        let (Some(bank), Some(owner)) = (banks.get_mut(vcpu), vcpus.get_mut(vcpu)) else {
            return;
        };
        bank.latch |= mask;
        if bank.listed & mask != 0 {
            // In the list register of a vCPU that is not loaded it is active, and its latch waits.
            if owner.loaded {
                let (_, slot) = bank.place(n);
                owner.recheck |= 1 << slot;
                out.kick(vcpu);
            }
        } else if bank.ready(*groups) & !bank.queued & mask != 0 {
            bank.queued |= mask;
            owner.queue.insert(0, n, bank.priority(n));
            out.kick(vcpu);
        }
    }

    /// Drives the input of interrupt `n`.
    pub(crate) fn set_line(&mut self, index: usize, n: u32, high: bool, out: &mut Outbox) {
        let mask = 1 << n;
        let Some(bank) = self.banks.get_mut(index) else {
            return;
        };
        if (bank.line & mask != 0) == high || bank.timer & mask != 0 {
            return;
        }
        bank.line ^= mask;
        let (edge, listed) = (bank.edge & mask != 0, bank.listed & mask != 0);
        let (holder, slot) = bank.place(n);
        match (edge, listed, high) {
            (true, _, true) => self.pend(index, mask, out),
            // A listed one that rises is found high when the guest deactivates it.
            (true, _, false) | (false, true, true) => {}
            (false, false, _) => self.settle(index, mask, out),
            // Pending in a list register and now spurious: taken back at the next occasion.
            (false, true, false) => {
                if let Some(vcpu) = self.vcpus.get_mut(holder).filter(|vcpu| vcpu.loaded) {
                    vcpu.recheck |= 1 << slot;
                    out.attend(holder);
                }
            }
        }
    }

    /// Sends interrupt `n` to the vCPU at affinity `route`, if there is one.
    pub(crate) fn set_route(&mut self, index: usize, n: u32, route: u32, out: &mut Outbox) {
        let target = vcpu_at(route, self.vcpus.len());
        self.set_target(index, n, (route, target), out);
    }

    /// Sends interrupt `n` to `target`, which the guest has written as `route`.
    pub(crate) fn set_target(
        &mut self,
        index: usize,
        n: u32,
        (route, target): (u32, Option<usize>),
        out: &mut Outbox,
    ) {
        let mask = 1 << n;
        let target = target.and_then(|target| u8::try_from(target).ok()).unwrap_or(NOBODY);
        self.unqueue(index, mask);
        let Some(bank) = self.banks.get_mut(index) else {
            return;
        };
        if let Some(place) = bank.route.get_mut(n as usize) {
            *place = route;
        }
        if let Some(place) = bank.target.get_mut(n as usize) {
            *place = target;
        }
        self.settle(index, mask, out);
        self.touch(index, mask, out);
    }

    /// Opens or closes the groups.
    pub(crate) fn set_groups(&mut self, groups: Groups, out: &mut Outbox) {
        self.groups = groups;
        for index in 0..self.banks.len() {
            self.settle(index, u32::MAX, out);
            self.touch(index, u32::MAX, out);
        }
        for vcpu in 0..self.vcpus.len() {
            self.timer_changed(vcpu, out);
        }
    }
}
