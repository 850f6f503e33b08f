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
    screen.then(&[b'x'; 100_000]).then(b"\x1dpoweroff\r");
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
