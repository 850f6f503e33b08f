//! The table of VMs: from names, numbers and run-queue keys to what is behind them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use arm_vcpu::Aarch64VCpu;
use axshell::CreateOptions;
use axvm::{AxVM, AxVMRef, Ports, State, StopReason};
use axvmconfig::AxVMCrateConfig;
use kspin::SpinNoIrq;

use super::console::History;
use super::runner::VcpuKey;
use super::seats::{Seats, Status};
use super::time::now_ns;
use super::{bundle, notice};
use crate::host::memory::Host;

/// One VM and what the hypervisor keeps beside it.
pub(crate) struct Vm {
    pub(crate) vm: AxVMRef<Host, Aarch64VCpu>,
    pub(crate) seats: Arc<Seats>,
    pub(crate) console: Arc<History>,
    /// When it was last started, in nanoseconds of the counter.
    started_ns: AtomicU64,
}

static VMS: SpinNoIrq<Vec<Arc<Vm>>> = SpinNoIrq::new(Vec::new());

/// All VMs, by number.
pub(crate) fn all() -> Vec<Arc<Vm>> {
    VMS.lock().clone()
}

/// The VM of that name or number.
pub(crate) fn by_name(name: &str) -> Option<Arc<Vm>> {
    let vms = VMS.lock();
    let found = vms.iter().find(|vm| vm.vm.name() == name);
    found.or_else(|| vms.iter().find(|vm| vm.vm.id().to_string() == name)).cloned()
}

/// The VM of a vCPU in a run queue.
pub(crate) fn by_key(key: VcpuKey) -> Option<Arc<Vm>> {
    VMS.lock().iter().find(|vm| vm.vm.id() == key.vm as usize).cloned()
}

/// Creates a VM from the configuration `file` of the bundle. Gives its name.
///
/// # Errors
/// A text for the operator.
pub(crate) fn create(file: &str, options: &CreateOptions) -> Result<String, String> {
    let (mut config, images) = bundle::open(file)?;
    apply(&mut config, options);
    let name = config.base.name.clone();
    if by_name(&name).is_some() {
        return Err(format!("there is a VM {name} already; choose another with --name"));
    }
    let id = free_id(config.base.id)?;
    let key = u32::try_from(id).map_err(|_| format!("{id} is too large for a VM's id"))?;
    let seats = Seats::new(key, &config)
        .map_err(|vcpu| format!("vCPU {vcpu} may use only CPUs that this machine does not have"))?;
    let seats = Arc::new(seats);
    let console = Arc::new(History::new());
    let ports = Ports { console: console.clone(), vcpus: seats.clone() };
    let vm = AxVM::new(id, config, images, ports).map_err(|error| format!("{name}: {error}"))?;
    let vm = Arc::new(Vm { vm, seats, console, started_ns: AtomicU64::new(0) });
    let mut vms = VMS.lock();
    let at = vms.partition_point(|other| other.vm.id() < id);
    vms.insert(at, vm);
    Ok(name)
}

fn apply(config: &mut AxVMCrateConfig, options: &CreateOptions) {
    if let Some(name) = &options.name {
        config.base.name.clone_from(name);
    }
    if let (Some(bytes), Some(region)) = (options.memory_bytes, config.memory_regions.first_mut()) {
        region.size = usize::try_from(bytes).unwrap_or(usize::MAX) & !0xfff;
    }
    if let Some(cpus) = options.cpus {
        config.base.cpu_num = cpus;
    }
}

fn free_id(wanted: Option<usize>) -> Result<usize, String> {
    let vms = VMS.lock();
    let taken = |id: usize| vms.iter().any(|vm| vm.vm.id() == id);
    match wanted {
        Some(id) if taken(id) => Err(format!("there is a VM with id {id} already")),
        Some(id) => Ok(id),
        None => Ok((1..=vms.len() + 1).find(|id| !taken(*id)).unwrap_or(vms.len() + 1)),
    }
}

/// Starts what the board starts by itself.
pub(crate) fn start_automatic() {
    for file in bundle::automatic() {
        let started = create(&file, &CreateOptions::default())
            .and_then(|name| by_name(&name).ok_or(name))
            .and_then(|vm| vm.start());
        if let Err(error) = started {
            notice::post(format!("{file} was not started: {error}"));
        }
    }
}

/// Takes a VM that does not run out of the table; its memory is free once nobody looks at it any more.
///
/// # Errors
/// A text for the operator.
pub(crate) fn delete(vm: &Arc<Vm>) -> Result<(), String> {
    if !vm.is_out() {
        return Err(format!(
            "{} is {}: stop it first, or use --force",
            vm.vm.name(),
            vm.vm.state()
        ));
    }
    VMS.lock().retain(|other| !Arc::ptr_eq(other, vm));
    Ok(())
}

impl Vm {
    /// Boots it.
    ///
    /// # Errors
    /// A text for the operator.
    pub(crate) fn start(&self) -> Result<(), String> {
        self.vm.boot().map_err(|error| format!("{}: {error}", self.vm.name()))?;
        self.started_ns.store(now_ns(), Ordering::Relaxed);
        Ok(())
    }

    /// Asks it to stop; it has once [`is_out`](Self::is_out) says so.
    ///
    /// # Errors
    /// A text for the operator.
    pub(crate) fn request_stop(&self) -> Result<(), String> {
        self.vm.shutdown(StopReason::Operator).map_err(|error| format!("{error}"))
    }

    /// Whether all its vCPUs are out of the guest and out of every CPU.
    pub(crate) fn is_out(&self) -> bool {
        self.vm.state().is_out() && self.seats.iter().all(|seat| seat.status() == Status::Off)
    }

    /// How long it has been running, in nanoseconds.
    pub(crate) fn uptime_ns(&self) -> Option<u64> {
        let running = matches!(self.vm.state(), State::Running | State::Stopping(_));
        running.then(|| now_ns().saturating_sub(self.started_ns.load(Ordering::Relaxed)))
    }
}
