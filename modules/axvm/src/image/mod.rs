//! From the files of a guest to the bytes and addresses it is started with.

mod bytes;
mod elf;
mod error;
mod kernel;
mod layout;
mod linux;
mod space;

pub use self::{
    elf::{ElfImage, ElfSegment},
    error::{ImageError, Part},
    layout::{DEVICE_TREE_MAX, Layout, LoadRequest, Overrides, Segment, layout},
    linux::{LinuxImage, PageSize},
};

/// The size of an instruction in bytes.
const INSTRUCTION: usize = 4;

/// A kernel file that can be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image<'a> {
    /// An arm64 Linux Image.
    Linux(LinuxImage<'a>),
    /// An aarch64 ELF file.
    Elf(ElfImage<'a>),
    /// Bytes without a header: they start at their first one.
    Flat(&'a [u8]),
}

/// What a file that is compressed begins with.
const COMPRESSED: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "lzma"),
];

/// What a file that is certainly no kernel for this machine has at an offset.
const FOREIGN: [(usize, &[u8], &str); 5] = [
    (0, b"\xd0\x0d\xfe\xed", "a device tree or a FIT image"),
    (0, b"\x27\x05\x19\x56", "a U-Boot legacy image"),
    (0, b"ANDROID!", "an Android boot image"),
    (0x202, b"HdrS", "an x86 Linux kernel"),
    (0x38, b"RSC\x05", "a riscv Linux kernel"),
];

/// Finds out what kind of kernel `bytes` are and checks its headers against the file.
///
/// # Errors
/// A file that is empty, truncated, compressed, for another machine, or whose headers contradict
/// each other. Every other file is taken for a flat binary.
pub fn parse(bytes: &[u8]) -> Result<Image<'_>, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty(Part::Kernel));
    }
    if linux::is_linux(bytes) {
        return linux::parse(bytes).map(Image::Linux);
    }
    if bytes.starts_with(b"\x7fELF") {
        return elf::parse(bytes).map(Image::Elf);
    }
    if let Some((_, how)) = COMPRESSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(ImageError::Compressed(how));
    }
    // Linux, drivers/firmware/efi/libstub: an EFI program that unpacks the kernel it carries.
    if bytes.starts_with(b"MZ") && has(bytes, 4, b"zimg") {
        return Err(ImageError::Compressed("EFI zboot"));
    }
    if let Some((_, _, what)) = FOREIGN.iter().find(|(at, magic, _)| has(bytes, *at, magic)) {
        return Err(ImageError::Foreign(what));
    }
    Ok(Image::Flat(bytes))
}

/// Whether `magic` is at `at`.
fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

#[cfg(test)]
mod tests;
