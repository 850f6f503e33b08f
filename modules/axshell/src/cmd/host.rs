//! The `host` commands.

use alloc::vec::Vec;

use crate::parse::Parsed;
use crate::report::{Field, Section, Value};
use crate::session::{Outcome, Session};

/// `host info`
pub(crate) fn info(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let fields = session.control.host_info();
    session.show(parsed, &[Section::fields("", fields)]);
    Ok(())
}

/// `host mem`
pub(crate) fn mem(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let fields = session.control.host_mem();
    session.show(parsed, &[Section::fields("", fields)]);
    Ok(())
}

/// `host cpus`
pub(crate) fn cpus(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let rows = session.control.host_cpus().into_iter().map(|cpu| {
        Vec::from([
            Field::new("cpu", cpu.id),
            Field::new("state", cpu.state),
            Field::new("vcpus", cpu.vcpus),
            Field::new("busy", Value::Share(cpu.busy_permille)),
        ])
    });
    let rows = rows.collect();
    session.show(parsed, &[Section::table("", rows)]);
    Ok(())
}
