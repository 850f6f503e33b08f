//! One VM's guest-physical address space: its regions, and the stage-2 tables that say the same.

#[cfg(test)]
mod tests;

use core::ops::Range;

use crate::{
    AddrSpaceError, GuestMemoryHal, GuestPhysAddr, HostPhysAddr, MappingFlags, PageSize,
    pte::{Descriptor, Level, Owner},
    region::{Backing, Populate, Region, Regions},
    stage2::{Found, IPA_BITS, InstallError, PAGE, Stage2, release_block, zeroed_block},
};

/// What the guest can be allowed to do.
const ACCESS: MappingFlags =
    MappingFlags::READ.union(MappingFlags::WRITE).union(MappingFlags::EXECUTE);
/// One past the last output address.
const HPA_END: usize = 1 << 48;

/// A guest-physical address space.
///
/// The map changes only through `&mut self`; everything with `&self`, populating lazy memory
/// included, may run on any number of CPUs at once and takes no lock. Dropping it zeroes and gives
/// back all it allocated; by then no vCPU may be loaded with its tables.
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

    /// Maps `[gpa, gpa + size)` to zeroed host memory allocated for it, anywhere.
    ///
    /// Now: in the biggest naturally aligned blocks (1 GiB, 2 MiB, 4 KiB) the host has. Lazily: in
    /// 2 MiB blocks, or 4 KiB pages where those do not fit, as the guest or the host first touches them.
    ///
    /// # Errors
    /// `Misaligned` (4 KiB), `Empty`, `OutOfRange`, `BadFlags` (no access allowed, or `DEVICE`),
    /// `Overlap`, `NoMemory` (everything taken so far is given back).
    pub fn map_alloc(
        &mut self,
        gpa: GuestPhysAddr,
        size: usize,
        flags: MappingFlags,
        populate: Populate,
    ) -> Result<(), AddrSpaceError> {
        let region = Region { base: gpa, size, flags, backing: Backing::Allocated { populate } };
        if flags.contains(MappingFlags::DEVICE) {
            return Err(AddrSpaceError::BadFlags { gpa, flags });
        }
        let range = self.admit(region)?;
        let result = match populate {
            Populate::Now => self.fill_allocated(&range, flags),
            Populate::Lazily => Ok(()),
        };
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

    /// What `gpa` is translated to right now: the host address, the flags, and the size of the block
    /// it lies in. `None` where nothing is mapped, or not populated yet.
    pub fn translate(&self, gpa: GuestPhysAddr) -> Option<(HostPhysAddr, MappingFlags, PageSize)> {
        if !(self.base..self.end).contains(&gpa.as_usize()) {
            return None;
        }
        match self.tables.find(gpa.as_usize()) {
            Found::Leaf(leaf, level) => {
                let size = match level {
                    Level::One => PageSize::Size1G,
                    Level::Two => PageSize::Size2M,
                    Level::Three => PageSize::Size4K,
                };
                let hpa = leaf.output().as_usize() | size.align_offset(gpa.as_usize());
                Some((HostPhysAddr::from_usize(hpa), leaf.flags(), size))
            }
            Found::Hole(_) => None,
        }
    }

    /// Answers a stage-2 fault of a guest that wanted `access` at `gpa`.
    ///
    /// `true`: the region allows it and memory is there now (populated by this call, by another CPU
    /// meanwhile, or all along if the fault came of a stale TLB entry): let the guest try again.
    /// `false`: the guest may not do this, or the host has no memory left.
    pub fn handle_page_fault(&self, gpa: GuestPhysAddr, access: MappingFlags) -> bool {
        let Some(region) = self.regions.find(gpa.as_usize()) else {
            return false;
        };
        region.flags.contains(access.intersection(ACCESS))
            && self.populate(gpa.as_usize(), region).is_ok()
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

    /// Makes sure `at`, an address of `region`, has memory behind it.
    pub(crate) fn populate(&self, at: usize, region: &Region) -> Result<(), AddrSpaceError> {
        let hole = match self.tables.find(at) {
            Found::Leaf(..) => return Ok(()),
            Found::Hole(level) => level,
        };
        match region.backing {
            Backing::Allocated { populate: Populate::Lazily } => {}
            // Mapped as a whole from the start, so a hole cannot be; if it is, it stays one.
            Backing::Allocated { populate: Populate::Now } | Backing::Linear { .. } => {
                return Err(AddrSpaceError::NotMapped { gpa: GuestPhysAddr::from_usize(at) });
            }
        }
        // Never 1 GiB: to zero that much inside one fault would take too long.
        for level in [Level::Two, Level::Three] {
            let block = at & !level.size().wrapping_sub(1);
            let fits = level >= hole
                && block >= region.base.as_usize()
                && block.saturating_add(level.size()) <= region.end();
            if fits && self.populate_block(block, level, region.flags) {
                return Ok(());
            }
        }
        match self.tables.find(at) {
            Found::Leaf(..) => Ok(()),
            Found::Hole(_) => Err(AddrSpaceError::NoMemory { gpa: GuestPhysAddr::from_usize(at) }),
        }
    }

    /// Whether the block at `at` could be allocated and was still wanted.
    fn populate_block(&self, at: usize, level: Level, flags: MappingFlags) -> bool {
        let Some(hpa) = zeroed_block::<H>(level) else {
            return false;
        };
        let leaf = Descriptor::leaf(level, hpa, flags, Owner::Mapping);
        let installed = self.tables.install(at, level, leaf).is_ok();
        self.tables.complete();
        if !installed {
            // Another CPU was faster, or there is no frame for a table: nobody has seen this block.
            H::dealloc_frames(hpa, level.size() / PAGE);
        }
        installed
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
        &self,
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
        &self,
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
