//! Every command as text.

use std::format;
use std::string::String;

use super::*;

fn shell() -> Shell<Fake> {
    Shell::new(Fake::with(&["linux", "hello", "deaf"]))
}

fn run(line: &str) -> (u8, String) {
    execute(&mut shell(), line)
}

fn assert_run(shell: &mut Shell<Fake>, line: &str, status: u8, output: &str) {
    assert_eq!(execute(shell, line), (status, output.into()), "{line}");
}

#[test]
fn a_vm_lives_from_create_to_delete() {
    let mut shell = Shell::new(Fake::default());
    let mut then = |line, status, output| assert_run(&mut shell, line, status, output);
    then("vm list", 0, "no VMs; vm create FILE makes one\n");
    then("vm create linux.toml", 0, "created linux\n");
    then("vm start linux", 0, "started linux\n");
    then("vm start linux", 1, "error: linux is running already\n");
    then(
        "vm list",
        0,
        "ID  NAME   STATE    VCPUS  MEMORY  CPU    STEAL  UPTIME  EXITS/S\n\
         0   linux  running  2      512M    12.5%  4.0%   4.2s    900\n",
    );
    then("vm delete linux", 1, "error: linux is running; stop it first or use --force\n");
    then("vm stop linux", 0, "stopped linux: it powered off\n");
    then("vm stop linux", 1, "error: linux is not running\n");
    then("vm delete linux", 0, "deleted linux\n");
    then("vm delete linux", 1, "error: there is no VM \"linux\"; see vm list\n");
}

#[test]
fn create_takes_its_options_in_both_spellings() {
    let mut shell = Shell::new(Fake::default());
    assert_run(
        &mut shell,
        "vm create --name=a linux.toml --memory 512M --cpus=2",
        0,
        "created a\n",
    );
    assert_eq!(shell.control().asked, ["linux.toml Some(\"a\") Some(536870912) Some(2) None"]);
    assert_run(&mut shell, "vm create linux.toml --cmdline 'case=a b'", 0, "created linux\n");
    assert_eq!(
        shell.control().asked.last().map(String::as_str),
        Some("linux.toml None None None Some(\"case=a b\")")
    );
    assert_run(&mut shell, "vm create linux.toml hello.toml", 0, "created linux\ncreated hello\n");
}

#[test]
fn create_says_what_is_wrong_and_creates_nothing() {
    let cases = [
        ("vm create", 2, "vm create needs a FILE; see help vm create"),
        ("vm create a --memory lots", 2, "--memory wants a size such as 512M, not \"lots\""),
        ("vm create a --memory 0", 2, "--memory wants a size such as 512M, not \"0\""),
        ("vm create a --cpus 0", 2, "--cpus wants a number from 1 on, not \"0\""),
        ("vm create a --cpus", 2, "--cpus needs a value, as in --cpus COUNT"),
        ("vm create a b --name c", 2, "--name goes with one FILE only"),
        ("vm create a --name b --name c", 2, "--name is given twice"),
        ("vm create a --nam b", 2, "vm create has no option --nam; did you mean --name?"),
        ("vm create nothing.toml", 1, "there is no config nothing.toml in the bundle"),
    ];
    for (line, status, message) in cases {
        let mut shell = shell();
        assert_run(&mut shell, line, status, &format!("error: {message}\n"));
        assert_eq!(shell.control().vms.len(), 3);
    }
}

#[test]
fn a_vm_goes_by_name_or_id_and_a_name_wins() {
    assert_eq!(run("vm start 1"), (0, "started hello\n".into()));
    assert_eq!(run("vm start 9").0, 1);
    assert_eq!(run("vm start -- -1").0, 1);
    let mut shell = Shell::new(Fake::with(&["1", "other"]));
    assert_run(&mut shell, "vm start 1", 0, "started 1\n");
}

#[test]
fn several_vms_are_all_tried_and_one_failure_fails_the_command() {
    let output =
        "started linux\nerror: there is no VM \"helo\"; did you mean hello?\nstarted hello\n";
    assert_eq!(run("vm start linux helo hello"), (1, output.into()));
}

#[test]
fn boot_is_start() {
    assert_eq!(run("vm boot linux"), (0, "started linux\n".into()));
}

#[test]
fn stop_asks_waits_and_says_when_it_had_to_force() {
    let mut shell = Shell::new(Fake::with(&["linux", "hello", "deaf", "flat"]));
    execute(&mut shell, "vm start linux hello deaf flat");
    let forced = "stopped deaf by force: it did not power off when asked\n";
    assert_run(&mut shell, "vm stop deaf --timeout 250ms", 0, forced);
    assert_run(&mut shell, "vm stop linux", 0, "stopped linux: it powered off\n");
    assert_run(&mut shell, "vm stop --force hello", 0, "stopped hello\n");
    let flat = "stopped flat: it could not be asked to power off\n";
    assert_run(&mut shell, "vm stop flat", 0, flat);
    assert_eq!(
        shell.control().asked,
        ["stop deaf Ask 250ms", "stop linux Ask 5s", "stop hello Force 5s", "stop flat Ask 5s"]
    );
    let message = "error: --timeout wants a time up to 10m, such as 5s or 500ms, not \"2h\"\n";
    assert_run(&mut shell, "vm stop linux --timeout 2h", 2, message);
}

