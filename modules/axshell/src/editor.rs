//! The line editor: keys change the line, and the terminal shows it.
//!
//! The line takes one row. It never asks the terminal where the cursor is or how wide it is, because behind a
//! serial line there may be a script that answers nothing. A line too long for the row is shown in part, around the
//! cursor. Every character counts as one column.

use alloc::string::String;

use crate::history::History;
use crate::key::{Decoder, Key};
use crate::line::Line;
use crate::search::Search;
use crate::terminal::Terminal;

const PROMPT: &str = "axle> ";
/// Columns of the narrowest terminal that shows the row without wrapping it.
pub(crate) const COLUMNS: usize = 80;
/// Columns for the line itself; the last one stays free because writing there may wrap.
const VISIBLE: usize = COLUMNS - PROMPT.len() - 1;
/// What is shown for a Ctrl-C.
const INTERRUPTED: &[u8] = b"^C";

/// What a byte led to, beyond editing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Nothing.
    Edited,
    /// Enter: the line, which is a new one now.
    Entered(String),
    /// Enter on a line of which some was dropped because it was too long.
    TooLong,
    /// Tab.
    Complete,
    /// The terminal said that it is one.
    IsTerminal,
}

/// A line being edited, and the lines before it.
#[derive(Debug)]
pub(crate) struct Editor {
    line: Line,
    history: History,
    decoder: Decoder,
    /// How many characters are hidden to the left.
    hidden: usize,
    /// Whether characters of this line were dropped.
    dropped: bool,
    /// The search of Ctrl-R.
    search: Option<Search>,
}

impl Editor {
    pub(crate) fn new() -> Self {
        Self {
            line: Line::default(),
            history: History::default(),
            decoder: Decoder::new(),
            hidden: 0,
            dropped: false,
            search: None,
        }
    }

    /// What is typed before the cursor.
    pub(crate) fn before(&self) -> &str {
        self.line.before()
    }

    /// Nothing came for a while.
    pub(crate) fn idle(&mut self) {
        self.decoder.idle();
    }

    /// Takes one byte and shows what it changed.
    pub(crate) fn advance(&mut self, byte: u8, terminal: &mut dyn Terminal) -> Event {
        let key = self.decoder.advance(byte);
        let key = key.and_then(|key| self.search_with(key, terminal));
        match key {
            None => Event::Edited,
            Some(Key::Attributes) => Event::IsTerminal,
            Some(Key::Enter) => self.enter(terminal),
            Some(Key::Tab) => Event::Complete,
            Some(Key::Char(c)) => {
                self.insert(c, terminal);
                Event::Edited
            }
            Some(Key::Interrupt) => {
                self.abandon(terminal);
                Event::Edited
            }
            Some(key) => {
                let changed = self.edit(key);
                self.dropped &= !self.line.is_empty();
                if changed {
                    self.draw(terminal)
                } else {
                    bell(terminal)
                }
                Event::Edited
            }
        }
    }

    /// Types `text` at the cursor.
    pub(crate) fn type_text(&mut self, text: &str, terminal: &mut dyn Terminal) {
        for c in text.chars() {
            self.insert(c, terminal);
        }
    }

    /// Shows the prompt and the line in the row the cursor is in.
    pub(crate) fn draw(&mut self, terminal: &mut dyn Terminal) {
        if let Some(search) = &self.search {
            search.draw(&self.history, terminal);
            return;
        }
        let cursor = self.cursor();
        if !(self.hidden..=self.hidden.saturating_add(VISIBLE)).contains(&cursor) {
            self.hidden = cursor.saturating_sub(VISIBLE / 2);
        }
        let all = self.line.before().chars().chain(self.line.behind());
        let shown: String = all.skip(self.hidden).take(VISIBLE).collect();
        clear_row(terminal);
        terminal.write(PROMPT.as_bytes());
        terminal.write(shown.as_bytes());
        let back = shown.chars().count().saturating_sub(cursor.saturating_sub(self.hidden));
        if back > 0 {
            terminal.write(alloc::format!("\x1b[{back}D").as_bytes());
        }
    }

    /// Characters before the cursor.
    fn cursor(&self) -> usize {
        self.line.before().chars().count()
    }

