//! The header of an arm64 Linux Image.
//!
//! Linux, Documentation/arch/arm64/booting.rst, "Call the kernel image"; the PE/COFF headers, which
//! a kernel with EFI stub carries too, are those of Microsoft's "PE Format".

use super::{
    INSTRUCTION, ImageError,
    bytes::{u16_at, u32_at, u64_at, usize_at},
};

/// The bytes of the header.
const HEADER_SIZE: usize = 64;
/// Where the header says what it is.
const MAGIC_OFFSET: usize = 0x38;
/// "ARM\x64".
const MAGIC: u32 = 0x644d_5241;
/// What a kernel is loaded relative to a multiple of.
pub(super) const BLOCK_SIZE: usize = 2 << 20;
/// What a kernel without image_size (older than 3.17) has as text_offset.
const OLD_TEXT_OFFSET: usize = 0x8_0000;
/// More sections than any linker writes (Windows refuses more).
const PE_SECTIONS_MAX: u16 = 96;

/// The translation granule a kernel was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// The header does not say.
    Unknown,
    /// 4 KiB.
    Size4K,
    /// 16 KiB.
    Size16K,
    /// 64 KiB.
    Size64K,
}

/// An arm64 Linux kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinuxImage {
    /// The bytes of the file.
    pub file_size: usize,
    /// The distance from a multiple of 2 MiB to the first byte of the image, less than 2 MiB.
    pub text_offset: usize,
    /// The bytes of RAM from the first byte of the image on that belong to the kernel; `None` if the
    /// header is of a kernel that did not say so yet (before 3.17).
    pub image_size: Option<usize>,
    /// The page size the kernel was built for.
    pub page_size: PageSize,
}

/// Whether `bytes` begin with the header of an arm64 Linux Image.
pub(super) fn is_linux(bytes: &[u8]) -> bool {
    u32_at(bytes, MAGIC_OFFSET) == Some(MAGIC)
}

/// Reads the header of a file of `size` bytes that begins with `head` and [`is_linux`].
///
/// # Errors
/// A kernel that is big-endian, truncated, or whose header makes no sense.
pub(super) fn parse(head: &[u8], size: usize) -> Result<LinuxImage, ImageError> {
    let short = ImageError::Truncated { have: size, promised: HEADER_SIZE as u64 };
    let text_offset = u64_at(head, 8).ok_or(short)?;
    let image_size = u64_at(head, 16).ok_or(short)?;
    let flags = u64_at(head, 24).ok_or(short)?;
    if head.len() < HEADER_SIZE {
        return Err(short);
    }
    check_complete(head, size)?;
    if image_size == 0 {
        return Ok(LinuxImage {
            file_size: size,
            text_offset: OLD_TEXT_OFFSET,
            image_size: None,
            page_size: PageSize::Unknown,
        });
    }
    if flags & 1 != 0 {
        return Err(ImageError::BigEndian);
    }
    let image_size =
        usize::try_from(image_size).map_err(|_| ImageError::BadLinux("image_size is no size"))?;
    let text_offset = usize::try_from(text_offset)
        .ok()
        .filter(|&offset| offset < BLOCK_SIZE && offset.is_multiple_of(INSTRUCTION))
        .ok_or(ImageError::BadLinux("text_offset is no offset of an instruction within 2 MiB"))?;
    let page_size = match (flags >> 1) & 3 {
        1 => PageSize::Size4K,
        2 => PageSize::Size16K,
        3 => PageSize::Size64K,
        _ => PageSize::Unknown,
    };
    Ok(LinuxImage { file_size: size, text_offset, image_size: Some(image_size), page_size })
}

/// Compares the length of the file with what its PE/COFF section table says.
///
/// image_size cannot tell, because it counts the .bss section, which is not in the file. A kernel
/// without EFI stub has no other record of its length, and passes. A signature behind the sections
/// does not count: the kernel runs without it.
fn check_complete(head: &[u8], size: usize) -> Result<(), ImageError> {
    if !head.starts_with(b"MZ") {
        return Ok(());
    }
    let promised = pe_file_size(head, size)?;
    if promised > size as u64 {
        return Err(ImageError::Truncated { have: size, promised });
    }
    Ok(())
}

/// The end of the last section's bytes in the file.
fn pe_file_size(head: &[u8], size: usize) -> Result<u64, ImageError> {
    const SECTION_SIZE: usize = 40;
    let short = |end: usize| {
        if end <= size {
            return ImageError::BadLinux("its PE headers are not in its first 64 KiB");
        }
        ImageError::Truncated { have: size, promised: end as u64 }
    };
    let header = usize_at(head, 0x3c).ok_or(short(HEADER_SIZE))?;
    let table = header.saturating_add(24);
    let coff = head.get(header..table).ok_or(short(table))?;
    if !coff.starts_with(b"PE\0\0") {
        return Err(ImageError::BadLinux("its offset to the PE header is wrong"));
    }
    let sections = u16_at(coff, 6).unwrap_or(0);
    if sections > PE_SECTIONS_MAX {
        return Err(ImageError::BadLinux("it has too many PE sections"));
    }
    let first = table.saturating_add(usize::from(u16_at(coff, 20).unwrap_or(0)));
    let end = first.saturating_add(usize::from(sections) * SECTION_SIZE);
    let table = head.get(first..end).ok_or(short(end))?;
    let ends = table.chunks_exact(SECTION_SIZE).filter_map(|section| {
        let end = u64::from(u32_at(section, 16)?).saturating_add(u64::from(u32_at(section, 20)?));
        Some(end)
    });
    Ok(ends.max().unwrap_or(0))
}
