//! A device tree as text, in the form of the device tree compiler's sources.
//!
//! Devicetree Specification 0.4, chapters 5 and 6.

use super::{
    FdtError,
    given::{BEGIN_NODE, END_NODE, NOP, PROP, be32, block, check_given, text, usize_of},
};
use crate::image::DEVICE_TREE_MAX;
use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt::Write;

/// The most text that is made, in bytes: a tree of one name, used a hundred thousand times, is cut.
const TEXT_MAX: usize = 512 << 10;

/// The source that describes the tree `dtb`, at most 512 KiB of it.
///
/// A value is shown as texts if it looks like some, else as cells, else as bytes.
///
/// # Errors
/// A tree that [`check_given`] refuses.
pub fn to_dts(dtb: &[u8]) -> Result<String, FdtError> {
    let tree = check_given(dtb, DEVICE_TREE_MAX)?;
    let header = |at| be32(tree, at).unwrap_or(0);
    let mut out = String::from("/dts-v1/;\n");
    reservations(tree, usize_of(header(16)), &mut out);
    let mut walk = Walk {
        structure: block(tree, header(8), header(36)).unwrap_or(&[]),
        strings: block(tree, header(12), header(32)).unwrap_or(&[]),
        depth: 0,
    };
    // Every turn takes a token off the structure, whose end the check has seen.
    while walk.step(&mut out).is_some() {
        if out.len() > TEXT_MAX {
            out.push_str("// the rest is left out\n");
            break;
        }
    }
    Ok(out)
}

/// The memory reservation block, whose end the check has seen.
fn reservations(tree: &[u8], offset: usize, out: &mut String) {
    let wide = |entry: &[u8], at: usize| {
        let half = |at| u64::from(be32(entry, at).unwrap_or(0));
        half(at) << 32 | half(at.saturating_add(4))
    };
    for entry in tree.get(offset..).unwrap_or(&[]).chunks_exact(16) {
        let (address, size) = (wide(entry, 0), wide(entry, 8));
        if size == 0 || out.len() > TEXT_MAX {
            return;
        }
        line(out, 0, &format!("/memreserve/ {address:#x} {size:#x};"));
    }
}

/// What is left of a structure block that has been checked.
struct Walk<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    depth: usize,
}

impl<'a> Walk<'a> {
    /// Shows one token; `None` at the end.
    fn step(&mut self, out: &mut String) -> Option<()> {
        match self.word()? {
            BEGIN_NODE => {
                let name = text(self.structure)?;
                self.take(name.len().saturating_add(1))?;
                let name = if self.depth == 0 { "/".to_string() } else { printable(name) };
                line(out, self.depth, &format!("{name} {{"));
                self.depth = self.depth.saturating_add(1);
            }
            END_NODE => {
                self.depth = self.depth.checked_sub(1)?;
                line(out, self.depth, "};");
            }
            PROP => {
                let length = usize_of(self.word()?);
                let name = text(self.strings.get(usize_of(self.word()?)..)?)?;
                let value = self.take(length)?;
                line(out, self.depth, &format!("{}{};", printable(name), Value(value)));
            }
            NOP => {}
            _ => return None,
        }
        Some(())
    }

    fn word(&mut self) -> Option<u32> {
        be32(self.take(4)?, 0)
    }

    /// The next `length` bytes, without what pads them to a word.
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.structure.get(..length)?;
        self.structure = self.structure.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(bytes)
    }
}

fn line(out: &mut String, depth: usize, text: &str) {
    out.extend(core::iter::repeat_n('\t', depth));
    out.push_str(text);
    out.push('\n');
}

/// A name without what a terminal would take for a command.
fn printable(name: &[u8]) -> String {
    name.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '?' }).collect()
}

/// A property's value with the equals sign before it, or nothing.
struct Value<'a>(&'a [u8]);

impl core::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self([]) => Ok(()),
            Self(bytes) if are_texts(bytes) => texts(bytes, f),
            Self(bytes) if bytes.len().is_multiple_of(4) => {
                f.write_str(" = <")?;
                for (number, cell) in bytes.chunks_exact(4).enumerate() {
                    let gap = if number == 0 { "" } else { " " };
                    write!(f, "{gap}{:#x}", be32(cell, 0).unwrap_or(0))?;
                }
                f.write_char('>')
            }
            Self(bytes) => {
                f.write_str(" = [")?;
                for (number, byte) in bytes.iter().enumerate() {
                    let gap = if number == 0 { "" } else { " " };
                    write!(f, "{gap}{byte:02x}")?;
                }
                f.write_char(']')
            }
        }
    }
}

/// Whether `bytes` are texts that each end with a NUL, none of them empty.
fn are_texts(bytes: &[u8]) -> bool {
    let fits = |text: &[u8]| {
        !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
    };
    bytes.strip_suffix(b"\0").is_some_and(|texts| texts.split(|byte| *byte == 0).all(fits))
}

/// What [`are_texts`], in quotes.
fn texts(bytes: &[u8], f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    let mut before = " = ";
    for text in bytes.split(|byte| *byte == 0).filter(|text| !text.is_empty()) {
        write!(f, "{before}\"{}\"", text.escape_ascii())?;
        before = ", ";
    }
    Ok(())
}
