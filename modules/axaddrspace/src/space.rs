//! One VM's guest-physical address space: its regions, and the stage-2 tables that say the same.

#[cfg(test)]
mod tests;

use core::ops::Range;

use crate::{
    AddrSpaceError, GuestMemoryHal, GuestPhysAddr, HostPhysAddr, MappingFlags, PageSize,
    pte::{Descriptor, Level, Owner},
    region::{Backing, Region, Regions},
    stage2::{IPA_BITS, InstallError, PAGE, Stage2, release_block, zeroed_block},
};

/// What the guest can be allowed to do.
const ACCESS: MappingFlags =
    MappingFlags::READ.union(MappingFlags::WRITE).union(MappingFlags::EXECUTE);
/// One past the last output address.
const HPA_END: usize = 1 << 48;

/// A guest-physical address space.
///
/// The map changes only through `&mut self`, and memory is behind all of it from the start: a guest's
/// access never takes any. Everything with `&self` may run on any number of CPUs at once, and takes no
/// lock. Dropping it zeroes and gives back all it allocated; by then no vCPU may be loaded with its tables.
pub struct AddrSpace<H: GuestMemoryHal> {
    base: usize,
    end: usize,
    pub(crate) regions: Regions,
    tables: Stage2<H>,
}

impl<H: GuestMemoryHal> AddrSpace<H> {
    /// An address space of `size` bytes from `base`, with nothing in it.
    ///
    /// # Errors
    /// `Misaligned` (4 KiB), `Empty`, `OutOfRange` (beyond [`IPA_BITS`]), `NoMemory` (for the root table).
    pub fn new_empty(base: GuestPhysAddr, size: usize) -> Result<Self, AddrSpaceError> {
        let range = checked_range(base, size, &(0..1 << IPA_BITS))?;
        let tables = Stage2::new().ok_or(AddrSpaceError::NoMemory { gpa: base })?;
        Ok(Self { base: range.start, end: range.end, regions: Regions::new(), tables })
    }

    /// Maps `[gpa, gpa + size)` to the host memory at `hpa`, which stays its owner's.
    ///
    /// Contents are left alone: zeroing is up to whoever allocated the memory. Blocks of 1 GiB and
    /// 2 MiB are used where both addresses allow. A `DEVICE` region is Device-nGnRE and never
    /// executable, whatever else `flags` says.
    ///
    /// # Errors
    /// `Misaligned` (4 KiB), `Empty`, `OutOfRange`, `HostOutOfRange`, `BadFlags` (no access allowed),
    /// `Overlap`, `NoMemory` (for tables).
    pub fn map_linear(
        &mut self,
        gpa: GuestPhysAddr,
        hpa: HostPhysAddr,
        size: usize,
        flags: MappingFlags,
    ) -> Result<(), AddrSpaceError> {
        let backing = Backing::Linear { hpa };
        let flags = if flags.contains(MappingFlags::DEVICE) {
            flags.difference(MappingFlags::EXECUTE.union(MappingFlags::UNCACHED))
        } else {
            flags
        };
        let range = self.admit(Region { base: gpa, size, flags, backing })?;
        let hpa = aligned(hpa.as_usize())?;
        if hpa.checked_add(size).is_none_or(|end| end > HPA_END) {
            return Err(AddrSpaceError::HostOutOfRange {
                hpa: HostPhysAddr::from_usize(hpa),
                size,
            });
        }
        let result = self.fill_linear(&range, hpa, flags);
        self.commit(result, range, Region { base: gpa, size, flags, backing })
    }

