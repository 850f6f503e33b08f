//! The table of VMs: from names, numbers and run-queue keys to what is behind them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use arm_vcpu::Aarch64VCpu;
use axshell::CreateOptions;
use axvm::{AxVM, AxVMError, AxVMRef, Boot, Channels, Images, Ports, State};
use axvmconfig::{AxVMCrateConfig, EmulatedDeviceType, Overrides};
use kspin::SpinNoIrq;

use super::console::History;
use super::passthrough::Given;
use super::runner::VcpuKey;
use super::seats::{Seats, Status};
use super::time::{duration_ns as ns, now_ns};
use super::{bundle, notice, watchdog};
use crate::host::memory::{self, Host};
use crate::host::thread;

/// One VM and what the hypervisor keeps beside it.
pub(crate) struct Vm {
    pub(crate) vm: AxVMRef<Host, Aarch64VCpu>,
    pub(crate) seats: Arc<Seats>,
    pub(crate) console: Arc<History>,
    /// When it was last started, in nanoseconds of the counter.
    started_ns: AtomicU64,
    /// Its guest has been asked to power off: it shall not start again by itself.
    asked: AtomicBool,
    /// What making it took of the host's heap, in bytes.
    pub(crate) heap_bytes: usize,
    /// Given back after `vm`, which maps them.
    pub(crate) given: Given,
}

/// The memory they share.
static CHANNELS: Channels = Channels::new();

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

/// Says what VMs there are and what they do, without waiting for anything.
///
/// # Errors
/// Those of `out`.
pub(crate) fn report(out: &mut dyn Write) -> fmt::Result {
    let Some(vms) = VMS.try_lock() else {
        return out.write_str("the table of VMs was in use\n");
    };
    for vm in vms.iter() {
        write!(out, "VM {} {}: ", vm.vm.id(), vm.vm.name())?;
        match vm.vm.try_state() {
            Some(state) => write!(out, "{state}, vCPUs")?,
            None => out.write_str("between two states, vCPUs")?,
        }
        for seat in vm.seats.iter() {
            write!(out, " {:?} on CPU {}", seat.status(), seat.home())?;
        }
        out.write_str("\n")?;
    }
    Ok(())
}

/// The VM of a vCPU in a run queue.
pub(crate) fn by_key(key: VcpuKey) -> Option<Arc<Vm>> {
    VMS.lock().iter().find(|vm| vm.vm.id() == key.vm as usize).cloned()
}

/// Host heap that a VM takes beside its memory, at most: for itself and for each vCPU.
const HEAP_PER_VM: usize = 256 << 10;
const HEAP_PER_VCPU: usize = 16 << 10;
/// Host heap that is always left, for what is needed for a while only: docs/panics.md adds it up.
const HEAP_KEPT: usize = 16 << 20;

/// Whether the host's heap has room for `bytes` more beside what is always left, which has to be in one piece.
fn has_heap(bytes: usize) -> bool {
    memory::heap_use().1 >= bytes.saturating_add(HEAP_KEPT) && memory::has_heap_block(HEAP_KEPT)
}

const HEAP_USED_UP: &str = "the host's heap is almost used up: delete a VM first";

/// The configuration `file` of the bundle with the operator's changes, and its images.
///
/// # Errors
/// A text for the operator.
pub(crate) fn config(
    file: &str,
    options: &CreateOptions,
) -> Result<(AxVMCrateConfig, Images), String> {
    // To read a text takes much more than the text.
    if !has_heap(0) {
        return Err(HEAP_USED_UP.into());
    }
    let (config, images) = bundle::open(file)?;
    let config = config.with_overrides(&Overrides {
        name: options.name.clone(),
        memory: options.memory_bytes,
        cpus: options.cpus,
        cmdline: options.cmdline.clone(),
    })?;
    Ok((config, images))
}

/// Creates a VM from the configuration `file` of the bundle. Gives its name.
///
/// # Errors
/// A text for the operator.
pub(crate) fn create(file: &str, options: &CreateOptions) -> Result<String, String> {
    let (heap_before, _) = memory::heap_use();
    let (config, images) = config(file, options)?;
    let name = config.base.name.clone();
    if by_name(&name).is_some() {
        return Err(format!("there is a VM {name} already; choose another with --name"));
    }
    check_room(&name, &config)?;
    let mut devices = config.devices.emu_devices.iter();
    if devices.any(|device| device.emu_type == EmulatedDeviceType::Watchdog) {
        watchdog::start()?;
    }
    let id = free_id(config.base.id)?;
    let key = u32::try_from(id).map_err(|_| format!("{id} is too large for a VM's id"))?;
    let seats = Arc::new(Seats::new(key, &config).map_err(|error| format!("{name}: {error}"))?);
    let console = Arc::new(History::new());
    let given = Given::new(key, &config).map_err(|error| format!("{name}: {error}"))?;
    let devices = given.devices().to_vec();
    let ports =
        Ports { console: console.clone(), vcpus: seats.clone(), devices, channels: &CHANNELS };
    let vm = AxVM::new(id, config, images, ports).map_err(|error| format!("{name}: {error}"))?;
    let (started_ns, asked) = (AtomicU64::new(0), AtomicBool::new(false));
    let heap_bytes = memory::heap_use().0.saturating_sub(heap_before);
    let vm = Arc::new(Vm { vm, seats, console, started_ns, asked, heap_bytes, given });
    let mut vms = VMS.lock();
    vms.push(vm);
    vms.sort_unstable_by_key(|vm| vm.vm.id());
    Ok(name)
}

