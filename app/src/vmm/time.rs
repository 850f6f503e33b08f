//! Counter ticks and nanoseconds.

use core::num::NonZeroU64;
use core::time::Duration;

use arm_vcpu::{counter_frequency, physical_counter};

const NANOS: u64 = 1_000_000_000;

/// Nanoseconds of the physical counter. May be called from exit code.
pub(crate) fn now_ns() -> u64 {
    ticks_to_ns(physical_counter())
}

/// A duration in nanoseconds; what is longer than 500 years is 500 years.
pub(crate) fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Ticks in a second.
fn frequency() -> NonZeroU64 {
    NonZeroU64::new(counter_frequency()).unwrap_or(NonZeroU64::MIN)
}

/// Ticks as nanoseconds.
pub(crate) fn ticks_to_ns(ticks: u64) -> u64 {
    let frequency = frequency();
    let rest = (ticks % frequency).wrapping_mul(NANOS) / frequency;
    (ticks / frequency).wrapping_mul(NANOS).wrapping_add(rest)
}

/// Nanoseconds as ticks.
pub(crate) fn ns_to_ticks(ns: u64) -> u64 {
    let frequency = frequency().get();
    let rest = (ns % NANOS).wrapping_mul(frequency) / NANOS;
    (ns / NANOS).wrapping_mul(frequency).wrapping_add(rest)
}
