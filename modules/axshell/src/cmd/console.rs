//! A VM's console from the shell: `vm console` and `vm log`.

use alloc::vec::Vec;

use crate::console::{self, Replay};
use crate::parse::Parsed;
use crate::report::{Field, Section};
use crate::session::{Failure, Outcome, Session};
use crate::units;

/// How many lines `vm log` prints.
const LOG_LINES: usize = 50;

/// `vm console NAME`
pub(crate) fn console(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let name = session.vm(parsed.first())?;
    console::check(session)?;
    let replay = if parsed.has("--all") { Replay::All } else { Replay::Last };
    console::attach(session, &name, replay)
}

/// `vm log NAME`
pub(crate) fn log(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let count =
        |text: &str| units::parse_number(text).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let lines = parsed.value("-n", "a number of lines", count).map_err(Failure::Usage)?;
    let name = session.vm(parsed.first())?;
    let text = console::log(session, &name)?;
    let skipped = text.lines().count().saturating_sub(lines.unwrap_or(LOG_LINES));
    let lines = text.lines().skip(skipped);
    if parsed.has("--json") {
        let rows = lines.map(|line| Vec::from([Field::new("line", line)]));
        session.show(parsed, &[Section::table("", rows.collect())]);
        return Ok(());
    }
    for line in lines {
        session.say(format_args!("{line}"));
    }
    Ok(())
}
