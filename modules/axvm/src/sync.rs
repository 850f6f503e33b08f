//! What a VM's life and vCPUs share with several CPUs: atomics and a lock, in whose place tests/interleave puts ones that it watches.

#[cfg(not(interleave))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};
#[cfg(not(interleave))]
pub(crate) use kspin::{SpinNoIrq, SpinNoIrqGuard};
#[cfg(interleave)]
pub(crate) use watched::{AtomicBool, AtomicU8, AtomicUsize, SpinNoIrq, SpinNoIrqGuard};