    /// Maps `[gpa, gpa + size)` to zeroed host memory allocated for it, anywhere, in the biggest
    /// naturally aligned blocks (1 GiB, 2 MiB, 4 KiB) the host has.
    ///
    /// # Errors
    /// `Misaligned` (4 KiB), `Empty`, `OutOfRange`, `BadFlags` (no access allowed, or `DEVICE`),
    /// `Overlap`, `NoMemory` (everything taken so far is given back).
    pub fn map_alloc(
        &mut self,
        gpa: GuestPhysAddr,
        size: usize,
        flags: MappingFlags,
    ) -> Result<(), AddrSpaceError> {
        let region = Region { base: gpa, size, flags, backing: Backing::Allocated };
        if flags.contains(MappingFlags::DEVICE) {
            return Err(AddrSpaceError::BadFlags { gpa, flags });
        }
        let range = self.admit(region)?;
        let result = self.fill_allocated(&range, flags);
        self.commit(result, range, region)
    }

    /// Unmaps `[gpa, gpa + size)`; allocated memory there is zeroed and given back.
    ///
    /// The range may cut regions and blocks; blocks are split, by break-before-make. It may span
    /// several regions, but no gap.
    ///
    /// # Errors
    /// `Misaligned` (4 KiB), `Empty`, `OutOfRange`, `NotMapped` (the first gap), `NoMemory` (a block
    /// must be split and there is no frame for the table). The map is then as it was.
    pub fn unmap(&mut self, gpa: GuestPhysAddr, size: usize) -> Result<(), AddrSpaceError> {
        let range = checked_range(gpa, size, &(self.base..self.end))?;
        if let Some(gap) = self.regions.gap(range.start, range.end) {
            return Err(AddrSpaceError::NotMapped { gpa: GuestPhysAddr::from_usize(gap) });
        }
        self.regions.reserve().map_err(|_| AddrSpaceError::NoMemory { gpa })?;
        for edge in [range.start, range.end] {
            self.tables.split_at(edge).map_err(|_| AddrSpaceError::NoMemory { gpa })?;
        }
        self.regions.remove(range.start, range.end);
        self.take_away(&range);
        Ok(())
    }

    /// What `gpa` is translated to: the host address, the flags, and the size of the block it lies in.
    /// `None` where nothing is mapped.
    pub fn translate(&self, gpa: GuestPhysAddr) -> Option<(HostPhysAddr, MappingFlags, PageSize)> {
        let (leaf, level) = self.leaf(gpa.as_usize())?;
        let hpa = leaf.output().as_usize() | level.offset_of(gpa.as_usize());
        let size = match level {
            Level::One => PageSize::Size1G,
            Level::Two => PageSize::Size2M,
            Level::Three => PageSize::Size4K,
        };
        Some((HostPhysAddr::from_usize(hpa), leaf.flags(), size))
    }

    /// The block or page that maps `at`.
    pub(crate) fn leaf(&self, at: usize) -> Option<(Descriptor, Level)> {
        (self.base..self.end).contains(&at).then(|| self.tables.find(at)).flatten()
    }

