//! From bytes of a serial line to keys.
//!
//! ECMA-48 (escape sequences as VT100 and xterm send them for keys) and UTF-8. Whatever bytes come, the decoder
//! keeps a few bytes of state; a sequence that is broken, unknown or never ends gives no key.

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Up,
    Down,
    Home,
    End,
    KillToEnd,
    KillToStart,
    KillWord,
    Redraw,
    Interrupt,
    EndOfInput,
    /// Ctrl-R.
    Search,
    /// Ctrl-G.
    Cancel,
    /// The terminal says what it is (DA, ECMA-48 8.3.24).
    Attributes,
    /// Something without a meaning here, or not UTF-8.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Ground,
    /// The last byte was CR; an LF now belongs to it.
    AfterCr,
    /// In a UTF-8 character: its bits so far, how many bytes are missing, and the smallest value they may encode.
    Utf8 {
        bits: u32,
        missing: u8,
        least: u32,
    },
    Escape,
    /// After `ESC O`.
    Ss3,
    /// After `ESC [`: the first parameter, the one now read, and whether that is a later one.
    Csi {
        first: u16,
        now: u16,
        later: bool,
    },
    /// In an operating system command or another string, which ends with BEL or ESC.
    Text,
}

/// The decoder's state between two bytes.
#[derive(Debug)]
pub(crate) struct Decoder(State);

impl Decoder {
    pub(crate) fn new() -> Self {
        Self(State::Ground)
    }

    /// Forgets an unfinished sequence, because nothing came for a while: it was the ESC key alone.
    pub(crate) fn idle(&mut self) {
        self.0 = State::Ground;
    }

    /// Takes one byte; gives the key it ends, if it ends one.
    pub(crate) fn advance(&mut self, byte: u8) -> Option<Key> {
        let state = core::mem::replace(&mut self.0, State::Ground);
        if byte < 0x20 || byte == 0x7f {
            return self.control(state, byte);
        }
        match state {
            State::Ground | State::AfterCr => self.ground(byte),
            State::Utf8 { bits, missing, least } => self.utf8(bits, missing, least, byte),
            State::Escape => self.escape(byte),
            // The keypad's Enter. As a control sequence the same letter reports the mouse.
            State::Ss3 if byte == b'M' => Some(Key::Enter),
            State::Ss3 => Some(letter(byte, false)),
            State::Csi { first, now, later } => self.csi(first, now, later, byte),
            State::Text => {
                self.0 = State::Text;
                None
            }
        }
    }

    /// A control character ends every sequence and keeps its own meaning.
    fn control(&mut self, state: State, byte: u8) -> Option<Key> {
        match (state, byte) {
            (State::AfterCr, b'\n') | (State::Text, 0x07) => return None,
            (State::Escape, 0x7f | 0x08) => return Some(Key::KillWord),
            _ => {}
        }
        Some(match byte {
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::EndOfInput,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x07 => Key::Cancel,
            0x08 | 0x7f => Key::Backspace,
            b'\t' => Key::Tab,
            b'\n' => Key::Enter,
            0x0b => Key::KillToEnd,
            0x0c => Key::Redraw,
            b'\r' => {
                self.0 = State::AfterCr;
                Key::Enter
            }
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x12 => Key::Search,
            0x15 => Key::KillToStart,
            0x17 => Key::KillWord,
            0x1b => {
                self.0 = State::Escape;
                return None;
            }
            _ => Key::Unknown,
        })
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        let byte_bits = u32::from(byte);
        let (bits, missing, least) = match byte {
            0x20..=0x7e => return Some(Key::Char(char::from(byte))),
            0xc2..=0xdf => (byte_bits & 0x1f, 1, 0x80),
            0xe0..=0xef => (byte_bits & 0x0f, 2, 0x800),
            0xf0..=0xf4 => (byte_bits & 0x07, 3, 0x1_0000),
            _ => return Some(Key::Unknown),
        };
        self.0 = State::Utf8 { bits, missing, least };
        None
    }

    fn utf8(&mut self, bits: u32, missing: u8, least: u32, byte: u8) -> Option<Key> {
        if byte & 0xc0 != 0x80 {
            return self.ground(byte).or(Some(Key::Unknown));
        }
        let bits = bits << 6 | u32::from(byte & 0x3f);
        if missing > 1 {
            self.0 = State::Utf8 { bits, missing: missing.saturating_sub(1), least };
            return None;
        }
        let decoded = char::from_u32(bits).filter(|c| bits >= least && !c.is_control());
        Some(decoded.map_or(Key::Unknown, Key::Char))
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.0 = State::Csi { first: 0, now: 0, later: false },
            b'O' => self.0 = State::Ss3,
            b']' | b'P' | b'X' | b'^' | b'_' => self.0 = State::Text,
            b'b' => return Some(Key::WordLeft),
            b'f' => return Some(Key::WordRight),
            // The end of a string, not a key.
            b'\\' => {}
            _ => return Some(Key::Unknown),
        }
        None
    }

    fn csi(&mut self, first: u16, now: u16, later: bool, byte: u8) -> Option<Key> {
        match byte {
            b'0'..=b'9' => {
                let now =
                    now.saturating_mul(10).saturating_add(u16::from(byte.saturating_sub(b'0')));
                self.0 = State::Csi { first, now, later };
                None
            }
            b';' => {
                let first = if later { first } else { now };
                self.0 = State::Csi { first, now: 0, later: true };
                None
            }
            0x40..=0x7e => Some(csi_key(if later { first } else { now }, later && now == 5, byte)),
            0x80.. => Some(Key::Unknown),
            _ => {
                self.0 = State::Csi { first, now, later };
                None
            }
        }
    }
}

