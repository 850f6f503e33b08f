//! Where the kernel goes.

use super::{
    ElfImage, ElfSegment, INSTRUCTION, Image, ImageError, LinuxImage, Part, Segment, layout::guest,
    linux::BLOCK_SIZE, space::Space,
};
use alloc::{vec, vec::Vec};
use axaddrspace::GuestPhysAddr;
use core::ops::Range;

/// Room left behind a kernel that does not say how much memory it uses beyond its file, in bytes.
const UNTOLD_BSS: usize = 16 << 20;
/// What an ELF file that relocates itself may be moved by a multiple of: the biggest page.
const ELF_ALIGN: usize = 64 << 10;

/// A kernel at its place.
pub(super) struct Kernel {
    pieces: Vec<ElfSegment>,
    entry: usize,
    /// From the lowest address of a piece to the end of the highest.
    pub(super) range: Range<usize>,
    /// How many bytes behind `range` it may use without having said so.
    pub(super) untold: usize,
}

/// How far a kernel can be moved.
enum Moves {
    /// Not at all.
    Never,
    /// By multiples of a power of two.
    By(usize),
}

impl Kernel {
    /// Puts the kernel where `at` says, or where it fits, and takes that from `space`.
    pub(super) fn place(
        image: &Image,
        space: &mut Space,
        at: Option<GuestPhysAddr>,
    ) -> Result<Self, ImageError> {
        let (mut kernel, moves) = Self::as_linked(image);
        let linked = kernel.range.start;
        let start = match (moves, at.map(GuestPhysAddr::as_usize)) {
            (Moves::Never, None) => linked,
            (Moves::Never, Some(given)) if given == linked => linked,
            (Moves::Never, Some(given)) => return Err(ImageError::FixedAddress { linked, given }),
            (Moves::By(step), Some(given)) => aligned(given, linked, step)?,
            (Moves::By(_), None) => choose(space, linked % BLOCK_SIZE, kernel.range.len())?,
        };
        kernel.shift_to(start)?;
        for piece in &kernel.pieces {
            let taken = space.take(Part::Kernel, piece.address, piece.size)?;
            // Read-only memory is for bytes of the file: a kernel that wants zeros behind them means to write there.
            if piece.size > piece.file.len() && !space.is_ram(&taken) {
                let (start, size) = (piece.address, piece.size);
                return Err(ImageError::OutsideRam { part: Part::Kernel, start, size });
            }
        }
        Ok(kernel)
    }

    /// The kernel at the addresses in its file; one without any, at its distance from a 2 MiB block.
    fn as_linked(image: &Image) -> (Self, Moves) {
        match image {
            Image::Linux(linux) => (Self::linux(linux), Moves::By(BLOCK_SIZE)),
            Image::Elf(elf) if elf.movable => (Self::elf(elf), Moves::By(ELF_ALIGN)),
            Image::Elf(elf) => (Self::elf(elf), Moves::Never),
            Image::Flat { size } => {
                let piece = ElfSegment { address: 0, file: 0..*size, size: *size };
                (Self::new(vec![piece], 0, UNTOLD_BSS), Moves::By(INSTRUCTION))
            }
        }
    }

    fn linux(linux: &LinuxImage) -> Self {
        let (file, address) = (0..linux.file_size, linux.text_offset);
        // image_size may be less than the file: a signature is not counted.
        let size = linux.image_size.unwrap_or(0).max(file.len());
        let untold = if linux.image_size.is_none() { UNTOLD_BSS } else { 0 };
        Self::new(vec![ElfSegment { address, file, size }], address, untold)
    }

    fn elf(elf: &ElfImage) -> Self {
        Self::new(elf.segments.clone(), elf.entry, 0)
    }

    fn new(pieces: Vec<ElfSegment>, entry: usize, untold: usize) -> Self {
        let start = pieces.iter().map(|piece| piece.address).min().unwrap_or(0);
        let ends = pieces.iter().map(|piece| piece.address.saturating_add(piece.size));
        let end = ends.max().unwrap_or(start);
        Self { pieces, entry, range: start..end, untold }
    }

    /// Moves everything so that the lowest address is `start`.
    fn shift_to(&mut self, start: usize) -> Result<(), ImageError> {
        let (linked, size) = (self.range.start, self.range.len());
        let outside = ImageError::OutsideRam { part: Part::Kernel, start, size };
        let end = start.checked_add(size).ok_or(outside)?;
        // No address is below `linked` or above its end, so that in the end nothing has wrapped.
        let moved = |address: usize| address.wrapping_sub(linked).wrapping_add(start);
        for piece in &mut self.pieces {
            piece.address = moved(piece.address);
        }
        self.entry = moved(self.entry);
        self.range = start..end;
        Ok(())
    }

    /// The entry point: `given`, or the kernel's own.
    pub(super) fn entry(&self, given: Option<GuestPhysAddr>) -> Result<GuestPhysAddr, ImageError> {
        let entry = given.map_or(self.entry, GuestPhysAddr::as_usize);
        let inside = |piece: &ElfSegment| {
            entry.checked_sub(piece.address).is_some_and(|offset| offset < piece.file.len())
        };
        if !entry.is_multiple_of(INSTRUCTION) || !self.pieces.iter().any(inside) {
            return Err(ImageError::BadEntry(entry));
        }
        Ok(entry.into())
    }

    /// What is to be copied.
    pub(super) fn segments(&self) -> Vec<Segment> {
        let filled = self.pieces.iter().filter(|piece| !piece.file.is_empty());
        let segment =
            |piece: &ElfSegment| Segment { gpa: piece.address.into(), file: piece.file.clone() };
        filled.map(segment).collect()
    }

    /// What is to be zero.
    pub(super) fn zero(&self) -> Vec<Range<GuestPhysAddr>> {
        let at = |piece: &ElfSegment, size| piece.address.saturating_add(size);
        let rest = |piece: &ElfSegment| at(piece, piece.file.len())..at(piece, piece.size);
        self.pieces.iter().map(rest).filter(|range| !range.is_empty()).map(guest).collect()
    }
}

/// `given`, if it differs from `linked` by a multiple of `step`.
fn aligned(given: usize, linked: usize, step: usize) -> Result<usize, ImageError> {
    let excess = given.wrapping_sub(linked).checked_rem(step).unwrap_or(0);
    if excess == 0 {
        return Ok(given);
    }
    let better = given.saturating_sub(excess);
    Err(ImageError::Misaligned { part: Part::Kernel, given, better })
}

/// The lowest address that leaves the first 2 MiB of a RAM region to the device tree, is `offset` behind
/// a multiple of 2 MiB, and has `size` bytes of RAM.
fn choose(space: &Space, offset: usize, size: usize) -> Result<usize, ImageError> {
    let mut missing = usize::MAX;
    for region in space.ram() {
        let base = region
            .start
            .checked_add(BLOCK_SIZE)
            .and_then(|base| base.checked_next_multiple_of(BLOCK_SIZE));
        let Some(start) = base.and_then(|base| base.checked_add(offset)) else {
            continue;
        };
        let Some(end) = start.checked_add(size) else {
            continue;
        };
        if end <= region.end {
            return Ok(start);
        }
        missing = missing.min(end.saturating_sub(region.end));
    }
    Err(ImageError::NoRoom { part: Part::Kernel, size, missing })
}
