//! Keys at the prompt: editing, history, completion, notices, and keys that mean harm.

use super::*;
use crate::complete::complete;
use crate::editor::{Editor, Event};

/// The row that shows the line after `keys`, with the cursor as `|`.
fn row_after(keys: &[u8]) -> String {
    let mut screen = Screen::typing(b"");
    let mut editor = Editor::new();
    editor.draw(&mut screen);
    for key in keys {
        editor.advance(*key, &mut screen);
    }
    screen.cursor_row()
}

#[test]
fn typed_lines_run_and_are_shown() {
    let screen = typed(b"echo hello\recho two\r\n");
    let shown =
        "axle> echo hello\nhello\naxle> echo two\ntwo\naxle> ^C\naxle> poweroff\npowering off\n";
    assert_eq!(screen.text(), shown);
}

#[test]
fn the_cursor_moves_and_edits_where_it_is() {
    let cases: [(&[u8], &str); 14] = [
        (b"abc\x1b[D\x1b[DX", "axle> aX|bc"),
        (b"abc\x01X", "axle> X|abc"),
        (b"abc\x1b[HX\x1b[FY", "axle> XabcY|"),
        (b"abc\x02\x02\x0b", "axle> a|"),
        (b"abc def\x02\x15", "axle> |f"),
        (b"abc def\x17X", "axle> abc X|"),
        (b"abc\x7f\x08", "axle> a|"),
        (b"abc\x01\x1b[3~", "axle> |bc"),
        (b"abc\x01\x04", "axle> |bc"),
        (b"abc def\x1b[1;5D\x1b[1;5DX", "axle> X|abc def"),
        (b"abc\x03d", "axle> d|"),
        ("aéx\x1b[D\x7f".as_bytes(), "axle> a|x"),
        (b"abc\x0c", "axle> abc|"),
        (b"\x1b[D\x1b[C\x7f\x1b[3~\x04", "axle> |"),
    ];
    for (keys, row) in cases {
        assert_eq!(row_after(keys), row, "{keys:x?}");
    }
}

#[test]
fn history_comes_with_up_and_down_and_keeps_the_draft() {
    assert_eq!(row_after(b"one\rtwo\rdra\x1b[A\x1b[A"), "axle> one|");
    assert_eq!(row_after(b"one\rtwo\rdra\x1b[A\x1b[A\x1b[A\x1b[B"), "axle> two|");
    assert_eq!(row_after(b"one\rtwo\rdra\x10\x10\x0e\x0e\x0e"), "axle> dra|");
    assert_eq!(typed(b"echo a\r\x1b[A\r").text().matches("\na\n").count(), 2);
}

#[test]
fn ctrl_r_finds_older_lines_and_enter_runs_the_one_shown() {
    let typed_before = b"echo one\recho two\rstatus\r";
    let after = |keys: &[u8]| row_after(&[typed_before.as_slice(), keys].concat());
    assert_eq!(after(b"dra\x12ec"), "search \"ec\": echo two|");
    assert_eq!(after(b"\x12ec\x12"), "search \"ec\": echo one|");
    assert_eq!(after(b"\x12ec\x12\x12"), "search \"ec\": echo one|");
    assert_eq!(after(b"\x12two\x7f\x7f\x7fs"), "search \"s\": status|");
    assert_eq!(after(b"\x12xyz"), "search \"xyz\": |");
    assert_eq!(after(b"dra\x12ec\x07f"), "axle> draf|");
    assert_eq!(after(b"dra\x12ec\x03"), "axle> dra|");
    assert_eq!(after(b"\x12one\x1b[D"), "axle> echo on|e");
    assert_eq!(after(b"\x12one\x05!"), "axle> echo one!|");
    assert_eq!(typed(b"echo found\recho b\r\x12fou\r").text().matches("\nfound\n").count(), 2);
    assert!(typed(b"\x12nothing\recho fine\r").text().contains("\nfine\n"));
}

#[test]
fn a_search_survives_any_keys() {
    let mut keys = b"echo a\r\x12".to_vec();
    keys.extend(std::iter::repeat_n("é".as_bytes(), 5000).flatten());
    keys.extend(b"\x12\x12\xff\xfe\x1b[99~\x03\x12\x12\t\r\x12\x1b\x1b\r");
    keys.extend(b"\x07echo alive\r");
    assert!(typed(&keys).text().contains("\nalive\n"));
}

#[test]
fn a_long_line_scrolls_within_its_row_and_runs_whole() {
    let long: String = (0..120).map(|n| char::from(b'a' + n % 26)).collect();
    let (end, start) = (row_after(long.as_bytes()), row_after(format!("{long}\x01").as_bytes()));
    assert!(end.ends_with(&format!("{}|", &long[100..])), "{end}");
    assert!(start.starts_with(&format!("axle> |{}", &long[..60])), "{start}");
    let screen = typed(format!("echo {}\r", &long[..70]).as_bytes());
    assert!(screen.text().contains(&format!("\n{}\n", &long[..70])));
}

