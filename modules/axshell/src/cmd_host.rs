//! The `host` commands.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::parse::Parsed;
use crate::session::{Outcome, Session};
use crate::{table, units};

/// `host info`
pub(crate) fn info(session: &mut Session<'_>, _parsed: &Parsed) -> Outcome {
    let text = table::fields("", &session.control.host_info());
    session.print(&text);
    Ok(())
}

/// `host mem`
pub(crate) fn mem(session: &mut Session<'_>, _parsed: &Parsed) -> Outcome {
    let text = table::fields("", &session.control.host_mem());
    session.print(&text);
    Ok(())
}

/// `host cpus`
pub(crate) fn cpus(session: &mut Session<'_>, _parsed: &Parsed) -> Outcome {
    let cpus = session.control.host_cpus().into_iter().map(|cpu| {
        let busy = cpu.busy_permille.map_or("-".into(), units::percent);
        [cpu.id.to_string(), cpu.state, cpu.vcpus.to_string(), busy].into()
    });
    let text = table::table(&["CPU", "STATE", "VCPUS", "BUSY"], &cpus.collect::<Vec<_>>());
    session.print(&text);
    Ok(())
}