    /// The regions, from the lowest.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter()
    }

    /// Where the root table is: VTTBR_EL2.BADDR.
    pub const fn page_table_root(&self) -> HostPhysAddr {
        self.tables.root()
    }

    /// How many 4 KiB frames are used for tables, the root included.
    pub fn table_frames(&self) -> usize {
        self.tables.table_frames()
    }

    /// Checks everything about a new region that does not depend on its backing.
    fn admit(&mut self, region: Region) -> Result<Range<usize>, AddrSpaceError> {
        let Region { base: gpa, size, flags, backing: _ } = region;
        let range = checked_range(gpa, size, &(self.base..self.end))?;
        if !flags.intersects(ACCESS) {
            return Err(AddrSpaceError::BadFlags { gpa, flags });
        }
        if let Some(other) = self.regions.overlap(range.start, range.end) {
            return Err(AddrSpaceError::Overlap {
                gpa,
                size,
                with: other.base,
                with_size: other.size,
            });
        }
        self.regions.reserve().map_err(|_| AddrSpaceError::NoMemory { gpa })?;
        Ok(range)
    }

    /// Notes `region` if its tables were filled; otherwise undoes what was filled.
    fn commit(
        &mut self,
        filled: Result<(), AddrSpaceError>,
        range: Range<usize>,
        region: Region,
    ) -> Result<(), AddrSpaceError> {
        match filled {
            Ok(()) => {
                self.tables.complete();
                self.regions.insert(region);
            }
            Err(_) => self.take_away(&range),
        }
        filled
    }

    fn fill_linear(
        &mut self,
        range: &Range<usize>,
        hpa: usize,
        flags: MappingFlags,
    ) -> Result<(), AddrSpaceError> {
        let mut at = range.start;
        while at < range.end {
            let to = hpa.wrapping_add(at.wrapping_sub(range.start));
            let level = biggest_level(at | to, range.end.wrapping_sub(at));
            let leaf = Descriptor::leaf(level, HostPhysAddr::from_usize(to), flags, Owner::Other);
            self.tables.install(at, level, leaf).map_err(|error| install_error(error, at))?;
            at = at.wrapping_add(level.size());
        }
        Ok(())
    }

    fn fill_allocated(
        &mut self,
        range: &Range<usize>,
        flags: MappingFlags,
    ) -> Result<(), AddrSpaceError> {
        let mut at = range.start;
        while at < range.end {
            let biggest = biggest_level(at, range.end.wrapping_sub(at));
            let (hpa, level) = Level::ALL
                .into_iter()
                .filter(|level| *level >= biggest)
                .find_map(|level| zeroed_block::<H>(level).map(|block| (block, level)))
                .ok_or(AddrSpaceError::NoMemory { gpa: GuestPhysAddr::from_usize(at) })?;
            let leaf = Descriptor::leaf(level, hpa, flags, Owner::Mapping);
            if let Err(error) = self.tables.install(at, level, leaf) {
                release_block::<H>(hpa, level);
                return Err(install_error(error, at));
            }
            at = at.wrapping_add(level.size());
        }
        Ok(())
    }

    /// Removes all translations of `range`, which cuts no block, and frees what they own.
    fn take_away(&mut self, range: &Range<usize>) {
        self.tables.retire(range);
        let gpa = GuestPhysAddr::from_usize(range.start);
        H::invalidate_stage2(self.tables.root(), gpa, range.end.wrapping_sub(range.start));
        self.tables.reclaim(range);
    }
}

/// The biggest level whose size divides `alignment_of` and is at most `size`.
fn biggest_level(alignment_of: usize, size: usize) -> Level {
    Level::ALL
        .into_iter()
        .find(|level| alignment_of.is_multiple_of(level.size()) && level.size() <= size)
        .unwrap_or(Level::Three)
}

fn install_error(error: InstallError, at: usize) -> AddrSpaceError {
    let gpa = GuestPhysAddr::from_usize(at);
    match error {
        InstallError::NoMemory => AddrSpaceError::NoMemory { gpa },
        InstallError::Occupied => {
            AddrSpaceError::Overlap { gpa, size: PAGE, with: gpa, with_size: PAGE }
        }
    }
}

fn aligned(value: usize) -> Result<usize, AddrSpaceError> {
    if value.is_multiple_of(PAGE) { Ok(value) } else { Err(AddrSpaceError::Misaligned { value }) }
}

fn checked_range(
    gpa: GuestPhysAddr,
    size: usize,
    within: &Range<usize>,
) -> Result<Range<usize>, AddrSpaceError> {
    let start = aligned(gpa.as_usize())?;
    aligned(size)?;
    if size == 0 {
        return Err(AddrSpaceError::Empty { gpa });
    }
    match start.checked_add(size) {
        Some(end) if within.start <= start && end <= within.end => Ok(start..end),
        Some(_) | None => Err(AddrSpaceError::OutOfRange {
            gpa,
            size,
            base: GuestPhysAddr::from_usize(within.start),
            end: GuestPhysAddr::from_usize(within.end),
        }),
    }
}
