//! Where a vCPU belongs: its home CPU, and whether it should move.
//!
//! A load is the sum of the weights that have their home on a CPU, indexed by CPU. These functions decide and
//! move nothing.

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

/// A vCPU that waits for its turn on `home`, as [`steal`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<T> {
    /// Who it is.
    pub key: T,
    /// The CPU it waits on.
    pub home: usize,
    /// Its weight.
    pub weight: u32,
    /// Where it may run.
    pub affinity: CpuMask,
}

/// The least loaded CPU that `affinity` allows, or `None` when it allows none of `loads`.
///
/// Among equals `last`, where it ran before and its caches are warm, then the lowest number.
pub fn choose_home(affinity: CpuMask, loads: &[u64], last: Option<usize>) -> Option<usize> {
    let allowed = loads.iter().enumerate().filter(|(cpu, _)| affinity.contains(*cpu));
    allowed.min_by_key(|&(cpu, load)| (*load, last != Some(cpu), cpu)).map(|(cpu, _)| cpu)
}

/// Where a vCPU of `weight` on CPU `from` should move, or `None` when it should stay.
///
/// It moves only if its new CPU is then still less loaded than its old one was, so that it never moves back and
/// forth, or if `affinity` no longer allows `from`. `loads` counts it on `from`.
pub fn balance(from: usize, weight: u32, affinity: CpuMask, loads: &[u64]) -> Option<usize> {
    let to = choose_home(affinity, loads, Some(from)).filter(|to| *to != from)?;
    if !affinity.contains(from) {
        return Some(to);
    }
    let loaded = loads.get(to)?.saturating_add(u64::from(weight));
    (loaded < *loads.get(from)?).then_some(to)
}

/// Which waiting vCPU the idle CPU `thief` should take: one it may run, from the most loaded CPU.
///
/// Among equals the heaviest, then the first. The caller lists only vCPUs that wait while another one runs.
pub fn steal<T: Copy>(
    thief: usize,
    loads: &[u64],
    candidates: impl Iterator<Item = Candidate<T>>,
) -> Option<Candidate<T>> {
    let rank = |one: &Candidate<T>| (loads.get(one.home).copied().unwrap_or(0), one.weight);
    let allowed = candidates.filter(|one| one.home != thief && one.affinity.contains(thief));
    allowed.reduce(|best, one| if rank(&one) > rank(&best) { one } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            if let Some(load) = loads.get_mut(cpu) {
                *load = u64::MAX;
            }
            assert_eq!(choose_home(CpuMask::only(cpu), &loads, None), Some(cpu));
            assert_eq!(balance(cpu, 100, CpuMask::only(cpu), &loads), None);
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

    #[test]
    fn balance_moves_only_when_that_helps_and_never_back() {
        assert_eq!(balance(0, 100, CpuMask::ALL, &[300, 100]), Some(1));
        assert_eq!(balance(1, 100, CpuMask::ALL, &[200, 200]), None);
        assert_eq!(balance(0, 100, CpuMask::ALL, &[200, 100]), None);
        assert_eq!(balance(0, 100, CpuMask::ALL, &[100, 0]), None);
    }

    #[test]
    fn balance_leaves_a_cpu_that_is_no_longer_allowed() {
        assert_eq!(balance(0, 100, CpuMask::only(1), &[100, 900]), Some(1));
        assert_eq!(balance(9, 100, CpuMask::ALL, &[100, 900]), None);
    }

    #[test]
    fn an_idle_cpu_takes_from_the_most_loaded_one_what_it_may_run() {
        let one = |key, home, affinity| Candidate { key, home, weight: 100, affinity };
        let waiting =
            [one('a', 0, CpuMask::ALL), one('b', 1, CpuMask::ALL), one('c', 1, CpuMask::only(1))];
        let taken = steal(2, &[200, 300, 0], waiting.into_iter());
        assert_eq!(taken.map(|taken| taken.key), Some('b'));
        assert_eq!(steal(2, &[200, 300, 0], waiting.into_iter().skip(2)), None);
    }
}
