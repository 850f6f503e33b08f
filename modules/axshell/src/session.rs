//! What a command works with while it runs.

use alloc::format;
use alloc::string::String;
use core::fmt::{Arguments, Write};

use crate::control::{ControlError, VmControl};
use crate::suggest::did_you_mean;
use crate::terminal::{Terminal, Text};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It did all it was asked to.
    Done,
    /// It could not do all of it.
    Failed,
    /// The line was not understood; nothing was done.
    Usage,
}

impl Status {
    /// The exit status as a number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
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
    /// It has been said already.
    Reported,
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        Self::Failed(error.message)
    }
}

/// What running a command gives.
pub(crate) type Outcome = Result<(), Failure>;

/// One run of a command.
pub(crate) struct Session<'a> {
    pub(crate) control: &'a mut dyn VmControl,
    pub(crate) terminal: &'a mut dyn Terminal,
    /// How the command before ended.
    pub(crate) last: Status,
    /// Set by the command that ends the shell.
    pub(crate) ended: Option<Ended>,
}

impl Session<'_> {
    /// Prints `text` as it is.
    pub(crate) fn print(&mut self, text: &str) {
        // Writing to a terminal cannot fail.
        let _ = Text(self.terminal).write_str(text);
    }

    /// Prints a line.
    pub(crate) fn say(&mut self, line: Arguments<'_>) {
        let _ = writeln!(Text(self.terminal), "{line}");
    }

    /// Prints what is wrong.
    pub(crate) fn complain(&mut self, message: &str) {
        self.say(format_args!("error: {message}"));
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
            Failure::Failed(format!("there is no VM \"{typed}\"{hint}{see}"))
        })
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
            Failure::Reported => Status::Failed,
        }
    }
}
