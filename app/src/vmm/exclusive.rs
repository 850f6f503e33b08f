//! Physical CPUs that one VM has alone: no vCPU of another VM and no thread of the host that is nobody's runner.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use axsched::CpuMask;
use kspin::SpinNoIrq;

use super::pcpu;
use crate::host::thread;

/// The CPUs of one VM.
struct Owned {
    cpus: CpuMask,
    by: String,
}

static OWNED: SpinNoIrq<Vec<Owned>> = SpinNoIrq::new(Vec::new());

/// All CPUs in [`OWNED`], for who must not wait.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// The CPUs of a mask, which are one VM's alone until this is dropped.
pub(crate) struct Exclusive(CpuMask);

/// The CPUs that are some VM's alone. Exit code calls this.
pub(super) fn taken() -> CpuMask {
    CpuMask(TAKEN.load(Ordering::SeqCst))
}

/// Which VM has `cpu` alone, by name.
pub(super) fn owner(cpu: usize) -> Option<String> {
    OWNED.lock().iter().find(|owned| owned.cpus.contains(cpu)).map(|owned| owned.by.clone())
}

impl Exclusive {
    /// Takes the CPUs of `cpus` for VM `name`; whoever is there goes elsewhere.
    ///
    /// # Errors
    /// A text for the operator: one is taken, or none would be left.
    pub(super) fn take(name: &str, cpus: CpuMask) -> Result<Self, String> {
        let mut owned = OWNED.lock();
        let taken = owned.iter().find(|owned| owned.cpus.0 & cpus.0 != 0);
        if let Some(Owned { cpus: others, by }) = taken {
            let cpu = (others.0 & cpus.0).trailing_zeros();
            return Err(format!("{by} has CPU {cpu} alone: choose another, or delete {by}"));
        }
        if pcpu::able().0 & !taken_by(&owned) & !cpus.0 == 0 {
            return Err("no CPU would be left for the shell and other VMs: \
                        choose fewer, or do without `exclusive`"
                .into());
        }
        owned.push(Owned { cpus, by: name.to_string() });
        TAKEN.store(taken_by(&owned), Ordering::SeqCst);
        drop(owned);
        tell_all();
        Ok(Self(cpus))
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        let mut owned = OWNED.lock();
        owned.retain(|owned| owned.cpus != self.0);
        TAKEN.store(taken_by(&owned), Ordering::SeqCst);
        drop(owned);
        tell_all();
    }
}

fn taken_by(owned: &[Owned]) -> u64 {
    owned.iter().fold(0, |mask, owned| mask | owned.cpus.0)
}

/// Tells everybody who runs or waits where he may be now.
fn tell_all() {
    thread::keep_off(taken().0);
    pcpu::tell_affinities_changed();
}
