//! What a command works with while it runs.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Arguments, Write};
use core::time::Duration;

use crate::control::{ControlError, VmControl};
use crate::keyboard::{INTERRUPT, Keyboard};
use crate::meter::Meter;
use crate::parse::Parsed;
use crate::report::{self, Section};
use crate::suggest::did_you_mean;
use crate::terminal::{Terminal, Text};
use crate::words::shown;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It did all it was asked to.
    Done,
    /// It could not do all of it.
    Failed,
    /// The line was not understood; nothing was done.
    Usage,
    /// Ctrl-C ended it.
    Interrupted,
}

impl Status {
    /// The exit status as a number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Interrupted => 130,
        }
    }
}

/// How the machine is to go on without the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It powers off.
    Poweroff,
    /// It restarts.
    Reboot,
}

/// Why a command did not do all it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The line makes no sense, in one sentence.
    Usage(String),
    /// Something is wrong, in one sentence.
    Failed(String),
    /// Ctrl-C was pressed, in one sentence.
    Interrupted(String),
    /// It has been said already.
    Reported,
}

impl Failure {
    /// Ctrl-C was pressed.
    pub(crate) fn interrupted() -> Self {
        Self::Interrupted("interrupted".into())
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        Self::Failed(error.message)
    }
}

/// The longest JSON value of several VMs: one VM may be named as often as a line has room.
const MAX_JSON_BYTES: usize = 1 << 20;

/// What running a command gives.
pub(crate) type Outcome = Result<(), Failure>;

/// How a text looks on a terminal that has colours: Select Graphic Rendition (ECMA-48, 8.3.117).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Red,
    Yellow,
}

impl Style {
    fn sequence(self) -> &'static [u8] {
        match self {
            Self::Plain => b"",
            Self::Bold => b"\x1b[1m",
            Self::Red => b"\x1b[31m",
            Self::Yellow => b"\x1b[33m",
        }
    }
}

/// What outlives a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How the last command ended.
    pub(crate) last: Status,
    /// `set -e`.
    pub(crate) stops_at_failure: bool,
    /// Whether the terminal has colours.
    pub(crate) colours: bool,
}

/// One run of a command.
pub(crate) struct Session<'a> {
    pub(crate) control: &'a mut dyn VmControl,
    pub(crate) terminal: Keyboard<'a>,
    pub(crate) settings: Settings,
    /// Set by the command that ends the shell.
    pub(crate) ended: Option<Ended>,
    /// How many scripts run, one from within the other.
    pub(crate) depth: usize,
}

