//! From words to a command with its arguments, checked against the table.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::commands::{Arity, COMMANDS, Command, Kind, Opt, Positional, continuations, find};
use crate::suggest::did_you_mean;

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
        let value = read(text).ok_or_else(|| format!("{name} wants {wanted}, not \"{text}\""))?;
        Ok(Some(value))
    }

    /// The only positional argument; the table says there is one.
    pub(crate) fn only(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

/// What `words`, at least one, ask for.
///
/// # Errors
/// One sentence.
pub(crate) fn parse(words: &[String]) -> Result<Request, String> {
    let Some((command, length)) = find(words) else {
        return group(words);
    };
    let arguments = words.get(length..).unwrap_or_default();
    let raw = command.positional.is_some_and(|taken| taken.kind == Kind::Raw);
    if asks_for_help(arguments, raw) {
        return Ok(Request::Help(words.get(..length).unwrap_or_default().into()));
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
        return Err(format!("there is no command \"{first}\"{hint}{}", see_help(&hint, "help")));
    }
    match words.get(1).map(String::as_str) {
        Some("--help" | "-h") => Ok(Request::Help(alloc::vec![first.into()])),
        Some(second) => Err(unknown_in_group(first, second)),
        None => Err(format!("{first} what? It takes {}", following.join(", "))),
    }
}

fn unknown_in_group(first: &str, second: &str) -> String {
    let hint = did_you_mean(second, continuations(&[first]).into_iter());
    let see = see_help(&hint, &format!("help {first}"));
    format!("there is no command \"{first} {second}\"{hint}{see}")
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
        format!("{path} has no option {name}{hint}{}", see_help(&hint, &format!("help {path}")))
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
    let Some(Positional { placeholder, arity, .. }) = command.positional else {
        return match (arguments.first(), continuations(words.get(..length).unwrap_or_default())) {
            (None, _) => Ok(()),
            (Some(extra), more) if !more.is_empty() => Err(unknown_in_group(&path, extra)),
            (Some(_), _) => Err(format!("{path} takes no arguments")),
        };
    };
    match (arity, arguments.len()) {
        (Arity::One | Arity::Some, 0) => {
            Err(format!("{path} needs a {placeholder}; see help {path}"))
        }
        (Arity::One | Arity::Optional, 2..) => Err(format!("{path} takes only one {placeholder}")),
        (Arity::One | Arity::Optional | Arity::Some | Arity::Any, _) => Ok(()),
    }
}
