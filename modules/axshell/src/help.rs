//! Help, from the command table.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::command::{Arity, Command, Kind, Opt};
use crate::commands::{COMMANDS, find};
use crate::suggest::did_you_mean;
use crate::table;
use crate::words::shown;

/// Help about what `words` name: a command, a group such as `vm`, or, when there are none, everything.
///
/// # Errors
/// One sentence, when they name nothing.
pub(crate) fn help(words: &[String]) -> Result<String, String> {
    let in_group =
        |command: &&Command| command.path.iter().zip(words).all(|(part, word)| part == word);
    let group: Vec<&Command> = COMMANDS
        .iter()
        .filter(in_group)
        .filter(|command| command.path.len() > words.len())
        .collect();
    if !group.is_empty() {
        let hint =
            "`help COMMAND` or `COMMAND --help` says more. A VM goes by its name or its id.\n";
        return Ok(overview(&group) + if words.is_empty() { hint } else { "" });
    }
    match find(words) {
        Some((command, length)) if length == words.len() => Ok(details(command)),
        _ => {
            let typed = words.join(" ");
            let known: Vec<String> =
                COMMANDS.iter().map(|command| command.path.join(" ")).collect();
            let hint = did_you_mean(&typed, known.iter().map(String::as_str));
            Err(format!("there is no command \"{}\"{hint}", shown(&typed)))
        }
    }
}

/// One line for each of `commands`.
fn overview(commands: &[&Command]) -> String {
    let row = |command: &&Command| [brief(command), command.help.into()].into();
    table::table(&[], &commands.iter().map(row).collect::<Vec<_>>())
}

/// Path and positional arguments.
fn brief(command: &Command) -> String {
    let mut text = command.path.join(" ");
    for taken in command.positionals {
        let name = taken.placeholder;
        let _ = match taken.arity {
            Arity::One => write!(text, " {name}"),
            Arity::Optional => write!(text, " [{name}]"),
            Arity::Some => write!(text, " {name}..."),
            Arity::Any => write!(text, " [{name}...]"),
        };
    }
    text
}

fn spelled(option: &Opt) -> String {
    option.value.map_or(option.name.into(), |value| format!("{} {value}", option.name))
}

/// Columns of a terminal, without the last, where some wrap.
const COLUMNS: usize = 79;

/// How `command` is called.
fn usage(command: &Command) -> String {
    let mut text = format!("usage: {}", brief(command));
    let mut column = text.chars().count();
    for option in command.options {
        let part = format!(" [{}]", spelled(option));
        if column.saturating_add(part.len()) > COLUMNS {
            text += "\n        ";
            column = 8;
        }
        column = column.saturating_add(part.len());
        text += &part;
    }
    text.push('\n');
    text
}

/// All there is to say about `command`.
fn details(command: &Command) -> String {
    let mut text = usage(command);
    let _ = writeln!(text, "{}", command.help);
    for alias in command.aliases {
        let _ = writeln!(text, "also: {}", alias.join(" "));
    }
    let described = command.positionals.iter().filter(|taken| !about(taken.kind).is_empty());
    let mut rows: Vec<Vec<String>> = described
        .map(|taken| [format!("  {}", taken.placeholder), about(taken.kind).into()].into())
        .collect();
    rows.extend(
        command
            .options
            .iter()
            .map(|option| [format!("  {}", spelled(option)), option.help.into()].into()),
    );
    text += &table::table(&[], &rows);
    for note in command.notes.lines() {
        text += note;
        text.push('\n');
    }
    text
}

/// Help about every command, as it stands in docs/shell.md.
#[cfg(test)]
pub(crate) fn everything() -> String {
    COMMANDS.iter().map(details).collect::<Vec<_>>().join("\n")
}

fn about(kind: Kind) -> &'static str {
    match kind {
        Kind::Vm => "a VM by its name or id",
        Kind::File => "a VM config of the bundle",
        Kind::Script => "a script of the bundle",
        Kind::State => "created, running, paused, stopped or failed",
        Kind::Level => "off, error, warn, info, debug or trace",
        Kind::Command => "a command, such as vm start",
        Kind::Number | Kind::Raw => "",
    }
}
