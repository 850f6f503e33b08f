//! The commands that move VMs from state to state: start, stop, restart, reset, pause, resume, delete.

use core::time::Duration;

use crate::console;
use crate::control::{ControlResult, DeleteMode, StopMode, Stopped, VmControl};
use crate::parse::Parsed;
use crate::session::{Failure, Outcome, Session};
use crate::units;

/// How long a guest is given to power off.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time a guest may be given; the shell waits that long.
const MAX_STOP_TIMEOUT: Duration = Duration::from_secs(600);

/// `vm start NAME...`
pub(crate) fn start(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let attach = parsed.has("--console");
    if attach && parsed.words.len() > 1 {
        return Err(Failure::Usage("--console goes with one NAME only".into()));
    }
    session.each(&parsed.words, |session, typed| {
        let name = session.vm(typed)?;
        if attach {
            console::check(session)?;
        }
        session.long(|control, progress| control.start(&name, progress))?;
        session.say(format_args!("started {name}"));
        if attach { console::attach(session, &name, console::Replay::Last) } else { Ok(()) }
    })
}

/// How a guest is to be stopped, and how long it is given.
fn stop_options(parsed: &Parsed) -> Result<(StopMode, Duration), Failure> {
    let mode = if parsed.has("--force") { StopMode::Force } else { StopMode::Ask };
    let read = |text: &str| units::parse_duration(text).filter(|time| *time <= MAX_STOP_TIMEOUT);
    let wanted = "a time up to 10m, such as 5s or 500ms";
    let timeout = parsed.value("--timeout", wanted, read).map_err(Failure::Usage)?;
    Ok((mode, timeout.unwrap_or(STOP_TIMEOUT)))
}

/// `vm stop NAME...`
pub(crate) fn stop(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let (mode, timeout) = stop_options(parsed)?;
    session.each(&parsed.words, |session, typed| {
        let name = session.vm(typed)?;
        let how = match (session.control.stop(&name, mode, timeout)?, mode) {
            (Stopped::Itself, _) => ": it powered off",
            (Stopped::Refused, _) => " by force: it did not power off when asked",
            (Stopped::Forced, StopMode::Ask) => ": it could not be asked to power off",
            (Stopped::Forced, StopMode::Force) => "",
        };
        session.say(format_args!("stopped {name}{how}"));
        Ok(())
    })
}

/// `vm restart NAME...`
pub(crate) fn restart(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let (mode, timeout) = stop_options(parsed)?;
    session.each(&parsed.words, |session, typed| {
        let name = session.vm(typed)?;
        if session.control.is_running(&name) {
            session.control.stop(&name, mode, timeout)?;
        }
        session.long(|control, progress| control.start(&name, progress))?;
        session.say(format_args!("restarted {name}"));
        Ok(())
    })
}

/// `vm reset NAME...`
pub(crate) fn reset(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    each_vm(session, parsed, "reset", |control, name| control.reset(name))
}

/// `vm pause NAME...`
pub(crate) fn pause(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    each_vm(session, parsed, "paused", |control, name| control.pause(name))
}

/// `vm resume NAME...`
pub(crate) fn resume(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    each_vm(session, parsed, "resumed", |control, name| control.resume(name))
}

/// `vm delete NAME...`
pub(crate) fn delete(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let mode = if parsed.has("--force") { DeleteMode::Force } else { DeleteMode::Stopped };
    each_vm(session, parsed, "deleted", |control, name| control.delete(name, mode))
}

/// Does `act` to each VM of `parsed` and says that it is `done`.
fn each_vm(
    session: &mut Session<'_>,
    parsed: &Parsed,
    done: &str,
    act: impl Fn(&mut dyn VmControl, &str) -> ControlResult<()>,
) -> Outcome {
    session.each(&parsed.words, |session, typed| {
        let name = session.vm(typed)?;
        act(session.control, &name)?;
        session.say(format_args!("{done} {name}"));
        Ok(())
    })
}
