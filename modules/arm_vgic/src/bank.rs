//! The state of 32 interrupts, one bit each: a word of SPIs or the private interrupts of one vCPU.

use crate::lr::{ACTIVE, PENDING};

/// No vCPU: an SPI routed to an affinity that does not exist.
pub(crate) const NOBODY: u8 = u8::MAX;

/// Which groups the distributor forwards, as masks over a word: GICD_CTLR.EnableGrp0 and EnableGrp1.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    pub(crate) group0: u32,
    pub(crate) group1: u32,
}

/// Invariants: `listed` interrupts sit in list register `slot` of vCPU `holder`; `queued` ones in the ready queue of
/// vCPU `target` under their `priority`; no interrupt is both. A list register that holds a latched interrupt has taken
/// the latch over (`lr_latched`).
pub(crate) struct Bank {
    /// The interrupts are INTIDs `word * 32` and up.
    pub(crate) word: usize,
    /// Which of the 32 exist.
    pub(crate) valid: u32,
    /// Those that never pass through a general list register: the virtual timer.
    pub(crate) timer: u32,
    pub(crate) enabled: u32,
    pub(crate) group1: u32,
    pub(crate) edge: u32,
    /// The level of the input.
    pub(crate) line: u32,
    /// An edge or a write made it pending, and no list register knows yet.
    pub(crate) latch: u32,
    pub(crate) active: u32,
    pub(crate) queued: u32,
    pub(crate) listed: u32,
    /// Pending in its list register when that was last read.
    pub(crate) lr_pending: u32,
    /// The latch that was moved into the list register.
    pub(crate) lr_latched: u32,
    /// The guest asked to clear the active state that lives in a list register.
    pub(crate) deactivate: u32,
    pub(crate) priority: [u8; 32],
    pub(crate) target: [u8; 32],
    pub(crate) holder: [u8; 32],
    pub(crate) slot: [u8; 32],
    /// GICD_IROUTER, Aff2.Aff1.Aff0; of a GICv2 GICD_ITARGETSR, one bit per vCPU.
    pub(crate) route: [u32; 32],
    /// The physical interrupt an SPI is linked to; 0 for none, which no SPI is.
    pub(crate) physical: [u16; 32],
    /// The SGIs that are pending once for each vCPU that sent them: all of a GICv2, none of a GICv3.
    pub(crate) sourced: u32,
    /// Of those, the senders that no list register knows yet, one bit each; `latch` says whether there is any.
    pub(crate) senders: [u8; 16],
}

impl Bank {
    /// Power-on: everything disabled, inactive, priority 0, all routed to `target`. Group 1, as firmware leaves it
    /// for a guest that cannot tell.
    pub(crate) fn new(word: usize, valid: u32, target: u8) -> Self {
        Self {
            word,
            valid,
            timer: 0,
            enabled: 0,
            group1: valid,
            edge: 0,
            line: 0,
            latch: 0,
            active: 0,
            queued: 0,
            listed: 0,
            lr_pending: 0,
            lr_latched: 0,
            deactivate: 0,
            priority: [0; 32],
            target: [target; 32],
            holder: [NOBODY; 32],
            slot: [0; 32],
            route: [0; 32],
            physical: [0; 32],
            sourced: 0,
            senders: [0; 16],
        }
    }

    /// Pending outside of list registers.
    #[inline]
    pub(crate) fn pending(&self) -> u32 {
        self.latch | self.line & !self.edge
    }

    /// Enabled, and of a group that is forwarded.
    #[inline]
    pub(crate) fn open(&self, groups: Groups) -> u32 {
        self.enabled & (self.group1 & groups.group1 | !self.group1 & groups.group0)
    }

    /// Those that should wait in a ready queue.
    #[inline]
    pub(crate) fn ready(&self, groups: Groups) -> u32 {
        self.pending() & self.open(groups) & !self.active & !self.listed & !self.timer
    }

    /// An interrupt whose list register the guest is done with becomes pending there once more.
    #[inline]
    pub(crate) fn relist(&mut self, mask: u32) {
        self.lr_latched |= mask;
        self.lr_pending |= mask;
        self.active &= !mask;
    }

    /// The list register of the interrupt in `mask` is now in `state`.
    #[inline]
    pub(crate) fn note(&mut self, mask: u32, state: u64) {
        self.active = self.active & !mask | if state & ACTIVE != 0 { mask } else { 0 };
        self.lr_pending = self.lr_pending & !mask | if state & PENDING != 0 { mask } else { 0 };
    }

    #[inline]
    pub(crate) fn intid(&self, n: u32) -> u32 {
        // A word is below 32.
        u32::try_from(self.word).unwrap_or(0) << 5 | n
    }

    #[inline]
    pub(crate) fn priority(&self, n: u32) -> u8 {
        self.priority.get(n as usize).copied().unwrap_or(0)
    }

    #[inline]
    pub(crate) fn target(&self, n: u32) -> usize {
        usize::from(self.target.get(n as usize).copied().unwrap_or(NOBODY))
    }

    /// The vCPU and list register of a listed interrupt.
    #[inline]
    pub(crate) fn place(&self, n: u32) -> (usize, usize) {
        let holder = self.holder.get(n as usize).copied().unwrap_or(NOBODY);
        let slot = self.slot.get(n as usize).copied().unwrap_or(0);
        (usize::from(holder), usize::from(slot))
    }
}
