//! The commands for the machine as a whole: log, uptime, version, reboot, poweroff.

use alloc::format;

use log::LevelFilter;

use crate::parse::Parsed;
use crate::session::{Ended, Failure, Outcome, Session};
use crate::units;

/// The log levels as typed.
pub(crate) const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// `log [LEVEL]`
pub(crate) fn log(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    if !parsed.words.is_empty() {
        let typed = parsed.only();
        let level: LevelFilter = typed.parse().map_err(|_| {
            Failure::Usage(format!(
                "there is no log level \"{typed}\"; it is one of {}",
                LEVELS.join(", ")
            ))
        })?;
        session.control.set_log_level(level);
    }
    let level = format!("{}", session.control.log_level()).to_lowercase();
    session.say(format_args!("log level {level}"));
    Ok(())
}

/// `uptime`
pub(crate) fn uptime(session: &mut Session<'_>, _parsed: &Parsed) -> Outcome {
    let up = units::time(session.control.uptime_ns());
    session.say(format_args!("up {up}"));
    Ok(())
}

/// `version`
pub(crate) fn version(session: &mut Session<'_>, _parsed: &Parsed) -> Outcome {
    let version = session.control.version();
    session.say(format_args!("{version}"));
    Ok(())
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
