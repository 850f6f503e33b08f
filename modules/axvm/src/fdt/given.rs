//! Checks a device tree that the operator gives instead of letting Axle build one.
//!
//! Devicetree Specification 0.4, chapter 5. The tree goes to the guest as it is; whoever reads it on
//! the way may rely on what is checked here. Every step of the walk consumes at least one token, so
//! that the length of the tree bounds the work.

use super::FdtError;
use alloc::string::String;

const MAGIC: u32 = 0xd00d_feed;
/// The header of version 17 and later.
const HEADER_SIZE: usize = 40;
/// The layout Linux and all current tools read and write.
const VERSION: u32 = 17;
/// The oldest version whose layout version 17 is compatible with.
const LAST_COMPATIBLE: u32 = 16;
/// The depth Linux gives up at.
const DEPTH_MAX: usize = 64;
/// More cells than an address or a size ever takes (PCI has 3).
const CELLS_MAX: u32 = 4;
/// More bytes than any name has (the specification allows 31, and trees in use exceed it). Without a
/// bound, many properties could share one long name and make the walk quadratic.
const NAME_MAX: usize = 256;
/// How much of a node's path an error shows.
const PATH_MAX: usize = 64;
/// One entry of the memory reservation block.
const RESERVATION_SIZE: usize = 16;

pub(super) const BEGIN_NODE: u32 = 1;
pub(super) const END_NODE: u32 = 2;
pub(super) const PROP: u32 = 3;
pub(super) const NOP: u32 = 4;
const END: u32 = 9;

/// The bytes of the tree in `dtb`, which may be followed by others.
///
/// # Errors
/// [`FdtError::TooBig`] if it has more than `limit` bytes; [`FdtError::Malformed`], which names the spot,
/// if it is cut off, nested deeper than 64 nodes, or points outside of itself.
pub fn check_given(dtb: &[u8], limit: usize) -> Result<&[u8], FdtError> {
    let header = |at: usize| be32(dtb, at).ok_or(malformed(at, "the file ends within its header"));
    if header(0)? != MAGIC {
        return Err(malformed(0, "it does not begin with the device tree magic 0xd00dfeed"));
    }
    let size = usize_of(header(4)?);
    if size > limit {
        return Err(FdtError::TooBig { size, limit });
    }
    let tree = dtb.get(..size).ok_or(malformed(4, "its total size is larger than the file"))?;
    if size < HEADER_SIZE {
        return Err(malformed(4, "its total size is smaller than its header"));
    }
    if header(20)? < VERSION || header(24)? > VERSION || header(24)? < LAST_COMPATIBLE {
        return Err(malformed(20, "its version is not 17 or compatible with it"));
    }
    let strings = block(tree, header(12)?, header(32)?)
        .ok_or(malformed(12, "its strings lie outside of it"))?;
    let structure = block(tree, header(8)?, header(36)?)
        .ok_or(malformed(8, "its structure lies outside of it"))?;
    if !header(8)?.is_multiple_of(4) {
        return Err(malformed(8, "its structure is not aligned to 4 bytes"));
    }
    check_reservations(tree, usize_of(header(16)?))?;
    Walk { structure, strings, base: usize_of(header(8)?), at: 0, open: [0; DEPTH_MAX], depth: 0 }
        .run()?;
    Ok(tree)
}

/// The list of memory reservations must end.
fn check_reservations(tree: &[u8], offset: usize) -> Result<(), FdtError> {
    if !offset.is_multiple_of(8) {
        return Err(malformed(16, "its memory reservations are not aligned to 8 bytes"));
    }
    let entries = tree.get(offset..).unwrap_or(&[]).chunks_exact(RESERVATION_SIZE);
    let mut sizes = entries.map(|entry| entry.iter().skip(8));
    if sizes.any(|mut size| size.all(|&byte| byte == 0)) {
        return Ok(());
    }
    Err(malformed(16, "its memory reservations have no end"))
}

/// One pass over the structure block.
struct Walk<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    /// Where the structure block begins in the file.
    base: usize,
    /// Where the next token is in the structure block.
    at: usize,
    /// Where the names of the open nodes are in the structure block.
    open: [usize; DEPTH_MAX],
    depth: usize,
}

