//! The command table: help, parsing, completion and docs/shell.md come from it.

use alloc::vec::Vec;

use crate::cmd::{
    console, create, dump, host, list, machine, power, regs, script, shell, show, stats, top, wait,
};
use crate::command::{Arity, Command, Kind, Opt, Positional, option, plain, takes};

const NAME: &[Positional] = &[takes("NAME", Kind::Vm, Arity::One)];
const NAMES: &[Positional] = &[takes("NAME", Kind::Vm, Arity::Some)];
const NAME_VCPU: &[Positional] =
    &[takes("NAME", Kind::Vm, Arity::One), takes("VCPU", Kind::Number, Arity::Optional)];
const FORCE: Opt = option("--force", None, "stops at once, without asking the guest");
const TIMEOUT: Opt =
    option("--timeout", Some("TIME"), "how long the guest is given, such as 500ms; usually 5s");
const JSON: Opt = option("--json", None, "prints JSON");

/// Every command, in the order `help` shows them.
pub static COMMANDS: &[Command] = &[
    Command {
        positionals: &[takes("COMMAND", Kind::Command, Arity::Any)],
        ..plain(&["help"], "lists the commands, or explains one", shell::help)
    },
    Command {
        positionals: &[takes("FILE", Kind::File, Arity::Some)],
        options: &[
            option("--name", Some("NAME"), "another name than the config's"),
            option("--memory", Some("SIZE"), "another memory size, such as 512M or 2G"),
            option("--cpus", Some("COUNT"), "another number of vCPUs"),
            option("--cmdline", Some("TEXT"), "another command line for the guest, in quotes"),
            option("--dry-run", None, "shows what it would be, and creates nothing"),
            option("--dts", None, "with --dry-run: shows the guest's device tree"),
            JSON,
        ],
        ..plain(&["vm", "create"], "creates VMs from configs of the bundle", create::create)
    },
    Command {
        aliases: &[&["vm", "boot"]],
        positionals: NAMES,
        options: &[option("--console", None, "attaches the console at once")],
        ..plain(&["vm", "start"], "boots VMs", power::start)
    },
    Command {
        positionals: NAMES,
        options: &[FORCE, TIMEOUT],
        ..plain(&["vm", "stop"], "asks guests to power off, and stops the others", power::stop)
    },
    Command {
        positionals: NAMES,
        options: &[FORCE, TIMEOUT],
        ..plain(&["vm", "restart"], "stops VMs that run, and boots them", power::restart)
    },
    Command {
        positionals: NAMES,
        ..plain(&["vm", "reset"], "resets VMs, without asking the guest", power::reset)
    },
    Command {
        positionals: NAMES,
        notes: "The guest's time stands still meanwhile.",
        ..plain(&["vm", "pause"], "takes VMs off the CPUs", power::pause)
    },
    Command {
        positionals: NAMES,
        ..plain(&["vm", "resume"], "lets paused VMs go on", power::resume)
    },
    Command {
        positionals: NAMES,
        options: &[option("--force", None, "stops it first if it runs")],
        ..plain(&["vm", "delete"], "deletes VMs and frees their memory", power::delete)
    },
    Command {
        options: &[JSON],
        notes: "CPU is the share of a CPU in the last second or two, 100% for one whole CPU.\n\
                A vCPU that is alone on its CPU waits for interrupts there, which counts:\n\
                an idle guest may show 100% and take nothing from anybody.",
        ..plain(&["vm", "list"], "lists the VMs", list::list)
    },
    Command {
        positionals: NAMES,
        options: &[JSON],
        ..plain(&["vm", "show"], "shows all there is to say about VMs", show::show)
    },
    Command {
        positionals: NAME,
        options: &[option("--all", None, "replays all that is kept, not the last lines only")],
        notes: "The last lines it wrote since it was started come first.",
        ..plain(&["vm", "console"], "attaches the console; Ctrl-] detaches", console::console)
    },
    Command {
        positionals: NAME,
        options: &[option("-n", Some("LINES"), "how many lines; usually 50"), JSON],
        ..plain(&["vm", "log"], "prints the end of what a VM wrote to its console", console::log)
    },
    Command {
        positionals: NAMES,
        options: &[JSON],
        ..plain(&["vm", "stats"], "shows run time and exits of VMs", stats::stats)
    },
    Command {
        options: &[
            option("-n", Some("COUNT"), "how often; without it until q or Ctrl-C"),
            option("--every", Some("TIME"), "how much later, from 200ms on; usually 1s"),
        ],
        ..plain(&["vm", "top"], "shows the load again and again; q ends", top::top)
    },
    Command {
        positionals: NAME_VCPU,
        options: &[option("--pause", None, "pauses a VM that runs for as long as it takes"), JSON],
        notes: "The VM has to be paused or stopped.",
        ..plain(&["vm", "regs"], "shows the registers of vCPUs", regs::regs)
    },
    Command {
        positionals: &[
            takes("NAME", Kind::Vm, Arity::One),
            takes("ADDR", Kind::Number, Arity::One),
            takes("LEN", Kind::Number, Arity::Optional),
        ],
        options: &[JSON],
        notes: "ADDR is guest-physical, such as 0x40000000. LEN is at most 64K, usually 256.",
        ..plain(&["vm", "dump"], "shows guest memory", dump::dump)
    },
    Command {
        positionals: NAME_VCPU,
        options: &[
            option("--on", None, "records them from now on"),
            option("--off", None, "stops that; what was recorded stays"),
            JSON,
        ],
        notes: "Nothing is recorded until --on. The last 128 exits of each vCPU are kept.\n\
                The last 1024 of a VM at most are shown.",
        ..plain(&["vm", "trace"], "shows the last exits of a VM", stats::trace)
    },
    Command {
        aliases: &[&["wait"]],
        positionals: &[
            takes("NAME", Kind::Vm, Arity::One),
            takes("STATE", Kind::State, Arity::One),
        ],
        options: &[option("--timeout", Some("TIME"), "when to give up; usually 10s")],
        notes: "Ctrl-C ends the wait.",
        ..plain(&["vm", "wait"], "waits until a VM is in a state", wait::wait)
    },
    Command {
        aliases: &[&["host"]],
        options: &[JSON],
        ..plain(&["host", "info"], "describes the machine", host::info)
    },
    Command {
        options: &[JSON],
        ..plain(&["host", "mem"], "shows the machine's memory and who has it", host::mem)
    },
    Command {
        options: &[JSON],
        ..plain(&["host", "cpus"], "shows the machine's CPUs and what they do", host::cpus)
    },
    Command {
        positionals: &[takes("LEVEL", Kind::Level, Arity::Optional)],
        options: &[JSON],
        ..plain(&["log"], "shows or sets the level of the host's log", machine::log)
    },
    Command {
        options: &[JSON],
        ..plain(&["uptime"], "shows for how long the machine has been up", machine::uptime)
    },
    Command { options: &[JSON], ..plain(&["version"], "shows the version", machine::version) },
    Command {
        positionals: &[takes("FILE", Kind::Script, Arity::One)],
        notes: "A line that fails does not end it, unless the script says set -e. Ctrl-C does.",
        ..plain(&["source"], "runs the lines of a script of the bundle", script::source)
    },
    Command {
        positionals: &[takes("FLAG", Kind::Raw, Arity::Any)],
        notes: "-e ends scripts at the first command that fails, +e does not.\n\
                colour on and colour off are for terminals the shell takes for another kind.",
        ..plain(&["set"], "shows or changes how the shell behaves", script::set)
    },
    Command {
        positionals: &[takes("TIME", Kind::Number, Arity::One)],
        notes: "TIME is such as 500ms or 2s. Ctrl-C ends it.",
        ..plain(&["sleep"], "does nothing for a while", wait::sleep)
    },
    plain(&["status"], "prints the exit status of the last command", shell::status),
    Command {
        positionals: &[takes("TEXT", Kind::Raw, Arity::Any)],
        ..plain(&["echo"], "prints its arguments", shell::echo)
    },
    Command {
        notes: "At once: it asks no guest, vm stop does.",
        ..plain(&["reboot"], "restarts the machine", machine::reboot)
    },
    Command {
        notes: "At once: it asks no guest, vm stop does.",
        ..plain(&["poweroff"], "turns the machine off", machine::poweroff)
    },
];

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
