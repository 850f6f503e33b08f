//! Tests of the whole shell, with a hypervisor and a terminal made of plain data.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::string_slice
)]

extern crate std;

mod commands;
mod console;
mod docs;
mod editing;
mod looking;
mod scripts;

use std::cell::Cell;
use std::collections::VecDeque;
use std::format;
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;

use crate::*;

/// A VM of the fake.
#[derive(Default)]
struct Vm {
    name: String,
    running: bool,
    /// What it wrote.
    output: Vec<u8>,
    /// What was typed.
    input: Vec<u8>,
    paused: bool,
    /// Where its last run began in its output; `None` if it never ran.
    start: Option<u64>,
}

/// A hypervisor of plain data. Its guests echo what can be seen, and end at a Ctrl-D.
#[derive(Default)]
struct Fake {
    vms: Vec<Vm>,
    /// What was asked, as text.
    asked: Vec<String>,
    notices: VecDeque<String>,
    /// How often notices are asked for before there are any.
    silent_polls: usize,
    /// How many keys a guest takes at a time; `None` for any number.
    takes: Option<usize>,
    level: Option<LevelFilter>,
    /// A clock that goes on by 10 ms whenever somebody looks at it.
    clock_ns: Cell<u64>,
    /// By how much more than usual the clock goes on with every look.
    late_ns: u64,
    /// Scripts by name.
    scripts: Vec<(&'static str, String)>,
    /// What is reported of long work.
    progress: Vec<Progress>,
    /// Before which number of looks at the list a paused VM starts to run.
    wakes_at: Cell<Option<usize>>,
}

impl Fake {
    fn with(names: &[&str]) -> Self {
        let vm = |name: &&str| Vm { name: name.to_string(), start: Some(0), ..Vm::default() };
        Self { vms: names.iter().map(vm).collect(), ..Self::default() }
    }

    fn vm(&mut self, name: &str) -> ControlResult<&mut Vm> {
        let found = self.vms.iter_mut().find(|vm| vm.name == name);
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
        self.progress.iter().for_each(|progress| on(*progress));
        if !self.files().contains(&file.to_string()) {
            return Err(ControlError::new(format!("there is no config {file} in the bundle")));
        }
        self.asked.push(format!(
            "{file} {:?} {:?} {:?} {:?}",
            options.name, options.memory_bytes, options.cpus, options.cmdline
        ));
        let name = options.name.clone().unwrap_or(file.trim_end_matches(".toml").into());
        self.vms.push(Vm { name: name.clone(), ..Vm::default() });
        Ok(name)
    }

    fn plan(&self, file: &str, options: &CreateOptions) -> ControlResult<Plan> {
        let name = options.name.clone().unwrap_or(file.into());
        Ok(Plan {
            map: format!("{name}: 1 vCPU\n  memory"),
            sections: [Section::fields("", [Field::new("name", name)].into())].into(),
            device_tree: "/dts-v1/;\n/ {\n};".into(),
        })
    }

    fn start(&mut self, vm: &str, on: OnProgress<'_>) -> ControlResult<()> {
        self.progress.iter().for_each(|progress| on(*progress));
        let vm = self.vm(vm)?;
        if vm.running {
            return Err(ControlError::new(format!("{} is running already", vm.name)));
        }
        vm.running = true;
        vm.start = Some(vm.output.len() as u64);
        vm.output.extend(b"booted\r\n");
        Ok(())
    }

    fn stop(&mut self, vm: &str, mode: StopMode, timeout: Duration) -> ControlResult<Stopped> {
        self.asked.push(format!("stop {vm} {mode:?} {timeout:?}"));
        let vm = self.vm(vm)?;
        if !vm.running {
            return Err(ControlError::new(format!("{} is not running", vm.name)));
        }
        vm.running = false;
        Ok(match mode {
            StopMode::Force => Stopped::Forced,
            StopMode::Ask if vm.name == "deaf" => Stopped::Refused,
            StopMode::Ask if vm.name == "flat" => Stopped::Forced,
            StopMode::Ask => Stopped::Itself,
        })
    }

