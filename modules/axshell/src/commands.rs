//! The command table.

use alloc::vec::Vec;

use crate::parse::Parsed;
use crate::session::{Outcome, Session};
use crate::{cmd_host, cmd_machine, cmd_shell, cmd_vm};

/// What a word stands for; decides how it is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A VM, by name or id.
    Vm,
    /// A VM config of the bundle.
    File,
    /// A log level.
    Level,
    /// The words of a command.
    Command,
    /// Anything, and what looks like an option is none.
    Raw,
}

/// How many positional arguments a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one.
    One,
    /// One or none.
    Optional,
    /// One or more.
    Some,
    /// Any number.
    Any,
}

/// The positional arguments of a command.
#[derive(Clone, Copy, Debug)]
pub struct Positional {
    /// As shown in the usage: `NAME`.
    pub placeholder: &'static str,
    /// What each of them stands for.
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
    /// What it takes.
    pub positional: Option<Positional>,
    /// Its options; `--help` goes without saying.
    pub options: &'static [Opt],
    /// What does it.
    pub(crate) run: fn(&mut Session<'_>, &Parsed) -> Outcome,
}

const fn option(name: &'static str, value: Option<&'static str>, help: &'static str) -> Opt {
    Opt { name, value, help }
}

const fn takes(placeholder: &'static str, kind: Kind, arity: Arity) -> Option<Positional> {
    Some(Positional { placeholder, kind, arity })
}

/// A command without arguments, options and aliases.
const fn plain(
    path: &'static [&'static str],
    help: &'static str,
    run: fn(&mut Session<'_>, &Parsed) -> Outcome,
) -> Command {
    Command { path, aliases: &[], help, positional: None, options: &[], run }
}

/// Every command, in the order `help` shows them.
pub static COMMANDS: &[Command] = &[
    Command {
        positional: takes("COMMAND", Kind::Command, Arity::Any),
        ..plain(&["help"], "lists the commands, or explains one", cmd_shell::help)
    },
    Command {
        positional: takes("FILE", Kind::File, Arity::Some),
        options: &[
            option("--name", Some("NAME"), "another name than the config's"),
            option("--memory", Some("SIZE"), "another memory size, such as 512M or 2G"),
            option("--cpus", Some("COUNT"), "another number of vCPUs"),
        ],
        ..plain(&["vm", "create"], "creates a VM from each config of the bundle", cmd_vm::create)
    },
    Command {
        aliases: &[&["vm", "boot"]],
        positional: takes("NAME", Kind::Vm, Arity::Some),
        options: &[option("--console", None, "attaches the console at once")],
        ..plain(&["vm", "start"], "boots VMs", cmd_vm::start)
    },
    Command {
        positional: takes("NAME", Kind::Vm, Arity::Some),
        options: &[
            option("--force", None, "stops it at once, without asking the guest"),
            option(
                "--timeout",
                Some("TIME"),
                "how long the guest is given, such as 500ms; usually 5s",
            ),
        ],
        ..plain(
            &["vm", "stop"],
            "asks guests to power off, and stops those that do not",
            cmd_vm::stop,
        )
    },
    plain(&["vm", "list"], "lists the VMs", cmd_vm::list),
    Command {
        positional: takes("NAME", Kind::Vm, Arity::Some),
        ..plain(&["vm", "show"], "shows all there is to say about VMs", cmd_vm::show)
    },
    Command {
        positional: takes("NAME", Kind::Vm, Arity::One),
        ..plain(&["vm", "console"], "attaches the console; Ctrl-] detaches", cmd_vm::console)
    },
    Command {
        positional: takes("NAME", Kind::Vm, Arity::Some),
        options: &[option("--force", None, "stops it first if it runs")],
        ..plain(&["vm", "delete"], "deletes VMs and frees their memory", cmd_vm::delete)
    },
    Command {
        positional: takes("NAME", Kind::Vm, Arity::One),
        options: &[option("-n", Some("LINES"), "how many lines; usually 50")],
        ..plain(&["vm", "log"], "prints the end of what a VM wrote to its console", cmd_vm::log)
    },
    Command {
        aliases: &[&["host"]],
        ..plain(&["host", "info"], "describes the machine", cmd_host::info)
    },
    plain(&["host", "mem"], "shows the machine's memory and who has it", cmd_host::mem),
    plain(&["host", "cpus"], "shows the machine's CPUs and what they do", cmd_host::cpus),
    Command {
        positional: takes("LEVEL", Kind::Level, Arity::Optional),
        ..plain(&["log"], "shows or sets the level of the host's log", cmd_machine::log)
    },
    plain(&["uptime"], "shows for how long the machine has been up", cmd_machine::uptime),
    plain(&["version"], "shows the version", cmd_machine::version),
    plain(&["status"], "prints the exit status of the last command", cmd_shell::status),
    Command {
        positional: takes("TEXT", Kind::Raw, Arity::Any),
        ..plain(&["echo"], "prints its arguments", cmd_shell::echo)
    },
    plain(&["reboot"], "restarts the machine", cmd_machine::reboot),
    plain(&["poweroff"], "turns the machine off", cmd_machine::poweroff),
];

impl Command {
    /// Its path and its aliases.
    pub fn paths(&self) -> impl Iterator<Item = &'static [&'static str]> {
        core::iter::once(self.path).chain(self.aliases.iter().copied())
    }
}

/// The command that `words` start with, with the number of words that name it; the longest path wins.
pub(crate) fn find<S: AsRef<str>>(words: &[S]) -> Option<(&'static Command, usize)> {
    let matching =
        COMMANDS.iter().flat_map(|command| command.paths().map(move |path| (command, path)));
    matching
        .filter(|(_, path)| starts_with(words, path))
        .map(|(command, path)| (command, path.len()))
        .max_by_key(|(_, length)| *length)
}

/// The words that may follow `words` in the path of a command, without repetition and in the table's order.
pub(crate) fn continuations<S: AsRef<str>>(words: &[S]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for path in COMMANDS.iter().flat_map(Command::paths) {
        let matches = path.iter().zip(words).all(|(part, word)| *part == word.as_ref());
        if let Some(next) = path.get(words.len()).filter(|next| matches && !found.contains(*next)) {
            found.push(*next);
        }
    }
    found
}

fn starts_with<S: AsRef<str>>(words: &[S], path: &[&str]) -> bool {
    words.len() >= path.len() && words.iter().zip(path).all(|(word, part)| word.as_ref() == *part)
}
