//! Moving VMs from state to state, and waiting until they are there.

use alloc::format;
use alloc::sync::Arc;
use core::time::Duration;

use axshell::{ControlError, ControlResult, DeleteMode, OnProgress, Stopped};
use axvm::{AxVMError, State, StopReason};

use super::work::Worker;
use crate::host::thread;
use crate::vmm::table::{self, Vm};
use crate::vmm::time::{duration_ns, now_ns};

/// How long a VM may take to leave the CPUs once it is told to.
const OUT_WITHIN: Duration = Duration::from_secs(2);
/// How long loading its images may take when somebody else loads them.
const LOADED_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(2);
/// How long the power key is held: drivers look at it again a few milliseconds after it moved.
const KEY_HELD: Duration = Duration::from_millis(200);

/// Why `vm` refuses, in the operator's words.
pub(super) fn refusal(vm: &Vm, error: &AxVMError) -> ControlError {
    let name = vm.vm.name();
    let AxVMError::State { state, wanted } = error else {
        return ControlError::new(format!("{name}: {error}"));
    };
    if format!("{state}") == *wanted || (*wanted == "started" && !state.is_out()) {
        return ControlError::new(format!("{name} is {state} already"));
    }
    let advice = match state {
        State::Created | State::Stopped(_) => format!("; vm start {name} starts it"),
        State::Paused => format!("; vm resume {name} lets it go on"),
        State::Starting | State::Running | State::Pausing | State::Stopping(_) | State::Deleted => {
            "".into()
        }
    };
    ControlError::new(format!("{name} is {state}, so it cannot be {wanted}{advice}"))
}

/// Waits until `there` says so; a sentence about `what` it is not `within` that time.
fn wait_until(
    vm: &Vm,
    what: &str,
    within: Duration,
    there: impl Fn() -> bool,
) -> ControlResult<()> {
    let end = now_ns().saturating_add(duration_ns(within));
    while !there() {
        if now_ns() >= end {
            let (name, state, seconds) = (vm.vm.name(), vm.vm.state(), within.as_secs());
            let message = format!("{name} is not {what} after {seconds} s, but {state}; try again");
            return Err(ControlError::new(message));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn end(vm: &Vm, reason: StopReason) -> ControlResult<()> {
    vm.vm.shutdown(reason).map_err(|error| refusal(vm, &error))?;
    // After a reset it may have been started again meanwhile.
    let again = || matches!(vm.vm.state(), State::Starting | State::Running);
    wait_until(vm, "stopped", OUT_WITHIN, || vm.is_out() || again())
}

/// Boots `vm`.
pub(super) fn start(
    vm: &Arc<Vm>,
    worker: &mut Worker,
    progress: OnProgress<'_>,
) -> ControlResult<()> {
    let theirs = vm.clone();
    worker
        .run("loading", || (0, 0), progress, move || theirs.start())
        .map_err(ControlError::new)?
        .map_err(|error| refusal(vm, &error))
}

/// Asks the guest of `vm` to power off, and stops `vm` if it cannot be asked or is not out after `timeout`.
pub(super) fn ask(vm: &Vm, timeout: Duration) -> ControlResult<Stopped> {
    if !vm.press_power_key() {
        return stop(vm).map(|()| Stopped::Forced);
    }
    let pressed = now_ns();
    let (release, end) =
        [KEY_HELD, timeout].map(|time| pressed.saturating_add(duration_ns(time))).into();
    let mut is_down = true;
    while !vm.is_out() && now_ns() < end {
        if is_down && now_ns() >= release {
            vm.vm.release_power_key();
            is_down = false;
        }
        thread::sleep(POLL);
    }
    vm.vm.release_power_key();
    // It goes on, or would do so after a reset; or it comes to its end just now.
    if !has_ended(vm)
        && let Err(error) = stop(vm)
        && !has_ended(vm)
    {
        return Err(error);
    }
    match vm.vm.state() {
        State::Stopped(StopReason::PowerOff) => Ok(Stopped::Itself),
        State::Stopped(reason @ (StopReason::Fault { .. } | StopReason::Watchdog)) => {
            let name = vm.vm.name();
            let message = format!("{name} did not power off when asked, but failed: {reason}");
            Err(ControlError::new(message))
        }
        State::Stopped(StopReason::Operator | StopReason::Reset | StopReason::NotLoaded(_))
        | State::Created
        | State::Starting
        | State::Running
        | State::Pausing
        | State::Paused
        | State::Stopping(_)
        | State::Deleted => Ok(Stopped::Refused),
    }
}

/// Whether it is out, and does not start again by itself.
fn has_ended(vm: &Vm) -> bool {
    vm.is_out() && vm.vm.state() != State::Stopped(StopReason::Reset)
}

/// Stops `vm` at once.
pub(super) fn stop(vm: &Vm) -> ControlResult<()> {
    end(vm, StopReason::Operator)
}

/// Ends the run of `vm` and boots it again.
pub(super) fn reset(vm: &Vm) -> ControlResult<()> {
    end(vm, StopReason::Reset)?;
    match vm.reset() {
        Ok(()) => {}
        // The service was first.
        Err(AxVMError::State { state: State::Starting | State::Running, .. }) => {}
        Err(error) => return Err(refusal(vm, &error)),
    }
    wait_until(vm, "running", LOADED_WITHIN, || vm.vm.state() != State::Starting)
}

/// Takes `vm` off the CPUs.
pub(super) fn pause(vm: &Vm) -> ControlResult<()> {
    vm.vm.pause().map_err(|error| refusal(vm, &error))?;
    wait_until(vm, "paused", OUT_WITHIN, || vm.vm.state() != State::Pausing)?;
    let state = vm.vm.state();
    if state == State::Paused {
        return Ok(());
    }
    Err(ControlError::new(format!("{} is {state}: it was on its way there", vm.vm.name())))
}

/// Lets `vm` go on.
pub(super) fn resume(vm: &Vm) -> ControlResult<()> {
    vm.vm.resume().map_err(|error| refusal(vm, &error))
}

/// Deletes `vm`.
pub(super) fn delete(vm: Arc<Vm>, mode: DeleteMode) -> ControlResult<()> {
    let end = now_ns().saturating_add(duration_ns(OUT_WITHIN));
    while let Err(refused) = table::retire(&vm) {
        let stopped = match mode {
            // It may come to its end, or start again, by itself between two looks at it.
            DeleteMode::Force => stop(&vm),
            // Its last vCPU is on its way from its CPU.
            DeleteMode::Stopped if vm.vm.state().is_out() => Ok(()),
            DeleteMode::Stopped => return Err(ControlError::new(refused)),
        };
        if now_ns() >= end {
            return stopped.and(Err(ControlError::new(refused)));
        }
        thread::sleep(POLL);
    }
    table::delete(vm);
    Ok(())
}
