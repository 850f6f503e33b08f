//! What a command is: its words, what it takes, and what does it.

use crate::parse::Parsed;
use crate::session::{Outcome, Session};

/// What a word stands for; decides how it is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A VM, by name or id.
    Vm,
    /// A VM config of the bundle.
    File,
    /// A script of the bundle.
    Script,
    /// A state of a VM.
    State,
    /// A log level.
    Level,
    /// The words of a command.
    Command,
    /// A number, a size, a time.
    Number,
    /// Anything, and what looks like an option is none.
    Raw,
}

/// How many positional arguments stand at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one.
    One,
    /// One or none; only optional ones follow.
    Optional,
    /// One or more; only the last place.
    Some,
    /// Any number; only the last place.
    Any,
}

/// A positional argument of a command.
#[derive(Clone, Copy, Debug)]
pub struct Positional {
    /// As shown in the usage: `NAME`.
    pub placeholder: &'static str,
    /// What it stands for.
    pub kind: Kind,
    /// How many there may be.
    pub arity: Arity,
}

/// An option of a command.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// As typed: `--memory`, `-n`.
    pub name: &'static str,
    /// As shown in the usage, for an option that takes a value: `SIZE`.
    pub value: Option<&'static str>,
    /// What it does, in a few words.
    pub help: &'static str,
}

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// The words it is called by: `vm start`.
    pub path: &'static [&'static str],
    /// Other words it is called by.
    pub aliases: &'static [&'static [&'static str]],
    /// What it does, in one line.
    pub help: &'static str,
    /// What else there is to know, in lines; empty for nothing.
    pub notes: &'static str,
    /// What it takes, in order.
    pub positionals: &'static [Positional],
    /// Its options; `--help` goes without saying.
    pub options: &'static [Opt],
    /// What does it.
    pub(crate) run: fn(&mut Session<'_>, &Parsed) -> Outcome,
}

impl Command {
    /// Its path and its aliases.
    pub fn paths(&self) -> impl Iterator<Item = &'static [&'static str]> {
        core::iter::once(self.path).chain(self.aliases.iter().copied())
    }

    /// What its positional argument number `at` stands for.
    pub(crate) fn positional(&self, at: usize) -> Option<&'static Positional> {
        let repeated = |last: &&Positional| matches!(last.arity, Arity::Some | Arity::Any);
        self.positionals.get(at).or_else(|| self.positionals.last().filter(repeated))
    }

    /// Whether its arguments are text, in which nothing is an option.
    pub(crate) fn is_raw(&self) -> bool {
        self.positionals.iter().any(|taken| taken.kind == Kind::Raw)
    }
}

/// An option.
pub(crate) const fn option(
    name: &'static str,
    value: Option<&'static str>,
    help: &'static str,
) -> Opt {
    Opt { name, value, help }
}

/// A place for positional arguments.
pub(crate) const fn takes(placeholder: &'static str, kind: Kind, arity: Arity) -> Positional {
    Positional { placeholder, kind, arity }
}

/// A command without arguments, options and aliases.
pub(crate) const fn plain(
    path: &'static [&'static str],
    help: &'static str,
    run: fn(&mut Session<'_>, &Parsed) -> Outcome,
) -> Command {
    Command { path, aliases: &[], help, notes: "", positionals: &[], options: &[], run }
}
