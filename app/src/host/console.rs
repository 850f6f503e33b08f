//! The serial line as the shell's terminal.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::time::Duration;

use ax_runtime::console::{TaskConsoleInput, TaskConsoleOutput};
use ax_runtime::serial::RxItem;
use axshell::Terminal;
use kspin::SpinNoIrq;

use super::thread::{self, Bell, Rank};

/// Input beyond this is dropped: nobody types that fast, and a paste must not take the host's heap.
const INPUT_MAX: usize = 64 << 10;

/// Ctrl-U: drops the line typed so far.
const DROP_LINE: u8 = 0x15;

/// Keys that were pressed and not read yet.
struct Input {
    keys: SpinNoIrq<VecDeque<u8>>,
    bell: Bell,
}

/// Whether keys are being dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    No,
    /// Until a line ends and there is room again.
    Dropping,
}

impl Overflow {
    /// Keeps `key` if there is room. Where keys are missing, the line they are missing from goes as well: what is
    /// left of two lines must not run as one.
    fn push(&mut self, key: u8, keys: &mut VecDeque<u8>) {
        match self {
            Self::No if keys.len() + 1 < INPUT_MAX => keys.push_back(key),
            Self::No => {
                keys.push_back(DROP_LINE);
                *self = Self::Dropping;
            }
            Self::Dropping => {
                if matches!(key, b'\r' | b'\n') && keys.len() < INPUT_MAX / 2 {
                    *self = Self::No;
                }
            }
        }
    }
}

/// The serial line.
pub(crate) struct SerialTerminal {
    input: Arc<Input>,
    output: TaskConsoleOutput,
}

impl SerialTerminal {
    /// The host's console, taken for good.
    ///
    /// # Errors
    /// A sentence: there is no console, or somebody has it.
    pub(crate) fn new() -> Result<Self, &'static str> {
        let source = ax_runtime::console::take_input().map_err(|_| "the console has no input")?;
        let output = ax_runtime::console::output().map_err(|_| "the console has no output")?;
        let input = Arc::new(Input { keys: SpinNoIrq::new(VecDeque::new()), bell: Bell::new() });
        let to = input.clone();
        thread::spawn("console-input", Rank::Interactive, None, move || collect(&source, &to));
        Ok(Self { input, output })
    }
}

/// Moves what is typed to where the shell waits with a time limit, which the host's console lacks.
fn collect(source: &TaskConsoleInput, to: &Input) {
    let mut items = [RxItem::default(); 64];
    let mut overflow = Overflow::No;
    loop {
        let Ok(count) = source.read(&mut items) else {
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let mut keys = to.keys.lock();
        for item in items.iter().take(count) {
            if let RxItem::Byte { byte, .. } = item {
                overflow.push(*byte, &mut keys);
            }
        }
        drop(keys);
        to.bell.ring();
    }
}

impl Terminal for SerialTerminal {
    fn read(&mut self, buf: &mut [u8], timeout: Duration) -> usize {
        if self.input.keys.lock().is_empty() && !timeout.is_zero() {
            self.input.bell.wait(timeout, || !self.input.keys.lock().is_empty());
        }
        let mut keys = self.input.keys.lock();
        let count = buf.len().min(keys.len());
        for (slot, key) in buf.iter_mut().zip(keys.drain(..count)) {
            *slot = key;
        }
        count
    }

    fn write(&mut self, bytes: &[u8]) {
        // A console that cannot be written to has nobody to be told.
        let _ = self.output.write_all(bytes);
    }
}
