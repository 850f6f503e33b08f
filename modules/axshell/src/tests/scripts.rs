//! Scripts, waiting, and lines that mean harm.

use super::*;

fn with_script(text: &str) -> Shell<Fake> {
    let mut fake = Fake::with(&["linux", "hello"]);
    fake.scripts.push(("boot.axsh", text.into()));
    Shell::new(fake)
}

fn source(text: &str) -> (u8, String) {
    execute(&mut with_script(text), "source boot.axsh")
}

#[test]
fn a_script_runs_line_by_line_and_its_status_is_that_of_its_last_command() {
    assert_eq!(
        source("# starts it\n\nvm start linux\necho done\n"),
        (0, "started linux\ndone\n".into())
    );
    assert_eq!(source("nonsense\necho done\r\n").0, 0);
    assert_eq!(source("echo done\nnonsense\n\n# end").0, 1);
    assert_eq!(source("vm start nobody\nstatus\nstatus\n").1.lines().nth(1), Some("1"));
    assert_eq!(source(""), (0, String::new()));
    let missing = "error: there is no script boot in the bundle\n";
    assert_eq!(execute(&mut with_script(""), "source boot"), (1, missing.into()));
}

#[test]
fn set_e_ends_a_script_at_the_first_failure_and_lasts_until_its_end() {
    let text = "set -e\necho a\nvm start nobody\necho b\n";
    let said = "a\nerror: there is no VM \"nobody\"; see vm list\n\
                error: boot.axsh:3: stopped at \"vm start nobody\"\n";
    assert_eq!(source(text), (1, said.into()));
    let mut shell = with_script("set -e");
    execute(&mut shell, "source boot.axsh");
    assert_eq!(execute(&mut shell, "set").1, "set +e\nset colour off\n");
    assert_eq!(source("set -e\nset +e\nnonsense\necho on").0, 0);
    let message = "error: set takes -e, +e, colour on or colour off, not \"-x\"\n";
    assert_eq!(execute(&mut shell, "set -x"), (2, message.into()));
}

#[test]
fn a_line_of_a_script_is_no_longer_than_a_typed_one() {
    let line = |length: usize| format!("echo {}\n", "x".repeat(length - 5));
    assert_eq!(source(&line(512)).0, 0);
    assert_eq!(source(&line(513)), (1, "error: the line is too long\n".into()));
}

#[test]
fn a_script_that_runs_itself_ends() {
    let (status, said) = source("source boot.axsh\n");
    assert_eq!(status, 1);
    assert_eq!(said, "error: more than 8 scripts run each other\n");
}

#[test]
fn poweroff_ends_a_script_and_the_console_is_refused_in_one() {
    let mut fake = Fake::with(&["linux"]);
    fake.scripts.push(("a", "vm start linux\nvm console linux\npoweroff\necho never\n".into()));
    let mut screen = Screen::typing(b"source a\r");
    for _ in 0..20 {
        screen.pause();
    }
    assert_eq!(Shell::new(fake).run(&mut screen), Ended::Poweroff);
    assert!(screen.text().contains("error: the console needs somebody who types\npowering off\n"));
    assert!(!screen.text().contains("never"));
}

#[test]
fn ctrl_c_ends_a_script_between_two_lines() {
    let mut fake = Fake::default();
    fake.scripts.push(("a", "sleep 10m\necho never\n".into()));
    let mut screen = Screen::typing(b"source a\r");
    screen.pause().pause().pause().then(b"\x03poweroff\r");
    Shell::new(fake).run(&mut screen);
    let said = "error: interrupted\nerror: a:1: interrupted\naxle> poweroff\n";
    assert!(screen.text().contains(said), "{}", screen.text());
    assert!(!screen.text().contains("never"));
}

