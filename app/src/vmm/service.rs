//! What happens to a VM after its last vCPU is out: the operator is told, and it may start again.

use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use axvm::{State, StopReason};
use axvmconfig::RestartPolicy;

use super::notice;
use super::table::{self, Vm};
use super::time::{duration_ns, now_ns};
use crate::host::thread::{self, Bell};

static BELL: Bell = Bell::new();
static ENDED: AtomicBool = AtomicBool::new(false);

/// How long nothing is looked at when nothing rings.
const PERIOD: Duration = Duration::from_millis(250);
/// A VM starts again by itself no sooner than this after its last start, so that one in a loop of
/// resets leaves the machine to the others.
const NOT_SOONER: Duration = Duration::from_secs(1);
/// After this many resets it starts no sooner than [`MUCH_LATER`]: the host loads its images each time, before any guest runs.
const RESETS: usize = 5;
const MUCH_LATER: Duration = Duration::from_secs(10);
/// A VM that its policy has restarted this often is left stopped.
const RESTARTS: usize = 5;
/// Resets and restarts count for this long.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What is remembered of one VM.
struct Watch {
    of: Weak<Vm>,
    /// Its present end has been dealt with.
    settled: bool,
    /// When its policy restarted it, in nanoseconds.
    restarts: Vec<u64>,
    /// When it started again after a reset, in nanoseconds.
    resets: Vec<u64>,
}

/// Some VM has just ended its run. Called by a runner, outside of any guest.
pub(crate) fn vm_ended() {
    ENDED.store(true, Ordering::Release);
    BELL.ring();
}

/// Starts the service.
pub(crate) fn start() {
    thread::spawn("vm-service", thread::Rank::Service, None, || {
        let mut watches = Vec::new();
        loop {
            BELL.wait(PERIOD, || ENDED.swap(false, Ordering::AcqRel));
            look_around(&mut watches);
        }
    });
}

fn look_around(watches: &mut Vec<Watch>) {
    let vms = table::all();
    watches.retain(|watch| vms.iter().any(|vm| watch.is_of(vm)));
    for vm in vms {
        if !watches.iter().any(|watch| watch.is_of(&vm)) {
            let of = Arc::downgrade(&vm);
            watches.push(Watch { of, settled: false, restarts: Vec::new(), resets: Vec::new() });
        }
        if let Some(watch) = watches.iter_mut().find(|watch| watch.is_of(&vm)) {
            watch.look_at(&vm);
        }
    }
}

impl Watch {
    /// Names and numbers are used again; this VM is not.
    fn is_of(&self, vm: &Arc<Vm>) -> bool {
        core::ptr::eq(self.of.as_ptr(), Arc::as_ptr(vm))
    }

    fn look_at(&mut self, vm: &Arc<Vm>) {
        let State::Stopped(reason) = vm.vm.state() else {
            self.settled = false;
            return;
        };
        if self.settled || !vm.is_out() {
            return;
        }
        let name = vm.vm.name();
        match reason {
            StopReason::Operator | StopReason::NotLoaded(_) => self.settled = true,
            // The shell, which asked for it, says so.
            StopReason::PowerOff | StopReason::Reset if vm.is_asked() => self.settled = true,
            StopReason::Reset => self.reset(vm),
            StopReason::PowerOff | StopReason::Fault { .. } | StopReason::Watchdog => {
                if self.restarts(vm, &reason) && vm.since_start_ns() < duration_ns(NOT_SOONER) {
                    return;
                }
                self.settled = true;
                notice::post(format!("{name} stopped: {reason}"));
                self.restart(vm, &reason);
            }
        }
    }

    /// Lets the VM, whose guest has reset it, start again.
    fn reset(&mut self, vm: &Vm) {
        let (name, now) = (vm.vm.name(), now_ns());
        forget_old(&mut self.resets, now);
        let pause = if self.resets.len() < RESETS { NOT_SOONER } else { MUCH_LATER };
        if vm.since_start_ns() < duration_ns(pause) {
            return;
        }
        self.resets.push(now);
        match vm.reset() {
            Ok(()) => notice::post(format!("{name} resets")),
            Err(error) => notice::post(format!("{name} does not start again: {error}")),
        }
        if self.resets.len() == RESETS {
            let (within, pause) = (REMEMBERED.as_secs(), MUCH_LATER.as_secs());
            notice::post(format!(
                "{name} has reset itself {RESETS} times within {within} s: from now on it starts again after {pause} s"
            ));
        }
    }

    fn restarts(&self, vm: &Vm, reason: &StopReason) -> bool {
        if vm.is_asked() {
            return false;
        }
        match vm.vm.config().base.restart {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => {
                matches!(reason, StopReason::Fault { .. } | StopReason::Watchdog)
            }
            RestartPolicy::Always => true,
        }
    }

    /// Does what the VM's policy says.
    fn restart(&mut self, vm: &Vm, reason: &StopReason) {
        if !self.restarts(vm, reason) {
            return;
        }
        let name = vm.vm.name();
        let now = now_ns();
        forget_old(&mut self.restarts, now);
        if self.restarts.len() >= RESTARTS {
            let within = REMEMBERED.as_secs();
            notice::post(format!(
                "{name} was restarted {RESTARTS} times within {within} s: it stays stopped"
            ));
            return;
        }
        self.restarts.push(now);
        match vm.start() {
            Ok(()) => notice::post(format!("{name} restarts")),
            Err(error) => notice::post(format!("{name} does not restart: {error}")),
        }
    }
}

/// Takes out of `times` what counts no more.
fn forget_old(times: &mut Vec<u64>, now: u64) {
    times.retain(|at| now.saturating_sub(*at) < duration_ns(REMEMBERED));
}
