//! Physical CPUs that one VM has alone: no vCPU of another VM and no thread of the host that is nobody's runner.

use alloc::format;
use alloc::string::{String, ToString};
use core::sync::atomic::{AtomicU64, Ordering};

use axsched::CpuMask;

use super::{runner, table};
use crate::host::thread;

/// The CPUs that some VM has alone.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// The CPUs of a mask, which are one VM's alone until this is dropped.
pub(crate) struct Exclusive(u64);

/// The mask of CPUs that are some VM's alone.
pub(super) fn taken() -> u64 {
    TAKEN.load(Ordering::SeqCst)
}

/// Which VM has `cpu` alone, by name.
pub(super) fn owner(cpu: usize) -> Option<String> {
    let has = |vm: &&alloc::sync::Arc<table::Vm>| vm.seats.has_alone(cpu);
    table::all().iter().find(has).map(|vm| vm.vm.name().to_string())
}

impl Exclusive {
    /// Takes the CPUs of `mask`; whoever is there goes elsewhere.
    ///
    /// # Errors
    /// A text for the operator: one is taken, or somebody would have nowhere to go.
    pub(super) fn take(mask: u64) -> Result<Self, String> {
        let shared = mask & taken();
        if shared != 0 {
            let cpu = shared.trailing_zeros() as usize;
            let owner = owner(cpu).unwrap_or_else(|| "another VM".into());
            return Err(format!("{owner} has CPU {cpu} alone: choose another, or delete {owner}"));
        }
        let left = runner::able() & !taken() & !mask;
        if left == 0 {
            return Err("no CPU would be left for the shell and other VMs: \
                        choose fewer, or do without `exclusive`"
                .into());
        }
        for vm in table::all() {
            if vm.seats.iter().any(|seat| seat.affinity().0 & !mask == 0) {
                let name = vm.vm.name();
                return Err(format!(
                    "{name} may run nowhere else: give it another affinity, or delete it"
                ));
            }
        }
        TAKEN.fetch_or(mask, Ordering::SeqCst);
        follow();
        Ok(Self(mask))
    }

    /// Whether `cpu` is one of them.
    pub(super) fn has(&self, cpu: usize) -> bool {
        CpuMask(self.0).contains(cpu)
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        TAKEN.fetch_and(!self.0, Ordering::SeqCst);
        follow();
    }
}

/// Tells everybody who runs or waits where he may be now.
fn follow() {
    thread::keep_off(taken());
    let vms = table::all();
    let may_run_on = |key: runner::VcpuKey| {
        let vm = vms.iter().find(|vm| vm.vm.id() == key.vm as usize);
        let seat = vm.and_then(|vm| vm.seats.seat(key.vcpu as usize));
        seat.map_or(CpuMask::ALL, |seat| seat.affinity())
    };
    for (_, runner) in runner::all() {
        runner.with(|queue| queue.runnable.renew_affinities(may_run_on));
        runner.attend();
    }
}