    fn pause(&mut self, vm: &str) -> ControlResult<()> {
        let vm = self.vm(vm)?;
        if !vm.running || vm.paused {
            return Err(ControlError::new(format!("{} does not run", vm.name)));
        }
        vm.paused = true;
        Ok(())
    }

    fn resume(&mut self, vm: &str) -> ControlResult<()> {
        let vm = self.vm(vm)?;
        if !core::mem::take(&mut vm.paused) {
            return Err(ControlError::new(format!("{} is not paused", vm.name)));
        }
        Ok(())
    }

    fn reset(&mut self, vm: &str) -> ControlResult<()> {
        self.asked.push(format!("reset {vm}"));
        let vm = self.vm(vm)?;
        if !vm.running {
            return Err(ControlError::new(format!("{} is not running", vm.name)));
        }
        vm.output.extend(b"booted again\r\n");
        Ok(())
    }

    fn delete(&mut self, vm: &str, mode: DeleteMode) -> ControlResult<()> {
        if self.vm(vm)?.running && mode == DeleteMode::Stopped {
            return Err(ControlError::new(format!(
                "{vm} is running; stop it first or use --force"
            )));
        }
        self.vms.retain(|other| other.name != vm);
        Ok(())
    }

    fn list(&self) -> Vec<VmSummary> {
        let is_awake = self.wakes_at.get() == Some(0);
        self.wakes_at.set(self.wakes_at.get().and_then(|looks| looks.checked_sub(1)));
        let summary = |(id, vm): (usize, &Vm)| VmSummary {
            id,
            name: vm.name.clone(),
            state: match (vm.running, vm.paused) {
                (true, true) if is_awake => "running",
                (true, false) => "running",
                (true, true) => "paused",
                (false, _) => "stopped",
            }
            .into(),
            vcpus: 2,
            memory_bytes: 512 << 20,
            uptime_ns: vm.running.then_some(4_200_000_000),
            cpu_share_permille: vm.running.then_some(125),
            steal_permille: vm.running.then_some(40),
            exits_per_s: vm.running.then_some(900),
        };
        self.vms.iter().enumerate().map(summary).collect()
    }

    fn show(&self, vm: &str) -> ControlResult<Vec<Section>> {
        Ok([
            Section::fields("", [Field::new("name", vm)].into()),
            Section::fields("memory", [Field::size("ram", 512 << 20)].into()),
        ]
        .into())
    }

    fn stats(&self, vm: &str) -> ControlResult<Vec<Section>> {
        let vcpu = |id: usize| [Field::new("vcpu", id), Field::time("ran", Some(9))].into();
        // A VM called so has much to say.
        let name = if vm == "wordy" { vm.repeat(50_000) } else { vm.into() };
        let fields = [Field::new("name", name)].into();
        Ok([Section::fields("", fields), Section::table("vcpus", [vcpu(0), vcpu(1)].into())].into())
    }

    fn record(&mut self, vm: &str, _switch: Switch) -> ControlResult<()> {
        self.vm(vm).map(|_| ())
    }

    fn trace(&self, _vm: &str, vcpu: Option<usize>) -> ControlResult<Vec<Section>> {
        let row = [Field::new("vcpu", vcpu.unwrap_or(0)), Field::new("exit", "wfi")].into();
        Ok([Section::table("", [row].into())].into())
    }

    fn registers(&self, vm: &str, vcpu: Option<usize>) -> ControlResult<Vec<Section>> {
        if self.vms.iter().any(|other| other.name == vm && other.running && !other.paused) {
            return Err(ControlError::new(format!("{vm} runs; pause it first")));
        }
        let title = format!("vCPU {}", vcpu.unwrap_or(0));
        Ok([Section::fields(title, [Field::hex("pc", 0x4000_0000)].into())].into())
    }

    fn read_memory(&self, _vm: &str, address: u64, buf: &mut [u8]) -> ControlResult<()> {
        if address < 0x4000_0000 {
            return Err(ControlError::new(format!("there is no memory at {address:#x}")));
        }
        buf.iter_mut().zip((b'A'..=b'z').cycle()).for_each(|(slot, byte)| *slot = byte);
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.vms.iter().map(|vm| vm.name.clone()).collect()
    }

