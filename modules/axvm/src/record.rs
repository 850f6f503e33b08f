//! The last exits of a vCPU, recorded while that is switched on.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many exits are kept.
const KEPT: usize = 128;

/// One exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The physical counter.
    pub time: u64,
    /// ESR_EL2, or [`RECORDED_INTERRUPT`](arm_vcpu::RECORDED_INTERRUPT) with the INTID that was pending.
    pub cause: u64,
    /// Where the guest stood (ELR_EL2).
    pub pc: u64,
    /// FAR_EL2, which means something for aborts.
    pub address: u64,
}

/// A ring of exits. Its vCPU's exits write it, and anybody may read it meanwhile; the very last one may then be read before
/// all of it is there.
pub(crate) struct Record {
    on: AtomicBool,
    /// How many were ever put.
    put: AtomicU64,
    /// Beside the count, not behind a pointer: that would cost an instruction for each exit.
    slots: [Slot; KEPT],
}

/// Aligned so that an index is a shift.
#[repr(align(32))]
#[derive(Default)]
struct Slot([AtomicU64; 4]);

impl Default for Record {
    fn default() -> Self {
        let slots = core::array::from_fn(|_| Slot::default());
        Self { on: AtomicBool::new(false), put: AtomicU64::new(0), slots }
    }
}

impl Record {
    /// Whether exits are to be recorded.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Switches it on or off. What is there stays.
    pub(crate) fn switch(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    /// Adds one exit. Only the runner of the vCPU does.
    #[inline(always)]
    pub(crate) fn put(&self, exit: Recorded) {
        let put = self.put.load(Ordering::Relaxed);
        if let Some(Slot([time, cause, pc, address])) = self.slots.get(slot_of(put)) {
            time.store(exit.time, Ordering::Relaxed);
            cause.store(exit.cause, Ordering::Relaxed);
            pc.store(exit.pc, Ordering::Relaxed);
            address.store(exit.address, Ordering::Relaxed);
        }
        self.put.store(put.wrapping_add(1), Ordering::Relaxed);
    }

    /// What is kept, the newest last; without what was overwritten while it was read.
    pub(crate) fn read(&self) -> Vec<Recorded> {
        let end = self.put.load(Ordering::Relaxed);
        let first = end.saturating_sub(KEPT as u64);
        let read: Vec<_> = (first..end).map(|number| (number, self.slot(number))).collect();
        // The slot of the one that is being put is not to be trusted either.
        let put = self.put.load(Ordering::Relaxed);
        let gone = put.saturating_add(1).saturating_sub(KEPT as u64);
        read.into_iter().filter(|(number, _)| *number >= gone).map(|(_, exit)| exit).collect()
    }

    fn slot(&self, number: u64) -> Recorded {
        let Some(Slot(words)) = self.slots.get(slot_of(number)) else {
            return Recorded::default();
        };
        let [time, cause, pc, address] = words.each_ref().map(|word| word.load(Ordering::Relaxed));
        Recorded { time, cause, pc, address }
    }
}

#[inline(always)]
fn slot_of(number: u64) -> usize {
    const SLOTS: u64 = KEPT as u64;
    usize::try_from(number % SLOTS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_exits_are_kept_in_order() {
        let record = Record::default();
        assert!(record.read().is_empty());
        for time in 0..300 {
            record.put(Recorded { time, cause: time + 1, pc: time + 2, address: time + 3 });
        }
        let read = record.read();
        assert_eq!(read.len(), KEPT - 1);
        assert_eq!(read.first().map(|exit| exit.time), Some(300 - KEPT as u64 + 1));
        let last = Recorded { time: 299, cause: 300, pc: 301, address: 302 };
        assert_eq!(read.last(), Some(&last));
    }
}
