//! The terminal while commands run: what is typed meanwhile is kept for later, and Ctrl-C is heard.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::terminal::Terminal;

/// Keys typed ahead beyond this are dropped.
const MAX_AHEAD: usize = 4096;
/// Ctrl-C.
pub(crate) const INTERRUPT: u8 = 0x03;

/// A terminal, and the keys typed ahead.
pub(crate) struct Keyboard<'a> {
    pub(crate) terminal: &'a mut dyn Terminal,
    pub(crate) ahead: &'a mut VecDeque<u8>,
    /// Whether lines come from a script, so that nobody can be asked for keys.
    pub(crate) scripted: bool,
}

impl Keyboard<'_> {
    /// Waits up to `time` for keys and keeps them; gives the first that is one of `wanted`, which is not kept. A
    /// Ctrl-C takes what was typed ahead with it.
    pub(crate) fn listen(&mut self, time: Duration, wanted: &[u8]) -> Option<u8> {
        let mut wait = time;
        let mut key = [0];
        for _ in 0..MAX_AHEAD {
            if self.terminal.read(&mut key, wait) == 0 {
                return None;
            }
            wait = Duration::ZERO;
            let [pressed] = key;
            if wanted.contains(&pressed) {
                if pressed == INTERRUPT {
                    self.ahead.clear();
                }
                return Some(pressed);
            }
            if self.ahead.len() < MAX_AHEAD {
                self.ahead.push_back(pressed);
            }
        }
        None
    }

    /// Whether there is somebody who could press a key, also while a script runs.
    pub(crate) fn has_keys(&self) -> bool {
        self.terminal.is_interactive()
    }
}

impl Terminal for Keyboard<'_> {
    fn read(&mut self, buf: &mut [u8], timeout: Duration) -> usize {
        if self.ahead.is_empty() {
            return self.terminal.read(buf, timeout);
        }
        let count = buf.len().min(self.ahead.len());
        for (slot, key) in buf.iter_mut().zip(self.ahead.drain(..count)) {
            *slot = key;
        }
        count
    }

    fn write(&mut self, bytes: &[u8]) {
        self.terminal.write(bytes);
    }

    fn is_interactive(&self) -> bool {
        !self.scripted && self.terminal.is_interactive()
    }
}
