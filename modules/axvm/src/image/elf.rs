//! The loadable segments of an aarch64 ELF file.
//!
//! System V ABI, chapters 4 and 5; ELF for the Arm 64-bit Architecture (AAELF64).

use super::{INSTRUCTION, ImageError};
use ::elf::{
    ElfBytes, ParseError,
    abi::{EM_AARCH64, ET_DYN, ET_EXEC, PT_LOAD},
    endian::AnyEndian,
    file::Class,
    segment::ProgramHeader,
};
use alloc::vec::Vec;

/// More program headers than any kernel has; an attacker's file may have 65,535 and more.
const SEGMENTS_MAX: usize = 64;

/// Bytes to load, and the zeros behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElfSegment<'a> {
    /// The physical address the file gives (p_paddr).
    pub address: usize,
    /// What the file has for it.
    pub bytes: &'a [u8],
    /// The size in memory in bytes, not less than `bytes`, and `address + size` does not wrap.
    pub size: usize,
}

/// An aarch64 ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfImage<'a> {
    /// The PT_LOAD segments in the order of the file: at least one, none of size 0.
    pub segments: Vec<ElfSegment<'a>>,
    /// The physical address of the entry point: a multiple of 4, in the bytes of one of the segments.
    pub entry: usize,
    /// Whether the file may be loaded at another address (ET_DYN: it relocates itself).
    pub movable: bool,
}

/// Reads the headers of a file that starts with the ELF magic.
///
/// # Errors
/// A file for another machine, or whose headers lie.
pub(super) fn parse(bytes: &[u8]) -> Result<ElfImage<'_>, ImageError> {
    let file =
        ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(|error| blame(&error, bytes.len()))?;
    check_machine(&file)?;
    let headers = file.segments().ok_or(ImageError::BadElf("it has no program headers"))?;
    if headers.len() > SEGMENTS_MAX {
        return Err(ImageError::TooManySegments { have: headers.len(), limit: SEGMENTS_MAX });
    }
    let mut segments = Vec::new();
    let mut entry = None;
    for header in headers.iter().filter(|h| h.p_type == PT_LOAD && h.p_memsz != 0) {
        segments.push(load(bytes, &header)?);
        entry = entry.or_else(|| physical(&header, file.ehdr.e_entry));
    }
    if segments.is_empty() {
        return Err(ImageError::BadElf("it has nothing to load"));
    }
    let entry =
        entry.ok_or(ImageError::BadElf("its entry point is no instruction in its segments"))?;
    Ok(ElfImage { segments, entry, movable: file.ehdr.e_type == ET_DYN })
}

/// Refuses what is no 64-bit little-endian aarch64 program.
fn check_machine(file: &ElfBytes<'_, AnyEndian>) -> Result<(), ImageError> {
    let header = &file.ehdr;
    if header.class != Class::ELF64 || header.e_machine != EM_AARCH64 {
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

/// Checks one PT_LOAD header against the file.
fn load<'a>(bytes: &'a [u8], header: &ProgramHeader) -> Result<ElfSegment<'a>, ImageError> {
    if header.p_filesz > header.p_memsz {
        return Err(ImageError::BadElf("a segment has more bytes in the file than in memory"));
    }
    let end = header
        .p_offset
        .checked_add(header.p_filesz)
        .ok_or(ImageError::BadElf("a segment's offset in the file overflows"))?;
    let truncated = ImageError::Truncated { have: bytes.len(), promised: end };
    let from = usize::try_from(header.p_offset).map_err(|_| truncated)?;
    let to = usize::try_from(end).map_err(|_| truncated)?;
    let wraps = ImageError::BadElf("a segment leaves the address space");
    let address = usize::try_from(header.p_paddr).map_err(|_| wraps)?;
    let size = usize::try_from(header.p_memsz).map_err(|_| wraps)?;
    address.checked_add(size).ok_or(wraps)?;
    // A segment without bytes of its own may name any offset.
    let bytes = if from == to { &[] } else { bytes.get(from..to).ok_or(truncated)? };
    Ok(ElfSegment { address, bytes, size })
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
fn blame(error: &ParseError, have: usize) -> ImageError {
    if let ParseError::SliceReadError((_, end)) = *error {
        return ImageError::Truncated { have, promised: end as u64 };
    }
    if matches!(error, ParseError::IntegerOverflow) {
        return ImageError::BadElf("the offset of one of its tables overflows");
    }
    ImageError::BadElf("its header makes no sense")
}
