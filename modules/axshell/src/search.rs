//! The search of Ctrl-R: the newest line typed before that contains what is typed now.

use alloc::format;
use alloc::string::String;

use crate::editor::{COLUMNS, clear_row};
use crate::history::History;
use crate::terminal::Terminal;

/// The longest text that is looked for, in characters.
const MAX_CHARS: usize = 40;

/// A search that goes on.
#[derive(Debug, Default)]
pub(crate) struct Search {
    part: String,
    /// How old the line found last is; lines newer than this are not looked at.
    age: usize,
}

impl Search {
    /// The line found.
    pub(crate) fn found<'a>(&self, history: &'a History) -> Option<&'a str> {
        let found = history.search(&self.part, self.age).filter(|_| !self.part.is_empty());
        found.map(|(_, line)| line)
    }

    /// Whether there is such a line, or nothing is looked for yet.
    pub(crate) fn is_found(&self, history: &History) -> bool {
        self.part.is_empty() || self.found(history).is_some()
    }

    /// Looks for `c` too.
    pub(crate) fn add(&mut self, c: char, history: &History) {
        if self.part.chars().nth(MAX_CHARS - 1).is_none() {
            self.part.push(c);
            self.settle(history);
        }
    }

    /// Looks for one character less, from the newest line on.
    pub(crate) fn remove(&mut self, history: &History) {
        self.part.pop();
        self.age = 0;
        self.settle(history);
    }

    /// On to an older line, if there is one.
    pub(crate) fn older(&mut self, history: &History) {
        if let Some((age, _)) =
            history.search(&self.part, self.age.saturating_add(1)).filter(|_| !self.part.is_empty())
        {
            self.age = age;
        }
    }

    fn settle(&mut self, history: &History) {
        if let Some((age, _)) = history.search(&self.part, self.age) {
            self.age = age;
        }
    }

    /// Shows what is looked for, and the line found, in the row the cursor is in.
    pub(crate) fn draw(&self, history: &History, terminal: &mut dyn Terminal) {
        let line = self.found(history).unwrap_or("");
        let row = format!("search \"{}\": {line}", self.part);
        let row: String = row.chars().take(COLUMNS - 1).collect();
        clear_row(terminal);
        terminal.write(row.as_bytes());
    }
}
