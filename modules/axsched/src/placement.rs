//! Where a vCPU belongs: its first home CPU, and when it moves to another one.
//!
//! Each CPU has a virtual time of its own, its queue's floor. Where vCPUs may go from CPU to CPU, these times are kept
//! in step: whoever waits on a CPU that falls behind another one moves there. So three busy vCPUs on two CPUs take
//! turns at being alone, and no CPU counts anything of another. Where nobody may go, times drift apart; that is
//! forgotten but for a leash, so that it does not count when somebody may.

use crate::entity::distance;
use crate::{Entity, LEASH_NS, RunQueue};

/// The most CPUs that vCPUs move between.
pub const MAX_CPUS: usize = 64;
/// How far a waiting vCPU has to be behind another CPU to move there, in ns of virtual time.
pub const LAG_NS: u64 = 10_000_000;

/// A set of physical CPUs, bit n for CPU n; CPUs from 64 on are in no set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuMask(pub u64);

impl CpuMask {
    /// Every CPU.
    pub const ALL: Self = Self(u64::MAX);

    /// The set of one CPU; empty for a CPU from 64 on.
    pub fn only(cpu: usize) -> Self {
        Self(u32::try_from(cpu).ok().and_then(|cpu| 1u64.checked_shl(cpu)).unwrap_or(0))
    }

    /// Whether `cpu` is in the set.
    pub fn contains(self, cpu: usize) -> bool {
        self.0 & Self::only(cpu).0 != 0
    }
}

/// The least loaded CPU that `affinity` allows, or `None` when it allows none of `loads`.
///
/// Among equals `last`, where it ran before and its caches are warm, then the lowest number.
pub fn choose_home(affinity: CpuMask, loads: &[u64], last: Option<usize>) -> Option<usize> {
    let allowed = loads.iter().enumerate().filter(|(cpu, _)| affinity.contains(*cpu));
    allowed.min_by_key(|&(cpu, load)| (*load, last != Some(cpu), cpu)).map(|(cpu, _)| cpu)
}

/// How far a CPU is, to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Nobody goes there.
    Away,
    /// Nobody is runnable there.
    Idle,
    /// Its virtual time: [`RunQueue::floor_at`].
    At(u64),
}

/// Whom `queue`, that of CPU `own`, hands over to which CPU: the idle ones first, else the one that is furthest ahead,
/// if that is more than [`LAG_NS`]. `held` is the vCPU whose registers CPU `own` still has.
pub fn overdue<T: Copy + Eq>(
    own: usize,
    queue: &RunQueue<T>,
    held: Option<T>,
    clocks: &[Clock],
) -> Option<(T, usize)> {
    let lag = |one: &Entity<T>, clock: &Clock| match clock {
        Clock::Away => None,
        Clock::Idle => Some(i64::MAX),
        Clock::At(ns) => {
            Some(distance(*ns, one.vruntime_ns)).filter(|lag| *lag > LAG_NS.cast_signed())
        }
    };
    let others = clocks.iter().enumerate().filter(|(cpu, _)| *cpu != own);
    let goes = others.filter_map(|(cpu, clock)| {
        let one = queue.surplus(cpu, held)?;
        Some((lag(one, clock)?, one.key, cpu))
    });
    // The first among equals.
    let best = goes.reduce(|best, one| if one.0 > best.0 { one } else { best });
    best.map(|(_, key, cpu)| (key, cpu))
}

