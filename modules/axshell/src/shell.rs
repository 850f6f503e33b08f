//! The shell: reads lines, runs commands, and says meanwhile what happened.

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use crate::complete::complete;
use crate::control::VmControl;
use crate::editor::{Editor, Event, bell, clear_row};
use crate::help;
use crate::line::MAX_LINE_BYTES;
use crate::parse::{Request, parse};
use crate::session::{Ended, Failure, Outcome, Session, Status};
use crate::terminal::{Terminal, Text};
use crate::words;

/// How long keys are waited for before notices are looked at.
const POLL: Duration = Duration::from_millis(50);
/// After how many keys without a pause notices are looked at.
const KEYS_PER_POLL: u32 = 64;
/// The most notices shown at a time; keys come next.
const NOTICES_PER_POLL: usize = 8;
/// The most candidates listed by a Tab.
const MAX_CANDIDATES: usize = 64;

/// A shell on one terminal.
#[derive(Debug)]
pub struct Shell<C: VmControl> {
    control: C,
    editor: Editor,
    last: Status,
    ended: Option<Ended>,
}

impl<C: VmControl> Shell<C> {
    /// A shell for `control`.
    pub fn new(control: C) -> Self {
        Self { control, editor: Editor::new(), last: Status::Done, ended: None }
    }

    /// Runs what is typed on `terminal` until the machine powers off or restarts.
    pub fn run(&mut self, terminal: &mut dyn Terminal) -> Ended {
        loop {
            let line = self.read_line(terminal);
            self.execute(&line, terminal);
            if let Some(ended) = self.ended.take() {
                return ended;
            }
        }
    }

    /// Runs one line as if it had been typed, without prompt and echo; output goes to `terminal`.
    ///
    /// A blank line or a comment changes nothing and gives the last status.
    pub fn execute(&mut self, line: &str, terminal: &mut dyn Terminal) -> Status {
        let mut session =
            Session { control: &mut self.control, terminal, last: self.last, ended: None };
        let outcome = match words::split(line) {
            Ok(words) if words.is_empty() => return self.last,
            Ok(words) => run(&mut session, &words),
            Err(message) => Err(Failure::Usage(message.into())),
        };
        self.last = match outcome {
            Ok(()) => Status::Done,
            Err(failure) => session.report(failure),
        };
        self.ended = session.ended;
        self.last
    }

    /// What the shell controls.
    pub fn control(&mut self) -> &mut C {
        &mut self.control
    }

    /// A line from the terminal, with prompt, echo, completion and notices.
    fn read_line(&mut self, terminal: &mut dyn Terminal) -> String {
        self.show_notices(terminal);
        self.editor.draw(terminal);
        let mut keys = 0;
        loop {
            let mut key = [0];
            let came = terminal.read(&mut key, POLL) > 0;
            keys = if came { keys + 1 } else { KEYS_PER_POLL };
            if keys >= KEYS_PER_POLL {
                keys = 0;
                if self.show_notices(terminal) {
                    self.editor.draw(terminal);
                }
            }
            if !came {
                self.editor.idle();
                continue;
            }
            let [key] = key;
            match self.editor.advance(key, terminal) {
                Event::Edited => {}
                Event::Entered(line) => return line,
                Event::TooLong => self.refuse(terminal),
                Event::Complete => self.complete(terminal),
            }
        }
    }

    /// Prints what happened meanwhile; gives whether there was anything.
    fn show_notices(&mut self, terminal: &mut dyn Terminal) -> bool {
        let mut shown = false;
        for _ in 0..NOTICES_PER_POLL {
            let Some(notice) = self.control.take_notice() else {
                break;
            };
            if !shown {
                clear_row(terminal);
            }
            // Writing to a terminal cannot fail.
            let _ = writeln!(Text(terminal), "{notice}");
            shown = true;
        }
        shown
    }

    fn refuse(&mut self, terminal: &mut dyn Terminal) {
        self.last = Status::Usage;
        let message = "error: the line was not run, because a line has at most";
        let _ = writeln!(Text(terminal), "{message} {MAX_LINE_BYTES} bytes");
        self.editor.draw(terminal);
    }

    /// Types what is certain, or else lists the candidates.
    fn complete(&mut self, terminal: &mut dyn Terminal) {
        let completion = complete(self.editor.before(), &self.control);
        if !completion.suffix.is_empty() {
            self.editor.type_text(&completion.suffix, terminal);
        } else if completion.candidates.is_empty() {
            bell(terminal);
        } else {
            let mut text = String::from("\n");
            for candidate in completion.candidates.iter().take(MAX_CANDIDATES) {
                text += candidate;
                text += "  ";
            }
            let more = completion.candidates.len() > MAX_CANDIDATES;
            let text = text.trim_end_matches(' ');
            let _ = writeln!(Text(terminal), "{text}{}", if more { " ..." } else { "" });
            self.editor.draw(terminal);
        }
    }
}

/// Runs the command that `words`, at least one, name.
fn run(session: &mut Session<'_>, words: &[String]) -> Outcome {
    match parse(words).map_err(Failure::Usage)? {
        Request::Run(command, parsed) => (command.run)(session, &parsed),
        Request::Help(words) => {
            let text = help::help(&words).map_err(Failure::Usage)?;
            session.print(&text);
            Ok(())
        }
    }
}
