//! From words to a command with its arguments, checked against the table.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::command::{Arity, Command, Opt};
use crate::commands::{COMMANDS, continuations, find};
use crate::suggest::did_you_mean;
use crate::words::shown;

/// What a line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Help about what the words start with: a command, a group, or everything.
    Help(Vec<String>),
    /// To run a command.
    Run(&'static Command, Parsed),
}

/// The arguments of a command.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// The positional ones.
    pub(crate) words: Vec<String>,
    options: Vec<(&'static str, Option<String>)>,
}

impl Parsed {
    /// Whether the option `name` is given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(given, _)| *given == name)
    }

    /// The value of the option `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(given, _)| *given == name)?.1.as_deref()
    }

    /// The value of the option `name` read by `read`.
    ///
    /// # Errors
    /// A sentence that names the option and `wanted`, when `read` cannot read it.
    pub(crate) fn value<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        self::value(name, text, wanted, read).map(Some)
    }

    /// The first positional argument; the table says there is one.
    pub(crate) fn first(&self) -> &str {
        self.word(0)
    }

    /// Positional argument number `at`; empty if there are fewer.
    pub(crate) fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// Positional argument number `at` read by `read`; `name` is what the usage calls it.
    ///
    /// # Errors
    /// A sentence that names it and `wanted`, when `read` cannot read it.
    pub(crate) fn word_value<T>(
        &self,
        at: usize,
        name: &str,
        wanted: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(text) = self.words.get(at) else {
            return Ok(None);
        };
        value(name, text, wanted, read).map(Some)
    }
}

fn value<T>(
    name: &str,
    text: &str,
    wanted: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, String> {
    read(text).ok_or_else(|| format!("{name} wants {wanted}, not \"{}\"", shown(text)))
}

/// The longest word a command other than `echo` takes, in bytes: no name is as long.
const MAX_WORD: usize = 256;

/// What `words`, at least one, ask for.
///
/// # Errors
/// One sentence.
pub(crate) fn parse(words: &[String]) -> Result<Request, String> {
    let Some((command, length)) = find(words) else {
        return group(words);
    };
    let arguments = words.get(length..).unwrap_or_default();
    let raw = command.is_raw();
    if asks_for_help(arguments, raw) {
        return Ok(Request::Help(words.get(..length).unwrap_or_default().into()));
    }
    if let Some(word) = arguments.iter().find(|word| !raw && word.len() > MAX_WORD) {
        return Err(format!("\"{}\" is longer than anything there is", shown(word)));
    }
    let parsed = if raw {
        Parsed { words: arguments.into(), options: Vec::new() }
    } else {
        arguments_of(command, arguments)?
    };
    check_count(command, length, &parsed.words, words)?;
    Ok(Request::Run(command, parsed))
}

/// Whether `arguments` contain a `--help`; among `raw` ones only where it is the only one.
fn asks_for_help(arguments: &[String], raw: bool) -> bool {
    let asks = |word: &String| word == "--help" || word == "-h";
    if raw {
        return arguments.len() == 1 && arguments.iter().all(asks);
    }
    arguments.iter().take_while(|word| *word != "--").any(asks)
}

/// A line that names no command: perhaps a group, perhaps a typo.
fn group(words: &[String]) -> Result<Request, String> {
    let first = words.first().map_or("", String::as_str);
    let following = continuations(&[first]);
    if following.is_empty() {
        let known = COMMANDS.iter().filter_map(|command| command.path.first().copied());
        let hint = did_you_mean(first, known);
        let (first, see) = (shown(first), see_help(&hint, "help"));
        return Err(format!("there is no command \"{first}\"{hint}{see}"));
    }
    match words.get(1).map(String::as_str) {
        Some("--help" | "-h") => Ok(Request::Help(alloc::vec![first.into()])),
        Some(second) => Err(unknown_in_group(first, second)),
        None => Err(format!("{first} what? It takes {}", following.join(", "))),
    }
}

fn unknown_in_group(first: &str, second: &str) -> String {
    let known: Vec<String> =
        continuations(&[first]).iter().map(|next| format!("{first} {next}")).collect();
    let typed = format!("{first} {second}");
    // Measured by the second word alone, so that the first does not make up for a bad guess.
    let near = did_you_mean(second, continuations(&[first]).into_iter());
    let hint =
        if near.is_empty() { near } else { did_you_mean(&typed, known.iter().map(String::as_str)) };
    let see = see_help(&hint, &format!("help {first}"));
    format!("there is no command \"{}\"{hint}{see}", shown(&typed))
}

fn see_help(hint: &str, command: &str) -> String {
    if hint.is_empty() { format!("; see {command}") } else { String::new() }
}

/// Sorts `arguments` into options and others.
fn arguments_of(command: &'static Command, arguments: &[String]) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            parsed.words.extend(rest.by_ref().cloned());
        } else if word.starts_with('-') && word.len() > 1 {
            let (name, attached) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            let option = known_option(command, name)?;
            if parsed.has(option.name) {
                return Err(format!("{name} is given twice"));
            }
            let value = option_value(option, attached, &mut rest)?;
            parsed.options.push((option.name, value));
        } else {
            parsed.words.push(word.clone());
        }
    }
    Ok(parsed)
}

fn known_option(command: &'static Command, name: &str) -> Result<&'static Opt, String> {
    command.options.iter().find(|option| option.name == name).ok_or_else(|| {
        let path = command.path.join(" ");
        let hint = did_you_mean(name, command.options.iter().map(|option| option.name));
        let see = see_help(&hint, &format!("help {path}"));
        format!("{path} has no option {}{hint}{see}", shown(name))
    })
}

/// The value `option` takes, attached to it or the next of `rest`.
fn option_value<'a>(
    option: &Opt,
    attached: Option<&str>,
    rest: &mut impl Iterator<Item = &'a String>,
) -> Result<Option<String>, String> {
    let name = option.name;
    match (option.value, attached) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(format!("{name} takes no value")),
        (Some(_), Some(value)) => Ok(Some(value.into())),
        (Some(wanted), None) => match rest.next() {
            Some(value) => Ok(Some(value.clone())),
            None => Err(format!("{name} needs a value, as in {name} {wanted}")),
        },
    }
}

/// Whether as many positional arguments came as `command` takes; `length` of `words` name it.
fn check_count(
    command: &Command,
    length: usize,
    arguments: &[String],
    words: &[String],
) -> Result<(), String> {
    let path = words.get(..length).unwrap_or_default().join(" ");
    let taken = command.positionals;
    if let (Some(extra), true) = (arguments.first(), taken.is_empty()) {
        return Err(if continuations(words.get(..length).unwrap_or_default()).is_empty() {
            format!("{path} takes no arguments")
        } else {
            unknown_in_group(&path, extra)
        });
    }
    let is_needed = |arity| matches!(arity, Arity::One | Arity::Some);
    if let Some(missing) = taken.get(arguments.len()).filter(|missing| is_needed(missing.arity)) {
        return Err(format!("{path} needs a {}; see help {path}", missing.placeholder));
    }
    if arguments.len() > taken.len() && command.positional(arguments.len()).is_none() {
        let names: Vec<&str> = taken.iter().map(|taken| taken.placeholder).collect();
        let one = if names.len() == 1 { "only one " } else { "only " };
        return Err(format!("{path} takes {one}{}", names.join(" ")));
    }
    Ok(())
}