/// The key of a finished control sequence; `with_ctrl` when its modifier says Ctrl.
fn csi_key(first: u16, with_ctrl: bool, byte: u8) -> Key {
    match (byte, first) {
        (b'~', 1 | 7) => Key::Home,
        (b'~', 3) => Key::Delete,
        (b'~', 4 | 8) => Key::End,
        (b'~', _) => Key::Unknown,
        (b'c', _) => Key::Attributes,
        _ => letter(byte, with_ctrl),
    }
}

/// The key of a sequence that ends in a letter.
fn letter(byte: u8, with_ctrl: bool) -> Key {
    match (byte, with_ctrl) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', false) => Key::Right,
        (b'C', true) => Key::WordRight,
        (b'D', false) => Key::Left,
        (b'D', true) => Key::WordLeft,
        (b'F', _) => Key::End,
        (b'H', _) => Key::Home,
        _ => Key::Unknown,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::new();
        bytes.iter().filter_map(|byte| decoder.advance(*byte)).collect()
    }

    #[test]
    fn characters_of_every_length_come_through() {
        let text = "aé€𐍈z";
        let expected: Vec<Key> = text.chars().map(Key::Char).collect();
        assert_eq!(keys(text.as_bytes()), expected);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_unknown_and_do_not_swallow_what_follows() {
        assert_eq!(keys(b"\xffa"), [Key::Unknown, Key::Char('a')]);
        assert_eq!(keys(b"\xc3a"), [Key::Char('a')]);
        assert_eq!(keys(b"\xc0\x80"), [Key::Unknown, Key::Unknown]);
        assert_eq!(keys(b"\xe0\x80\x80a"), [Key::Unknown, Key::Char('a')]);
        assert_eq!(keys(b"\xed\xa0\x80"), [Key::Unknown]);
        assert_eq!(keys(b"\xf4\x90\x80\x80"), [Key::Unknown]);
        assert_eq!(keys(b"\xc2\x9b"), [Key::Unknown]);
        assert_eq!(keys(b"\xe2\x82\r"), [Key::Enter]);
    }

    #[test]
    fn line_ends_in_every_form_are_one_enter() {
        assert_eq!(keys(b"\r\n\r\r\n\n"), [Key::Enter; 4]);
        assert_eq!(keys(b"\r\0"), [Key::Enter, Key::Unknown]);
    }

    #[test]
    fn escape_sequences_of_the_usual_terminals_are_keys() {
        let cases: [(&[u8], Key); 15] = [
            (b"\x1b[A", Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[C", Key::Right),
            (b"\x1b[D", Key::Left),
            (b"\x1b[1;5D", Key::WordLeft),
            (b"\x1b[1;5C", Key::WordRight),
            (b"\x1b[H", Key::Home),
            (b"\x1b[1~", Key::Home),
            (b"\x1bOF", Key::End),
            (b"\x1bOM", Key::Enter),
            (b"\x1b[4~", Key::End),
            (b"\x1b[3~", Key::Delete),
            (b"\x1b[3;5~", Key::Delete),
            (b"\x1b\x7f", Key::KillWord),
            (b"\x1bb", Key::WordLeft),
        ];
        for (bytes, key) in cases {
            assert_eq!(keys(bytes), [key], "{bytes:x?}");
        }
    }

    #[test]
    fn unknown_and_broken_sequences_give_at_most_one_unknown() {
        let cases: [&[u8]; 6] = [
            b"\x1b[M",
            b"\x1b[R",
            b"\x1b[0;0R",
            b"\x1b[99999999999999999999~",
            b"\x1b[;;;;z",
            b"\x1bq",
        ];
        for bytes in cases {
            assert_eq!(keys(bytes), [Key::Unknown], "{bytes:x?}");
        }
        assert_eq!(keys(b"\x1b]0;title\x07a"), [Key::Char('a')]);
        assert_eq!(keys(b"\x1bPdata\x1b\\a"), [Key::Char('a')]);
        assert_eq!(keys(b"\x1b[12\r"), [Key::Enter]);
        assert_eq!(keys(b"\x1b]endless\x03"), [Key::Interrupt]);
    }

    #[test]
    fn what_a_terminal_says_of_itself_is_no_key() {
        assert_eq!(keys(b"\x1b[?1;2c"), [Key::Attributes]);
        assert_eq!(keys(b"\x1b[?64;1;2;6;9;15;22c"), [Key::Attributes]);
    }

    #[test]
    fn a_lone_escape_is_forgotten_when_nothing_follows() {
        let mut decoder = Decoder::new();
        assert_eq!(decoder.advance(0x1b), None);
        decoder.idle();
        assert_eq!(decoder.advance(b'['), Some(Key::Char('[')));
    }

    #[test]
    fn every_pair_of_bytes_is_survived_in_every_state() {
        let prefixes: [&[u8]; 8] =
            [b"", b"\r", b"\xe2", b"\xf0\x9f", b"\x1b", b"\x1bO", b"\x1b[65535;65535", b"\x1b]"];
        for prefix in prefixes {
            for first in 0..=255 {
                for second in 0..=255 {
                    let mut bytes = vec![];
                    bytes.extend_from_slice(prefix);
                    bytes.extend([first, second]);
                    assert!(keys(&bytes).len() <= bytes.len());
                }
            }
        }
    }
}