    /// Gives a running search its key, or the editor what is not for a search.
    fn search_with(&mut self, key: Key, terminal: &mut dyn Terminal) -> Option<Key> {
        if self.search.is_none() && key != Key::Search {
            return Some(key);
        }
        if key == Key::Attributes {
            return Some(key);
        }
        let mut search = self.search.take().unwrap_or_default();
        if key == Key::Search {
            search.older(&self.history);
        } else if let Key::Char(c) = key {
            search.add(c, &self.history);
        } else if key == Key::Backspace {
            search.remove(&self.history);
        } else {
            return self.end_search(&search, key, terminal);
        }
        if !search.is_found(&self.history) {
            bell(terminal);
        }
        search.draw(&self.history, terminal);
        self.search = Some(search);
        None
    }

    /// Ends a search: Ctrl-C and Ctrl-G forget it, any other key is for the line found.
    fn end_search(
        &mut self,
        search: &Search,
        key: Key,
        terminal: &mut dyn Terminal,
    ) -> Option<Key> {
        let is_forgotten = matches!(key, Key::Cancel | Key::Interrupt);
        if let Some(found) = search.found(&self.history).filter(|_| !is_forgotten) {
            self.line.set(found);
            self.dropped = false;
            self.history.leave();
        }
        self.draw(terminal);
        (!is_forgotten).then_some(key)
    }

    fn insert(&mut self, c: char, terminal: &mut dyn Terminal) {
        if !self.line.insert(c) {
            // One bell for all that follows, however much it is.
            if !self.dropped {
                bell(terminal);
            }
            self.dropped = true;
        } else if self.line.at_end() && self.cursor().saturating_sub(self.hidden) <= VISIBLE {
            terminal.write(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            self.draw(terminal);
        }
    }

    fn enter(&mut self, terminal: &mut dyn Terminal) -> Event {
        let line = self.line.take();
        self.hidden = 0;
        terminal.write(b"\r\n");
        if core::mem::take(&mut self.dropped) {
            self.history.leave();
            return Event::TooLong;
        }
        self.history.add(&line);
        Event::Entered(line)
    }

    fn abandon(&mut self, terminal: &mut dyn Terminal) {
        let column = PROMPT.len().saturating_add(self.cursor().saturating_sub(self.hidden));
        let back = column.saturating_add(INTERRUPTED.len()).saturating_sub(COLUMNS - 1);
        if back > 0 {
            terminal.write(alloc::format!("\x1b[{back}D").as_bytes());
        }
        self.line.set("");
        self.hidden = 0;
        self.dropped = false;
        self.history.leave();
        terminal.write(INTERRUPTED);
        terminal.write(b"\r\n");
        self.draw(terminal);
    }

    /// Does what an editing key does; false when it can do nothing.
    fn edit(&mut self, key: Key) -> bool {
        match key {
            Key::Backspace => return self.line.backspace(),
            Key::Delete | Key::EndOfInput => return self.line.delete(),
            Key::Left => return self.line.left(),
            Key::Right => return self.line.right(),
            Key::WordLeft => self.line.word_left(),
            Key::WordRight => self.line.word_right(),
            Key::Up => return self.recall(History::up),
            Key::Down => return self.recall(|history, _| history.down()),
            Key::Home => self.line.home(),
            Key::End => self.line.end(),
            Key::KillToEnd => self.line.kill_to_end(),
            Key::KillToStart => self.line.kill_to_start(),
            Key::KillWord => self.line.kill_word(),
            Key::Redraw => {}
            Key::Char(_)
            | Key::Enter
            | Key::Tab
            | Key::Interrupt
            | Key::Search
            | Key::Cancel
            | Key::Attributes
            | Key::Unknown => return false,
        }
        true
    }

    fn recall(&mut self, step: for<'a> fn(&'a mut History, &str) -> Option<&'a str>) -> bool {
        let shown = self.line.text();
        let found = step(&mut self.history, &shown);
        if let Some(line) = found {
            self.line.set(line);
            self.dropped = false;
        }
        found.is_some()
    }
}

/// Empties the row the cursor is in.
pub(crate) fn clear_row(terminal: &mut dyn Terminal) {
    terminal.write(b"\r\x1b[K");
}

pub(crate) fn bell(terminal: &mut dyn Terminal) {
    terminal.write(b"\x07");
}
