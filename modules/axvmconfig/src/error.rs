//! What is wrong with a config file, where, and what may stand there instead.

use alloc::{boxed::Box, string::String};
use core::fmt::{self, Write as _};

use axerrno::AxError;

/// One mistake in a config file.
///
/// Shown with `{}` it is the place, one sentence, the line with a caret, and what is allowed:
///
/// ```text
/// configs/vms/linux.toml:12:8: unknown map type "MapFoo"
///   12 | type = "MapFoo"
///      |        ^^^^^^^^ allowed: "alloc", "identical", "reserved" (0, 1, 2)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The key the mistake belongs to, such as `memory_regions[0].map_type`; empty where there is none.
    pub key: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to write instead; empty where nothing can be said.
    pub hint: String,
    pub(crate) excerpt: Box<Excerpt>,
}

/// The part of the offending line that is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// The line, cut to what fits and free of control characters.
    pub(crate) text: String,
    /// How many characters stand before the caret.
    pub(crate) before: usize,
    /// How many carets there are, at least one.
    pub(crate) carets: usize,
}

/// The least width of the line number.
const GUTTER: usize = 4;

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excerpt { text, before, carets } = &*self.excerpt;
        let digits = self.line.checked_ilog10().map_or(1, |tens| tens.saturating_add(1) as usize);
        let gutter = digits.max(GUTTER);
        writeln!(out, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        writeln!(out, "{:>gutter$} | {text}", self.line)?;
        // A width in a format has 16 bits, and what needs more panics.
        write!(out, "{:gutter$} | ", "")?;
        (0..*before).try_for_each(|_| out.write_char(' '))?;
        (0..*carets).try_for_each(|_| out.write_char('^'))?;
        if !self.hint.is_empty() {
            write!(out, " {}", self.hint)?;
        }
        Ok(())
    }
}

impl core::error::Error for ConfigError {}

impl From<ConfigError> for AxError {
    /// A config mistake is `InvalidInput` to callers that only take a code.
    fn from(_: ConfigError) -> Self {
        AxError::InvalidInput
    }
}
