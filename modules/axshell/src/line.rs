//! The line being typed, with its cursor.
//!
//! The text before the cursor and the text behind it, reversed, are two stacks, so that editing pushes and pops at
//! the cursor and no position can be out of range.

use alloc::string::String;
use alloc::vec::Vec;

/// The longest line, in bytes.
pub(crate) const MAX_LINE_BYTES: usize = 512;

/// A line of at most [`MAX_LINE_BYTES`].
#[derive(Debug, Default)]
pub(crate) struct Line {
    before: String,
    /// Reversed: the last one is right behind the cursor.
    behind: Vec<char>,
}

impl Line {
    /// What is before the cursor.
    pub(crate) fn before(&self) -> &str {
        &self.before
    }

    /// What is behind the cursor.
    pub(crate) fn behind(&self) -> impl Iterator<Item = char> {
        self.behind.iter().rev().copied()
    }

    /// Whether the cursor is at the end.
    pub(crate) fn at_end(&self) -> bool {
        self.behind.is_empty()
    }

    /// Whether nothing is typed.
    pub(crate) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.behind.is_empty()
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        self.before.chars().chain(self.behind()).collect()
    }

    /// Replaces all by `text`, cut to the longest line, with the cursor at the end.
    pub(crate) fn set(&mut self, text: &str) {
        self.before.clear();
        self.behind.clear();
        for c in text.chars() {
            self.insert(c);
        }
    }

    /// Takes the text out and leaves an empty line.
    pub(crate) fn take(&mut self) -> String {
        let text = self.text();
        self.set("");
        text
    }

    /// Puts `c` at the cursor; false when the line is full.
    pub(crate) fn insert(&mut self, c: char) -> bool {
        let behind: usize = self.behind.iter().map(|c| c.len_utf8()).sum();
        let fits =
            self.before.len().saturating_add(behind).saturating_add(c.len_utf8()) <= MAX_LINE_BYTES;
        if fits {
            self.before.push(c);
        }
        fits
    }

    /// Removes the character before the cursor; false when there is none.
    pub(crate) fn backspace(&mut self) -> bool {
        self.before.pop().is_some()
    }

    /// Removes the character behind the cursor; false when there is none.
    pub(crate) fn delete(&mut self) -> bool {
        self.behind.pop().is_some()
    }

    /// One character to the left; false at the start.
    pub(crate) fn left(&mut self) -> bool {
        let moved = self.before.pop();
        self.behind.extend(moved);
        moved.is_some()
    }

    /// One character to the right; false at the end.
    pub(crate) fn right(&mut self) -> bool {
        let moved = self.behind.pop();
        self.before.extend(moved);
        moved.is_some()
    }

    /// To the start.
    pub(crate) fn home(&mut self) {
        while self.left() {}
    }

    /// To the end.
    pub(crate) fn end(&mut self) {
        while self.right() {}
    }

    /// To the start of the word before the cursor.
    pub(crate) fn word_left(&mut self) {
        while self.before.ends_with(' ') && self.left() {}
        while !self.before.is_empty() && !self.before.ends_with(' ') && self.left() {}
    }

    /// Behind the end of the word behind the cursor.
    pub(crate) fn word_right(&mut self) {
        while self.behind.last() == Some(&' ') && self.right() {}
        while self.behind.last().is_some_and(|c| *c != ' ') && self.right() {}
    }

    /// Removes what is behind the cursor.
    pub(crate) fn kill_to_end(&mut self) {
        self.behind.clear();
    }

    /// Removes what is before the cursor.
    pub(crate) fn kill_to_start(&mut self) {
        self.before.clear();
    }

    /// Removes the word before the cursor with the spaces behind it.
    pub(crate) fn kill_word(&mut self) {
        while self.before.ends_with(' ') && self.backspace() {}
        while self.before.ends_with(|c| c != ' ') && self.backspace() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editing_happens_at_the_cursor() {
        let mut line = Line::default();
        line.set("vm lst");
        line.left();
        line.left();
        line.insert('i');
        assert_eq!((line.before(), line.text().as_str()), ("vm li", "vm list"));
        line.home();
        line.delete();
        line.word_right();
        assert_eq!(line.before(), "m");
        line.end();
        line.backspace();
        assert_eq!(line.take(), "m lis");
        assert!(line.is_empty());
    }

    #[test]
    fn words_move_and_die_with_their_spaces() {
        let mut line = Line::default();
        line.set("vm start  linux  ");
        line.kill_word();
        assert_eq!(line.text(), "vm start  ");
        line.word_left();
        assert_eq!(line.before(), "vm ");
        line.kill_to_end();
        line.kill_word();
        assert!(line.is_empty());
    }

    #[test]
    fn a_line_never_grows_beyond_its_bound() {
        let mut line = Line::default();
        for _ in 0..10_000 {
            line.insert('€');
            line.left();
        }
        assert!(line.text().len() <= MAX_LINE_BYTES);
        assert!(line.text().len() > MAX_LINE_BYTES - 3);
    }
}
