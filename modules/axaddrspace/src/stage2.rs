//! Stage-2 translation tables: three levels, 4 KiB granule, 39 bits of guest-physical address.
//!
//! The walker is this crate's own. `page_table_multiarch` supplies the frame interface only: its
//! `PageTable64` keeps emptied tables, so that a block can never again be mapped where pages once
//! were; it cannot split a block; it asserts when part of one is unmapped; and it links a new table
//! with a plain store, which a table walk on another CPU may see before the zeros in that table.
//!
//! The tables change only through `&mut self`, but the MMUs of other CPUs may walk them meanwhile. An
//! entry goes from empty to valid in one store, after what it points to is there. It is taken away in
//! three steps: *retire* (clear the valid bit, keep the address), invalidate the TLBs, *reclaim* (give
//! the memory back, clear the rest).

use core::{marker::PhantomData, ops::Range};

use crate::{
    GuestMemoryHal, GuestPhysAddr, HostPhysAddr,
    pte::{Descriptor, Kind, Level, Owner},
    raw::{self, ENTRIES},
};

/// The guest-physical address bits these tables translate: VTCR_EL2.T0SZ is 64 minus this.
pub const IPA_BITS: u32 = 39;
/// The level the walk starts at: VTCR_EL2.SL0 is 0b01 for level 1 with the 4 KiB granule.
pub const START_LEVEL: u32 = 1;

/// Bytes in a page, and in a table.
pub(crate) const PAGE: usize = Level::Three.size();

/// Why an entry was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstallError {
    /// No frame for a table.
    NoMemory,
    /// Something is mapped there.
    Occupied,
}

/// The tables of one address space; dropping them gives back everything they own.
pub(crate) struct Stage2<H: GuestMemoryHal> {
    root: HostPhysAddr,
    tables: usize,
    hal: PhantomData<fn() -> H>,
}

impl<H: GuestMemoryHal> Stage2<H> {
    /// An empty root table, or `None` without a frame for it.
    pub(crate) fn new() -> Option<Self> {
        let root = zeroed_table::<H>()?;
        Some(Self { root, tables: 1, hal: PhantomData })
    }

    /// The root table's frame.
    pub(crate) const fn root(&self) -> HostPhysAddr {
        self.root
    }

    /// How many frames are tables, the root included.
    pub(crate) fn table_frames(&self) -> usize {
        self.tables
    }

    /// The block or page that maps `at`, and its level.
    pub(crate) fn find(&self, at: usize) -> Option<(Descriptor, Level)> {
        let mut table = self.root;
        for level in Level::ALL {
            let entry = raw::load::<H>(table, index(at, level));
            match entry.kind(level) {
                Kind::Table => table = entry.output(),
                Kind::Leaf => return Some((entry, level)),
                Kind::Empty | Kind::RetiredTable | Kind::RetiredLeaf => return None,
            }
        }
        None
    }

    /// Writes `leaf` as the entry of `level` for `at`, adding tables above it.
    pub(crate) fn install(
        &mut self,
        at: usize,
        level: Level,
        leaf: Descriptor,
    ) -> Result<(), InstallError> {
        let mut table = self.root;
        let mut reached = Level::One;
        while reached < level {
            table = self.table_below(table, index(at, reached), reached)?;
            reached = reached.below().unwrap_or(level);
        }
        if raw::load::<H>(table, index(at, level)) != Descriptor::EMPTY {
            return Err(InstallError::Occupied);
        }
        raw::store::<H>(table, index(at, level), leaf);
        Ok(())
    }

    /// Waits until every table walk finds what [`Self::install`] wrote.
    pub(crate) fn complete(&self) {
        raw::complete_table_writes();
    }

    /// The table behind entry `index` of `table`, made if there is none.
    fn table_below(
        &mut self,
        table: HostPhysAddr,
        index: usize,
        level: Level,
    ) -> Result<HostPhysAddr, InstallError> {
        let entry = raw::load::<H>(table, index);
        match entry.kind(level) {
            Kind::Table => Ok(entry.output()),
            Kind::Empty => {
                let frame = zeroed_table::<H>().ok_or(InstallError::NoMemory)?;
                raw::store::<H>(table, index, Descriptor::table(frame));
                self.tables = self.tables.wrapping_add(1);
                Ok(frame)
            }
            Kind::Leaf | Kind::RetiredTable | Kind::RetiredLeaf => Err(InstallError::Occupied),
        }
    }

