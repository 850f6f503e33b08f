//! The commands for the shell itself: help, status, echo.

use crate::help;
use crate::parse::Parsed;
use crate::session::{Failure, Outcome, Session};

/// `help [COMMAND...]`
pub(crate) fn help(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let text = help::help(&parsed.words).map_err(Failure::Usage)?;
    session.print(&text);
    Ok(())
}

/// `status`
pub(crate) fn status(session: &mut Session<'_>, _parsed: &Parsed) -> Outcome {
    let code = session.settings.last.code();
    session.say(format_args!("{code}"));
    Ok(())
}

/// `echo [TEXT...]`
pub(crate) fn echo(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    session.say(format_args!("{}", parsed.words.join(" ")));
    Ok(())
}