#[test]
fn delete_by_force_stops_first() {
    let mut shell = shell();
    execute(&mut shell, "vm start linux");
    assert_run(&mut shell, "vm delete linux --force", 0, "deleted linux\n");
}

#[test]
fn show_prints_sections() {
    assert_eq!(run("vm show linux"), (0, "name  linux\nmemory\n  ram  512M\n".into()));
}

#[test]
fn create_dry_run_shows_the_map_or_the_tree_and_creates_nothing() {
    let mut shell = Shell::new(Fake::default());
    let mut then = |line, status, output| assert_run(&mut shell, line, status, output);
    then("vm create a.toml --dry-run", 0, "a.toml: 1 vCPU\n  memory\n");
    then("vm create a.toml --dry-run --dts --name b", 0, "/dts-v1/;\n/ {\n};\n");
    then("vm create a.toml --dry-run --json", 0, "{\"name\":\"a.toml\"}\n");
    then("vm create a.toml --dts", 2, "error: --dts goes with --dry-run only\n");
    then("vm create a.toml --json", 2, "error: --json goes with --dry-run only\n");
    then("vm create a b --json --dry-run", 2, "error: --json goes with one FILE only\n");
    assert!(shell.control().vms.is_empty());
}

#[test]
fn pause_and_resume_say_what_they_did_or_why_not() {
    let mut shell = shell();
    let mut then = |line, status, output| assert_run(&mut shell, line, status, output);
    then("vm pause linux", 1, "error: linux does not run\n");
    then("vm start linux", 0, "started linux\n");
    then("vm pause linux", 0, "paused linux\n");
    then("vm pause linux", 1, "error: linux does not run\n");
    then("vm resume 0", 0, "resumed linux\n");
    then("vm resume linux", 1, "error: linux is not paused\n");
    then("vm pause", 2, "error: vm pause needs a NAME; see help vm pause\n");
}

#[test]
fn reset_is_hard_and_restart_is_soft_and_starts_what_does_not_run() {
    let mut shell = shell();
    let mut then = |line, status, output| assert_run(&mut shell, line, status, output);
    then("vm reset linux", 1, "error: linux is not running\n");
    then("vm restart linux", 0, "restarted linux\n");
    then("vm reset linux", 0, "reset linux\n");
    then("vm restart linux --timeout 1s", 0, "restarted linux\n");
    then("vm restart linux --force", 0, "restarted linux\n");
    assert_eq!(
        shell.control().asked,
        ["reset linux", "reset linux", "stop linux Ask 1s", "stop linux Force 5s"]
    );
}

#[test]
fn log_prints_the_end_of_the_console_as_plain_text_also_of_a_stopped_vm() {
    let mut shell = shell();
    shell.control().vms[0].output = b"one\r\ntwo \x1b[31mred\xff\r\nthree\r\n".to_vec();
    assert_run(&mut shell, "vm log linux", 0, "one\ntwo red\u{fffd}\nthree\n");
    assert_run(&mut shell, "vm log linux -n 1", 0, "three\n");
    assert_run(&mut shell, "vm log linux -n=0", 0, "");
    assert_run(
        &mut shell,
        "vm log linux -n x",
        2,
        "error: -n wants a number of lines, not \"x\"\n",
    );
    assert_run(&mut shell, "vm log linux hello", 2, "error: vm log takes only one NAME\n");
    assert_run(&mut shell, "vm log linux -n 1 --json", 0, "[{\"line\":\"three\"}]\n");
}

#[test]
fn the_console_is_refused_where_nobody_types() {
    let message = "error: the console needs somebody who types\n";
    assert_eq!(run("vm console linux"), (1, message.into()));
    let mut shell = shell();
    assert_run(&mut shell, "vm start linux --console", 1, message);
    assert!(!shell.control().vms[0].running);
    let message = "error: --console goes with one NAME only\n";
    assert_run(&mut shell, "vm start linux hello --console", 2, message);
}

#[test]
fn the_machine_describes_itself() {
    assert_eq!(run("host"), run("host info"));
    assert_eq!(run("host info"), (0, "board  qemu-aarch64\ncpus   4\n".into()));
    assert_eq!(run("host mem"), (0, "total  2G\n".into()));
    let cpus = "CPU  STATE  VCPUS  BUSY\n0    idle   1      0.5%\n1    idle   1      0.5%\n";
    assert_eq!(run("host cpus"), (0, cpus.into()));
    assert_eq!(run("uptime"), (0, "up 3m05s\n".into()));
    assert_eq!(run("version"), (0, "axle 0.1.0\n".into()));
}

