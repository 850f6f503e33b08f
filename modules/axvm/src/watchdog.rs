//! The watchdog of a VM: who looks at the clock for it, and what its second timeout does.

use axdevice::Due;

use crate::{AxVM, AxVMHal, GuestCpu, StopReason};

impl<H: AxVMHal, A: GuestCpu> AxVM<H, A> {
    /// Lets the watchdog see what time it is, and ends the run if it was not refreshed in time. Gives the physical counter
    /// value at which to look again; `None` where nothing waits: no watchdog, none that is on, a VM that does not run.
    ///
    /// For a thread of the host; exit code does not wait for the clock.
    pub fn poll_watchdog(&self) -> Option<u64> {
        let watchdog = self.machine.models.watchdog.as_ref()?;
        // While it is paused, its time stands still.
        match self.while_running(|| watchdog.poll())? {
            Due::Never => None,
            Due::At(guest_counter) => Some(self.physical_counter_at(guest_counter)),
            Due::Expired => {
                // If it stops for another reason already, that stands.
                let _ = self.shutdown(StopReason::Watchdog);
                None
            }
        }
    }
}
