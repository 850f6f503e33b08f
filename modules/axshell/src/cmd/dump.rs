//! `vm dump`

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::parse::Parsed;
use crate::report::{Field, Section};
use crate::session::{Failure, Outcome, Session};
use crate::units;

/// How much is shown when nothing is said, in bytes.
const USUAL: u64 = 256;
/// The most that is shown, in bytes: half a minute on a serial line.
const MAX: u64 = 64 << 10;
/// Bytes per line.
const ROW: usize = 16;

/// `vm dump NAME ADDR [LEN]`
pub(crate) fn dump(session: &mut Session<'_>, parsed: &Parsed) -> Outcome {
    let address = parsed
        .word_value(1, "ADDR", "an address such as 0x40000000", units::parse_address)
        .map_err(Failure::Usage)?
        .unwrap_or(0);
    let length = |text: &str| {
        let bytes = units::parse_size(text).or_else(|| units::parse_address(text));
        bytes.filter(|bytes| (1..=MAX).contains(bytes))
    };
    let wanted = "a number of bytes from 1 to 64K";
    let length = parsed.word_value(2, "LEN", wanted, length).map_err(Failure::Usage)?;
    let length = length.unwrap_or(USUAL);
    let name = session.vm(parsed.first())?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    session.control.read_memory(&name, address, &mut bytes)?;
    if parsed.has("--json") {
        let all: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let fields = Vec::from([Field::hex("address", address), Field::new("bytes", all)]);
        session.show(parsed, &[Section::fields("", fields)]);
        return Ok(());
    }
    let mut at = address;
    for row in bytes.chunks(ROW) {
        let line = line(at, row);
        at = at.wrapping_add(ROW as u64);
        session.say(format_args!("{line}"));
        if session.is_interrupted() {
            return Err(Failure::interrupted());
        }
    }
    Ok(())
}

/// One line: the address, the bytes, and what of them is ASCII.
fn line(at: u64, row: &[u8]) -> String {
    let mut text = format!("{at:012x}");
    for column in 0..ROW {
        text += if column == ROW / 2 { "  " } else { " " };
        text += &row.get(column).map_or("  ".into(), |byte| format!("{byte:02x}"));
    }
    text += "  ";
    let shown =
        |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
    text.extend(row.iter().map(shown));
    text
}
