//! The table of VMs: from names and numbers to what is behind them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use arm_vcpu::Aarch64VCpu;
use axvm::{AxVMError, AxVMRef, Boot, State};
use kspin::SpinNoIrq;

use super::console::History;
use super::exclusive::Exclusive;
use super::passthrough::Given;
use super::seats::{Seats, Status};
use super::time::{duration_ns as ns, now_ns};
use crate::host::memory::Host;
use crate::host::{devices, thread};

/// One VM and what the hypervisor keeps beside it.
pub(crate) struct Vm {
    pub(crate) vm: AxVMRef<Host, Aarch64VCpu>,
    pub(crate) seats: Arc<Seats>,
    pub(crate) console: Arc<History>,
    /// What making it took of the host's heap, in bytes.
    pub(crate) heap_bytes: usize,
    pub(super) run: Run,
    /// Given back after `vm`, which maps them.
    pub(crate) given: Given,
    /// The CPUs that are its alone, if it has such.
    pub(super) _exclusive: Option<Exclusive>,
}

/// Its present run, or its last.
#[derive(Default)]
pub(super) struct Run {
    /// When it began, in nanoseconds of the counter.
    started_ns: AtomicU64,
    /// The guest has been asked to power off: it shall not start again by itself.
    asked: AtomicBool,
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

/// The VM of that number. Runners call this.
pub(crate) fn by_id(id: u32) -> Option<Arc<Vm>> {
    VMS.lock().iter().find(|vm| vm.vm.id() == id as usize).cloned()
}

/// Puts a VM into reach.
pub(super) fn add(vm: Vm) {
    let mut vms = VMS.lock();
    vms.push(Arc::new(vm));
    vms.sort_unstable_by_key(|vm| vm.vm.id());
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
        self.run.asked.store(false, Ordering::Release);
        self.vm.boot(why)?;
        self.console.set_start(said_before);
        self.run.started_ns.store(now_ns(), Ordering::Relaxed);
        if let Some(boot) = self.seats.seat(0) {
            self.given.start(boot.home());
        }
        Ok(())
    }

    /// Presses the power key; false if the guest cannot be asked.
    pub(crate) fn press_power_key(&self) -> bool {
        // Before the guest knows: it may be off in no time.
        let before = self.run.asked.swap(true, Ordering::AcqRel);
        let pressed = self.vm.press_power_key();
        if !pressed {
            self.run.asked.store(before, Ordering::Release);
        }
        pressed
    }

    /// Whether its guest has been asked to power off in this run.
    pub(crate) fn is_asked(&self) -> bool {
        self.run.asked.load(Ordering::Acquire)
    }

    /// Makes interrupt `intid` of the host the guest's. If it does not run, it stays back until it starts.
    pub(crate) fn host_interrupt(&self, intid: u32) {
        if !self.vm.state().is_out() {
            devices::hand_over(intid);
            self.vm.host_interrupt(intid);
        }
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
        now_ns().saturating_sub(self.run.started_ns.load(Ordering::Relaxed))
    }
}
