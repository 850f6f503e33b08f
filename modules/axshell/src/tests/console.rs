//! The attached console.

use super::*;

fn running(name: &str, output: &[u8]) -> Fake {
    let mut fake = Fake::with(&[name]);
    fake.vms[0].running = true;
    fake.vms[0].output = output.to_vec();
    fake
}

#[test]
fn attaching_replays_history_and_ctrl_bracket_detaches() {
    let mut screen = Screen::typing(b"vm console linux\r");
    screen.pause().pause().pause().then(b"root").pause().pause().then(b"\x1dpoweroff\r");
    let mut shell = Shell::new(running("linux", b"Booting\r\nlogin: "));
    shell.run(&mut screen);
    let shown = "axle> vm console linux\nconnected to linux; Ctrl-] detaches\n\
                 Booting\nlogin: root\ndetached from linux\naxle> poweroff\n";
    assert!(screen.text().starts_with(shown), "{}", screen.text());
    assert!(shell.control().vms[0].running);
}

#[test]
fn keys_go_to_the_guest_as_they_are_and_those_behind_the_detach_to_the_shell() {
    let keys = b"vm console linux\rls\r\n\x03\x1b[A\t\xff";
    let mut screen = Screen::typing(keys);
    screen.pause().then(b"\x1decho back\rpoweroff\r");
    let mut shell = Shell::new(running("linux", b""));
    shell.run(&mut screen);
    assert_eq!(shell.control().vms[0].input, b"ls\r\n\x03\x1b[A\t\xff");
    assert!(screen.text().contains("\ndetached from linux\naxle> echo back\nback\n"));
}

/// What a guest that takes `takes` bytes at a time got of `keys`, which came at once, and what was shown.
fn typed_at_once(keys: &[u8], takes: Option<usize>) -> (Vec<u8>, String) {
    let mut screen = Screen::typing(b"vm console linux\r");
    screen.then(keys).then(b"echo back\rpoweroff\r");
    let mut shell = Shell::new(Fake { takes, ..running("linux", b"") });
    shell.run(&mut screen);
    (shell.control().vms[0].input.clone(), screen.text())
}

#[test]
fn what_was_typed_right_before_the_detach_reaches_the_guest() {
    let (input, text) = typed_at_once(b"ls\r\x1d", None);
    assert_eq!(input, b"ls\r");
    assert!(text.contains("\ndetached from linux\naxle> echo back\nback\n"), "{text}");
    assert_eq!(typed_at_once(b"dmesg | tail\r\x1d", Some(3)).0, b"dmesg | tail\r");
    let paste = [b'#'; 600];
    assert!(typed_at_once(&[&paste[..], b"\x1d"].concat(), Some(9)).0 == paste);
}

#[test]
fn what_a_guest_does_not_take_is_dropped_aloud() {
    let (input, text) = typed_at_once(b"reboot\r\x1d", Some(0));
    assert_eq!(input, b"");
    let said = "\ndetached from linux, which has not taken the last 7 keys\naxle> echo back\n";
    assert!(text.contains(said), "{text}");
}

#[test]
fn a_guest_that_takes_keys_slowly_gets_all_of_them_in_order() {
    let mut fake = running("linux", b"");
    fake.takes = Some(3);
    let mut screen = Screen::typing(b"vm console linux\rabcdefghij");
    for _ in 0..40 {
        screen.pause();
    }
    screen.then(b"\x1dpoweroff\r");
    let mut shell = Shell::new(fake);
    shell.run(&mut screen);
    assert_eq!(shell.control().vms[0].input, b"abcdefghij");
    assert!(screen.text().contains("abcdefghij\ndetached"));
}

#[test]
fn a_guest_that_takes_nothing_neither_grows_the_shell_nor_keeps_it() {
    let mut screen = Screen::typing(b"vm console linux\r");
    screen.then(&[b'#'; 100_000]).then(b"\x1dpoweroff\r");
    let fake = Fake { takes: Some(0), ..running("linux", b"") };
    Shell::new(fake).run(&mut screen);
    assert!(screen.bells > 0);
    assert!(screen.text().contains("detached from linux"));
}

#[test]
fn the_console_leaves_by_itself_when_the_vm_ends_after_its_last_words() {
    let mut screen = Screen::typing(b"vm console linux\rbye\x04");
    for _ in 0..20 {
        screen.pause();
    }
    screen.then(b"poweroff\r");
    Shell::new(running("linux", b"last words")).run(&mut screen);
    let text = screen.text();
    assert!(text.contains("bye\nlinux is not running (stopped); detached\naxle> "), "{text}");
}

