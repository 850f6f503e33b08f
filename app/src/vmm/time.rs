//! Counter ticks and nanoseconds.

use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};
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

/// Nanoseconds in a tick and ticks in a nanosecond, shifted by [`SHIFT`]; zero until they are asked for.
static SCALES: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
const SHIFT: u32 = 32;

#[cold]
#[inline(never)]
fn learn() {
    // Both fit: no counter is faster than 4 GHz.
    let frequency = counter_frequency().min(u64::from(u32::MAX));
    let frequency = NonZeroU64::new(frequency).unwrap_or(NonZeroU64::MIN);
    let [nanos_in_tick, ticks_in_nano] = &SCALES;
    nanos_in_tick.store((NANOS << SHIFT) / frequency, Ordering::Relaxed);
    ticks_in_nano.store(((frequency.get() << SHIFT) / NANOS).max(1), Ordering::Relaxed);
}

/// `value` times `scale`: a division would be dear, and every turn of a vCPU makes some of these.
#[inline]
fn scaled(value: u64, scale: &AtomicU64) -> u64 {
    if scale.load(Ordering::Relaxed) == 0 {
        learn();
    }
    let product = u128::from(value).wrapping_mul(u128::from(scale.load(Ordering::Relaxed)));
    u64::try_from(product >> SHIFT).unwrap_or(u64::MAX)
}

/// Ticks as nanoseconds.
#[inline]
pub(crate) fn ticks_to_ns(ticks: u64) -> u64 {
    let [nanos_in_tick, _] = &SCALES;
    scaled(ticks, nanos_in_tick)
}

/// Nanoseconds as ticks.
#[inline]
pub(crate) fn ns_to_ticks(ns: u64) -> u64 {
    let [_, ticks_in_nano] = &SCALES;
    scaled(ns, ticks_in_nano)
}