#[test]
fn a_line_beyond_the_bound_rings_once_and_does_not_run() {
    let mut keys = b"vm delete hello ".to_vec();
    keys.extend(std::iter::repeat_n(b'x', 1 << 20));
    keys.extend(b"\rstatus\r");
    let (screen, fake) = typed_for(Fake::with(&["hello"]), &keys);
    assert_eq!(fake.vms.len(), 1);
    assert_eq!(screen.bells, 1);
    assert!(
        screen.text().contains("error: the line was not run, because a line has at most 512 bytes")
    );
    assert!(screen.text().contains("axle> status\n2\n"));
}

#[test]
fn an_abandoned_long_line_leaves_nothing_behind() {
    let mut keys = [b'x'; 600].to_vec();
    keys.extend(b"\x15echo fine\r");
    assert!(typed(&keys).text().contains("\nfine\n"));
}

#[test]
fn noise_of_every_kind_leaves_a_shell_that_works() {
    let mut noise = std::vec::Vec::new();
    let mut state = 1u32;
    for _ in 0..200_000 {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        noise.push(state.to_le_bytes()[0]);
    }
    noise.extend(b"\x1b\x1b[\x1b[;;;\x1bO\x1b]0;\xff\xfe\xc3\x03");
    noise.extend(b"echo alive\r");
    assert!(typed(&noise).text().contains("\nalive\n"));
}

#[test]
fn a_pause_ends_a_lone_escape() {
    let mut screen = Screen::typing(b"echo a\x1b");
    screen.pause().then(b"[b\rpoweroff\r");
    Shell::new(Fake::default()).run(&mut screen);
    assert!(screen.text().contains("\na[b\n"));
}

#[test]
fn a_notice_comes_above_the_prompt_and_the_typed_line_stays() {
    let notices = ["linux died: triple fault\x1b[2J".into(), "hello ended".into()].into();
    let mut shell = Shell::new(Fake { notices, silent_polls: 1, ..Fake::default() });
    let mut screen = Screen::typing(b"echo ab\x1b[D");
    screen.pause().then(b"X\rpoweroff\r");
    shell.run(&mut screen);
    let shown = "linux died: triple fault?[2J\nhello ended\naxle> echo aXb\naXb\n";
    assert!(screen.text().starts_with(shown), "{}", screen.text());
}

#[test]
fn a_notice_comes_even_while_keys_never_pause() {
    let mut keys = b"echo ".to_vec();
    keys.extend([b'x'; 400]);
    let fake = Fake { notices: ["late".into()].into(), silent_polls: 1, ..Fake::default() };
    assert!(typed_for(fake, &keys).0.text().starts_with("late\naxle> "));
}

#[test]
fn notices_without_end_leave_keys_their_turn() {
    let notices = (0..1000).map(|n| format!("notice {n}")).collect();
    let fake = Fake { notices, ..Fake::default() };
    let text = typed_for(fake, b"echo alive\r").0.text();
    let (before, _) = text.split_once("\nalive\n").unwrap();
    assert_eq!(before.matches("notice").count(), 8);
}

#[test]
fn completion_knows_commands_options_vms_files_and_levels() {
    let mut fake = Fake::with(&["linux", "linux-2", "hello", "odd name"]);
    fake.vms[0].running = true;
    fake.scripts.push(("boot.axsh", String::new()));
    let cases: [(&str, &str, &[&str]); 26] = [
        ("v", "", &["version", "vm"]),
        ("vm", " ", &["vm"]),
        ("up", "time ", &["uptime"]),
        ("vm st", "", &["start", "stats", "stop"]),
        ("vm star", "t ", &["start"]),
        ("vm bo", "ot ", &["boot"]),
        ("vm start l", "inux", &["linux", "linux-2"]),
        ("vm start linux ", "", &["hello", "linux-2"]),
        ("vm start he", "llo ", &["hello"]),
        ("vm start --c", "onsole ", &["--console"]),
        ("vm stop --f", "orce ", &["--force"]),
        ("vm stop --force --", "", &["--help", "--timeout"]),
        ("vm stop --timeout ", "", &[]),
        ("vm create h", "ello.toml ", &["hello.toml"]),
        ("vm create hello.toml l", "inux", &["linux-smp.toml", "linux.toml"]),
        ("vm log linux ", "", &[]),
        ("log de", "bug ", &["debug"]),
        ("help vm del", "ete ", &["delete"]),
        ("host ", "", &["cpus", "info", "mem"]),
        ("nonsense ", "", &[]),
        ("vm wait li", "nux", &["linux", "linux-2"]),
        ("vm wait linux pa", "used ", &["paused"]),
        ("wait --timeout 1s hello run", "ning ", &["running"]),
        ("vm dump linux 0", "", &[]),
        ("source b", "oot.axsh ", &["boot.axsh"]),
        ("vm regs linux --p", "ause ", &["--pause"]),
    ];
    for (before, suffix, candidates) in cases {
        let completion = complete(before, &fake);
        assert_eq!(completion.suffix, suffix, "{before}");
        assert_eq!(completion.candidates, candidates, "{before}");
    }
}