    fn files(&self) -> Vec<String> {
        ["linux.toml", "linux-smp.toml", "hello.toml"].map(String::from).into()
    }

    fn scripts(&self) -> Vec<String> {
        self.scripts.iter().map(|(name, _)| name.to_string()).collect()
    }

    fn script(&self, name: &str) -> ControlResult<String> {
        let found = self.scripts.iter().find(|(known, _)| *known == name);
        let missing = || ControlError::new(format!("there is no script {name} in the bundle"));
        found.map(|(_, text)| text.clone()).ok_or_else(missing)
    }

    fn is_running(&self, vm: &str) -> bool {
        self.vms.iter().any(|other| other.name == vm && other.running)
    }

    fn console_write(&mut self, vm: &str, bytes: &[u8]) -> ControlResult<usize> {
        let takes = self.takes.unwrap_or(bytes.len()).min(bytes.len());
        let vm = self.vm(vm)?;
        vm.input.extend(&bytes[..takes]);
        vm.output.extend(bytes[..takes].iter().filter(|byte| byte.is_ascii_graphic()));
        vm.running &= !bytes[..takes].contains(&0x04);
        Ok(takes)
    }

    fn console_read(&self, vm: &str, cursor: &mut u64, buf: &mut [u8]) -> ControlResult<usize> {
        let found = self.vms.iter().find(|other| other.name == vm);
        let vm = found.ok_or_else(|| ControlError::new(format!("{vm} is gone")))?;
        let rest = &vm.output[usize::try_from(*cursor).unwrap()..];
        let count = rest.len().min(buf.len()).min(7);
        buf[..count].copy_from_slice(&rest[..count]);
        *cursor += count as u64;
        Ok(count)
    }

    fn console_start(&self, vm: &str) -> ControlResult<Option<u64>> {
        let found = self.vms.iter().find(|other| other.name == vm);
        found.map(|vm| vm.start).ok_or_else(|| ControlError::new(format!("{vm} is gone")))
    }

    fn log_level(&self) -> LevelFilter {
        self.level.unwrap_or(LevelFilter::Warn)
    }

    fn set_log_level(&mut self, level: LevelFilter) {
        self.level = Some(level);
    }

    fn host_info(&self) -> Vec<Field> {
        [Field::new("board", "qemu-aarch64"), Field::new("cpus", "4")].into()
    }

    fn host_mem(&self) -> Vec<Field> {
        [Field::size("total", 2 << 30)].into()
    }

    fn host_cpus(&self) -> Vec<HostCpu> {
        let cpu = |id| HostCpu { id, state: "idle".into(), vcpus: 1, busy_permille: Some(5) };
        (0..2).map(cpu).collect()
    }

    fn uptime_ns(&self) -> u64 {
        self.clock_ns.set(self.clock_ns.get() + 10_000_000 + self.late_ns);
        185_000_000_000 + self.clock_ns.get()
    }

    fn sleep(&mut self, time: Duration) {
        self.asked.push(format!("sleep {time:?}"));
    }

    fn version(&self) -> String {
        "axle 0.1.0".into()
    }

    fn take_notice(&mut self) -> Option<String> {
        match self.silent_polls.checked_sub(1) {
            Some(left) => {
                self.silent_polls = left;
                None
            }
            None => self.notices.pop_front(),
        }
    }

    fn poweroff(&mut self) -> ControlResult<()> {
        Ok(())
    }

    fn reboot(&mut self) -> ControlResult<()> {
        Ok(())
    }
}

/// A terminal somebody types `keys` on; a `None` is a pause. It shows what a VT100 of 80 columns shows.
struct Screen {
    keys: VecDeque<Option<u8>>,
    raw: Vec<u8>,
    rows: Vec<Vec<char>>,
    column: usize,
    bells: usize,
}

impl Screen {
    fn typing(text: &[u8]) -> Self {
        let mut screen = Self {
            keys: VecDeque::new(),
            raw: Vec::new(),
            rows: [Vec::new()].into(),
            column: 0,
            bells: 0,
        };
        screen.keys.extend(text.iter().copied().map(Some));
        screen
    }

    fn pause(&mut self) -> &mut Self {
        self.keys.push_back(None);
        self
    }