#[test]
fn the_console_of_a_stopped_vm_shows_what_it_said() {
    let mut screen = Screen::typing(b"vm console linux\r");
    for _ in 0..10 {
        screen.pause();
    }
    screen.then(b"poweroff\r");
    let mut fake = running("linux", b"Kernel panic\r\n");
    fake.vms[0].running = false;
    Shell::new(fake).run(&mut screen);
    assert!(screen.text().contains("Kernel panic\n\nlinux is not running (stopped); detached"));
}

#[test]
fn start_with_console_attaches_at_once() {
    let mut screen = Screen::typing(b"vm start linux --console\r");
    screen.pause().pause().pause().then(b"\x1dpoweroff\r");
    Shell::new(Fake::with(&["linux"])).run(&mut screen);
    let shown =
        "started linux\nconnected to linux; Ctrl-] detaches\nbooted\n\ndetached from linux\n";
    assert!(screen.text().contains(shown), "{}", screen.text());
}

#[test]
fn colours_a_guest_leaves_behind_are_reset() {
    let mut screen = Screen::typing(b"vm console linux\r");
    screen.pause().pause().then(b"\x1dpoweroff\r");
    Shell::new(running("linux", b"\x1b[31mr")).run(&mut screen);
    assert!(String::from_utf8_lossy(&screen.raw).contains("\x1b[0m\x1b[?25h\r\ndetached"));
}

/// What attaching with `command` to a VM that wrote `output`, its last run from `start` on, shows.
fn attached(command: &str, output: &[u8], start: Option<u64>) -> String {
    let mut screen = Screen::typing(format!("{command}\r").as_bytes());
    for _ in 0..2000 {
        screen.pause();
    }
    screen.then(b"\x1dpoweroff\r");
    let mut fake = running("linux", output);
    fake.vms[0].start = start;
    Shell::new(fake).run(&mut screen);
    screen.text()
}

#[test]
fn attaching_replays_what_was_said_since_the_last_start() {
    let shown = attached("vm console linux", b"first run\r\nsecond run\r\n", Some(11));
    assert!(shown.contains("detaches\nsecond run\n"), "{shown}");
    let shown = attached("vm console linux --all", b"first run\r\nsecond run\r\n", Some(11));
    assert!(shown.contains("detaches\nfirst run\nsecond run\n"), "{shown}");
}

#[test]
fn attaching_replays_fifty_lines_or_four_kilobytes_at_most() {
    let lines: String = (0..200).map(|n| format!("line {n}\r\n")).collect();
    let shown = attached("vm console linux", format!("{lines}login: ").as_bytes(), Some(0));
    assert!(shown.contains("detaches\nline 150\n"), "{shown}");
    assert!(shown.contains("line 199\nlogin:"), "{shown}");
    let long: String = (0..20).map(|n| format!("{n}{}\r\n", "#".repeat(1000))).collect();
    let shown = attached("vm console linux", long.as_bytes(), Some(0));
    assert!(shown.contains("detaches\n16###"), "{}", &shown[..200]);
    let endless = "#".repeat(20_000);
    let shown = attached("vm console linux", endless.as_bytes(), Some(0));
    assert_eq!(shown.matches('#').count(), 4096);
}

#[test]
fn a_vm_that_was_never_started_has_no_console() {
    let shown = attached("vm console linux", b"", None);
    assert!(shown.contains("error: linux was never started; vm start linux --console does\n"));
}

/// A terminal that counts for how much output nobody else could run.
struct Watch {
    screen: Screen,
    since_wait: usize,
    most: usize,
}

impl Terminal for Watch {
    fn read(&mut self, buf: &mut [u8], timeout: Duration) -> usize {
        if !timeout.is_zero() {
            self.since_wait = 0;
        }
        self.screen.read(buf, timeout)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.since_wait += bytes.len();
        self.most = self.most.max(self.since_wait);
        self.screen.write(bytes);
    }
}

#[test]
fn a_guest_that_writes_without_end_leaves_the_cpu_to_others_now_and_then() {
    let mut screen = Screen::typing(b"vm console linux --all\r");
    for _ in 0..20_000 {
        screen.pause();
    }
    screen.then(b"\x1dpoweroff\r");
    let mut watch = Watch { screen, since_wait: 0, most: 0 };
    Shell::new(running("linux", &[b'#'; 100_000])).run(&mut watch);
    assert!(watch.most > 10 << 10 && watch.most < 20 << 10, "{}", watch.most);
    assert_eq!(watch.screen.text().matches('#').count(), 100_000);
}
