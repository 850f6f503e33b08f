//! The `vm` commands.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::console;
use crate::control::{CreateOptions, DeleteMode, StopMode, Stopped, VmSummary};
use crate::parse::Parsed;
use crate::session::{Failure, Outcome, Session};
use crate::{table, units};

/// How long a guest is given to power off.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time a guest may be given; the shell waits that long.
const MAX_STOP_TIMEOUT: Duration = Duration::from_secs(600);
/// How many lines `vm log` prints.
const LOG_LINES: usize = 50;

/// `vm create FILE...`
pub(crate) fn create(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let count = |text: &str| {
        units::parse_number(text).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0)
    };
    let memory = |text: &str| units::parse_size(text).filter(|bytes| *bytes > 0);
    let options = CreateOptions {
        name: parsed.text("--name").map(String::from),
        memory_bytes: parsed
            .value("--memory", "a size such as 512M", memory)
            .map_err(Failure::Usage)?,
        cpus: parsed.value("--cpus", "a number from 1 on", count).map_err(Failure::Usage)?,
    };
    if options.name.is_some() && parsed.words.len() > 1 {
        return Err(Failure::Usage("--name goes with one FILE only".into()));
    }
    session.each(&parsed.words, |session, file| {
        let name = session.control.create(file, &options)?;
        session.say(format_args!("created {name}"));
        Ok(())
    })
}

/// `vm start NAME...`
pub(crate) fn start(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let attach = parsed.has("--console");
    if attach && parsed.words.len() > 1 {
        return Err(Failure::Usage("--console goes with one NAME only".into()));
    }
    session.each(&parsed.words, |session, typed| {
        let name = session.vm(typed)?;
        if attach {
            console::check(session)?;
        }
        session.control.start(&name)?;
        session.say(format_args!("started {name}"));
        if attach { console::attach(session, &name) } else { Ok(()) }
    })
}

/// `vm stop NAME...`
pub(crate) fn stop(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let mode = if parsed.has("--force") { StopMode::Force } else { StopMode::Ask };
    let read = |text: &str| units::parse_duration(text).filter(|time| *time <= MAX_STOP_TIMEOUT);
    let timeout = parsed
        .value("--timeout", "a time up to 10m, such as 5s or 500ms", read)
        .map_err(Failure::Usage)?
        .unwrap_or(STOP_TIMEOUT);
    session.each(&parsed.words, |session, typed| {
        let name = session.vm(typed)?;
        match session.control.stop(&name, mode, timeout)? {
            Stopped::Refused => {
                session
                    .say(format_args!("stopped {name} by force: it did not power off when asked"));
            }
            Stopped::Forced | Stopped::Itself => session.say(format_args!("stopped {name}")),
        }
        Ok(())
    })
}

/// `vm delete NAME...`
pub(crate) fn delete(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let mode = if parsed.has("--force") { DeleteMode::Force } else { DeleteMode::Stopped };
    session.each(&parsed.words, |session, typed| {
        let name = session.vm(typed)?;
        session.control.delete(&name, mode)?;
        session.say(format_args!("deleted {name}"));
        Ok(())
    })
}

/// `vm list`
pub(crate) fn list(session: &mut Session<'_>, _parsed: &Parsed) -> Outcome {
    let vms = session.control.list();
    if vms.is_empty() {
        session.say(format_args!("no VMs; vm create FILE makes one"));
        return Ok(());
    }
    let head = ["ID", "NAME", "STATE", "VCPUS", "MEMORY", "CPU", "UPTIME", "EXITS/S"];
    let text = table::table(&head, &vms.iter().map(row).collect::<Vec<_>>());
    session.print(&text);
    Ok(())
}

fn row(vm: &VmSummary) -> Vec<String> {
    let or_dash = |cell: Option<String>| cell.unwrap_or_else(|| "-".into());
    [
        vm.id.to_string(),
        vm.name.clone(),
        vm.state.clone(),
        vm.vcpus.to_string(),
        units::size(vm.memory_bytes),
        or_dash(vm.cpu_share_permille.map(units::percent)),
        or_dash(vm.uptime_ns.map(units::time)),
        or_dash(vm.exits_per_s.map(|exits| exits.to_string())),
    ]
    .into()
}

/// `vm show NAME...`
pub(crate) fn show(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    session.each(&parsed.words, |session, typed| {
        let name = session.vm(typed)?;
        for section in session.control.show(&name)? {
            let indent = if section.title.is_empty() { "" } else { "  " };
            if !section.title.is_empty() {
                session.say(format_args!("{}", section.title));
            }
            session.print(&table::fields(indent, &section.fields));
        }
        Ok(())
    })
}

/// `vm console NAME`
pub(crate) fn console(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let name = session.vm(parsed.only())?;
    console::check(session)?;
    console::attach(session, &name)
}

/// `vm log NAME`
pub(crate) fn log(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let count =
        |text: &str| units::parse_number(text).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let lines = parsed.value("-n", "a number of lines", count).map_err(Failure::Usage)?;
    let name = session.vm(parsed.only())?;
    let text = console::log(session, &name)?;
    let all = text.lines().count();
    for line in text.lines().skip(all.saturating_sub(lines.unwrap_or(LOG_LINES))) {
        session.say(format_args!("{line}"));
    }
    Ok(())
}
