//! The guest's memory while it is given out to kernel, ramdisk and device tree.

use super::{ImageError, Part};
use alloc::vec::Vec;
use axaddrspace::GuestPhysAddr;
use core::ops::Range;

/// The biggest page of any guest: no part that is placed freely shares one with another.
const PAGE_MAX: usize = 64 << 10;

/// Memory regions and what is taken of them.
pub(super) struct Space {
    /// In ascending order, not empty, neither overlapping nor touching.
    ram: Vec<Range<usize>>,
    /// In the same order: what the guest may execute and not write.
    rom: Vec<Range<usize>>,
    taken: Vec<(Part, Range<usize>)>,
}

impl Space {
    /// All of `ram` and `rom` is free; regions of a kind that touch become one.
    pub(super) fn new(
        ram: &[(GuestPhysAddr, usize)],
        rom: &[(GuestPhysAddr, usize)],
    ) -> Result<Self, ImageError> {
        let (ram, rom) = (joined(ram)?, joined(rom)?);
        if ram.is_empty() {
            return Err(ImageError::BadRam);
        }
        Ok(Self { ram, rom, taken: Vec::new() })
    }

    /// The RAM regions in ascending order.
    pub(super) fn ram(&self) -> impl Iterator<Item = &Range<usize>> {
        self.ram.iter()
    }

    /// Whether all of `range` is RAM.
    pub(super) fn is_ram(&self, range: &Range<usize>) -> bool {
        self.ram.iter().any(|region| region.start <= range.start && range.end <= region.end)
    }

    /// The RAM region `address` lies in.
    fn region_of(&self, address: usize) -> Option<&Range<usize>> {
        self.ram.iter().find(|region| region.contains(&address))
    }

    /// Takes `size` bytes at `start`, in RAM; the kernel may lie in read-only memory as well.
    pub(super) fn take(
        &mut self,
        part: Part,
        start: usize,
        size: usize,
    ) -> Result<Range<usize>, ImageError> {
        let outside = ImageError::OutsideRam { part, start, size };
        let wanted = range(start, size).ok_or(outside)?;
        let rom: &[_] = if part == Part::Kernel { &self.rom } else { &[] };
        let mut memory = self.ram.iter().chain(rom);
        let region = memory.find(|region| region.contains(&start)).ok_or(outside)?;
        if wanted.end > region.end {
            return Err(outside);
        }
        if let Some((other, there)) = self.in_the_way(&wanted) {
            let (start, end, other_end) = (wanted.start, wanted.end, there.end);
            return Err(ImageError::Overlap { part, start, end, other: *other, other_end });
        }
        self.taken.push((part, wanted.clone()));
        Ok(wanted)
    }

    /// Takes the lowest free `size` bytes of the RAM region that contains `near`; of the first one if
    /// none does.
    pub(super) fn take_start(
        &mut self,
        part: Part,
        near: usize,
        size: usize,
    ) -> Result<Range<usize>, ImageError> {
        let region =
            self.region_of(near).or(self.ram.first()).cloned().ok_or(ImageError::BadRam)?;
        self.take_free(part, region.start, region.end, size)
    }

    /// Takes the lowest free `size` bytes that lie at least `gap` bytes behind `before`, in the RAM region
    /// where that ends; anywhere in the first region if it does not end in RAM.
    pub(super) fn take_behind(
        &mut self,
        part: Part,
        before: &Range<usize>,
        gap: usize,
        size: usize,
    ) -> Result<Range<usize>, ImageError> {
        if let Some(region) = self.region_of(before.end.saturating_sub(1)).cloned() {
            return self.take_free(part, before.end.saturating_add(gap), region.end, size);
        }
        self.take_start(part, before.start, size)
    }

    /// Takes the lowest free `size` bytes from `from` on, if they end by `limit`.
    fn take_free(
        &mut self,
        part: Part,
        from: usize,
        limit: usize,
        size: usize,
    ) -> Result<Range<usize>, ImageError> {
        let full = |missing| ImageError::NoRoom { part, size, missing };
        let mut wanted = fit(from, size).ok_or(full(size))?;
        // Every turn leaves one of the taken ranges behind for good.
        while let Some((_, there)) = self.in_the_way(&wanted) {
            wanted = fit(there.end, size).ok_or(full(size))?;
        }
        if wanted.end > limit {
            return Err(full(wanted.end.saturating_sub(limit)));
        }
        self.taken.push((part, wanted.clone()));
        Ok(wanted)
    }

    /// Something taken that overlaps `wanted`.
    fn in_the_way(&self, wanted: &Range<usize>) -> Option<&(Part, Range<usize>)> {
        self.taken.iter().find(|(_, there)| there.start < wanted.end && wanted.start < there.end)
    }
}

/// `regions` without empty ones, in ascending order, with those joined that touch.
fn joined(regions: &[(GuestPhysAddr, usize)]) -> Result<Vec<Range<usize>>, ImageError> {
    let mut joined = Vec::with_capacity(regions.len());
    for &(start, size) in regions.iter().filter(|(_, size)| *size != 0) {
        joined.push(range(start.as_usize(), size).ok_or(ImageError::BadRam)?);
    }
    joined.sort_by_key(|region| region.start);
    joined.dedup_by(|next, before| {
        let touches = next.start <= before.end;
        if touches {
            before.end = before.end.max(next.end);
        }
        touches
    });
    Ok(joined)
}

/// `size` bytes from `start` on, unless they leave the address space.
pub(super) fn range(start: usize, size: usize) -> Option<Range<usize>> {
    Some(start..start.checked_add(size)?)
}

/// `size` bytes at the first multiple of [`PAGE_MAX`] from `from` on.
fn fit(from: usize, size: usize) -> Option<Range<usize>> {
    range(from.checked_next_multiple_of(PAGE_MAX)?, size)
}
