//! What several CPUs share: atomics and locks, in whose place tests/interleave puts ones that it watches.

#[cfg(not(interleave))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64};
#[cfg(not(interleave))]
pub(crate) use kspin::SpinNoIrq;
#[cfg(interleave)]
pub(crate) use watched::{AtomicU32, AtomicU64, SpinNoIrq};
