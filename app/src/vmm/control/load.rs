//! Recent load, from two samples a second or two apart.

use alloc::vec;
use alloc::vec::Vec;

use crate::host::cpu;
use crate::vmm::table::{self, Vm};
use crate::vmm::time::now_ns;

/// How far apart samples are, in ns.
const PERIOD_NS: u64 = 1_000_000_000;

/// What everybody has run, in ns, at one moment.
#[derive(Default)]
struct Sample {
    at_ns: u64,
    /// By VM number.
    vms: Vec<(usize, u64)>,
    /// By physical CPU.
    cpus: Vec<u64>,
}

/// The last two samples.
#[derive(Default)]
pub(super) struct Load {
    older: Sample,
    newer: Sample,
}

impl Load {
    /// Takes a sample when it is time for one.
    pub(super) fn tick(&mut self) {
        if now_ns().saturating_sub(self.newer.at_ns) >= PERIOD_NS {
            self.older = core::mem::replace(&mut self.newer, Sample::now());
        }
    }

    /// The share of a CPU `vm` has had since the older sample that knows it, 1000 for one whole CPU.
    pub(super) fn of_vm(&self, vm: &Vm) -> Option<u32> {
        let of = |sample: &Sample| {
            let ran = sample.vms.iter().find(|(id, _)| *id == vm.vm.id())?.1;
            Some((sample.at_ns, ran))
        };
        let started_ns = now_ns().saturating_sub(vm.uptime_ns()?);
        let mut known = [&self.older, &self.newer].into_iter().filter_map(of);
        let (at_ns, ran_ns) = known.find(|(at, _)| *at > started_ns).unwrap_or((started_ns, 0));
        permille(ran_ns_of(vm).saturating_sub(ran_ns), now_ns().saturating_sub(at_ns))
    }

    /// How busy `cpu` has been with guests since the older sample, in permille.
    pub(super) fn of_cpu(&self, cpu: usize) -> Option<u32> {
        let before = self.older.cpus.get(cpu).map(|ran| (self.older.at_ns, *ran));
        let (at_ns, ran_ns) =
            before.or_else(|| self.newer.cpus.get(cpu).map(|ran| (self.newer.at_ns, *ran)))?;
        let now = Sample::now();
        let ran = now.cpus.get(cpu)?.saturating_sub(ran_ns);
        permille(ran, now.at_ns.saturating_sub(at_ns)).map(|busy| busy.min(1000))
    }
}

impl Sample {
    fn now() -> Self {
        let vms = table::all();
        let mut cpus = vec![0u64; cpu::count()];
        for seat in vms.iter().flat_map(|vm| vm.seats.iter()) {
            if let Some(ran) = cpus.get_mut(seat.home()) {
                *ran = ran.saturating_add(seat.ran_ns());
            }
        }
        let vms = vms.iter().map(|vm| (vm.vm.id(), ran_ns_of(vm))).collect();
        Self { at_ns: now_ns(), vms, cpus }
    }
}

/// The time all vCPUs of `vm` have run since it was started, in ns.
pub(super) fn ran_ns_of(vm: &Vm) -> u64 {
    vm.seats.iter().map(crate::vmm::seats::Seat::ran_ns).sum()
}

fn permille(part: u64, whole: u64) -> Option<u32> {
    let share = u128::from(part).saturating_mul(1000).checked_div(u128::from(whole))?;
    u32::try_from(share).ok()
}
