//! The shell: reads lines, runs commands, and says meanwhile what happened.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use crate::complete::complete;
use crate::control::VmControl;
use crate::editor::{Editor, Event, bell, clear_row};
use crate::help;
use crate::keyboard::Keyboard;
use crate::line::MAX_LINE_BYTES;
use crate::parse::{Request, parse};
use crate::session::{Ended, Failure, Outcome, Session, Settings, Status};
use crate::terminal::{Terminal, Text};
use crate::words;

/// How long keys are waited for before notices are looked at.
const POLL: Duration = Duration::from_millis(200);
/// After how many keys without a pause notices are looked at.
const KEYS_PER_POLL: u32 = 64;
/// The most notices shown at a time; keys come next.
const NOTICES_PER_POLL: usize = 8;
/// The most candidates listed by a Tab.
const MAX_CANDIDATES: usize = 64;
/// Asks a terminal what it is (ECMA-48 8.3.24, DA). A script that answers nothing gets no colours.
const WHAT_ARE_YOU: &[u8] = b"\x1b[c";

/// A shell on one terminal.
#[derive(Debug)]
pub struct Shell<C: VmControl> {
    control: C,
    editor: Editor,
    settings: Settings,
    ended: Option<Ended>,
    /// Keys typed while a command ran.
    ahead: VecDeque<u8>,
}

impl<C: VmControl> Shell<C> {
    /// A shell for `control`.
    pub fn new(control: C) -> Self {
        let settings = Settings { last: Status::Done, stops_at_failure: false, colours: false };
        Self { control, editor: Editor::new(), settings, ended: None, ahead: VecDeque::new() }
    }

    /// Runs what is typed on `terminal` until the machine powers off or restarts.
    pub fn run(&mut self, terminal: &mut dyn Terminal) -> Ended {
        if terminal.is_interactive() {
            terminal.write(WHAT_ARE_YOU);
        }
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
        let mut session = Session {
            control: &mut self.control,
            terminal: Keyboard { terminal, ahead: &mut self.ahead, scripted: false },
            settings: self.settings,
            ended: None,
            depth: 0,
        };
        run_line(&mut session, line);
        self.settings = session.settings;
        self.ended = session.ended;
        self.settings.last
    }

    /// What the shell controls.
    pub fn control(&mut self) -> &mut C {
        &mut self.control
    }

    /// A line from the terminal, with prompt, echo, completion and notices.
    fn read_line(&mut self, terminal: &mut dyn Terminal) -> String {
        self.show_notices(terminal);
        self.editor.draw(terminal);
        let mut keys = 0_u32;
        loop {
            let key = match self.ahead.pop_front() {
                Some(key) => Some(key),
                None => read_key(terminal),
            };
            keys = if key.is_some() { keys.saturating_add(1) } else { KEYS_PER_POLL };
            if keys >= KEYS_PER_POLL {
                keys = 0;
                self.control.tick();
                if self.show_notices(terminal) {
                    self.editor.draw(terminal);
                }
            }
            let Some(key) = key else {
                self.editor.idle();
                continue;
            };
            match self.editor.advance(key, terminal) {
                Event::Edited => {}
                Event::Entered(line) => return line,
                Event::TooLong => self.refuse(terminal),
                Event::Complete => self.complete(terminal),
                Event::IsTerminal => self.settings.colours = true,
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
        self.settings.last = Status::Usage;
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

fn read_key(terminal: &mut dyn Terminal) -> Option<u8> {
    let mut key = [0];
    let count = terminal.read(&mut key, POLL);
    let [key] = key;
    (count > 0).then_some(key)
}

/// Runs one line, says what is wrong with it, and keeps its status. A blank line has none and leaves the last one.
pub(crate) fn run_line(session: &mut Session<'_>, line: &str) -> Option<Status> {
    let fits = if line.len() <= MAX_LINE_BYTES { Ok(line) } else { Err("the line is too long") };
    let outcome = match fits.and_then(words::split) {
        Ok(words) if words.is_empty() => return None,
        Ok(words) => run(session, &words),
        Err(message) => Err(Failure::Usage(message.into())),
    };
    session.settings.last = match outcome {
        Ok(()) => Status::Done,
        Err(failure) => session.report(failure),
    };
    Some(session.settings.last)
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
