//! The life of a VM: its states, and the one table of steps between them.

use alloc::string::String;
use core::fmt;

use crate::AxVMError;

/// Where a VM is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has its memory and devices, and has not run yet.
    Created,
    /// Its vCPUs run.
    Running,
    /// Its vCPUs are on their way out of the guest.
    Stopping(StopReason),
    /// Its vCPUs are out; it can be started again or deleted.
    Stopped(StopReason),
}

/// Why a VM stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The guest powered itself off.
    PowerOff,
    /// The guest asked for a reset: it starts again by itself.
    Reset,
    /// The operator stopped it.
    Operator,
    /// A vCPU could not go on.
    Fault {
        /// Which one.
        vcpu: usize,
        /// Where it stood.
        pc: u64,
        /// What happened.
        what: String,
    },
}

/// What moves a VM from one state to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The operator boots it, or its reset completes.
    Boot,
    /// Somebody wants it stopped.
    Stop(StopReason),
    /// The last of its vCPUs is out of the guest.
    AllOut,
}

impl State {
    /// The state after `event`.
    ///
    /// # Errors
    /// `AxVMError::State` where the table has no such step.
    pub(crate) fn after(&self, event: Event) -> Result<Self, AxVMError> {
        match (self, event) {
            (Self::Created | Self::Stopped(_), Event::Boot) => Ok(Self::Running),
            (Self::Running, Event::Stop(reason)) => Ok(Self::Stopping(reason)),
            // What was asked first counts, but an operator's word overrules a guest's reset.
            (Self::Stopping(StopReason::Reset), Event::Stop(reason)) => Ok(Self::Stopping(reason)),
            (Self::Stopping(reason), Event::Stop(_)) => Ok(Self::Stopping(reason.clone())),
            (Self::Stopping(reason), Event::AllOut) => Ok(Self::Stopped(reason.clone())),
            // A guest that switched off its last vCPU has powered off.
            (Self::Running, Event::AllOut) => Ok(Self::Stopped(StopReason::PowerOff)),
            (Self::Running | Self::Stopping(_), Event::Boot) => Err(self.refuses("start")),
            (Self::Created | Self::Stopped(_), Event::Stop(_)) => Err(self.refuses("stop")),
            (Self::Created | Self::Stopped(_), Event::AllOut) => Ok(self.clone()),
        }
    }

    fn refuses(&self, wanted: &'static str) -> AxVMError {
        AxVMError::State { state: self.clone(), wanted }
    }

    /// Whether no vCPU of the VM can be in the guest.
    pub fn is_out(&self) -> bool {
        matches!(self, Self::Created | Self::Stopped(_))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Stopping(_) => "stopping",
            Self::Stopped(StopReason::Fault { .. }) => "failed",
            Self::Stopped(_) => "stopped",
        })
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("the guest powered off"),
            Self::Reset => f.write_str("the guest asked for a reset"),
            Self::Operator => f.write_str("stopped by the operator"),
            Self::Fault { vcpu, pc, what } => write!(f, "{what} (vCPU {vcpu}, PC {pc:#x})"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_event_has_one_result() {
        use State::{Created, Running, Stopped, Stopping};
        use StopReason::{Operator, PowerOff, Reset};
        let boot = || Event::Boot;
        let stop = || Event::Stop(Operator);
        assert_eq!(Created.after(boot()).unwrap(), Running);
        assert!(Created.after(stop()).is_err());
        assert_eq!(Created.after(Event::AllOut).unwrap(), Created);
        assert!(Running.after(boot()).is_err());
        assert_eq!(Running.after(stop()).unwrap(), Stopping(Operator));
        assert_eq!(Running.after(Event::AllOut).unwrap(), Stopped(PowerOff));
        assert!(Stopping(Reset).after(boot()).is_err());
        assert_eq!(Stopping(Reset).after(stop()).unwrap(), Stopping(Operator));
        assert_eq!(Stopping(PowerOff).after(stop()).unwrap(), Stopping(PowerOff));
        assert_eq!(Stopping(Reset).after(Event::AllOut).unwrap(), Stopped(Reset));
        assert_eq!(Stopped(Operator).after(boot()).unwrap(), Running);
        assert!(Stopped(Operator).after(stop()).is_err());
        assert_eq!(Stopped(Operator).after(Event::AllOut).unwrap(), Stopped(Operator));
    }
}
