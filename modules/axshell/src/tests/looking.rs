//! The commands that look into VMs, as text and as JSON.

use super::*;

fn shell() -> Shell<Fake> {
    Shell::new(Fake::with(&["linux", "hello"]))
}

fn assert_runs(shell: &mut Shell<Fake>, cases: &[(&str, u8, &str)]) {
    for (line, status, output) in cases {
        assert_eq!(execute(shell, line), (*status, (*output).into()), "{line}");
    }
}

#[test]
fn registers_are_shown_of_what_stands_still() {
    let mut shell = shell();
    execute(&mut shell, "vm start linux");
    let pc = "vCPU 0\n  pc  0x40000000\n";
    assert_runs(
        &mut shell,
        &[
            ("vm regs linux", 1, "error: linux runs; pause it first\n"),
            ("vm regs linux --pause", 0, pc),
            ("vm regs hello 0 --pause", 0, pc),
            ("vm regs hello 1 --json", 0, "{\"vcpu_1\":{\"pc\":\"0x40000000\"}}\n"),
            ("vm regs hello x", 2, "error: VCPU wants a number such as 0, not \"x\"\n"),
            ("vm regs hello 0 0", 2, "error: vm regs takes only NAME VCPU\n"),
            ("vm regs", 2, "error: vm regs needs a NAME; see help vm regs\n"),
        ],
    );
    assert!(!shell.control().vms[0].paused);
}

#[test]
fn memory_is_dumped_in_lines_of_sixteen_bytes() {
    let row = "000040000000 41 42 43 44 45 46 47 48  49 4a 4b 4c 4d 4e 4f 50  ABCDEFGHIJKLMNOP\n";
    let rest = "000040000010 51 52                                             QR\n";
    assert_runs(
        &mut shell(),
        &[
            ("vm dump linux 0x40000000 18", 0, &format!("{row}{rest}")),
            (
                "vm dump linux 1073741824 0x2 --json",
                0,
                "{\"address\":\"0x40000000\",\"bytes\":\"4142\"}\n",
            ),
            ("vm dump linux 0", 1, "error: there is no memory at 0x0\n"),
            ("vm dump linux", 2, "error: vm dump needs a ADDR; see help vm dump\n"),
            (
                "vm dump linux 0x 1",
                2,
                "error: ADDR wants an address such as 0x40000000, not \"0x\"\n",
            ),
            (
                "vm dump linux 0 65K",
                2,
                "error: LEN wants a number of bytes from 1 to 64K, not \"65K\"\n",
            ),
            (
                "vm dump linux 0 0",
                2,
                "error: LEN wants a number of bytes from 1 to 64K, not \"0\"\n",
            ),
            ("vm dump linux 0 1 2", 2, "error: vm dump takes only NAME ADDR LEN\n"),
        ],
    );
    assert_eq!(execute(&mut shell(), "vm dump linux 0x40000000").1.lines().count(), 16);
    assert_eq!(execute(&mut shell(), "vm dump linux 0xffffffffffffffff 64K").0, 0);
}

#[test]
fn statistics_and_traces_are_shown() {
    assert_runs(
        &mut shell(),
        &[
            ("vm stats linux", 0, "name  linux\nvcpus\n  VCPU  RAN\n  0     0.0s\n  1     0.0s\n"),
            ("vm trace linux 1", 0, "VCPU  EXIT\n1     wfi\n"),
            ("vm trace linux --json", 0, "[{\"vcpu\":0,\"exit\":\"wfi\"}]\n"),
            ("vm trace linux --on", 0, "recording the exits of linux\n"),
            ("vm trace linux --off", 0, "no longer recording the exits of linux\n"),
            ("vm trace linux --on --off", 2, "error: use --on or --off, not both\n"),
            ("vm trace linux all", 2, "error: VCPU wants a number such as 0, not \"all\"\n"),
        ],
    );
}

#[test]
fn json_is_one_value_also_for_several_vms_and_nothing_after_a_failure() {
    let one = "{\"name\":\"linux\",\"memory\":{\"ram_bytes\":536870912}}";
    let other = "{\"name\":\"hello\",\"memory\":{\"ram_bytes\":536870912}}";
    let missing = "error: there is no VM \"nobody\"; see vm list\n";
    let vms = "[{\"id\":0,\"name\":\"linux\",\"state\":\"stopped\",\"vcpus\":2,\"memory_bytes\":536870912,\
               \"cpu_permille\":null,\"steal_permille\":null,\"uptime_ns\":null,\"exits_per_s\":null}]\n";
    assert_runs(
        &mut shell(),
        &[
            ("vm show linux --json", 0, &format!("{one}\n")),
            ("vm show linux hello --json", 0, &format!("[{one},{other}]\n")),
            ("vm show linux nobody --json", 1, missing),
            ("host info --json", 0, "{\"board\":\"qemu-aarch64\",\"cpus\":\"4\"}\n"),
            ("host mem --json", 0, "{\"total_bytes\":2147483648}\n"),
            ("log --json", 0, "{\"log_level\":\"warn\"}\n"),
            ("version --json", 0, "{\"version\":\"axle 0.1.0\"}\n"),
        ],
    );
    assert_runs(&mut Shell::new(Fake::with(&["linux"])), &[("vm list --json", 0, vms)]);
    assert_runs(&mut Shell::new(Fake::default()), &[("vm list --json", 0, "[]\n")]);
    let cpus = execute(&mut shell(), "host cpus --json").1;
    assert!(cpus.starts_with("[{\"cpu\":0,\"state\":\"idle\",\"vcpus\":1,\"busy_permille\":5},"));
}

#[test]
fn a_value_is_not_made_longer_by_naming_a_vm_again_and_again() {
    let mut shell = Shell::new(Fake::with(&["wordy"]));
    let named = |times: usize| format!("vm stats --json {}", "wordy ".repeat(times));
    assert_eq!(execute(&mut shell, &named(4)).0, 0);
    let (status, said) = execute(&mut shell, &named(5));
    assert_eq!(status, 1);
    assert_eq!(said, "error: this is more than fits into one value: name fewer VMs\n");
    assert_eq!(execute(&mut shell, &named(5).replace("--json ", "")).0, 0, "text has no end");
}

#[test]
fn top_refreshes_until_a_key_says_enough() {
    let screen = typed(b"vm top\rq");
    assert!(
        screen.text().contains("axle> vm top\nup 3m05s; q ends\nCPU 0: 0.5% busy, 1 vCPUs, idle\n")
    );
    assert!(screen.text().contains("ID  NAME   STATE"));
    let screen = typed_slowly(Fake::default(), b"vm top -n 3 --every 200ms\r");
    assert_eq!(screen.text().matches("q ends").count(), 3);
    let late = Fake { late_ns: 7_000_000_000, ..Fake::default() };
    let (screen, _) = typed_for(late, b"vm top --every 200ms\rq");
    assert_eq!(screen.text().matches("q ends").count(), 1, "also on a host that is late");
    let mut shell = shell();
    assert_eq!(execute(&mut shell, "vm top").1.matches("q ends").count(), 1);
    let cases = [
        ("vm top --every 1ms", 2, "error: --every wants a time from 200ms to 1h, not \"1ms\"\n"),
        ("vm top -n 0", 2, "error: -n wants a number from 1 on, not \"0\"\n"),
        ("vm top linux", 2, "error: vm top takes no arguments\n"),
    ];
    assert_runs(&mut shell, &cases);
}
