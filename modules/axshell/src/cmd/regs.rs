//! `vm regs`

use crate::parse::Parsed;
use crate::session::{Failure, Outcome, Session};
use crate::units;

/// `vm regs NAME [VCPU]`
pub(crate) fn regs(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let vcpu = vcpu(parsed)?;
    let name = session.vm(parsed.first())?;
    let pauses = parsed.has("--pause") && session.state(&name) == "running";
    if pauses {
        session.control.pause(&name)?;
    }
    let sections = session.control.registers(&name, vcpu);
    if pauses {
        session.control.resume(&name)?;
    }
    session.show(parsed, &sections?);
    Ok(())
}

/// The vCPU behind the name; none means all.
pub(crate) fn vcpu(parsed: &Parsed) -> Result<Option<usize>, Failure> {
    let read = |text: &str| units::parse_number(text).and_then(|n| usize::try_from(n).ok());
    parsed.word_value(1, "VCPU", "a number such as 0", read).map_err(Failure::Usage)
}
