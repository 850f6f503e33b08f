//! The shell: any keys on a terminal of 80 columns, and any line run as if it had been typed.

use std::cell::Cell;
use std::time::Duration;

use axshell::{
    Capture, ControlError, ControlResult, CreateOptions, DeleteMode, Ended, Field, HostCpu,
    LevelFilter, OnProgress, Plan, Progress, Section, Shell, Status, StopMode, Stopped, Switch,
    Terminal, VmControl, VmSummary,
};

/// What ends everything: a console, a wait, a search, a line; then the machine.
const END: &[u8] = b"\x1d\x03\x03poweroff\r";
/// A line may have that many bytes, also one that says nothing.
const LONGEST_LINE: usize = 512;
/// More keys than any command listens to while it works.
const MOST_ENDS: usize = 2000;

/// A hypervisor of plain data, whose clock goes on whenever somebody looks at it.
#[derive(Default)]
struct Fake {
    vms: Vec<(String, bool, Vec<u8>)>,
    clock_ns: Cell<u64>,
    level: Option<LevelFilter>,
}

impl Fake {
    fn new() -> Self {
        let vm = |name: &str| (name.to_string(), name == "linux", b"booted\r\n".to_vec());
        Self { vms: ["linux", "hello"].map(vm).into(), ..Self::default() }
    }

    fn vm(&mut self, name: &str) -> ControlResult<&mut (String, bool, Vec<u8>)> {
        let found = self.vms.iter_mut().find(|(known, ..)| known == name);
        found.ok_or_else(|| ControlError::new(format!("{name} is gone")))
    }
}

impl VmControl for Fake {
    fn create(
        &mut self,
        file: &str,
        options: &CreateOptions,
        on: OnProgress<'_>,
    ) -> ControlResult<String> {
        on(Progress { what: "zeroing memory", done: 1, total: 2, elapsed_ns: 1 << 40 });
        let name = options.name.clone().unwrap_or_else(|| file.trim_end_matches(".toml").into());
        if self.vms.len() >= 8 || !self.files().iter().any(|known| known == file) {
            return Err(ControlError::new(format!("there is no config {file}")));
        }
        self.vms.push((name.clone(), false, Vec::new()));
        Ok(name)
    }

    fn plan(&self, file: &str, _: &CreateOptions) -> ControlResult<Plan> {
        let sections = [Section::fields("", [Field::new("name", file)].into())].into();
        Ok(Plan { map: file.into(), sections, device_tree: "/dts-v1/;".into() })
    }

    fn start(&mut self, vm: &str, _: OnProgress<'_>) -> ControlResult<()> {
        self.vm(vm)?.1 = true;
        Ok(())
    }

    fn stop(&mut self, vm: &str, _: StopMode, _: Duration) -> ControlResult<Stopped> {
        self.vm(vm)?.1 = false;
        Ok(Stopped::Refused)
    }

    fn pause(&mut self, vm: &str) -> ControlResult<()> {
        self.vm(vm).map(|_| ())
    }

    fn resume(&mut self, vm: &str) -> ControlResult<()> {
        self.vm(vm).map(|_| ())
    }

    fn reset(&mut self, vm: &str) -> ControlResult<()> {
        self.vm(vm).map(|_| ())
    }

    fn delete(&mut self, vm: &str, _: DeleteMode) -> ControlResult<()> {
        self.vms.retain(|(known, ..)| known != vm);
        Ok(())
    }

    fn list(&self) -> Vec<VmSummary> {
        let summary = |(id, (name, running, _)): (usize, &(String, bool, Vec<u8>))| VmSummary {
            id,
            name: name.clone(),
            state: if *running { "running" } else { "stopped" }.into(),
            vcpus: 2,
            ..VmSummary::default()
        };
        self.vms.iter().enumerate().map(summary).collect()
    }

    fn show(&self, vm: &str) -> ControlResult<Vec<Section>> {
        Ok([Section::fields("", [Field::new("name", vm), Field::size("ram", u64::MAX)].into())]
            .into())
    }

    fn stats(&self, vm: &str) -> ControlResult<Vec<Section>> {
        self.show(vm)
    }

    fn record(&mut self, _: &str, _: Switch) -> ControlResult<()> {
        Ok(())
    }

    fn trace(&self, vm: &str, _: Option<usize>) -> ControlResult<Vec<Section>> {
        self.show(vm)
    }

    fn registers(&self, vm: &str, _: Option<usize>) -> ControlResult<Vec<Section>> {
        self.show(vm)
    }

    fn read_memory(&self, _: &str, _: u64, buf: &mut [u8]) -> ControlResult<()> {
        assert!(buf.len() <= 64 << 10);
        buf.fill(b'm');
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.vms.iter().map(|(name, ..)| name.clone()).collect()
    }

    fn files(&self) -> Vec<String> {
        ["linux.toml", "linux-smp.toml"].map(String::from).into()
    }

    fn scripts(&self) -> Vec<String> {
        ["again", "wait"].map(String::from).into()
    }

    fn script(&self, name: &str) -> ControlResult<String> {
        match name {
            // It runs itself.
            "again" => Ok("echo again\nsource again\n".into()),
            "wait" => Ok("set -e\nvm wait linux paused --timeout 2s\nvm console linux\n".into()),
            _ => Err(ControlError::new("there is none")),
        }
    }

    fn is_running(&self, vm: &str) -> bool {
        self.vms.iter().any(|(name, running, _)| name == vm && *running)
    }

