//! How long work gets on, in one row that goes away when it is done.

use alloc::format;

use crate::control::Progress;
use crate::editor::clear_row;
use crate::keyboard::Keyboard;
use crate::terminal::Terminal;
use crate::units;

/// The row of one piece of work.
pub(crate) struct Meter<'a, 'b> {
    terminal: &'a mut Keyboard<'b>,
    shown: bool,
}

impl<'a, 'b> Meter<'a, 'b> {
    pub(crate) fn new(terminal: &'a mut Keyboard<'b>) -> Self {
        Self { terminal, shown: false }
    }

    /// Shows `progress` where somebody waits for it.
    pub(crate) fn show(&mut self, progress: Progress) {
        if !self.terminal.is_interactive() {
            return;
        }
        let Progress { what, done, total, elapsed_ns } = progress;
        let time = units::time(elapsed_ns);
        let text = match done.saturating_mul(100).checked_div(total) {
            Some(percent) => {
                let (done, total) = (units::rounded(done), units::size(total));
                format!("{what}: {done} of {total} ({}%), {time}", percent.min(100))
            }
            None => format!("{what}: {time}"),
        };
        clear_row(self.terminal);
        self.terminal.write(text.as_bytes());
        self.shown = true;
    }

    /// Empties the row.
    pub(crate) fn clear(&mut self) {
        if self.shown {
            clear_row(self.terminal);
        }
    }
}
