//! What VMs have done: `vm stats` and `vm trace`.

use crate::cmd::regs::vcpu;
use crate::parse::Parsed;
use crate::session::{Outcome, Session};

/// `vm stats NAME...`
pub(crate) fn stats(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    session.show_each(parsed, |session, name| Ok(session.control.stats(name)?))
}

/// `vm trace NAME [VCPU]`
pub(crate) fn trace(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let vcpu = vcpu(parsed)?;
    let name = session.vm(parsed.first())?;
    let sections = session.control.trace(&name, vcpu)?;
    session.show(parsed, &sections);
    Ok(())
}
