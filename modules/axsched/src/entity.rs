//! One runnable vCPU as a run queue sees it: its weight and the virtual time it has used.
//!
//! Virtual time is run time scaled by `DEFAULT_WEIGHT / weight`. It is a point on a circle of 2^64 ns, so two
//! points are compared by their signed distance and a wrap needs no special case.

use crate::CpuMask;

/// The weight of a vCPU that asks for nothing special.
pub const DEFAULT_WEIGHT: u32 = 100;
/// The smallest weight; smaller ones are raised to it.
pub const MIN_WEIGHT: u32 = 1;
/// The largest weight; larger ones are lowered to it.
pub const MAX_WEIGHT: u32 = 10_000;

/// The longest run one charge counts, in ns. It keeps virtual times within half the circle of each other.
const MAX_CHARGE_NS: u64 = 3_600_000_000_000;

/// `weight` within [`MIN_WEIGHT`]`..=`[`MAX_WEIGHT`].
pub fn clamp_weight(weight: u32) -> u32 {
    weight.clamp(MIN_WEIGHT, MAX_WEIGHT)
}

/// Signed distance in ns from virtual time `base` to virtual time `point`; positive when `point` is later.
pub(crate) fn distance(point: u64, base: u64) -> i64 {
    point.wrapping_sub(base).cast_signed()
}

/// What a vCPU may have of the CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its share relative to the others.
    pub weight: u32,
    /// Where it may run.
    pub affinity: CpuMask,
}

/// A runnable vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entity<T> {
    /// Who it is.
    pub key: T,
    /// Its share relative to the others, [`MIN_WEIGHT`]`..=`[`MAX_WEIGHT`].
    pub weight: u32,
    /// Where it may run.
    pub affinity: CpuMask,
    /// Its virtual time in ns; the queue runs the smallest first.
    pub vruntime_ns: u64,
    /// When it last became ready to run without running, in ns of the caller's clock.
    pub ready_since_ns: u64,
    /// It has not run since it was woken.
    pub woken: bool,
}

impl<T> Entity<T> {
    /// Adds `ran_ns` of run time, scaled by the weight.
    pub(crate) fn advance(&mut self, ran_ns: u64) {
        self.vruntime_ns = self.vruntime_ns.wrapping_add(self.scaled(ran_ns));
    }

    /// Takes `ran_ns` of it back.
    pub(crate) fn give_back(&mut self, ran_ns: u64) {
        self.vruntime_ns = self.vruntime_ns.wrapping_sub(self.scaled(ran_ns));
    }

    /// Run time as virtual time.
    fn scaled(&self, ran_ns: u64) -> u64 {
        let weight = u64::from(clamp_weight(self.weight));
        let weighted = ran_ns.min(MAX_CHARGE_NS).wrapping_mul(u64::from(DEFAULT_WEIGHT));
        weighted.checked_div(weight).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_signed_across_the_wrap() {
        assert_eq!(distance(5, u64::MAX - 4), 10);
        assert_eq!(distance(u64::MAX - 4, 5), -10);
    }

    #[test]
    fn the_longest_charge_at_the_smallest_weight_stays_within_half_the_circle() {
        let mut entity = Entity {
            key: 0,
            weight: MIN_WEIGHT,
            affinity: CpuMask::ALL,
            vruntime_ns: 0,
            ready_since_ns: 0,
            woken: false,
        };
        entity.advance(u64::MAX);
        assert!(distance(entity.vruntime_ns, 0) > 0);
    }
}