impl<'a> Walk<'a> {
    fn run(mut self) -> Result<(), FdtError> {
        let mut roots = 0_usize;
        loop {
            let at = self.at;
            match self.word()? {
                BEGIN_NODE => {
                    roots = roots.saturating_add(usize::from(self.depth == 0));
                    self.begin(at)?;
                }
                END_NODE => {
                    self.depth = self
                        .depth
                        .checked_sub(1)
                        .ok_or_else(|| self.error(at, "a node ends that did not begin"))?
                }
                PROP => self.property(at)?,
                NOP => {}
                END if self.depth != 0 => return Err(self.error(at, "it ends within a node")),
                END if roots != 1 => {
                    return Err(self.error(at, "it does not have exactly one root node"));
                }
                END => return Ok(()),
                _ => return Err(self.error(at, "there is no such token")),
            }
        }
    }

    fn begin(&mut self, token: usize) -> Result<(), FdtError> {
        let name = self.at;
        let rest = self.structure.get(name..).unwrap_or(&[]);
        let length =
            text(rest).ok_or_else(|| self.error(token, "a node's name is too long"))?.len();
        let Some(slot) = self.open.get_mut(self.depth) else {
            return Err(self.error(token, "its nodes are nested deeper than 64 levels"));
        };
        *slot = name;
        self.depth = self.depth.saturating_add(1);
        self.skip(length.saturating_add(1));
        Ok(())
    }

    fn property(&mut self, token: usize) -> Result<(), FdtError> {
        if self.depth == 0 {
            return Err(self.error(token, "a property is in no node"));
        }
        let length = usize_of(self.word()?);
        let name = usize_of(self.word()?);
        let name = self.strings.get(name..).and_then(text).ok_or_else(|| {
            self.error(token, "a property's name is too long or outside of the strings")
        })?;
        let end = self.at.checked_add(length);
        let value = end.and_then(|end| self.structure.get(self.at..end));
        let value = value.ok_or_else(|| self.error(token, "a property is longer than the tree"))?;
        if matches!(name, b"#address-cells" | b"#size-cells") && !is_small_cell(value) {
            return Err(self.error(token, "#address-cells or #size-cells is not a number up to 4"));
        }
        self.skip(length);
        Ok(())
    }

    /// The next word.
    fn word(&mut self) -> Result<u32, FdtError> {
        let word = be32(self.structure, self.at)
            .ok_or_else(|| self.error(self.at, "it ends without an end token"))?;
        self.at = self.at.saturating_add(4);
        Ok(word)
    }

    /// Passes `length` bytes, which lie in the structure block, and what pads them to a word.
    fn skip(&mut self, length: usize) {
        self.at = self.at.saturating_add(length).next_multiple_of(4);
    }

    /// What is wrong at the token `at`, with the path of the innermost open node.
    fn error(&self, at: usize, what: &'static str) -> FdtError {
        let mut path = String::new();
        for &name in self.open.iter().take(self.depth).skip(1) {
            if path.len() > PATH_MAX {
                path.push_str("/...");
                break;
            }
            let name = self.structure.get(name..).and_then(text).unwrap_or(b"?");
            path.push('/');
            let shown = name.iter().take(PATH_MAX).map(|&byte| char::from(byte));
            path.extend(shown.flat_map(char::escape_default));
        }
        if path.is_empty() && self.depth != 0 {
            path.push('/');
        }
        FdtError::Malformed { offset: self.base.saturating_add(at), path, what }
    }
}

/// Whether a property is one cell of at most [`CELLS_MAX`].
fn is_small_cell(value: &[u8]) -> bool {
    value.len() == 4 && be32(value, 0).is_some_and(|cells| cells <= CELLS_MAX)
}

/// The bytes before the first NUL, if there is one within [`NAME_MAX`] bytes.
pub(super) fn text(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..bytes.iter().take(NAME_MAX).position(|&byte| byte == 0)?)
}

/// `size` bytes at `offset` behind the header.
pub(super) fn block(tree: &[u8], offset: u32, size: u32) -> Option<&[u8]> {
    let offset = usize_of(offset);
    tree.get(offset..offset.checked_add(usize_of(size))?).filter(|_| offset >= HEADER_SIZE)
}

/// The big-endian word at `at`.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

/// A 32-bit offset or size.
pub(super) const fn usize_of(word: u32) -> usize {
    word as usize
}

fn malformed(offset: usize, what: &'static str) -> FdtError {
    FdtError::Malformed { offset, path: String::new(), what }
}
