//! What happens to a VM after its last vCPU is out: the operator is told, and a reset boots again.

use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use axvm::{State, StopReason};

use super::{notice, table};
use crate::host::thread::{self, Bell};

static BELL: Bell = Bell::new();
static ENDED: AtomicBool = AtomicBool::new(false);

/// Some VM has just ended its run. Called by a runner, outside of any guest.
pub(crate) fn vm_ended() {
    ENDED.store(true, Ordering::Release);
    BELL.ring();
}

/// Starts the service.
pub(crate) fn start() {
    thread::spawn("vm-service", thread::Rank::Service, None, || {
        let mut told = Vec::new();
        loop {
            BELL.wait(Duration::from_secs(1), || ENDED.swap(false, Ordering::AcqRel));
            look_around(&mut told);
        }
    });
}

/// Tells of every VM that has ended since it was last looked at; `told` are those told of already.
fn look_around(told: &mut Vec<usize>) {
    for vm in table::all() {
        let id = vm.vm.id();
        let State::Stopped(reason) = vm.vm.state() else {
            told.retain(|other| *other != id);
            continue;
        };
        if !vm.is_out() || told.contains(&id) {
            continue;
        }
        let name = vm.vm.name();
        match reason {
            StopReason::Reset => match vm.start() {
                Ok(()) => {
                    notice::post(format!("{name} resets"));
                    continue;
                }
                Err(error) => notice::post(format!("{name} cannot start again: {error}")),
            },
            StopReason::Operator => {}
            StopReason::PowerOff | StopReason::Fault { .. } => {
                notice::post(format!("{name} stopped: {reason}"));
            }
        }
        told.push(id);
    }
    let alive = table::all();
    told.retain(|id| alive.iter().any(|vm| vm.vm.id() == *id));
}