    /// Splits blocks until none reaches across `at`; on failure the mapping means the same as before.
    pub(crate) fn split_at(&mut self, at: usize) -> Result<(), InstallError> {
        let mut table = self.root;
        for level in Level::ALL {
            let entry = raw::load::<H>(table, index(at, level));
            match (entry.kind(level), level.below()) {
                _ if at.is_multiple_of(level.size()) => return Ok(()),
                (Kind::Table, _) => table = entry.output(),
                (Kind::Leaf, Some(below)) => {
                    let parts = self.parts(entry, below)?;
                    self.replace(table, at, level, Descriptor::table(parts));
                    table = parts;
                }
                (Kind::Leaf | Kind::Empty | Kind::RetiredTable | Kind::RetiredLeaf, _) => {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// A new table that maps what `block` maps, in entries of level `below`.
    fn parts(&mut self, block: Descriptor, below: Level) -> Result<HostPhysAddr, InstallError> {
        let table = H::alloc_frame().ok_or(InstallError::NoMemory)?;
        self.tables = self.tables.wrapping_add(1);
        for index in 0..ENTRIES {
            let part = block.part(below, index.wrapping_mul(below.size()));
            raw::store::<H>(table, index, part);
        }
        Ok(table)
    }

    /// Break-before-make of the entry of `level` for `at`.
    fn replace(&mut self, table: HostPhysAddr, at: usize, level: Level, new: Descriptor) {
        let size = level.size();
        let block = GuestPhysAddr::from_usize(at.wrapping_sub(level.offset_of(at)));
        raw::store::<H>(table, index(at, level), Descriptor::EMPTY);
        raw::complete_table_writes();
        H::invalidate_stage2(self.root, block, size);
        raw::store::<H>(table, index(at, level), new);
        raw::complete_table_writes();
    }

    /// Makes every entry within `range` invalid, and the tables that have no valid entry left.
    ///
    /// No block may reach across an end of `range`: see [`Self::split_at`]. The translations stay
    /// cached until the caller invalidates them, and the memory is not free before [`Self::reclaim`].
    pub(crate) fn retire(&mut self, range: &Range<usize>) {
        retire_table::<H>(self.root, Level::One, 0, range);
        raw::complete_table_writes();
    }

    /// Gives back what [`Self::retire`] made invalid within `range`; owned memory is zeroed first.
    pub(crate) fn reclaim(&mut self, range: &Range<usize>) {
        let freed = reclaim_table::<H>(self.root, Level::One, 0, range);
        self.tables = self.tables.wrapping_sub(freed);
    }
}

impl<H: GuestMemoryHal> Drop for Stage2<H> {
    fn drop(&mut self) {
        let everything = 0..1 << IPA_BITS;
        self.retire(&everything);
        H::invalidate_stage2(self.root, GuestPhysAddr::from_usize(0), everything.end);
        self.reclaim(&everything);
        H::dealloc_frame(self.root);
    }
}

/// Where in a table of `level` the entry for `at` is.
const fn index(at: usize, level: Level) -> usize {
    (at >> level.size().trailing_zeros()) % ENTRIES
}

fn zeroed_table<H: GuestMemoryHal>() -> Option<HostPhysAddr> {
    let frame = H::alloc_frame()?;
    H::zero(frame, PAGE);
    Some(frame)
}

/// The part of the address space that entry `index` of a table of `level` at `base` maps.
fn span(base: usize, index: usize, level: Level) -> Range<usize> {
    let start = base.wrapping_add(index.wrapping_mul(level.size()));
    start..start.wrapping_add(level.size())
}

fn apart(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.end <= b.start || b.end <= a.start
}

/// Whether a valid entry is left in `table` afterwards.
fn retire_table<H: GuestMemoryHal>(
    table: HostPhysAddr,
    level: Level,
    base: usize,
    range: &Range<usize>,
) -> bool {
    let mut left = false;
    for index in 0..ENTRIES {
        let entry = raw::load::<H>(table, index);
        let span = span(base, index, level);
        let stays = match (entry.kind(level), level.below()) {
            (Kind::Empty | Kind::RetiredTable | Kind::RetiredLeaf, _) => continue,
            _ if apart(&span, range) => true,
            (Kind::Table, Some(below)) => {
                retire_table::<H>(entry.output(), below, span.start, range)
            }
            (Kind::Table | Kind::Leaf, _) => span.start < range.start || range.end < span.end,
        };
        if !stays {
            raw::store::<H>(table, index, entry.retired());
        }
        left |= stays;
    }
    left
}

/// How many tables below `table` were freed.
fn reclaim_table<H: GuestMemoryHal>(
    table: HostPhysAddr,
    level: Level,
    base: usize,
    range: &Range<usize>,
) -> usize {
    let mut freed: usize = 0;
    for index in 0..ENTRIES {
        let span = span(base, index, level);
        if apart(&span, range) {
            continue;
        }
        let entry = raw::load::<H>(table, index);
        match (entry.kind(level), level.below()) {
            (Kind::Table, Some(below)) => {
                freed = freed.wrapping_add(reclaim_table::<H>(
                    entry.output(),
                    below,
                    span.start,
                    range,
                ));
            }
            (Kind::RetiredTable, Some(below)) => {
                freed = freed.wrapping_add(reclaim_table::<H>(
                    entry.output(),
                    below,
                    span.start,
                    range,
                ));
                raw::store::<H>(table, index, Descriptor::EMPTY);
                H::dealloc_frame(entry.output());
                freed = freed.wrapping_add(1);
            }
            (Kind::RetiredLeaf, _) => {
                raw::store::<H>(table, index, Descriptor::EMPTY);
                release_leaf::<H>(entry, level);
            }
            (Kind::Empty | Kind::Leaf | Kind::Table | Kind::RetiredTable, _) => {}
        }
    }
    freed
}

fn release_leaf<H: GuestMemoryHal>(leaf: Descriptor, level: Level) {
    match leaf.owner() {
        Owner::Mapping => release_block::<H>(leaf.output(), level),
        Owner::Other => {}
    }
}

/// Takes a block of `level`'s size from the host and zeroes it.
pub(crate) fn zeroed_block<H: GuestMemoryHal>(level: Level) -> Option<HostPhysAddr> {
    let size = level.size();
    let block = H::alloc_frames(size / PAGE, size)?;
    H::zero(block, size);
    Some(block)
}

/// Zeroes a block of `level`'s size and gives it back to the host.
pub(crate) fn release_block<H: GuestMemoryHal>(block: HostPhysAddr, level: Level) {
    let size = level.size();
    H::zero(block, size);
    H::dealloc_frames(block, size / PAGE);
}
