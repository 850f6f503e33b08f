//! The watchdogs of all guests: one thread that looks at the clock, so that no exit has to.
//!
//! A guest that arms its watchdog wakes nobody: the thread finds out within [`PERIOD`], and is on time from then on.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use arm_vcpu::physical_counter;

use super::table::{self, Vm};
use super::time::{duration_ns, ns_to_ticks, ticks_to_ns};
use crate::host::thread;

/// How long nobody looks when nothing is due.
const PERIOD: Duration = Duration::from_millis(100);
/// Nobody looks more often than this, whatever guests ask for.
const NOT_SOONER: Duration = Duration::from_millis(5);

static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts the thread, once; a host whose guests have no watchdogs has none.
///
/// # Errors
/// A text for the operator: the host has no thread for it.
pub(crate) fn start() -> Result<(), &'static str> {
    if STARTED.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let started = thread::spawn("watchdogs", thread::Rank::Service, None, || {
        loop {
            thread::sleep(look_around());
        }
    });
    if !started {
        STARTED.store(false, Ordering::Release);
        return Err("the host has no thread left for a watchdog: delete a VM first");
    }
    Ok(())
}

/// Looks at every watchdog; gives for how long none needs it.
fn look_around() -> Duration {
    let look = |vm: Arc<Vm>| vm.vm.poll_watchdog();
    let Some(first) = table::all().into_iter().filter_map(look).min() else {
        return PERIOD;
    };
    let left = first.saturating_sub(physical_counter());
    let [least, most] = [NOT_SOONER, PERIOD].map(|time| ns_to_ticks(duration_ns(time)));
    Duration::from_nanos(ticks_to_ns(left.max(least).min(most)))
}
