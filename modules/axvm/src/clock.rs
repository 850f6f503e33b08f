//! A guest's counter: the physical one, less what it read when the guest booted and what it moved while the guest was paused.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};

use axdevice::Clock;

use crate::GuestCpu;

/// The counter of one guest, as its devices see it too.
pub(crate) struct GuestClock<A> {
    /// The physical counter value that the guest calls zero.
    offset: AtomicU64,
    cpu: PhantomData<fn() -> A>,
}

impl<A: GuestCpu> GuestClock<A> {
    /// One that has not been started.
    pub(crate) fn new() -> Self {
        Self { offset: AtomicU64::new(0), cpu: PhantomData }
    }

    /// It reads zero now.
    pub(crate) fn start(&self) {
        self.offset.store(A::counter(), Ordering::Relaxed);
    }

    /// It was `ticks` too fast. Gives the new offset.
    pub(crate) fn set_back(&self, ticks: u64) -> u64 {
        self.offset.fetch_add(ticks, Ordering::Relaxed).wrapping_add(ticks)
    }

    /// The physical counter value at zero.
    pub(crate) fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }
}

impl<A: GuestCpu> Clock for GuestClock<A> {
    fn now(&self) -> u64 {
        A::counter().wrapping_sub(self.offset())
    }
}