/// By how much each CPU's virtual times have to rise so that, in their order, none is more than [`LEASH_NS`] behind
/// the next one. Those below a wide gap rise together and keep their distances. CPUs from [`MAX_CPUS`] on stay as they are.
pub fn align(clocks: &[Clock]) -> [u64; MAX_CPUS] {
    let mut raises = [0; MAX_CPUS];
    let first = clocks.iter().find_map(|clock| match clock {
        Clock::At(ns) => Some(*ns),
        Clock::Idle | Clock::Away => None,
    });
    let Some(first) = first else {
        return raises;
    };
    // Those without a time are behind all others and have nobody to raise.
    let mut order = [(i64::MIN, 0); MAX_CPUS];
    let order = order.get_mut(..clocks.len().min(MAX_CPUS)).unwrap_or_default();
    for ((place, clock), cpu) in order.iter_mut().zip(clocks).zip(0..) {
        if let Clock::At(ns) = clock {
            *place = (distance(*ns, first), cpu);
        }
    }
    order.sort_unstable();
    let mut raise = 0_u64;
    for pair in order.windows(2).rev() {
        let [(behind, cpu), (ahead, _)] = pair else {
            break;
        };
        if *behind == i64::MIN {
            break;
        }
        raise = ahead.abs_diff(*behind).saturating_sub(LEASH_NS).saturating_add(raise);
        if let Some(own) = raises.get_mut(*cpu) {
            *own = raise;
        }
    }
    raises
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::Terms;
    use alloc::vec::Vec;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_new_vcpu_goes_to_the_least_loaded_cpu_it_may_use() {
        assert_eq!(choose_home(CpuMask::ALL, &[300, 100, 200, 100], None), Some(1));
        assert_eq!(choose_home(CpuMask(0b1101), &[300, 100, 200, 100], None), Some(3));
        assert_eq!(choose_home(CpuMask::ALL, &[300, 100, 200, 100], Some(3)), Some(3));
    }

    #[test]
    fn pinning_is_obeyed_however_loaded_the_cpu_is() {
        for cpu in 0..4 {
            let mut loads = [0; 4];
            loads[cpu] = u64::MAX;
            assert_eq!(choose_home(CpuMask::only(cpu), &loads, None), Some(cpu));
        }
    }

    #[test]
    fn a_mask_without_an_online_cpu_gives_none() {
        assert_eq!(choose_home(CpuMask(0), &[0, 0], None), None);
        assert_eq!(choose_home(CpuMask(0b100), &[0, 0], None), None);
        assert_eq!(choose_home(CpuMask::ALL, &[], None), None);
        assert_eq!(CpuMask::only(64), CpuMask(0));
        assert_eq!(CpuMask::only(usize::MAX), CpuMask(0));
        assert!(CpuMask::ALL.contains(63) && !CpuMask::ALL.contains(64));
    }

    /// A queue at virtual time 50 ms, in which each of `waiting` waits from then on; the first may run.
    fn queue(waiting: &[(char, CpuMask)]) -> RunQueue<char> {
        let mut queue = RunQueue::with_capacity(8);
        let all = Terms { weight: 100, affinity: CpuMask::ALL };
        queue.wake('x', all, None, 0).unwrap();
        queue.pick(0);
        queue.charge('x', 50 * MS);
        for ((key, affinity), now) in waiting.iter().zip(50 * MS..) {
            queue.wake(*key, Terms { weight: 100, affinity: *affinity }, None, now).unwrap();
        }
        queue.block('x');
        queue
    }

    #[test]
    fn an_idle_cpu_comes_first_whatever_its_virtual_time() {
        let queue = queue(&[('a', CpuMask::ALL), ('b', CpuMask::ALL)]);
        let clocks = [Clock::At(0), Clock::At(900 * MS), Clock::Idle, Clock::Away];
        assert_eq!(overdue(0, &queue, None, &clocks), Some(('a', 2)));
        assert_eq!(overdue(0, &queue, Some('a'), &clocks), Some(('b', 2)), "a is still loaded");
    }

    #[test]
    fn nobody_moves_for_a_small_lead_and_nobody_where_he_may_not_run() {
        let both = queue(&[('a', CpuMask::only(0)), ('b', CpuMask(0b011))]);
        let to = |ahead| [Clock::At(0), Clock::At(50 * MS + ahead), Clock::At(9_000 * MS)];
        assert_eq!(overdue(0, &both, None, &to(LAG_NS)), None);
        assert_eq!(overdue(0, &both, None, &to(LAG_NS + 1)), Some(('b', 1)));
        assert_eq!(overdue(0, &both, Some('b'), &to(LAG_NS + 1)), None);
    }

    #[test]
    fn the_last_one_stays() {
        let alone = queue(&[('a', CpuMask::ALL)]);
        assert_eq!(overdue(0, &alone, None, &[Clock::At(0), Clock::Idle]), None);
    }

    #[test]
    fn clocks_far_apart_are_brought_within_the_leash_and_neighbours_keep_their_distance() {
        let at = |ms: u64| Clock::At(ms * MS);
        let raises = align(&[at(1000), Clock::Idle, at(100), at(995), at(90), Clock::Away]);
        let leash = LEASH_NS / MS;
        assert_eq!(
            raises[..6].iter().map(|ns| ns / MS).collect::<Vec<_>>(),
            [0, 0, 895 - leash, 0, 895 - leash, 0],
            "995 to 100 is the only wide gap"
        );
        let nobody = [0; MAX_CPUS];
        assert_eq!(align(&[at(10), at(10 + leash)]), nobody);
        assert_eq!(align(&[Clock::Idle, at(7), Clock::Away]), nobody);
        assert_eq!(align(&[Clock::Idle; 3]), nobody);
        assert_eq!(align(&[]), nobody);
    }

    #[test]
    fn clocks_are_compared_across_the_wrap() {
        let raises = align(&[Clock::At(u64::MAX - 100 * MS + 1), Clock::At(0)]);
        assert_eq!(raises[..2], [100 * MS - LEASH_NS, 0]);
    }
}
