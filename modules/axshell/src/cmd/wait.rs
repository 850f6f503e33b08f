//! Waiting: `vm wait` and `sleep`.

use alloc::format;
use core::time::Duration;

use crate::parse::Parsed;
use crate::session::{Failure, Outcome, Session, nanos};
use crate::suggest::did_you_mean;
use crate::units;
use crate::words::shown;

/// What a VM can be waited to be.
pub(crate) const STATES: [&str; 5] = ["created", "running", "paused", "stopped", "failed"];

const USUAL: Duration = Duration::from_secs(10);
/// The longest wait.
const MAX: Duration = Duration::from_secs(24 * 3600);
/// How long between two looks at the VM.
const STEP: Duration = Duration::from_millis(10);

fn read_time(text: &str) -> Option<Duration> {
    units::parse_duration(text).filter(|time| *time <= MAX)
}

const WANTED: &str = "a time up to 24h, such as 500ms or 2s";

/// `vm wait NAME STATE`
pub(crate) fn wait(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let state = parsed.word(1);
    if !STATES.contains(&state) {
        let hint = did_you_mean(state, STATES.into_iter());
        let states = STATES.join(", ");
        let state = shown(state);
        return Err(Failure::Usage(format!("\"{state}\" is no state{hint}; there are {states}")));
    }
    let timeout = parsed.value("--timeout", WANTED, read_time).map_err(Failure::Usage)?;
    let name = session.vm(parsed.first())?;
    let timeout = nanos(timeout.unwrap_or(USUAL));
    let end = session.control.uptime_ns().saturating_add(timeout);
    loop {
        let now = session.state(&name);
        if now == state {
            session.say(format_args!("{name} is {state}"));
            return Ok(());
        }
        if now == "gone" || session.control.uptime_ns() >= end {
            let after = units::time(timeout);
            let why =
                if now == "gone" { "gone".into() } else { format!("still {now} after {after}") };
            return Err(Failure::Failed(format!("{name} is {why}, not {state}")));
        }
        if session.rest(STEP, &[]) {
            return Err(Failure::interrupted());
        }
    }
}

/// `sleep TIME`
pub(crate) fn sleep(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let time = parsed.word_value(0, "TIME", WANTED, read_time).map_err(Failure::Usage)?;
    if session.rest(time.unwrap_or_default(), &[]) {
        return Err(Failure::interrupted());
    }
    Ok(())
}
