//! Scripts: `source` and `set`.

use alloc::format;
use alloc::string::String;

use crate::parse::Parsed;
use crate::session::{Failure, Outcome, Session, Status};
use crate::shell::run_line;
use crate::words::shown;

/// How many scripts may run, one from within the other.
const MAX_DEPTH: usize = 8;

/// `source FILE`
///
/// Within it nobody types and nothing is coloured, and `set` lasts until its end.
pub(crate) fn source(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let name = parsed.first();
    if session.depth >= MAX_DEPTH {
        return Err(Failure::Failed(format!("more than {MAX_DEPTH} scripts run each other")));
    }
    let text = session.control.script(name)?;
    let (scripted, before) = (session.terminal.scripted, session.settings);
    session.depth = session.depth.saturating_add(1);
    session.terminal.scripted = true;
    let outcome = lines(session, name, &text);
    session.depth = session.depth.saturating_sub(1);
    session.terminal.scripted = scripted;
    session.settings.stops_at_failure = before.stops_at_failure;
    outcome
}

fn lines(session: &mut Session<'_>, name: &str, text: &str) -> Outcome {
    session.settings.last = Status::Done;
    for (number, line) in (1..).zip(text.lines()) {
        let status = run_line(session, line).unwrap_or(Status::Done);
        if status == Status::Interrupted || session.is_interrupted() {
            return Err(Failure::Interrupted(format!("{name}:{number}: interrupted")));
        }
        if status != Status::Done && session.settings.stops_at_failure {
            let line = shown(line.trim());
            return Err(Failure::Failed(format!("{name}:{number}: stopped at \"{line}\"")));
        }
        if session.ended.is_some() {
            break;
        }
    }
    match session.settings.last {
        Status::Done => Ok(()),
        Status::Failed | Status::Usage | Status::Interrupted => Err(Failure::Reported),
    }
}

/// `set [FLAG...]`
pub(crate) fn set(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let words: alloc::vec::Vec<&str> = parsed.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            let flag = if session.settings.stops_at_failure { "-e" } else { "+e" };
            let colour = if session.settings.colours { "on" } else { "off" };
            session.say(format_args!("set {flag}\nset colour {colour}"));
        }
        ["-e"] => session.settings.stops_at_failure = true,
        ["+e"] => session.settings.stops_at_failure = false,
        ["colour", "on"] => session.settings.colours = true,
        ["colour", "off"] => session.settings.colours = false,
        _ => {
            let typed = shown(&words.join(" "));
            let message = format!("set takes -e, +e, colour on or colour off, not \"{typed}\"");
            return Err(Failure::Usage(message));
        }
    }
    Ok(())
}