impl Session<'_> {
    /// Prints `text` as it is.
    pub(crate) fn print(&mut self, text: &str) {
        // Writing to a terminal cannot fail.
        let _ = Text(&mut self.terminal).write_str(text);
    }

    /// Prints a line.
    pub(crate) fn say(&mut self, line: Arguments<'_>) {
        let _ = writeln!(Text(&mut self.terminal), "{line}");
    }

    /// Prints `text` in `style` where there are colours.
    pub(crate) fn paint(&mut self, style: Style, text: &str) {
        let coloured = self.has_colours() && style != Style::Plain;
        if coloured {
            self.terminal.write(style.sequence());
        }
        self.print(text);
        if coloured {
            self.terminal.write(b"\x1b[0m");
        }
    }

    /// Whether escape sequences are understood and wanted.
    pub(crate) fn has_colours(&self) -> bool {
        self.settings.colours && self.terminal.is_interactive()
    }

    /// Prints what is wrong.
    pub(crate) fn complain(&mut self, message: &str) {
        self.paint(Style::Red, "error:");
        self.say(format_args!(" {message}"));
    }

    /// Prints `sections`, as JSON if `--json` is given.
    pub(crate) fn show(&mut self, parsed: &Parsed, sections: &[Section]) {
        if parsed.has("--json") {
            let text = report::json(sections);
            self.say(format_args!("{text}"));
            return;
        }
        for line in report::text(sections).lines() {
            let is_title = sections.iter().any(|section| section.title == line);
            self.paint(if is_title { Style::Bold } else { Style::Plain }, line);
            self.print("\n");
        }
    }

    /// Shows what `look` gives for each VM of `parsed`. As JSON it is one value, and nothing at all after a failure.
    pub(crate) fn show_each(
        &mut self,
        parsed: &Parsed,
        mut look: impl FnMut(&mut Self, &str) -> Result<Vec<Section>, Failure>,
    ) -> Outcome {
        let as_json = parsed.has("--json");
        let mut values = Vec::new();
        let mut size = 0_usize;
        self.each(&parsed.words, |session, typed| {
            let name = session.vm(typed)?;
            let sections = look(session, &name)?;
            if as_json {
                let value = report::json(&sections);
                size = size.saturating_add(value.len());
                if size > MAX_JSON_BYTES {
                    let message = "this is more than fits into one value: name fewer VMs";
                    return Err(Failure::Failed(message.into()));
                }
                values.push(value);
            } else {
                session.show(parsed, &sections);
            }
            Ok(())
        })?;
        match values.as_slice() {
            [] => {}
            [one] => self.say(format_args!("{one}")),
            several => {
                let text = several.join(",");
                self.say(format_args!("[{text}]"));
            }
        }
        Ok(())
    }

    /// The name of the VM `typed` means: a name, or else an id.
    pub(crate) fn vm(&self, typed: &str) -> Result<String, Failure> {
        let vms = self.control.list();
        let by_id = |id| vms.iter().find(|vm| vm.id == id);
        let by_name = vms.iter().find(|vm| vm.name == typed);
        let found = by_name.or_else(|| typed.parse().ok().and_then(by_id));
        found.map(|vm| vm.name.clone()).ok_or_else(|| {
            let hint = did_you_mean(typed, vms.iter().map(|vm| vm.name.as_str()));
            let see = if hint.is_empty() { "; see vm list" } else { "" };
            Failure::Failed(format!("there is no VM \"{}\"{hint}{see}", shown(typed)))
        })
    }

    /// The state of VM `name` in a word; `gone` if there is none.
    pub(crate) fn state(&self, name: &str) -> String {
        let found = self.control.list().into_iter().find(|vm| vm.name == name);
        found.map_or("gone".into(), |vm| vm.state)
    }

    /// Does `one` for each of `words`, goes on after failures, and fails if any did.
    pub(crate) fn each(
        &mut self,
        words: &[String],
        mut one: impl FnMut(&mut Self, &str) -> Outcome,
    ) -> Outcome {
        let mut outcome = Ok(());
        for word in words {
            if let Err(failure) = one(self, word) {
                self.report(failure);
                outcome = Err(Failure::Reported);
            }
        }
        outcome
    }

    /// Does `work`, and shows how it gets on where somebody waits for it.
    pub(crate) fn long<R>(
        &mut self,
        work: impl FnOnce(&mut dyn VmControl, &mut dyn FnMut(crate::control::Progress)) -> R,
    ) -> R {
        let mut meter = Meter::new(&mut self.terminal);
        let result = work(self.control, &mut |progress| meter.show(progress));
        meter.clear();
        result
    }

    /// Does nothing for `time`; gives whether one of `wanted`, or Ctrl-C, was pressed meanwhile. However short
    /// that is, keys are looked at: a host that is late can always be interrupted.
    pub(crate) fn rest(&mut self, time: Duration, wanted: &[u8]) -> bool {
        const STEP: Duration = Duration::from_millis(50);
        let mut keys = Vec::from(wanted);
        keys.push(INTERRUPT);
        let end = self.control.uptime_ns().saturating_add(nanos(time));
        loop {
            let left = Duration::from_nanos(end.saturating_sub(self.control.uptime_ns()));
            if self.terminal.has_keys() {
                if self.terminal.listen(STEP.min(left), &keys).is_some() {
                    return true;
                }
            } else if !left.is_zero() {
                self.control.sleep(STEP.min(left));
            }
            if left.is_zero() {
                return false;
            }
            self.control.tick();
        }
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_interrupted(&mut self) -> bool {
        self.terminal.has_keys() && self.terminal.listen(Duration::ZERO, &[INTERRUPT]).is_some()
    }

    /// Prints why a command failed; gives its status.
    pub(crate) fn report(&mut self, failure: Failure) -> Status {
        match failure {
            Failure::Usage(message) => {
                self.complain(&message);
                Status::Usage
            }
            Failure::Failed(message) => {
                self.complain(&message);
                Status::Failed
            }
            Failure::Interrupted(message) => {
                self.complain(&message);
                Status::Interrupted
            }
            Failure::Reported => Status::Failed,
        }
    }
}

/// `time` in ns; what is longer than 500 years is 500 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
