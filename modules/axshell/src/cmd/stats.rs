//! What VMs have done: `vm stats` and `vm trace`.

use crate::cmd::regs::vcpu;
use crate::control::Switch;
use crate::parse::Parsed;
use crate::session::{Failure, Outcome, Session};

/// `vm stats NAME...`
pub(crate) fn stats(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    session.show_each(parsed, |session, name| Ok(session.control.stats(name)?))
}

/// `vm trace NAME [VCPU] [--on | --off]`
pub(crate) fn trace(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let vcpu = vcpu(parsed)?;
    let name = session.vm(parsed.first())?;
    let (switch, done) = match (parsed.has("--on"), parsed.has("--off")) {
        (true, true) => return Err(Failure::Usage("use --on or --off, not both".into())),
        (true, false) => (Switch::On, "recording the exits of"),
        (false, true) => (Switch::Off, "no longer recording the exits of"),
        (false, false) => {
            let sections = session.control.trace(&name, vcpu)?;
            session.show(parsed, &sections);
            return Ok(());
        }
    };
    session.control.record(&name, switch)?;
    session.say(format_args!("{done} {name}"));
    Ok(())
}
