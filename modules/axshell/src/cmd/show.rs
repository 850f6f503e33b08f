//! `vm show`

use crate::parse::Parsed;
use crate::session::{Outcome, Session};

/// `vm show NAME...`
pub(crate) fn show(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    session.show_each(parsed, |session, name| Ok(session.control.show(name)?))
}
