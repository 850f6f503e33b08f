//! A VM's console: attached to the terminal, or printed.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::control::ControlResult;
use crate::session::{Failure, Outcome, Session};
use crate::terminal::Terminal;

/// Ctrl-].
const DETACH: u8 = 0x1d;
/// How long keys are waited for before the guest's output is looked at again.
const POLL: Duration = Duration::from_millis(5);
/// Keys the guest has not taken yet; more are dropped with a bell.
const MAX_UNTAKEN: usize = 1024;
/// How often a guest that is being left is offered the keys it has not taken, with a pause between.
const OFFERS: usize = 100;
/// Bytes moved at a time in either direction.
const CHUNK: usize = 256;
/// After how many bytes without a pause the shell lets others have the CPU, whatever the guest still has to say: it
/// goes before every guest.
const BURST: usize = 16 << 10;
/// The most that is replayed, in bytes and lines.
const REPLAY_BYTES: u64 = 4 << 10;
const REPLAY_LINES: usize = 50;
/// What a terminal is told when a guest that sent escape sequences is left: plain text, and the cursor shown.
const RESTORE: &[u8] = b"\x1b[0m\x1b[?25h";
/// The most that is looked through for the last lines, in bytes.
const MAX_LOOK: usize = 1 << 20;
/// The most that `vm log` shows, in bytes: it takes some seven times as much memory.
const MAX_LOG: usize = 128 << 10;

/// What of the guest's earlier output is shown on attaching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// The last lines since it was started.
    Last,
    /// All that is kept.
    All,
}

/// What the keys of one round ask for.
#[derive(PartialEq, Eq)]
enum Keys {
    None,
    Typed,
    Detach,
}

/// An attached console.
struct Attached {
    /// How far its output has been read.
    cursor: u64,
    /// Keys the guest has not taken yet.
    untaken: Vec<u8>,
    /// Whether the guest may have changed colours or hidden the cursor.
    escaped: bool,
}

/// Refuses where nobody could detach again.
pub(crate) fn check(session: &Session<'_>) -> Outcome {
    if session.terminal.is_interactive() {
        Ok(())
    } else {
        Err(Failure::Failed("the console needs somebody who types".into()))
    }
}

/// Connects the terminal with the console of `vm` until Ctrl-] or until the VM ends.
///
/// What the VM wrote before comes first. Keys go to the guest as they are, what it writes comes as it is.
pub(crate) fn attach(session: &mut Session<'_>, vm: &str, replay: Replay) -> Outcome {
    let Some(start) = session.control.console_start(vm)? else {
        let advice = format!("vm start {vm} --console does");
        return Err(Failure::Failed(format!("{vm} was never started; {advice}")));
    };
    let cursor = match replay {
        Replay::All => 0,
        Replay::Last => replay_from(session, vm, start)?,
    };
    session.say(format_args!("connected to {vm}; Ctrl-] detaches"));
    let mut attached = Attached { cursor, untaken: Vec::new(), escaped: false };
    let why = converse(session, vm, &mut attached);
    if attached.escaped {
        session.terminal.write(RESTORE);
    }
    session.say(format_args!("\n{}", why?));
    Ok(())
}

/// The cursor of the last lines that `vm` wrote since `start`.
fn replay_from(session: &Session<'_>, vm: &str, start: u64) -> Result<u64, Failure> {
    let mut tail: VecDeque<u8> = VecDeque::new();
    let mut cursor = start;
    let mut buf = [0; CHUNK];
    // A guest that writes on and on is not waited for.
    for _ in 0..MAX_LOOK / CHUNK {
        let count = session.control.console_read(vm, &mut cursor, &mut buf)?;
        if count == 0 {
            break;
        }
        tail.extend(buf.get(..count).unwrap_or_default());
        let extra = tail.len().saturating_sub(usize::try_from(REPLAY_BYTES).unwrap_or(0));
        tail.drain(..extra);
    }
    let first = cursor.saturating_sub(tail.len() as u64);
    let ends =
        || tail.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at as u64);
    let behind = |end: u64| first.saturating_add(end).saturating_add(1);
    // The last line may have no end yet.
    let skipped = ends().count().saturating_sub(REPLAY_LINES);
    if let Some(end) = skipped.checked_sub(1).and_then(|last| ends().nth(last)) {
        return Ok(behind(end));
    }
    let is_cut = first > start;
    let whole = ends().next().filter(|_| is_cut);
    Ok(whole.map_or(first, behind))
}

