//! The lines typed before.

use alloc::collections::VecDeque;
use alloc::string::String;

/// How many lines are kept.
const MAX_LINES: usize = 64;

/// Lines typed before, and where Up and Down have got to.
#[derive(Debug, Default)]
pub(crate) struct History {
    lines: VecDeque<String>,
    /// How far back from the newest; 0 is the line being typed.
    back: usize,
    /// The line being typed while another one is shown.
    draft: String,
}

impl History {
    /// Keeps `line`, unless it is blank or the same as the last, and returns to the newest.
    pub(crate) fn add(&mut self, line: &str) {
        self.back = 0;
        if line.trim().is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.into());
    }

    /// Returns to the line being typed.
    pub(crate) fn leave(&mut self) {
        self.back = 0;
    }

    /// The line before the one shown, which is `shown`.
    pub(crate) fn up(&mut self, shown: &str) -> Option<&str> {
        let back = self.back.saturating_add(1);
        let line = self.lines.get(self.lines.len().checked_sub(back)?)?;
        if self.back == 0 {
            self.draft = shown.into();
        }
        self.back = back;
        Some(line)
    }

    /// The line after the one shown; the last is the one being typed.
    pub(crate) fn down(&mut self) -> Option<&str> {
        self.back = self.back.checked_sub(1)?;
        if self.back == 0 {
            return Some(&self.draft);
        }
        self.lines.get(self.lines.len().checked_sub(self.back)?).map(String::as_str)
    }
}

impl History {
    /// The newest line that contains `part` and is at least `skip` lines old, with how old it is.
    pub(crate) fn search(&self, part: &str, skip: usize) -> Option<(usize, &str)> {
        let lines = self.lines.iter().rev().enumerate().skip(skip);
        let mut found = lines.filter(|(_, line)| line.contains(part));
        found.next().map(|(age, line)| (age, line.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn up_and_down_walk_the_lines_and_come_back_to_the_draft() {
        let mut history = History::default();
        assert_eq!(history.up("x"), None);
        history.add("one");
        history.add("two");
        history.add("two");
        history.add("  ");
        assert_eq!(history.up("draft"), Some("two"));
        assert_eq!(history.up("two"), Some("one"));
        assert_eq!(history.up("one"), None);
        assert_eq!(history.down(), Some("two"));
        assert_eq!(history.down(), Some("draft"));
        assert_eq!(history.down(), None);
    }

    #[test]
    fn a_search_goes_from_the_newest_to_older_lines() {
        let mut history = History::default();
        for line in ["vm start a", "vm list", "vm start b"] {
            history.add(line);
        }
        assert_eq!(history.search("start", 0), Some((0, "vm start b")));
        assert_eq!(history.search("start", 1), Some((2, "vm start a")));
        assert_eq!(history.search("start", 3), None);
        assert_eq!(history.search("stop", 0), None);
    }

    #[test]
    fn only_the_newest_lines_are_kept() {
        let mut history = History::default();
        for number in 0..1000 {
            history.add(&format!("{number}"));
        }
        assert_eq!(history.lines.len(), MAX_LINES);
        assert_eq!(history.up(""), Some("999"));
    }
}
