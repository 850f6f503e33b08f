//! `vm top`

use core::time::Duration;

use crate::cmd::list;
use crate::parse::Parsed;
use crate::session::{Failure, Outcome, Session};
use crate::terminal::Terminal;
use crate::units;

/// To the upper left corner, and everything below it empty (ECMA-48 CUP and ED).
const CLEAR: &[u8] = b"\x1b[H\x1b[J";
const USUAL: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(3600);

/// `vm top`
pub(crate) fn top(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let count = |text: &str| units::parse_number(text).filter(|count| *count > 0);
    let count = parsed.value("-n", "a number from 1 on", count).map_err(Failure::Usage)?;
    let every =
        |text: &str| units::parse_duration(text).filter(|time| (SHORTEST..=LONGEST).contains(time));
    let wanted = "a time from 200ms to 1h";
    let every = parsed.value("--every", wanted, every).map_err(Failure::Usage)?.unwrap_or(USUAL);
    // A script has nobody who could end it.
    let count = count.or_else(|| (!session.terminal.is_interactive()).then_some(1));
    let mut shown = 0_u64;
    loop {
        print(session);
        shown = shown.saturating_add(1);
        if count.is_some_and(|count| shown >= count) || session.rest(every, b"qQ") {
            return Ok(());
        }
    }
}

fn print(session: &mut Session<'_>) {
    if session.has_colours() {
        session.terminal.write(CLEAR);
    }
    let up = units::time(session.control.uptime_ns());
    session.say(format_args!("up {up}; q ends"));
    for cpu in session.control.host_cpus() {
        let busy = cpu.busy_permille.map_or("-".into(), units::percent);
        session
            .say(format_args!("CPU {}: {busy} busy, {} vCPUs, {}", cpu.id, cpu.vcpus, cpu.state));
    }
    let vms = session.control.list();
    list::print(session, &vms);
}