/// Moves keys and output until it is over; gives why.
fn converse(
    session: &mut Session<'_>,
    vm: &str,
    attached: &mut Attached,
) -> Result<String, Failure> {
    let mut wait = Duration::ZERO;
    let mut burst = 0;
    loop {
        // Asked before reading, so that what it wrote last is not lost.
        let running = session.control.is_running(vm);
        let keys = read_keys(&mut session.terminal, wait, &mut attached.untaken);
        if keys == Keys::Detach {
            return Ok(hand_over(session, vm, attached));
        }
        send(session, vm, attached);
        let wrote = receive(session, vm, attached)?;
        if !running && wrote == 0 {
            let state = session.state(vm);
            return Ok(format!("{vm} is not running ({state}); detached"));
        }
        burst = wrote.saturating_add(burst);
        let is_quiet = wrote == 0 && keys == Keys::None;
        wait = if is_quiet || burst >= BURST { POLL } else { Duration::ZERO };
        if !wait.is_zero() {
            burst = 0;
            session.control.tick();
        }
    }
}

/// Gives the guest what was typed before Ctrl-] and waits a moment for it to take that; gives what to say.
fn hand_over(session: &mut Session<'_>, vm: &str, attached: &mut Attached) -> String {
    for _ in 0..OFFERS {
        send(session, vm, attached);
        if attached.untaken.is_empty() {
            return format!("detached from {vm}");
        }
        session.control.sleep(POLL);
    }
    let plural = if attached.untaken.len() == 1 { "key" } else { "keys" };
    let left = attached.untaken.len();
    format!("detached from {vm}, which has not taken the last {left} {plural}")
}

/// Gives the guest as many keys as it takes.
fn send(session: &mut Session<'_>, vm: &str, attached: &mut Attached) {
    if attached.untaken.is_empty() {
        return;
    }
    match session.control.console_write(vm, &attached.untaken) {
        Ok(taken) => {
            attached.untaken.drain(..taken.min(attached.untaken.len()));
        }
        // It has just ended; what it said last is still to be read.
        Err(_) => attached.untaken.clear(),
    }
}

/// Shows a chunk of what the guest wrote; gives how many bytes.
fn receive(session: &mut Session<'_>, vm: &str, attached: &mut Attached) -> ControlResult<usize> {
    let mut buf = [0; CHUNK];
    let count = session.control.console_read(vm, &mut attached.cursor, &mut buf)?;
    let chunk = buf.get(..count).unwrap_or_default();
    attached.escaped |= chunk.contains(&0x1b);
    session.terminal.write(chunk);
    Ok(count)
}

/// Adds the keys that are there to `untaken`; stops at Ctrl-], so that what follows goes to the shell.
fn read_keys(terminal: &mut dyn Terminal, wait: Duration, untaken: &mut Vec<u8>) -> Keys {
    let mut keys = Keys::None;
    let mut wait = wait;
    for _ in 0..CHUNK {
        let mut key = [0];
        if terminal.read(&mut key, wait) == 0 {
            break;
        }
        wait = Duration::ZERO;
        let [key] = key;
        if key == DETACH {
            return Keys::Detach;
        }
        keys = Keys::Typed;
        if untaken.len() < MAX_UNTAKEN {
            untaken.push(key);
        } else {
            terminal.write(b"\x07");
        }
    }
    keys
}

/// What `vm` wrote to its console and is still kept, as plain text.
pub(crate) fn log(session: &Session<'_>, vm: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let mut cursor = 0;
    let mut buf = [0; CHUNK];
    while bytes.len() < MAX_LOG {
        let count = session.control.console_read(vm, &mut cursor, &mut buf)?;
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(buf.get(..count).unwrap_or_default());
    }
    Ok(plain(&String::from_utf8_lossy(&bytes)))
}

/// `text` without escape sequences and without control characters other than line ends and tabs.
fn plain(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\x1b' && rest.next_if_eq(&'[').is_some() {
            while rest.next_if(|c| matches!(c, ' '..='?')).is_some() {}
            rest.next_if(|c| matches!(c, '@'..='~'));
        } else if !c.is_control() || c == '\n' || c == '\t' {
            kept.push(c);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_no_escape_sequences() {
        assert_eq!(plain("\x1b[1;31mred\x1b[0m\r\nok\tx\x07\x1b"), "red\nok\tx");
        assert_eq!(plain("\x1b[\x1b[\n\x1b[12"), "\n");
    }
}