/// Whether the host has what the VM needs.
fn check_room(name: &str, config: &AxVMCrateConfig) -> Result<(), String> {
    const MIB: usize = 1 << 20;
    let channels = CHANNELS.bytes_to_bring(&config.devices.channels);
    let (wanted, free) = (config.memory_total().saturating_add(channels), memory::pool_use().free);
    if wanted > free {
        let (wanted, free) = (wanted.div_ceil(MIB), free / MIB);
        return Err(format!(
            "{name} needs {wanted} MiB and {free} MiB are free: give it less, or delete a VM"
        ));
    }
    let of_vcpus = config.base.cpu_num.saturating_mul(HEAP_PER_VCPU);
    if !has_heap(of_vcpus.saturating_add(HEAP_PER_VM)) {
        return Err(format!("{name}: {HEAP_USED_UP}"));
    }
    Ok(())
}

fn free_id(wanted: Option<usize>) -> Result<usize, String> {
    let vms = VMS.lock();
    let taken = |id: usize| vms.iter().any(|vm| vm.vm.id() == id);
    match wanted {
        Some(id) if taken(id) => Err(format!("there is a VM with id {id} already")),
        Some(id) => Ok(id),
        None => {
            let last = vms.len().saturating_add(1);
            Ok((1..=last).find(|id| !taken(*id)).unwrap_or(last))
        }
    }
}

/// Starts what the board starts by itself.
pub(crate) fn start_automatic() {
    for file in bundle::automatic() {
        let started = create(&file, &CreateOptions::default())
            .and_then(|name| by_name(&name).ok_or(name))
            .and_then(|vm| vm.start().map_err(|error| format!("{error}")));
        if let Err(error) = started {
            notice::post(format!("{file} was not started: {error}"));
        }
    }
}

/// How long the last user of a deleted VM may take to let go of it.
const LET_GO_WITHIN: Duration = Duration::from_secs(2);

/// Takes a VM that does not run out of reach for good.
///
/// # Errors
/// A text for the operator.
pub(crate) fn retire(vm: &Vm) -> Result<(), String> {
    let (name, state) = (vm.vm.name(), vm.vm.state());
    if !vm.is_out() {
        return Err(format!("{name} is {state}: stop it first, or use --force"));
    }
    vm.vm.retire().map_err(|error| format!("{name}: {error}"))
}

/// Deletes a VM that is retired: takes it out of the table, and gives its memory back once nobody
/// else looks at it any more.
pub(crate) fn delete(vm: Arc<Vm>) {
    VMS.lock().retain(|other| !Arc::ptr_eq(other, &vm));
    let end = now_ns().saturating_add(ns(LET_GO_WITHIN));
    while Arc::strong_count(&vm) > 1 && now_ns() < end {
        thread::sleep(Duration::from_millis(1));
    }
    thread::beside_guests(|| drop(vm));
}

static LOADING: AtomicBool = AtomicBool::new(false);

/// The right to load images: one VM at a time, because the host's heap has room for one decoder.
struct LoadingTurn;

impl LoadingTurn {
    /// Waits until nobody else has it.
    fn take() -> Self {
        while LOADING.swap(true, Ordering::Acquire) {
            thread::sleep(Duration::from_millis(2));
        }
        Self
    }
}

impl Drop for LoadingTurn {
    fn drop(&mut self) {
        LOADING.store(false, Ordering::Release);
    }
}

impl Vm {
    /// Boots it.
    ///
    /// # Errors
    /// What [`AxVM::boot`] gives.
    pub(crate) fn start(&self) -> Result<(), AxVMError> {
        self.boot(Boot::Operator)
    }

    /// Boots it again because its guest asked for a reset, unless the operator has decided otherwise.
    ///
    /// # Errors
    /// What [`AxVM::boot`] gives.
    pub(crate) fn reset(&self) -> Result<(), AxVMError> {
        self.boot(Boot::AfterReset)
    }

    fn boot(&self, why: Boot) -> Result<(), AxVMError> {
        let _turn = LoadingTurn::take();
        // Before it runs, so that nothing of a short run is forgotten; and not while it runs.
        if self.is_out() {
            self.seats.iter().for_each(|seat| seat.usage.reset());
        }
        let said_before = self.console.written();
        self.asked.store(false, Ordering::Release);
        self.vm.boot(why)?;
        self.console.set_start(said_before);
        self.started_ns.store(now_ns(), Ordering::Relaxed);
        if let Some(boot) = self.seats.seat(0) {
            self.given.start(boot.home());
        }
        Ok(())
    }

    /// Presses the power key; false if the guest cannot be asked.
    pub(crate) fn press_power_key(&self) -> bool {
        // Before the guest knows: it may be off in no time.
        let before = self.asked.swap(true, Ordering::AcqRel);
        let pressed = self.vm.press_power_key();
        if !pressed {
            self.asked.store(before, Ordering::Release);
        }
        pressed
    }

    /// Whether its guest has been asked to power off in this run.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Whether all its vCPUs are out of the guest and out of every CPU.
    pub(crate) fn is_out(&self) -> bool {
        self.vm.state().is_out() && self.seats.iter().all(|seat| seat.status() == Status::Off)
    }

    /// How long it has been running, in nanoseconds.
    pub(crate) fn uptime_ns(&self) -> Option<u64> {
        let state = self.vm.state();
        (!state.is_out() && state != State::Starting).then(|| self.since_start_ns())
    }

    /// How long ago it was last started, in nanoseconds.
    pub(crate) fn since_start_ns(&self) -> u64 {
        now_ns().saturating_sub(self.started_ns.load(Ordering::Relaxed))
    }
}
