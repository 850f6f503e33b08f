//! Recent load, from two samples a second or two apart.

use alloc::vec::Vec;

use crate::host::cpu;
use crate::vmm::pcpu;
use crate::vmm::table::{self, Vm};
use crate::vmm::time::now_ns;

/// How far apart samples are, in ns.
const PERIOD_NS: u64 = 1_000_000_000;

/// What everybody has run, in ns, at one moment.
#[derive(Default)]
struct Sample {
    at_ns: u64,
    vms: Vec<VmSample>,
    /// By physical CPU.
    cpus: Vec<u64>,
}

/// What one VM has done since it was started.
#[derive(Clone, Copy, Default)]
struct VmSample {
    id: usize,
    ran_ns: u64,
    stolen_ns: u64,
    exits: u64,
}

/// What one VM has done recently.
#[derive(Clone, Copy, Default)]
pub(super) struct Recent {
    /// Its share of a CPU, 1000 for one whole CPU.
    pub(super) cpu_permille: Option<u32>,
    /// For how long its vCPUs were ready and did not run, on the same scale.
    pub(super) steal_permille: Option<u32>,
    pub(super) exits_per_s: Option<u64>,
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

    /// What `vm` has done since the older sample that knows its present run, or since its start.
    pub(super) fn of_vm(&self, vm: &Vm) -> Recent {
        let Some(uptime_ns) = vm.uptime_ns() else {
            return Recent::default();
        };
        let now_ns = now_ns();
        let started_ns = now_ns.saturating_sub(uptime_ns);
        let of = |sample: &Sample| {
            let known = sample.vms.iter().find(|known| known.id == vm.vm.id())?;
            (sample.at_ns > started_ns).then_some((sample.at_ns, *known))
        };
        let known = [&self.older, &self.newer].into_iter().find_map(of);
        let (at_ns, before) = known.unwrap_or((started_ns, VmSample::default()));
        let now = VmSample::of(vm);
        let passed_ns = now_ns.saturating_sub(at_ns);
        let exits = u128::from(now.exits.saturating_sub(before.exits));
        let per_s = exits.saturating_mul(1_000_000_000).checked_div(u128::from(passed_ns));
        Recent {
            cpu_permille: permille(now.ran_ns.saturating_sub(before.ran_ns), passed_ns),
            steal_permille: permille(now.stolen_ns.saturating_sub(before.stolen_ns), passed_ns),
            exits_per_s: per_s.and_then(|exits| u64::try_from(exits).ok()),
        }
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

impl VmSample {
    fn of(vm: &Vm) -> Self {
        let exits = (0..vm.vm.vcpu_num()).map(|vcpu| exits_of(vm, vcpu)).sum();
        Self { id: vm.vm.id(), ran_ns: ran_ns_of(vm), stolen_ns: stolen_ns_of(vm), exits }
    }
}

impl Sample {
    fn now() -> Self {
        let vms = table::all();
        let cpus = (0..cpu::count()).map(pcpu::ran_ns).collect();
        let vms = vms.iter().map(|vm| VmSample::of(vm)).collect();
        Self { at_ns: now_ns(), vms, cpus }
    }
}

/// The time all vCPUs of `vm` have run since it was started, in ns.
pub(super) fn ran_ns_of(vm: &Vm) -> u64 {
    vm.seats.iter().map(crate::vmm::seats::Seat::ran_ns).sum()
}

/// For how long all vCPUs of `vm` were ready and did not run since it was started, in ns.
pub(super) fn stolen_ns_of(vm: &Vm) -> u64 {
    vm.seats.iter().map(|seat| seat.usage.stolen_ns()).sum()
}

/// How often vCPU `vcpu` of `vm` has left the guest since it was started.
pub(super) fn exits_of(vm: &Vm, vcpu: usize) -> u64 {
    vm.vm.exits(vcpu).map(|(_, count)| count).sum()
}

fn permille(part: u64, whole: u64) -> Option<u32> {
    let share = u128::from(part).saturating_mul(1000).checked_div(u128::from(whole))?;
    u32::try_from(share).ok()
}
