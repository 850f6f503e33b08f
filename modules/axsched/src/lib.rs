//! The vCPU scheduler as plain data: weighted fair run queues, and where a vCPU belongs.
//!
//! There is one [`RunQueue`] per physical CPU. The caller keeps it under a raw spin lock with interrupts
//! masked, so every operation is bounded by the queue's capacity and none allocates once the queue exists.
//! Time comes in as nanoseconds of any monotonic clock; nothing here reads a clock, arms a timer or takes a lock.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

extern crate alloc;

mod entity;
mod histogram;
mod placement;
mod queue;
mod sleepers;

pub use entity::{DEFAULT_WEIGHT, Entity, MAX_WEIGHT, MIN_WEIGHT, Terms, clamp_weight};
pub use histogram::Histogram;
pub use placement::{Clock, CpuMask, LAG_NS, MAX_CPUS, align, choose_home, overdue};
pub use queue::{
    LEASH_NS, MAX_SLICE_NS, MIN_SLICE_NS, PERIOD_NS, Picked, QueueError, RunQueue,
    SLEEPER_CREDIT_NS,
};
pub use sleepers::Sleepers;

#[cfg(test)]
mod machine_tests;
