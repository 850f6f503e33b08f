//! The serial line the shell talks through.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Result as FmtResult, Write};
use core::time::Duration;

/// A byte stream in both directions.
pub trait Terminal {
    /// Waits up to `timeout` for keys and puts them into `buf`; gives how many, 0 when none came.
    ///
    /// It takes no more than `buf` holds; a timeout of zero returns at once.
    fn read(&mut self, buf: &mut [u8], timeout: Duration) -> usize;

    /// Writes all of `bytes` as they are.
    fn write(&mut self, bytes: &[u8]);

    /// Whether somebody types; without, commands that need keys refuse, and nothing is coloured.
    fn is_interactive(&self) -> bool {
        true
    }
}

/// A terminal without keys that keeps what is written, for commands run from a script.
#[derive(Debug, Default)]
pub struct Capture {
    bytes: Vec<u8>,
}

impl Capture {
    /// What was written, with bytes that are not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Terminal for Capture {
    fn read(&mut self, _buf: &mut [u8], _timeout: Duration) -> usize {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn is_interactive(&self) -> bool {
        false
    }
}

/// Text to a terminal: line ends become CR LF, and other control characters than tab become `?`.
///
/// Names and reasons may come from a config or a guest; this is where they lose the power to move the cursor.
pub(crate) struct Text<'a>(pub(crate) &'a mut dyn Terminal);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> FmtResult {
        for part in text.split_inclusive(|c: char| c.is_control()) {
            let mut rest = part.chars();
            let last = rest.next_back().filter(|c| c.is_control());
            self.0.write(if last.is_some() { rest.as_str() } else { part }.as_bytes());
            match last {
                Some('\n') => self.0.write(b"\r\n"),
                Some('\t') => self.0.write(b"\t"),
                Some(_) => self.0.write(b"?"),
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_lines_with_cr_lf_and_defuses_control_characters() {
        let mut capture = Capture::default();
        write!(Text(&mut capture), "a\nb\x1b[2J\tc\u{9b}1mé\n").unwrap();
        assert_eq!(capture.text(), "a\r\nb?[2J\tc?1mé\r\n");
    }
}
