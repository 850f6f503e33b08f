//! The life of a VM: its states, and the one table of steps between them.

use alloc::string::String;
use core::fmt;

use crate::AxVMError;

/// Where a VM is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has its memory and devices, and has not run yet.
    Created,
    /// Its images are being loaded.
    Starting,
    /// Its vCPUs run.
    Running,
    /// Its vCPUs are on their way out of the guest, to go on later.
    Pausing,
    /// Its vCPUs are out, and its time stands still.
    Paused,
    /// Its vCPUs are on their way out of the guest for good.
    Stopping(StopReason),
    /// Its vCPUs are out; it can be started again or deleted.
    Stopped(StopReason),
    /// It is out of reach; its memory goes back when the last who looks at it lets go.
    Deleted,
}

/// Why a VM stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The guest powered itself off.
    PowerOff,
    /// The guest or the operator asked for a reset: it starts again by itself.
    Reset,
    /// The operator stopped it.
    Operator,
    /// Its watchdog was not refreshed in time.
    Watchdog,
    /// Its images could not be loaded.
    NotLoaded(String),
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
    /// The operator boots it.
    Boot,
    /// What follows a reset.
    BootAgain,
    /// Its images are loaded and its boot vCPU stands at its entry.
    Loaded,
    /// Its images could not be loaded.
    NotLoaded(String),
    /// The operator wants it to stand still.
    Pause,
    /// Every vCPU that is on is out, to go on later.
    AllParked,
    /// The operator wants it to go on.
    Resume,
    /// Somebody wants it stopped.
    Stop(StopReason),
    /// The last of its vCPUs is off.
    AllOff,
    /// The operator has no use for it any more.
    Delete,
}

impl State {
    /// The state after `event`.
    ///
    /// # Errors
    /// `AxVMError::State` where the table has no such step.
    pub(crate) fn after(&self, event: Event) -> Result<Self, AxVMError> {
        use State::{Created, Deleted, Paused, Pausing, Running, Starting, Stopped, Stopping};
        use StopReason::{NotLoaded, PowerOff, Reset};
        Ok(match (self, event) {
            (Created | Stopped(_), Event::Boot) | (Stopped(Reset), Event::BootAgain) => Starting,
            (Starting, Event::Loaded) => Running,
            (Starting, Event::NotLoaded(what)) => Stopped(NotLoaded(what)),
            (Running, Event::Pause) => Pausing,
            (Pausing, Event::AllParked) => Paused,
            (Paused, Event::Resume) => Running,
            (Running | Pausing | Paused, Event::Stop(reason)) => Stopping(reason),
            // What was asked first counts, but a reset only until something else is asked.
            (Stopping(Reset), Event::Stop(reason)) => Stopping(reason),
            (Stopping(reason), Event::Stop(_)) => Stopping(reason.clone()),
            (Stopped(Reset), Event::Stop(reason)) if reason != Reset => Stopped(reason),
            (Stopping(reason), Event::AllOff) => Stopped(reason.clone()),
            // A guest that switched off its last vCPU has powered off.
            (Running | Pausing, Event::AllOff) => Stopped(PowerOff),
            (Created | Stopped(_), Event::Delete) => Deleted,
            (_, event) => return Err(self.refuses(&event)),
        })
    }

    fn refuses(&self, event: &Event) -> AxVMError {
        let wanted = match event {
            Event::Boot | Event::BootAgain | Event::Loaded | Event::NotLoaded(_) => "started",
            Event::Pause | Event::AllParked => "paused",
            Event::Resume => "resumed",
            Event::Stop(StopReason::Reset) => "reset",
            Event::Stop(_) | Event::AllOff => "stopped",
            Event::Delete => "deleted",
        };
        AxVMError::State { state: self.clone(), wanted }
    }

