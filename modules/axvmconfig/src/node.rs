//! One value of a config file, with its place and its key, read as the type it should have.

use alloc::{format, string::String, vec::Vec};
use core::{fmt::Write, ops::Range};

use toml::{
    Spanned,
    de::{DeInteger, DeString, DeTable, DeValue},
};

use crate::{
    choice::Choice,
    error::ConfigError,
    source::{Source, quoted},
};

/// More items than this in one list are a mistake.
pub(crate) const MAX_ITEMS: usize = 64;

/// A value where it stands.
#[derive(Clone)]
pub(crate) struct Node<'s> {
    pub(crate) source: &'s Source<'s>,
    /// The key as it would be written in full, such as `memory_regions[0].size`.
    pub(crate) key: String,
    pub(crate) span: Range<usize>,
    pub(crate) value: &'s DeValue<'s>,
}

impl<'s> Node<'s> {
    pub(crate) fn new(
        source: &'s Source<'s>,
        key: String,
        value: &'s Spanned<DeValue<'s>>,
    ) -> Self {
        Self { source, key, span: value.span(), value: value.get_ref() }
    }

    /// An error at this value.
    pub(crate) fn error(&self, message: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        self.source.error(self.span.clone(), &self.key, message, hint)
    }

    fn wrong_type(&self, allowed: &str) -> ConfigError {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("{} cannot be {found}", self.key), format!("allowed: {allowed}"))
    }

    /// A string of `least` to `most` bytes without control characters.
    pub(crate) fn string(&self, least: usize, most: usize) -> Result<&'s str, ConfigError> {
        let text = self.value.as_str().ok_or_else(|| self.wrong_type("a string"))?;
        if text.len() < least || text.len() > most {
            let message = format!("{} has {} bytes", self.key, text.len());
            return Err(self.error(message, format!("allowed: {least} to {most}")));
        }
        if text.chars().any(char::is_control) {
            let message = format!("{} has a control character in it", self.key);
            return Err(self.error(message, "allowed: one line of text"));
        }
        Ok(text)
    }

    /// A file's path.
    pub(crate) fn path(&self) -> Result<String, ConfigError> {
        self.string(1, 255).map(String::from)
    }

    /// A name that the shell, too, can take: letters, digits, `_` and `-`.
    pub(crate) fn name(&self) -> Result<String, ConfigError> {
        const ALLOWED: &str = "allowed: 1 to 32 letters, digits, \"_\" and \"-\"";
        let text = self.value.as_str().ok_or_else(|| self.wrong_type("a string"))?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if text.is_empty() || text.len() > 32 || !text.bytes().all(fits) {
            let message = format!("{} cannot be {}", self.key, quoted(text));
            return Err(self.error(message, ALLOWED));
        }
        Ok(text.into())
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// An integer from 0.
    pub(crate) fn integer(&self) -> Result<usize, ConfigError> {
        let integer = self.value.as_integer().ok_or_else(|| self.wrong_type("an integer"))?;
        self.number(integer)
    }

    fn number(&self, integer: &DeInteger<'_>) -> Result<usize, ConfigError> {
        usize::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| {
            let message = format!("{} cannot be {}", self.key, quoted(integer.as_str()));
            self.error(message, "allowed: 0 to 0xffff_ffff_ffff_ffff")
        })
    }

    /// An integer within `range`.
    pub(crate) fn integer_in(&self, range: Range<usize>) -> Result<usize, ConfigError> {
        let value = self.integer()?;
        if range.contains(&value) {
            return Ok(value);
        }
        let last = range.end.saturating_sub(1);
        let message = format!("{} cannot be {value}", self.key);
        Err(self.error(message, format!("allowed: {} to {last}", range.start)))
    }

    /// A number of bytes: an integer, or a string such as `"512M"` with K, M or G for 2^10, 2^20 or 2^30.
    pub(crate) fn size(&self) -> Result<usize, ConfigError> {
        const ALLOWED: &str = "bytes as an integer, or a string such as \"512M\" with K, M or G";
        let text = match self.value {
            DeValue::Integer(integer) => return self.number(integer),
            DeValue::String(text) => text,
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => return Err(self.wrong_type(ALLOWED)),
        };
        parse_size(text).ok_or_else(|| {
            let message = format!("{} cannot be {}", self.key, quoted(text));
            self.error(message, format!("allowed: {ALLOWED}"))
        })
    }

    /// One of the words, or one of the numbers, of `T`.
    pub(crate) fn choice<T: Choice>(&self) -> Result<T, ConfigError> {
        let (known, found) = match self.value {
            DeValue::String(text) => (by_word(text), quoted(text)),
            DeValue::Integer(integer) => {
                let number = self.number(integer)?;
                (by_number(number), format!("{number:#x}"))
            }
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => return Err(self.wrong_type(&words::<T>())),
        };
        known.ok_or_else(|| {
            let message = format!("unknown {} {found}", T::WHAT);
            self.error(message, format!("allowed: {}", words::<T>()))
        })
    }

    /// A table.
    pub(crate) fn table(&self) -> Result<&'s DeTable<'s>, ConfigError> {
        self.value.as_table().ok_or_else(|| self.wrong_type("a table, in { } or under a [header]"))
    }

    /// The entries of a table whose keys are free.
    pub(crate) fn entries(&self) -> Result<Vec<(String, Node<'s>)>, ConfigError> {
        let entry = |(written, value): (&'s Spanned<DeString<'s>>, &'s Spanned<DeValue<'s>>)| {
            let name: &str = written.get_ref();
            let key = format!("{}.{}", self.key, quoted(name));
            (String::from(name), Node::new(self.source, key, value))
        };
        Ok(self.table()?.iter().map(entry).collect())
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Result<Vec<Node<'s>>, ConfigError> {
        let array = self.value.as_array().ok_or_else(|| self.wrong_type("a list, in [ ]"))?;
        if array.len() > MAX_ITEMS {
            let message = format!("{} has {} items", self.key, array.len());
            return Err(self.error(message, format!("allowed: {MAX_ITEMS} at most")));
        }
        let item = |(index, value)| {
            let key = format!("{}[{index}]", self.key);
            Node::new(self.source, key, value)
        };
        Ok(array.iter().enumerate().map(item).collect())
    }
}

/// `text` in bytes; nothing if it is not a number with an optional K, M or G, or too large.
fn parse_size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)? {
        "" => 0,
        "K" | "k" | "KiB" => 10,
        "M" | "m" | "MiB" => 20,
        "G" | "g" | "GiB" => 30,
        _ => return None,
    };
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse::<usize>().ok()?.checked_mul(1 << shift)
}

fn by_word<T: Choice>(word: &str) -> Option<T> {
    let all = T::ALL.iter().map(|(known, _, value)| (*known, *value));
    all.chain(T::ALIASES.iter().copied()).find(|(known, _)| *known == word).map(|(_, value)| value)
}

fn by_number<T: Choice>(number: usize) -> Option<T> {
    T::ALL.iter().find(|(_, known, _)| *known == Some(number)).map(|(_, _, value)| *value)
}

/// What `T` may be: its words, and behind them its numbers.
fn words<T: Choice>() -> String {
    let words: Vec<String> = T::ALL.iter().map(|(word, ..)| quoted(word)).collect();
    let mut text = words.join(", ");
    let numbers: Vec<String> = T::ALL
        .iter()
        .filter_map(|(_, number, _)| *number)
        .map(|number| if number < 10 { format!("{number}") } else { format!("{number:#x}") })
        .collect();
    if !numbers.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(text, " ({})", numbers.join(", "));
    }
    text
}