#[test]
fn wait_ends_when_the_state_is_there_or_the_time_is_over() {
    let mut shell = with_script("");
    let mut then = |line: &str, status: u8, output: &str| {
        assert_eq!(execute(&mut shell, line), (status, output.into()), "{line}");
    };
    then("vm wait linux stopped", 0, "linux is stopped\n");
    then(
        "wait linux running --timeout 1s",
        1,
        "error: linux is still stopped after 1.0s, not running\n",
    );
    then(
        "vm wait linux gone",
        2,
        "error: \"gone\" is no state; there are created, running, paused, stopped, failed\n",
    );
    then(
        "vm wait linux stoped",
        2,
        "error: \"stoped\" is no state; did you mean stopped?; there are created, running, paused, stopped, failed\n",
    );
    then("vm wait linux", 2, "error: vm wait needs a STATE; see help vm wait\n");
    then(
        "wait linux paused --timeout 2",
        1,
        "error: linux is still stopped after 2.0s, not paused\n",
    );
    then(
        "wait linux paused --timeout soon",
        2,
        "error: --timeout wants a time up to 24h, such as 500ms or 2s, not \"soon\"\n",
    );
    then("wait nobody paused", 1, "error: there is no VM \"nobody\"; see vm list\n");
    then("vm start linux", 0, "started linux\n");
    then("vm pause linux", 0, "paused linux\n");
    shell.control().wakes_at.set(Some(3));
    assert_eq!(execute(&mut shell, "wait linux running"), (0, "linux is running\n".into()));
}

#[test]
fn sleep_takes_as_long_as_it_is_told() {
    let mut shell = with_script("");
    assert_eq!(execute(&mut shell, "sleep 120ms"), (0, String::new()));
    assert!(shell.control().asked.contains(&"sleep 50ms".into()));
    let message = "error: TIME wants a time up to 24h, such as 500ms or 2s, not \"ages\"\n";
    assert_eq!(execute(&mut shell, "sleep ages"), (2, message.into()));
    assert_eq!(execute(&mut shell, "sleep").0, 2);
    assert_eq!(execute(&mut shell, "sleep 1 2").0, 2);
}

#[test]
fn every_command_answers_wrong_arguments_with_one_sentence() {
    let long = "x".repeat(1 << 20);
    let odd = [
        "\0",
        "\u{9b}2J",
        "é",
        "--",
        "-",
        "-z",
        "--zzz=1",
        "''",
        "\u{fffd}",
        "-1",
        "0x",
        "9".repeat(40).as_str(),
        &long,
    ]
    .map(String::from);
    for command in COMMANDS.iter().filter(|command| !command.is_raw()) {
        let path = command.path.join(" ");
        for word in &odd {
            for line in [
                format!("{path} {word}"),
                format!("{path} linux {word}"),
                format!("{path} linux 0x1 {word} {word}"),
            ] {
                let (status, said) = execute(&mut with_script(""), &line);
                let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
                let about = &line[..line.len().min(80)];
                assert!(
                    status == 0 || said.lines().count() == errors || path.starts_with("vm"),
                    "{about}: {said}"
                );
                assert!(said.lines().all(|line| line.chars().count() < 200), "{about}");
                assert!(!said.replace('\n', "").chars().any(char::is_control), "{about}");
            }
        }
    }
}

#[test]
fn lines_of_any_text_give_a_status_and_nothing_else() {
    let run = |line: &str| execute(&mut with_script("echo a"), line);
    for line in [
        "\0",
        "\u{9b}2J",
        "é è",
        "--",
        "-",
        "--help",
        "vm --",
        "vm start --",
        "\\",
        "'\\'",
        "vm start ''",
    ] {
        run(line);
    }
    run(&"a".repeat(1 << 20));
    run(&"vm start ".repeat(1 << 12));
    let words = [
        "vm",
        "start",
        "--console",
        "--name=",
        "-n",
        "0",
        "log",
        "help",
        "'",
        "\\",
        "é",
        "--",
        "regs",
        "--json",
    ];
    for a in words {
        for b in words {
            for c in words {
                run(&format!("{a} {b} {c}"));
                run(&format!("vm {a} {b} {c}"));
            }
        }
    }
}