#[test]
fn every_command_is_reached_by_completion() {
    for path in COMMANDS.iter().flat_map(Command::paths) {
        let mut typed = String::new();
        for word in path {
            assert!(
                complete(&typed, &Fake::default()).candidates.iter().any(|found| found == word)
            );
            typed = format!("{typed}{word} ");
        }
    }
}

#[test]
fn tab_types_what_is_certain_and_lists_the_rest() {
    let screen = typed(b"vm sh\t\t\r");
    assert!(
        screen.text().contains("axle> vm show\nhello  linux\naxle> vm show\n"),
        "{}",
        screen.text()
    );
    assert!(typed(b"ec\tx\r").text().contains("axle> echo x\nx\n"));
    assert_eq!(typed(b"xyz\t").bells, 1);
}

#[test]
fn completion_survives_any_text() {
    let fake = Fake::with(&["é"]);
    for before in
        ["é", "vm start é", "  ", "vm  start  ", "'", "\u{3000}x", "help help help ", "-", "vm --"]
    {
        complete(before, &fake);
    }
}

#[test]
fn keys_typed_while_a_command_runs_are_the_next_line_and_ctrl_c_drops_them() {
    let screen = typed_slowly(Fake::default(), b"sleep 100ms\recho next\r");
    assert!(
        screen.text().contains("axle> sleep 100ms\naxle> echo next\nnext\n"),
        "{}",
        screen.text()
    );
    let screen = typed_slowly(Fake::default(), b"sleep 1h\recho dropped\r\x03echo kept\r");
    assert!(screen.text().contains("sleep 1h\nerror: interrupted\naxle> echo kept\nkept\n"));
}

#[test]
fn a_terminal_that_answers_gets_colours_and_a_script_does_not() {
    let silent = typed(b"nonsense\r");
    assert!(!String::from_utf8_lossy(&silent.raw).contains("\x1b[31m"));
    let answering = typed(b"\x1b[?62;22cnonsense\r");
    assert!(String::from_utf8_lossy(&answering.raw).contains("\x1b[31merror:\x1b[0m there is no"));
    assert_eq!(answering.bells, 0);
    let mut shell = Shell::new(Fake::with(&["linux"]));
    execute(&mut shell, "set colour on");
    assert_eq!(execute(&mut shell, "vm lits").1.matches('\x1b').count(), 0);
    let fake = Fake { scripts: [("a", "nonsense".into())].into(), ..Fake::default() };
    let scripted = typed_slowly(fake, b"\x1b[?1;2csource a\r");
    assert!(!String::from_utf8_lossy(&scripted.raw).contains("\x1b[31m"));
}

#[test]
fn long_work_shows_how_it_gets_on_in_a_row_that_goes_away() {
    let progress = [
        Progress {
            what: "zeroing memory",
            done: 1 << 30,
            total: 4 << 30,
            elapsed_ns: 2_000_000_000,
        },
        Progress { what: "loading", done: 0, total: 0, elapsed_ns: 3_000_000_000 },
    ];
    let fake = Fake { progress: progress.into(), ..Fake::default() };
    let (screen, _) = typed_for(fake, b"vm create hello.toml\r");
    let raw = String::from_utf8_lossy(&screen.raw);
    assert!(
        raw.contains("zeroing memory: 1G of 4G (25%), 2.0s\r\x1b[Kloading: 3.0s\r\x1b[K"),
        "{raw}"
    );
    assert!(screen.text().contains("axle> vm create hello.toml\ncreated hello\n"));
    let fake = Fake { progress: progress.into(), ..Fake::default() };
    assert_eq!(execute(&mut Shell::new(fake), "vm create hello.toml").1, "created hello\n");
}

#[test]
fn a_megabyte_of_pasted_commands_is_run_line_by_line() {
    let paste = b"echo paste\r".repeat((1 << 20) / 11);
    let mut keys = paste.clone();
    keys.extend(b"echo alive\r");
    assert!(
        typed(&keys)
            .text()
            .ends_with("echo alive\nalive\naxle> ^C\naxle> poweroff\npowering off\n")
    );
}

#[test]
fn enter_gives_the_whole_line_wherever_the_cursor_is() {
    let mut screen = Screen::typing(b"");
    let mut editor = Editor::new();
    editor.type_text("vm list", &mut screen);
    editor.advance(0x01, &mut screen);
    assert_eq!(editor.advance(b'\r', &mut screen), Event::Entered("vm list".into()));
    assert_eq!(editor.before(), "");
}

#[test]
fn ctrl_c_in_a_full_row_does_not_wrap_it() {
    for length in 60..90 {
        // The Ctrl-C is what `typed` presses last; the screen insists that the row does not wrap.
        let shown = typed("x".repeat(length).as_bytes()).text();
        assert!(shown.contains("^C"), "{shown}");
    }
}
