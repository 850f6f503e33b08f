//! How often something took how long, in kinds whose bounds are powers of two.
//!
//! One writes, so that counting needs no atomic step; anybody reads.

use core::sync::atomic::{AtomicU64, Ordering};

/// How many kinds there are.
const KINDS: usize = 20;

/// Times by their length: below 1 us, 2 us, 4 us and so on up to 2^18 us; the last kind has all that took longer.
#[derive(Debug, Default)]
pub struct Histogram([AtomicU64; KINDS]);

impl Histogram {
    /// Counts a time of `ns`.
    pub fn count(&self, ns: u64) {
        let micros = ns / 1000;
        let bits = u64::BITS.saturating_sub(micros.leading_zeros()) as usize;
        if let Some(count) = self.0.get(bits.min(KINDS - 1)) {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// The kinds, the shortest first: below how many us, none for the last, and how many there were.
    pub fn counts(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let below = |kind| (kind < KINDS - 1).then_some(1u64 << kind);
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        counts.enumerate().map(move |(kind, count)| (below(kind), count))
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.0.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_counted_below_the_next_power_of_two() {
        for ns in [0, 999, 1000, 1999, 2000, 4095, 1 << 20, 300_000_000, u64::MAX] {
            let histogram = Histogram::default();
            histogram.count(ns);
            let (below, count) = histogram.counts().find(|(_, count)| *count > 0).unwrap();
            assert_eq!(count, 1);
            let micros = ns / 1000;
            match below {
                Some(below) => assert!(micros < below && micros >= below / 2, "{ns} {below}"),
                None => assert!(micros >= 1 << 18, "{ns}"),
            }
        }
    }

    #[test]
    fn nothing_is_left_after_a_reset() {
        let histogram = Histogram::default();
        histogram.count(5);
        histogram.count(5_000_000_000);
        assert_eq!(histogram.counts().map(|(_, count)| count).sum::<u64>(), 2);
        histogram.reset();
        assert!(histogram.counts().all(|(_, count)| count == 0));
    }
}