    fn then(&mut self, text: &[u8]) -> &mut Self {
        self.keys.extend(text.iter().copied().map(Some));
        self
    }

    /// What is shown, without the blanks at the end of rows.
    fn text(&self) -> String {
        let row = |row: &Vec<char>| row.iter().collect::<String>().trim_end().to_string();
        self.rows.iter().map(row).collect::<Vec<_>>().join("\n")
    }

    /// What is shown in the row the cursor is in, with the cursor as `|`.
    fn cursor_row(&self) -> String {
        let mut row = self.rows.last().unwrap().clone();
        row.resize(row.len().max(self.column), ' ');
        row.insert(self.column, '|');
        row.into_iter().collect()
    }

    fn put(&mut self, c: char) {
        let row = self.rows.last_mut().unwrap();
        row.resize(row.len().max(self.column + 1), ' ');
        row[self.column] = c;
        self.column += 1;
        let prompted = row.starts_with(&['a', 'x', 'l', 'e', '>']);
        assert!(self.column < 80 || !prompted, "the row wraps");
    }

    fn escape(&mut self, sequence: &str, last: char) {
        match last {
            'K' => self.rows.last_mut().unwrap().truncate(self.column),
            'D' => self.column -= sequence.parse::<usize>().unwrap(),
            'm' | 'h' | 'c' => {}
            'H' | 'J' => self.rows.push(Vec::new()),
            _ => panic!("unexpected sequence {sequence}{last}"),
        }
    }
}

impl Terminal for Screen {
    fn read(&mut self, buf: &mut [u8], _timeout: Duration) -> usize {
        assert!(!self.keys.is_empty(), "the script ends before the shell:\n{}", self.text());
        let Some(key) = self.keys.pop_front().unwrap() else {
            return 0;
        };
        buf[0] = key;
        1
    }

    fn write(&mut self, bytes: &[u8]) {
        self.raw.extend(bytes);
        let text = std::str::from_utf8(bytes).expect("whole characters");
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '\r' => self.column = 0,
                '\n' => self.rows.push(Vec::new()),
                '\x07' => self.bells += 1,
                '\x1b' => {
                    assert_eq!(rest.next(), Some('['));
                    let sequence: String = rest.by_ref().take_while_inclusive_letter();
                    let (parameters, last) = sequence.split_at(sequence.len() - 1);
                    self.escape(parameters, last.chars().next().unwrap());
                }
                _ if c.is_control() => panic!("control character {c:?}"),
                _ => self.put(c),
            }
        }
    }
}

/// Takes characters up to and with the first letter.
trait UpToLetter {
    fn take_while_inclusive_letter(self) -> String;
}

impl<I: Iterator<Item = char>> UpToLetter for I {
    fn take_while_inclusive_letter(self) -> String {
        let mut taken = String::new();
        for c in self {
            taken.push(c);
            if c.is_ascii_alphabetic() {
                break;
            }
        }
        taken
    }
}

/// Runs `line` on a shell for `fake`; gives status and output.
fn execute(shell: &mut Shell<Fake>, line: &str) -> (u8, String) {
    let mut capture = Capture::default();
    let status = shell.execute(line, &mut capture);
    (status.code(), capture.text().replace("\r\n", "\n"))
}

/// What a shell shows when `keys` and then `poweroff` are typed.
fn typed(keys: &[u8]) -> Screen {
    typed_for(Fake::with(&["linux", "hello"]), keys).0
}

/// What a shell shows when `keys` are typed, then nothing for a while, and then `poweroff`.
fn typed_slowly(fake: Fake, keys: &[u8]) -> Screen {
    let mut screen = Screen::typing(keys);
    for _ in 0..100 {
        screen.pause();
    }
    screen.then(b"poweroff\r");
    assert_eq!(Shell::new(fake).run(&mut screen), Ended::Poweroff);
    screen
}

fn typed_for(fake: Fake, keys: &[u8]) -> (Screen, Fake) {
    let mut screen = Screen::typing(keys);
    screen.then(b"\x03poweroff\r");
    let mut shell = Shell::new(fake);
    assert_eq!(shell.run(&mut screen), Ended::Poweroff);
    let fake = core::mem::take(shell.control());
    (screen, fake)
}