    /// Whether no vCPU of the VM can be in the guest, now or later without being started.
    pub fn is_out(&self) -> bool {
        matches!(self, Self::Created | Self::Stopped(_) | Self::Deleted)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Stopping(_) => "stopping",
            Self::Stopped(
                StopReason::Fault { .. } | StopReason::NotLoaded(_) | StopReason::Watchdog,
            ) => "failed",
            Self::Stopped(StopReason::PowerOff | StopReason::Reset | StopReason::Operator) => {
                "stopped"
            }
            Self::Deleted => "deleted",
        })
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("the guest powered off"),
            Self::Reset => f.write_str("a reset was asked for"),
            Self::Operator => f.write_str("stopped by the operator"),
            Self::Watchdog => f.write_str("its watchdog was not refreshed in time"),
            Self::NotLoaded(what) => write!(f, "it could not be loaded: {what}"),
            Self::Fault { vcpu, pc, what } => write!(f, "{what} (vCPU {vcpu}, PC {pc:#x})"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn states() -> Vec<State> {
        use State::{Created, Deleted, Paused, Pausing, Running, Starting, Stopped, Stopping};
        let mut all = Vec::from([Created, Starting, Running, Pausing, Paused, Deleted]);
        for reason in reasons() {
            all.push(Stopping(reason.clone()));
            all.push(Stopped(reason));
        }
        all
    }

    fn reasons() -> [StopReason; 6] {
        use StopReason::{Fault, NotLoaded, Operator, PowerOff, Reset, Watchdog};
        let what = || "x".to_string();
        let fault = Fault { vcpu: 0, pc: 0, what: what() };
        [PowerOff, Reset, Operator, Watchdog, NotLoaded(what()), fault]
    }

    fn events() -> Vec<Event> {
        use Event::{AllOff, AllParked, Boot, BootAgain, Delete, Loaded, NotLoaded, Pause, Resume};
        let mut all = Vec::from([Boot, BootAgain, Loaded, NotLoaded("x".to_string()), Pause]);
        all.extend([AllParked, Resume, AllOff, Delete]);
        all.extend(reasons().map(Event::Stop));
        all
    }

    /// Every step there is, by hand: from, event, to. Whatever is not here is refused.
    fn steps() -> Vec<(State, Event, State)> {
        use State::{Created, Deleted, Paused, Pausing, Running, Starting, Stopped, Stopping};
        use StopReason::{NotLoaded, PowerOff, Reset};
        let failed = || Stopped(NotLoaded("x".to_string()));
        let mut all = Vec::from([
            (Created, Event::Boot, Starting),
            (Created, Event::Delete, Deleted),
            (Starting, Event::Loaded, Running),
            (Starting, Event::NotLoaded("x".to_string()), failed()),
            (Running, Event::Pause, Pausing),
            (Running, Event::AllOff, Stopped(PowerOff)),
            (Pausing, Event::AllParked, Paused),
            (Pausing, Event::AllOff, Stopped(PowerOff)),
            (Paused, Event::Resume, Running),
            (Stopped(Reset), Event::BootAgain, Starting),
        ]);
        for reason in reasons() {
            let stop = || Event::Stop(reason.clone());
            for from in [Running, Pausing, Paused, Stopping(Reset)] {
                all.push((from, stop(), Stopping(reason.clone())));
            }
            if reason != Reset {
                all.push((Stopped(Reset), stop(), Stopped(reason.clone())));
                for other in reasons() {
                    let from = Stopping(reason.clone());
                    all.push((from.clone(), Event::Stop(other), from));
                }
            }
            all.push((Stopping(reason.clone()), Event::AllOff, Stopped(reason.clone())));
            all.push((Stopped(reason.clone()), Event::Boot, Starting));
            all.push((Stopped(reason.clone()), Event::Delete, Deleted));
        }
        all
    }

    #[test]
    fn every_state_has_a_defined_answer_to_every_event() {
        for state in states() {
            for event in events() {
                let expected = steps()
                    .into_iter()
                    .find(|(from, by, _)| *from == state && *by == event)
                    .map(|(_, _, to)| to);
                assert_eq!(state.after(event.clone()).ok(), expected, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_refusal_says_the_state_and_what_was_asked_for() {
        let error = State::Paused.after(Event::Pause).unwrap_err();
        assert_eq!(error.to_string(), "it is paused: it cannot be paused");
    }
}
