//! What a vCPU has had of its CPUs: run time, steal time, how soon it ran when it was woken.
//!
//! Only who has the vCPU, its runner or who moves it, writes, so that counting needs no atomic step; anybody reads.

use core::sync::atomic::{AtomicU64, Ordering};

use axsched::{Histogram, Picked};

/// Time spent running guests, up to now.
#[derive(Debug, Default)]
pub(crate) struct RunTime {
    /// But for the present run, in ns.
    ended_ns: AtomicU64,
    /// Since when it runs, in ns of the counter; 0 when it does not.
    since_ns: AtomicU64,
}

impl RunTime {
    pub(crate) const fn new() -> Self {
        Self { ended_ns: AtomicU64::new(0), since_ns: AtomicU64::new(0) }
    }

    /// A run begins.
    pub(crate) fn start(&self, now_ns: u64) {
        self.since_ns.store(now_ns, Ordering::Relaxed);
    }

    /// It has ended, after `ran_ns`.
    pub(crate) fn stop(&self, ran_ns: u64) {
        self.since_ns.store(0, Ordering::Relaxed);
        add(&self.ended_ns, ran_ns);
    }

    /// All of it. While a run comes to its end, that run may be missing.
    pub(crate) fn total_ns(&self, now_ns: u64) -> u64 {
        let since = self.since_ns.load(Ordering::Relaxed);
        let present = if since == 0 { 0 } else { now_ns.saturating_sub(since) };
        self.ended_ns.load(Ordering::Relaxed).saturating_add(present)
    }
}

/// What one vCPU has had since its VM was started.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) ran: RunTime,
    /// For how long it was ready and did not run, but for the present wait.
    stolen_ns: AtomicU64,
    /// How often it went to another CPU.
    moves: AtomicU64,
    /// From each wake-up until it ran.
    pub(crate) wakeups: Histogram,
}

impl Usage {
    /// Counts the wait that has just ended.
    pub(crate) fn waited<T>(&self, picked: &Picked<T>) {
        add(&self.stolen_ns, picked.waited_ns);
        if picked.woken {
            self.wakeups.count(picked.waited_ns);
        }
    }

    /// Counts a move to another CPU. For who makes it.
    pub(crate) fn moved(&self) {
        add(&self.moves, 1);
    }

    /// How often it went to another CPU.
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// For how long it was ready without running, in ns.
    pub(crate) fn stolen_ns(&self) -> u64 {
        self.stolen_ns.load(Ordering::Relaxed)
    }

    /// Forgets all. While it does not run.
    pub(crate) fn reset(&self) {
        self.ran.ended_ns.store(0, Ordering::Relaxed);
        self.stolen_ns.store(0, Ordering::Relaxed);
        self.moves.store(0, Ordering::Relaxed);
        self.wakeups.reset();
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
