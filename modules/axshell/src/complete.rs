//! Completion, from the command table and the names the hypervisor knows.

use alloc::string::String;
use alloc::vec::Vec;

use crate::cmd::machine::LEVELS;
use crate::cmd::wait::STATES;
use crate::command::{Command, Kind};
use crate::commands::{continuations, find};
use crate::control::VmControl;

/// What the word at the end of a line may become.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    /// What is to be typed behind it: as much as all candidates share, and a blank when there is only one.
    pub(crate) suffix: String,
    /// The candidates, sorted.
    pub(crate) candidates: Vec<String>,
}

/// Completes the last word of `before`, the text before the cursor.
pub(crate) fn complete(before: &str, control: &dyn VmControl) -> Completion {
    let start = before.rfind(' ').map_or(0, |at| at.saturating_add(1));
    let (finished, partial) = before.split_at_checked(start).unwrap_or((before, ""));
    let words: Vec<&str> = finished.split_whitespace().collect();
    let mut candidates = candidates(&words, partial, control);
    candidates.retain(|word| word.starts_with(partial) && is_plain(word));
    candidates.sort();
    candidates.dedup();
    let mut suffix = common_prefix(&candidates).get(partial.len()..).unwrap_or("").into();
    if candidates.len() == 1 {
        suffix += " ";
    }
    Completion { suffix, candidates }
}

/// Whether `word` can be typed without quotes.
fn is_plain(word: &str) -> bool {
    !word.is_empty()
        && !word.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"\\#".contains(c))
}

fn candidates(words: &[&str], partial: &str, control: &dyn VmControl) -> Vec<String> {
    let paths = continuations(words).into_iter().map(String::from);
    match find(words) {
        Some((command, length)) if !words.is_empty() => {
            let arguments = words.get(length..).unwrap_or_default();
            let own = arguments_of(command, arguments, partial, control);
            if arguments.is_empty() { paths.chain(own).collect() } else { own }
        }
        _ => paths.collect(),
    }
}

/// What may follow `arguments` of `command`.
fn arguments_of(
    command: &Command,
    arguments: &[&str],
    partial: &str,
    control: &dyn VmControl,
) -> Vec<String> {
    let option = |name: &str| command.options.iter().find(|option| option.name == name);
    if arguments.last().and_then(|last| option(last)).is_some_and(|last| last.value.is_some()) {
        return Vec::new();
    }
    let takes = |name: &str| option(name).is_some_and(|option| option.value.is_some());
    let mut taken = 0_usize;
    let mut is_value = false;
    for word in arguments {
        let counts = !is_value && !word.starts_with('-');
        taken = taken.saturating_add(usize::from(counts));
        is_value = takes(word);
    }
    match command.positional(taken).map(|positional| positional.kind) {
        Some(Kind::Command) => continuations(arguments).into_iter().map(String::from).collect(),
        Some(kind) if !partial.starts_with('-') => values(kind, arguments, control),
        Some(_) | None => options(command, arguments, partial),
    }
}

/// The options of `command` not yet in `arguments`, once a dash is typed.
fn options(command: &Command, arguments: &[&str], partial: &str) -> Vec<String> {
    if !partial.starts_with('-') {
        return Vec::new();
    }
    let names = command.options.iter().map(|option| option.name).chain(["--help"]);
    names.filter(|name| !arguments.contains(name)).map(String::from).collect()
}

/// What a word of `kind` may be, without what is given already.
fn values(kind: Kind, arguments: &[&str], control: &dyn VmControl) -> Vec<String> {
    let mut values = match kind {
        Kind::Vm => control.names(),
        Kind::File => control.files(),
        Kind::Script => control.scripts(),
        Kind::State => STATES.map(String::from).into(),
        Kind::Level => LEVELS.map(String::from).into(),
        Kind::Command | Kind::Number | Kind::Raw => Vec::new(),
    };
    values.retain(|value| !arguments.contains(&value.as_str()));
    values
}

/// What all of `words` start with.
fn common_prefix(words: &[String]) -> &str {
    let Some((first, others)) = words.split_first() else {
        return "";
    };
    let shared = |word: &String| {
        let same = first.char_indices().zip(word.chars()).find(|((_, a), b)| a != b);
        same.map_or(first.len().min(word.len()), |((at, _), _)| at)
    };
    let length = others.iter().map(shared).min().unwrap_or(first.len());
    first.get(..length).unwrap_or("")
}
