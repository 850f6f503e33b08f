//! From the files of a guest to the bytes and addresses it is started with.

use core::fmt;

mod bytes;
mod elf;
mod error;
mod gzip;
mod kernel;
mod layout;
mod linux;
mod source;
mod space;
mod zboot;
mod zstd;

pub use self::{
    elf::{ElfImage, ElfSegment},
    error::{ImageError, Part},
    layout::{DEVICE_TREE_MAX, Layout, LoadRequest, Overrides, Segment, layout},
    linux::{LinuxImage, PageSize},
    source::{HEAD_SIZE, Packing, Source},
};

/// The size of an instruction in bytes.
const INSTRUCTION: usize = 4;

/// A kernel file that can be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// An arm64 Linux Image.
    Linux(LinuxImage),
    /// An aarch64 ELF file.
    Elf(ElfImage),
    /// Bytes without a header: they start at their first one.
    Flat {
        /// How many there are.
        size: usize,
    },
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Linux(_) => "Linux Image",
            Self::Elf(_) => "ELF file",
            Self::Flat { .. } => "flat binary",
        })
    }
}

/// What a file that is certainly no kernel for this machine has at an offset.
const FOREIGN: [(usize, &[u8], &str); 5] = [
    (0, b"\xd0\x0d\xfe\xed", "a device tree or a FIT image"),
    (0, b"\x27\x05\x19\x56", "a U-Boot legacy image"),
    (0, b"ANDROID!", "an Android boot image"),
    (0x202, b"HdrS", "an x86 Linux kernel"),
    (0x38, b"RSC\x05", "a riscv Linux kernel"),
];

/// Finds out what kind of kernel begins with the bytes `head` and has `size` bytes in all, and checks
/// its headers against that.
///
/// # Errors
/// A file that is empty, truncated, still compressed, for another machine, or whose headers contradict
/// each other. Every other file is taken for a flat binary.
pub fn parse(head: &[u8], size: usize) -> Result<Image, ImageError> {
    if size == 0 {
        return Err(ImageError::Empty(Part::Kernel));
    }
    if linux::is_linux(head) {
        return linux::parse(head, size).map(Image::Linux);
    }
    if head.starts_with(b"\x7fELF") {
        return elf::parse(head, size).map(Image::Elf);
    }
    if zboot::is_zboot(head) || has(head, 0, &gzip::MAGIC) || has(head, 0, &zstd::MAGIC) {
        return Err(ImageError::Compressed("twice"));
    }
    if let Some((_, _, what)) = FOREIGN.iter().find(|(at, magic, _)| has(head, *at, magic)) {
        return Err(ImageError::Foreign(what));
    }
    Ok(Image::Flat { size })
}

/// Whether `magic` is at `at`.
fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

#[cfg(test)]
mod tests;
