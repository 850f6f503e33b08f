//! The regions of an address space, in order and without overlap.

use alloc::vec::Vec;

use crate::{GuestPhysAddr, HostPhysAddr, MappingFlags};

/// Where the memory of a region comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Host memory at a given place, which belongs to somebody else.
    Linear {
        /// What the region's first byte is in host memory.
        hpa: HostPhysAddr,
    },
    /// Frames allocated for this region.
    Allocated,
}

/// A range of guest-physical memory with one meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Where it begins.
    pub base: GuestPhysAddr,
    /// Its length in bytes.
    pub size: usize,
    /// What the guest may do there, and the kind of memory.
    pub flags: MappingFlags,
    /// Where its memory comes from.
    pub backing: Backing,
}

impl Region {
    /// The first address beyond.
    pub(crate) const fn end(&self) -> usize {
        // Checked against the end of the address space when the region was made.
        self.base.as_usize().saturating_add(self.size)
    }

    /// The same memory, cut to `[start, end)`, which lies within the region.
    fn cut(&self, start: usize, end: usize) -> Self {
        let skipped = start.saturating_sub(self.base.as_usize());
        let backing = match self.backing {
            Backing::Linear { hpa } => Backing::Linear {
                hpa: HostPhysAddr::from_usize(hpa.as_usize().saturating_add(skipped)),
            },
            Backing::Allocated => Backing::Allocated,
        };
        Self {
            base: GuestPhysAddr::from_usize(start),
            size: end.saturating_sub(start),
            flags: self.flags,
            backing,
        }
    }
}

/// No room to note one more region.
#[derive(Debug)]
pub(crate) struct Full;

/// Sorted by base, disjoint.
#[derive(Debug, Default)]
pub(crate) struct Regions(Vec<Region>);

impl Regions {
    /// No region.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// All of them, from the lowest.
    pub(crate) fn iter(&self) -> core::slice::Iter<'_, Region> {
        self.0.iter()
    }

    /// The index of the first region that ends beyond `at`.
    fn position(&self, at: usize) -> usize {
        self.0.partition_point(|region| region.end() <= at)
    }

    /// The region that holds address `at`.
    pub(crate) fn find(&self, at: usize) -> Option<&Region> {
        let candidate = self.0.get(self.position(at))?;
        (candidate.base.as_usize() <= at).then_some(candidate)
    }

    /// The lowest region that has an address of `[start, end)`.
    pub(crate) fn overlap(&self, start: usize, end: usize) -> Option<&Region> {
        let candidate = self.0.get(self.position(start))?;
        (candidate.base.as_usize() < end).then_some(candidate)
    }

    /// The lowest address of `[start, end)` that no region holds.
    pub(crate) fn gap(&self, start: usize, end: usize) -> Option<usize> {
        let mut at = start;
        while at < end {
            match self.find(at) {
                Some(region) => at = region.end(),
                None => return Some(at),
            }
        }
        None
    }

    /// Makes sure that one more region can be noted.
    pub(crate) fn reserve(&mut self) -> Result<(), Full> {
        self.0.try_reserve(1).map_err(|_| Full)
    }

    /// Adds `region`, which overlaps no other, into reserved room.
    pub(crate) fn insert(&mut self, region: Region) {
        let index = self.position(region.base.as_usize());
        self.0.insert(index, region);
    }

    /// Forgets `[start, end)`, cutting the regions that reach out of it; needs room for one more.
    pub(crate) fn remove(&mut self, start: usize, end: usize) {
        let first = self.position(start);
        let rest = self.0.get(first..).unwrap_or_default();
        let count = rest.partition_point(|region| region.base.as_usize() < end);
        let Some((left, right)) = rest.get(..count).and_then(|hit| hit.first().zip(hit.last()))
        else {
            return;
        };
        let below = left.base.as_usize();
        let kept_below = (below < start).then(|| left.cut(below, start));
        let kept_above = (right.end() > end).then(|| right.cut(end, right.end()));
        let kept = kept_below.into_iter().chain(kept_above);
        self.0.splice(first..first.saturating_add(count), kept);
    }
}