    fn console_write(&mut self, vm: &str, bytes: &[u8]) -> ControlResult<usize> {
        let (_, running, output) = self.vm(vm)?;
        let taken = &bytes[..bytes.len().min(5)];
        output.extend(taken.iter().filter(|byte| byte.is_ascii_graphic()));
        *running &= !taken.contains(&4);
        Ok(taken.len())
    }

    fn console_read(&self, vm: &str, cursor: &mut u64, buf: &mut [u8]) -> ControlResult<usize> {
        let found = self.vms.iter().find(|(name, ..)| name == vm);
        let (_, _, output) = found.ok_or_else(|| ControlError::new("gone"))?;
        let rest = output.get(*cursor as usize..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        *cursor += count as u64;
        Ok(count)
    }

    fn console_start(&self, vm: &str) -> ControlResult<Option<u64>> {
        Ok(self.vms.iter().find(|(name, ..)| name == vm).map(|_| 0))
    }

    fn log_level(&self) -> LevelFilter {
        self.level.unwrap_or(LevelFilter::Warn)
    }

    fn set_log_level(&mut self, level: LevelFilter) {
        self.level = Some(level);
    }

    fn host_info(&self) -> Vec<Field> {
        [Field::new("cpus", "4")].into()
    }

    fn host_mem(&self) -> Vec<Field> {
        self.host_info()
    }

    fn host_cpus(&self) -> Vec<HostCpu> {
        [HostCpu::default()].into()
    }

    fn uptime_ns(&self) -> u64 {
        // A day passes within a few thousand looks.
        self.clock_ns.set(self.clock_ns.get().saturating_add(7_000_000_000));
        self.clock_ns.get()
    }

    fn version(&self) -> String {
        "axle".into()
    }

    fn sleep(&mut self, _: Duration) {}

    fn take_notice(&mut self) -> Option<String> {
        // Now and then, with what a terminal must not get.
        let now = self.clock_ns.get();
        self.clock_ns.set(now + 1_000_000);
        (now / 1_000_000 % 61 == 60).then(|| "hello stopped: \x1b[2J".into())
    }

    fn poweroff(&mut self) -> ControlResult<()> {
        Ok(())
    }

    fn reboot(&mut self) -> ControlResult<()> {
        Ok(())
    }
}

/// What somebody types, and what a VT100 shows of the row the cursor is in.
struct Screen<'a> {
    keys: &'a [u8],
    ends: usize,
    row: Vec<char>,
    column: usize,
}

impl Screen<'_> {
    fn put(&mut self, char: char) {
        self.row.resize(self.row.len().max(self.column + 1), ' ');
        self.row[self.column] = char;
        self.column += 1;
        let prompted = self.row.starts_with(&['a', 'x', 'l', 'e', '>', ' ']);
        assert!(self.column < 80 || !prompted, "the row of the prompt wraps");
    }

    fn escape(&mut self, sequence: &str, last: char) {
        match last {
            'K' => self.row.truncate(self.column),
            'D' => {
                self.column =
                    self.column.checked_sub(sequence.parse().unwrap()).expect("in the row")
            }
            'm' | 'h' | 'c' | 'H' | 'J' => {}
            _ => panic!("the terminal gets {sequence}{last}"),
        }
    }
}

impl Terminal for Screen<'_> {
    fn read(&mut self, buf: &mut [u8], _: Duration) -> usize {
        // A NUL is a pause.
        let key = match self.keys.split_first() {
            Some((key, rest)) => {
                self.keys = rest;
                *key
            }
            None => {
                self.ends += 1;
                assert!(self.ends < MOST_ENDS * END.len(), "the shell does not end");
                END[(self.ends - 1) % END.len()]
            }
        };
        buf[0] = key;
        usize::from(key != 0)
    }

    fn write(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("whole characters");
        let mut rest = text.chars();
        while let Some(char) = rest.next() {
            match char {
                '\r' => self.column = 0,
                '\n' => self.row.clear(),
                '\x07' => {}
                '\x1b' => {
                    assert_eq!(rest.next(), Some('['));
                    let mut sequence = String::new();
                    let last = rest.by_ref().find(|char| {
                        sequence.push(*char);
                        char.is_ascii_alphabetic()
                    });
                    sequence.pop();
                    self.escape(&sequence, last.expect("whole sequences"));
                }
                char if char.is_control() => panic!("the terminal gets {char:?}"),
                char => self.put(char),
            }
        }
    }
}

/// Keys.
pub(crate) fn keys(data: &[u8]) {
    let mut screen = Screen { keys: data, ends: 0, row: Vec::new(), column: 0 };
    let ended = Shell::new(Fake::new()).run(&mut screen);
    assert!(matches!(ended, Ended::Poweroff | Ended::Reboot));
}

/// Lines, each run by itself.
pub(crate) fn lines(data: &[u8]) {
    let mut shell = Shell::new(Fake::new());
    let mut before = Status::Done;
    for line in String::from_utf8_lossy(data).split('\n').take(20) {
        let mut capture = Capture::default();
        let status = shell.execute(line, &mut capture);
        let text = capture.text();
        assert!(
            !text.contains(|char: char| char.is_control() && !"\r\n\t".contains(char)),
            "{text:?}"
        );
        assert!(text.replace("\r\n", "").find('\n').is_none(), "lines end with CR LF");
        let is_blank = line.trim().is_empty() || line.trim().starts_with('#');
        if is_blank && line.len() <= LONGEST_LINE {
            assert_eq!((status, &*text), (before, ""), "a blank line has no status");
            continue;
        }
        assert!(status != Status::Usage || text.contains("error: "), "{line:?}: {text}");
        before = status;
    }
}
