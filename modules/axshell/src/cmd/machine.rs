//! The commands for the machine as a whole: log, uptime, version, reboot, poweroff.

use alloc::format;

use log::LevelFilter;

use crate::parse::Parsed;
use crate::report::{Field, Section};
use crate::session::{Ended, Failure, Outcome, Session};
use crate::units;
use crate::words::shown;

/// The log levels as typed.
pub(crate) const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Shows `field` as JSON if that is asked for, else `text`.
fn show(session: &mut Session<'_>, parsed: &Parsed, field: Field, text: &str) -> Outcome {
    if parsed.has("--json") {
        session.show(parsed, &[Section::fields("", [field].into())]);
    } else {
        session.say(format_args!("{text}"));
    }
    Ok(())
}

/// `log [LEVEL]`
pub(crate) fn log(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    if !parsed.words.is_empty() {
        let typed = parsed.first();
        let level: LevelFilter = typed.parse().map_err(|_| {
            Failure::Usage(format!(
                "there is no log level \"{}\"; it is one of {}",
                shown(typed),
                LEVELS.join(", ")
            ))
        })?;
        session.control.set_log_level(level);
    }
    let level = format!("{}", session.control.log_level()).to_lowercase();
    show(session, parsed, Field::new("log level", level.as_str()), &format!("log level {level}"))
}

/// `uptime`
pub(crate) fn uptime(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let up = session.control.uptime_ns();
    let text = format!("up {}", units::time(up));
    show(session, parsed, Field::time("uptime", Some(up)), &text)
}

/// `version`
pub(crate) fn version(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let version = session.control.version();
    show(session, parsed, Field::new("version", version.as_str()), &version)
}

/// `poweroff`
pub(crate) fn poweroff(session: &mut Session<'_>, _parsed: &Parsed) -> Outcome {
    session.say(format_args!("powering off"));
    session.control.poweroff()?;
    session.ended = Some(Ended::Poweroff);
    Ok(())
}

/// `reboot`
pub(crate) fn reboot(session: &mut Session<'_>, _parsed: &Parsed) -> Outcome {
    session.say(format_args!("rebooting"));
    session.control.reboot()?;
    session.ended = Some(Ended::Reboot);
    Ok(())
}
