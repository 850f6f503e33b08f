//! The loadable segments of an aarch64 ELF file.
//!
//! System V ABI, chapters 4 and 5; ELF for the Arm 64-bit Architecture (AAELF64).

use super::{INSTRUCTION, ImageError};
use ::elf::{
    ParseError,
    abi::{EI_NIDENT, EM_AARCH64, ET_DYN, ET_EXEC, PT_LOAD},
    endian::AnyEndian,
    file::{Class, ELF64_EHDR_TAILSIZE, FileHeader, parse_ident},
    segment::{ProgramHeader, SegmentTable},
};
use alloc::vec::Vec;
use core::ops::Range;

/// More program headers than any kernel has; an attacker's file may have 65,535 and more.
const SEGMENTS_MAX: usize = 64;
/// The bytes of a 64-bit file header.
const HEADER_SIZE: usize = EI_NIDENT + ELF64_EHDR_TAILSIZE;
/// The bytes of a 64-bit program header.
const PROGRAM_HEADER_SIZE: usize = 56;

/// Bytes to load, and the zeros behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfSegment {
    /// The physical address the file gives (p_paddr).
    pub address: usize,
    /// Where the file has its bytes; within the file.
    pub file: Range<usize>,
    /// The size in memory in bytes, not less than that of `file`, and `address + size` does not wrap.
    pub size: usize,
}

/// An aarch64 ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfImage {
    /// The PT_LOAD segments in the order of the file: at least one, none of size 0.
    pub segments: Vec<ElfSegment>,
    /// The physical address of the entry point: a multiple of 4, in the bytes of one of the segments.
    pub entry: usize,
    /// Whether the file may be loaded at another address (ET_DYN: it relocates itself).
    pub movable: bool,
}

/// Reads the headers of a file of `size` bytes whose beginning, `head`, starts with the ELF magic.
///
/// # Errors
/// A file for another machine, or whose headers lie.
pub(super) fn parse(head: &[u8], size: usize) -> Result<ElfImage, ImageError> {
    let header = file_header(head, size)?;
    check_machine(&header)?;
    check_sections(&header, size)?;
    let mut segments = Vec::new();
    let mut entry = None;
    for program in program_headers(&header, head, size)?.iter() {
        if program.p_type != PT_LOAD || program.p_memsz == 0 {
            continue;
        }
        segments.push(load(size, &program)?);
        entry = entry.or_else(|| physical(&program, header.e_entry));
    }
    if segments.is_empty() {
        return Err(ImageError::BadElf("it has nothing to load"));
    }
    let entry =
        entry.ok_or(ImageError::BadElf("its entry point is no instruction in its segments"))?;
    Ok(ElfImage { segments, entry, movable: header.e_type == ET_DYN })
}

fn file_header(head: &[u8], size: usize) -> Result<FileHeader<AnyEndian>, ImageError> {
    let short = ImageError::Truncated { have: size, promised: HEADER_SIZE as u64 };
    let ident = head.get(..EI_NIDENT).ok_or(short)?;
    let ident = parse_ident::<AnyEndian>(ident).map_err(blame)?;
    if ident.1 != Class::ELF64 {
        return Err(ImageError::Foreign("an ELF file for another machine"));
    }
    let tail = head.get(EI_NIDENT..HEADER_SIZE).ok_or(short)?;
    FileHeader::parse_tail(ident, tail).map_err(blame)
}

/// Refuses what is no 64-bit little-endian aarch64 program.
fn check_machine(header: &FileHeader<AnyEndian>) -> Result<(), ImageError> {
    if header.e_machine != EM_AARCH64 {
        return Err(ImageError::Foreign("an ELF file for another machine"));
    }
    if header.endianness != AnyEndian::Little {
        return Err(ImageError::BigEndian);
    }
    if header.e_type != ET_EXEC && header.e_type != ET_DYN {
        return Err(ImageError::Foreign("an ELF object that was not linked"));
    }
    Ok(())
}

/// Section headers load nothing, but stand at the end of most files: one that lacks them is cut off.
fn check_sections(header: &FileHeader<AnyEndian>, size: usize) -> Result<(), ImageError> {
    let table = u64::from(header.e_shnum).saturating_mul(u64::from(header.e_shentsize));
    let end = header
        .e_shoff
        .checked_add(table)
        .ok_or(ImageError::BadElf("the offset of one of its tables overflows"))?;
    if end > size as u64 {
        return Err(ImageError::Truncated { have: size, promised: end });
    }
    Ok(())
}

/// The table of program headers.
fn program_headers<'h>(
    header: &FileHeader<AnyEndian>,
    head: &'h [u8],
    size: usize,
) -> Result<SegmentTable<'h, AnyEndian>, ImageError> {
    let have = usize::from(header.e_phnum);
    if have == 0 || header.e_phoff == 0 {
        return Err(ImageError::BadElf("it has no program headers"));
    }
    if usize::from(header.e_phentsize) != PROGRAM_HEADER_SIZE {
        return Err(ImageError::BadElf("its header makes no sense"));
    }
    if have > SEGMENTS_MAX {
        return Err(ImageError::TooManySegments { have, limit: SEGMENTS_MAX });
    }
    let overflow = ImageError::BadElf("the offset of one of its tables overflows");
    let start = usize::try_from(header.e_phoff).map_err(|_| overflow)?;
    let end = start.checked_add(have * PROGRAM_HEADER_SIZE).ok_or(overflow)?;
    if end > size {
        return Err(ImageError::Truncated { have: size, promised: end as u64 });
    }
    let table = head.get(start..end).ok_or(ImageError::BadElf(
        "its program headers are not in its first 64 KiB, where a compressed file's must be",
    ))?;
    Ok(SegmentTable::new(header.endianness, header.class, table))
}

/// Checks one PT_LOAD header against a file of `have` bytes.
fn load(have: usize, header: &ProgramHeader) -> Result<ElfSegment, ImageError> {
    if header.p_filesz > header.p_memsz {
        return Err(ImageError::BadElf("a segment has more bytes in the file than in memory"));
    }
    let end = header
        .p_offset
        .checked_add(header.p_filesz)
        .ok_or(ImageError::BadElf("a segment's offset in the file overflows"))?;
    let wraps = ImageError::BadElf("a segment leaves the address space");
    let address = usize::try_from(header.p_paddr).map_err(|_| wraps)?;
    let size = usize::try_from(header.p_memsz).map_err(|_| wraps)?;
    address.checked_add(size).ok_or(wraps)?;
    if header.p_filesz == 0 {
        // A segment without bytes of its own may name any offset.
        return Ok(ElfSegment { address, file: 0..0, size });
    }
    let truncated = ImageError::Truncated { have, promised: end };
    let from = usize::try_from(header.p_offset).map_err(|_| truncated)?;
    let to = usize::try_from(end).ok().filter(|&to| to <= have).ok_or(truncated)?;
    Ok(ElfSegment { address, file: from..to, size })
}

/// The physical address of the virtual address `entry`, if the segment has an instruction for it.
fn physical(header: &ProgramHeader, entry: u64) -> Option<usize> {
    let offset = entry.checked_sub(header.p_vaddr)?;
    if offset >= header.p_filesz {
        return None;
    }
    let entry = usize::try_from(header.p_paddr.checked_add(offset)?).ok()?;
    entry.is_multiple_of(INSTRUCTION).then_some(entry)
}

/// What the ELF reader's error means to the operator.
fn blame(_: ParseError) -> ImageError {
    ImageError::BadElf("its header makes no sense")
}