#[test]
fn the_log_level_is_shown_and_set() {
    let mut shell = shell();
    assert_run(&mut shell, "log", 0, "log level warn\n");
    for level in ["off", "error", "warn", "info", "debug", "trace"] {
        assert_run(&mut shell, &format!("log {level}"), 0, &format!("log level {level}\n"));
    }
    let message = "error: there is no log level \"loud\"; \
                   it is one of off, error, warn, info, debug, trace\n";
    assert_run(&mut shell, "log loud", 2, message);
    assert_eq!(shell.control().level, Some(LevelFilter::Trace));
}

#[test]
fn echo_prints_and_status_tells_how_the_last_command_ended() {
    let mut shell = shell();
    assert_run(&mut shell, "echo --a  'b  c' \x07é", 0, "--a b  c ?é\n");
    assert_run(&mut shell, "status", 0, "0\n");
    execute(&mut shell, "vm start nobody");
    assert_run(&mut shell, "  # a comment", 1, "");
    assert_run(&mut shell, "status", 0, "1\n");
    execute(&mut shell, "nonsense");
    assert_run(&mut shell, "status", 0, "2\n");
    assert_run(&mut shell, "status", 0, "0\n");
}

#[test]
fn poweroff_and_reboot_end_the_shell() {
    for (line, ended) in [("poweroff\r", Ended::Poweroff), ("reboot\r", Ended::Reboot)] {
        let mut screen = Screen::typing(line.as_bytes());
        assert_eq!(shell().run(&mut screen), ended);
    }
    assert_eq!(run("poweroff"), (0, "powering off\n".into()));
    assert_eq!(run("reboot"), (0, "rebooting\n".into()));
}

#[test]
fn typos_are_met_with_what_may_have_been_meant() {
    let cases = [
        ("vmm list", "there is no command \"vmm\"; did you mean vm?"),
        ("vm lsit", "there is no command \"vm lsit\"; did you mean vm list?"),
        ("vm frobnicate", "there is no command \"vm frobnicate\"; see help vm"),
        ("xyzzy", "there is no command \"xyzzy\"; see help"),
        ("host cpu", "there is no command \"host cpu\"; did you mean host cpus?"),
        ("vm stop linux --froce", "vm stop has no option --froce; did you mean --force?"),
        ("vm stop linux --force=yes", "--force takes no value"),
        (
            "vm",
            "vm what? It takes create, start, boot, stop, restart, reset, pause, resume, delete, list, show, console, log, stats, top, regs, dump, trace, wait",
        ),
        ("uptime now", "uptime takes no arguments"),
        ("echo 'a", "a quote is not closed"),
        ("vm list -x", "vm list has no option -x; see help vm list"),
    ];
    for (line, message) in cases {
        assert_eq!(run(line), (2, format!("error: {message}\n")), "{line}");
    }
}

#[test]
fn help_and_the_help_option_say_the_same_for_every_command() {
    for command in COMMANDS {
        for path in command.paths() {
            let path = path.join(" ");
            let (status, help) = run(&format!("help {path}"));
            assert_eq!(status, 0, "{path}");
            assert_eq!(run(&format!("{path} --help")), (0, help.clone()), "{path}");
            assert!(help.contains(command.help), "{path}");
            let is_group = path == "host";
            for option in command.options.iter().filter(|_| !is_group) {
                assert!(help.contains(option.name) && help.contains(option.help), "{path}");
            }
        }
    }
}

#[test]
fn help_lists_all_commands_or_a_group() {
    let (status, help) = run("help");
    assert_eq!(status, 0);
    for command in COMMANDS {
        assert!(help.contains(&command.path.join(" ")) && help.contains(command.help));
    }
    let (status, help) = run("help vm");
    assert_eq!((status, help.lines().count()), (0, 18));
    assert_eq!(run("vm --help"), run("help vm"));
    assert_eq!(run("help host"), run("host --help"));
    let message = "error: there is no command \"vm strat\"; did you mean vm start?\n";
    assert_eq!(run("help vm strat"), (2, message.into()));
}

#[test]
fn help_of_one_command_is_complete() {
    let expected = "usage: vm stop NAME... [--force] [--timeout TIME]\n\
        asks guests to power off, and stops the others\n\
        \x20 NAME            a VM by its name or id\n\
        \x20 --force         stops at once, without asking the guest\n\
        \x20 --timeout TIME  how long the guest is given, such as 500ms; usually 5s\n";
    assert_eq!(run("help vm stop"), (0, expected.into()));
    assert!(run("vm start --help").1.contains("also: vm boot\n"));
}

#[test]
fn help_fits_a_row_of_eighty_columns() {
    for line in ["help".into()]
        .into_iter()
        .chain(COMMANDS.iter().map(|c| format!("help {}", c.path.join(" "))))
    {
        for row in run(&line).1.lines() {
            assert!(row.chars().count() < 80, "{row}");
        }
    }
}
