//! What was raised and what was taken of one interrupt, as two columns that have to agree.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use crate::timer;

/// An interrupt that was not taken after this long is lost.
const PATIENCE_MICROS: u64 = 500_000;

/// The first interrupts that came once too often, and that did not come; no interrupt is `NONE`.
pub(super) static DOUBLED: AtomicU32 = AtomicU32::new(NONE);
pub(super) static LOST: AtomicU32 = AtomicU32::new(NONE);
pub(super) const NONE: u32 = u32::MAX;

/// One interrupt at one place.
pub(super) struct Ledger {
    raised: AtomicU64,
    taken: AtomicU64,
    /// How often the handler ran; of an exact one that is `taken`.
    handled: AtomicU64,
    /// The counter when it was last raised.
    at: AtomicU64,
}

impl Ledger {
    /// Nothing was raised.
    pub(super) const fn new() -> Ledger {
        let [raised, taken, handled, at] = [const { AtomicU64::new(0) }; 4];
        Ledger { raised, taken, handled, at }
    }

    /// Notes that it is about to be raised.
    pub(super) fn raise(&self) {
        self.at.store(timer::now(), SeqCst);
        self.raised.fetch_add(1, SeqCst);
    }

    /// The handler of an exact one: it is raised again only when it was taken, so each was raised.
    pub(super) fn take_one(&self, intid: u32) {
        self.handled.fetch_add(1, SeqCst);
        if self.taken.fetch_add(1, SeqCst) >= self.raised.load(SeqCst) {
            note(&DOUBLED, intid);
        }
    }

    /// The handler of one that is raised at will: what was raised until now may have merged into this one.
    pub(super) fn take_all(&self, intid: u32) {
        let raised = self.raised.load(SeqCst);
        self.taken.store(raised, SeqCst);
        if self.handled.fetch_add(1, SeqCst) >= raised {
            note(&DOUBLED, intid);
        }
    }

    /// Whether all that was raised was taken; what stays away for too long is noted as lost.
    pub(super) fn is_settled(&self, intid: u32) -> bool {
        let settled = self.taken.load(SeqCst) == self.raised.load(SeqCst);
        let late =
            timer::now().saturating_sub(self.at.load(SeqCst)) > timer::micros(PATIENCE_MICROS);
        // It may have come between the two looks.
        if !settled && late && self.taken.load(SeqCst) != self.raised.load(SeqCst) {
            note(&LOST, intid);
        }
        settled
    }

    /// How many were raised, and how often the handler ran.
    pub(super) fn counts(&self) -> [u64; 2] {
        [self.raised.load(SeqCst), self.handled.load(SeqCst)]
    }
}

/// Keeps the first.
fn note(defect: &AtomicU32, intid: u32) {
    let _ = defect.compare_exchange(NONE, intid, SeqCst, SeqCst);
}

/// Whether anything went wrong.
pub(super) fn is_wrong() -> bool {
    DOUBLED.load(SeqCst) != NONE || LOST.load(SeqCst) != NONE
}
