//! `vm list`

use alloc::string::String;
use alloc::vec::Vec;

use crate::control::VmSummary;
use crate::parse::Parsed;
use crate::report::{self, Field, Section, Value};
use crate::session::{Outcome, Session, Style};

/// `vm list`
pub(crate) fn list(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let vms = session.control.list();
    if parsed.has("--json") {
        session.show(parsed, &[section(&vms)]);
    } else if vms.is_empty() {
        session.say(format_args!("no VMs; vm create FILE makes one"));
    } else {
        print(session, &vms);
    }
    Ok(())
}

/// Prints a line per VM, in the colour of its state.
pub(crate) fn print(session: &mut Session<'_>, vms: &[VmSummary]) {
    let text = report::text(&[section(vms)]);
    let states = vms.iter().map(|vm| vm.state.as_str()).map(style);
    for (line, style) in text.lines().zip(core::iter::once(Style::Bold).chain(states)) {
        session.paint(style, line);
        session.print("\n");
    }
}

fn section(vms: &[VmSummary]) -> Section {
    Section::table("", vms.iter().map(row).collect())
}

fn style(state: &str) -> Style {
    match state {
        "failed" => Style::Red,
        "paused" | "stopping" => Style::Yellow,
        _ => Style::Plain,
    }
}

fn row(vm: &VmSummary) -> Vec<Field> {
    [
        Field::new("id", vm.id),
        Field::new("name", String::as_str(&vm.name)),
        Field::new("state", String::as_str(&vm.state)),
        Field::new("vcpus", vm.vcpus),
        Field::size("memory", vm.memory_bytes),
        Field::new("cpu", Value::Share(vm.cpu_share_permille)),
        Field::new("steal", Value::Share(vm.steal_permille)),
        Field::time("uptime", vm.uptime_ns),
        Field::new("exits/s", Value::Number(vm.exits_per_s)),
    ]
    .into()
}
