//! JSON, written so that a person can read it.

use alloc::{string::String, vec::Vec};
use core::fmt::{self, Write};

/// A JSON value.
#[derive(Clone)]
pub(crate) enum Json {
    Text(String),
    /// A number, `true`, `false`, or anything that is JSON already.
    Raw(String),
    List(Vec<Json>),
    /// In the order in which it is written.
    Object(Vec<(String, Json)>),
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<usize> for Json {
    fn from(number: usize) -> Self {
        Self::Raw(alloc::format!("{number}"))
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Raw(alloc::format!("{value}"))
    }
}

impl FromIterator<Json> for Json {
    fn from_iter<I: IntoIterator<Item = Json>>(items: I) -> Self {
        Self::List(items.into_iter().collect())
    }
}

/// An object of `members`.
pub(crate) fn object<'a>(members: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

impl Json {
    /// The same object with one member more.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        if let Self::Object(members) = &mut self {
            members.push((name.into(), value.into()));
        }
        self
    }

    /// Whether it fits on the line it begins on.
    fn is_short(&self) -> bool {
        match self {
            Self::Text(_) | Self::Raw(_) => true,
            Self::List(items) => {
                items.iter().all(|item| matches!(item, Self::Text(_) | Self::Raw(_)))
            }
            Self::Object(members) => {
                matches!(members.as_slice(), [(_, Self::Text(_) | Self::Raw(_))])
            }
        }
    }

    fn write(&self, out: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Self::Text(text) => quoted(text, out),
            Self::Raw(raw) => out.write_str(raw),
            Self::List(items) => {
                let item =
                    |out: &mut fmt::Formatter<'_>, item: &Self, depth| item.write(out, depth);
                between(out, ['[', ']'], items, self.is_short(), depth, item)
            }
            Self::Object(members) => {
                let member = |out: &mut fmt::Formatter<'_>, member: &(String, Self), depth| {
                    quoted(&member.0, out)?;
                    out.write_str(": ")?;
                    member.1.write(out, depth)
                };
                between(out, ['{', '}'], members, self.is_short(), depth, member)
            }
        }
    }
}

/// `items` between two brackets, on one line or on one each.
fn between<T>(
    out: &mut fmt::Formatter<'_>,
    [open, close]: [char; 2],
    items: &[T],
    short: bool,
    depth: usize,
    mut item: impl FnMut(&mut fmt::Formatter<'_>, &T, usize) -> fmt::Result,
) -> fmt::Result {
    let (deeper, gap) = (depth.saturating_add(1), if short { ", " } else { "," });
    out.write_char(open)?;
    for (number, one) in items.iter().enumerate() {
        if number != 0 {
            out.write_str(gap)?;
        }
        if !short {
            write!(out, "\n{:1$}", "", deeper.saturating_mul(2))?;
        }
        item(out, one, deeper)?;
    }
    if !short && !items.is_empty() {
        write!(out, "\n{:1$}", "", depth.saturating_mul(2))?;
    }
    out.write_char(close)
}

fn quoted(text: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_char('"')?;
    for char in text.chars() {
        match char {
            '"' | '\\' => write!(out, "\\{char}")?,
            control if control.is_control() => write!(out, "\\u{:04x}", u32::from(control))?,
            other => out.write_char(other)?,
        }
    }
    out.write_char('"')
}

impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(out, 0)
    }
}
