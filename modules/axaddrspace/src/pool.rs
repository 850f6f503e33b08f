//! Which host memory is free: plain data, no hardware.
//!
//! Small blocks are taken where they spoil nothing: among both ends of every free range, the one
//! that breaks the fewest whole 1 GiB blocks, then the fewest whole 2 MiB blocks, then the smallest
//! range, then the lowest address. So table frames gather at the ragged ends, and the middle stays
//! whole for guests. Every call costs at most one pass over the free ranges.

mod spans;
#[cfg(test)]
mod tests;

use core::fmt;

use axerrno::AxErrorKind;

use crate::HostPhysAddr;
use spans::{Span, Spans};

const PAGE: usize = 0x1000;
const MIB_2: usize = 1 << 21;
const GIB: usize = 1 << 30;

/// A free range as errors show it: where it begins and how many bytes it has.
pub type FreeRange = (HostPhysAddr, usize);

/// Why the pool refused; it is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// The base is not a multiple of 4 KiB, the range is empty, or it runs past the last address.
    BadRange {
        /// Where the range begins.
        base: HostPhysAddr,
        /// Its length in bytes.
        size: usize,
    },
    /// Part of the donated range is the pool's already.
    AlreadyDonated {
        /// Where the range begins.
        base: HostPhysAddr,
        /// Its length in bytes.
        size: usize,
    },
    /// The range asked for is not wholly free.
    NotFree {
        /// Where the range begins.
        base: HostPhysAddr,
        /// Its length in bytes.
        size: usize,
        /// The free range that overlaps it or else begins next above it or ends next below it.
        nearest: Option<FreeRange>,
        /// The largest free range.
        largest: Option<FreeRange>,
    },
    /// Memory is given back that the pool never had.
    NotDonated {
        /// Where the range begins.
        base: HostPhysAddr,
        /// Its length in bytes.
        size: usize,
    },
    /// Memory is given back that is free already, in part or as a whole.
    DoubleFree {
        /// Where the range begins.
        base: HostPhysAddr,
        /// Its length in bytes.
        size: usize,
    },
    /// The heap has no room to note one more range.
    HeapFull,
}

struct Shown(Option<FreeRange>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((base, size)) => {
                let base = base.as_usize();
                write!(f, "{base:#x} to {:#x} ({} KiB)", base.saturating_add(size), size / 1024)
            }
            None => f.write_str("nothing"),
        }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadRange { base, size } => {
                write!(f, "{base:?} plus {size:#x} bytes is no range of whole 4 KiB frames")
            }
            Self::AlreadyDonated { base, size } => {
                write!(f, "{base:?} plus {size:#x} bytes is in the frame pool already")
            }
            Self::NotFree { base, size, nearest, largest } => write!(
                f,
                "host memory {base:?} plus {size:#x} bytes is not free; free nearby is {}, the largest free range is {}",
                Shown(nearest),
                Shown(largest)
            ),
            Self::NotDonated { base, size } => {
                write!(f, "{base:?} plus {size:#x} bytes was never in the frame pool")
            }
            Self::DoubleFree { base, size } => {
                write!(f, "{base:?} plus {size:#x} bytes is free already")
            }
            Self::HeapFull => {
                f.write_str("the host's heap has no room to note one more free range")
            }
        }
    }
}

impl core::error::Error for PoolError {}

// `AxError` converts from whatever converts to its kind.
impl From<PoolError> for AxErrorKind {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::BadRange { .. } | PoolError::NotDonated { .. } => Self::InvalidInput,
            PoolError::AlreadyDonated { .. } => Self::AlreadyExists,
            PoolError::NotFree { .. } | PoolError::HeapFull => Self::NoMemory,
            PoolError::DoubleFree { .. } => Self::BadState,
        }
    }
}

/// The free host memory that guests and their tables are made of, in frames of 4 KiB.
///
/// It only keeps books: it never touches the memory, and zeroing is its users' duty.
#[derive(Debug)]
pub struct FramePool {
    /// All memory ever donated.
    donated: Spans,
    /// The part of it nobody uses.
    free: Spans,
}

impl Default for FramePool {
    fn default() -> Self {
        Self::new()
    }
}

impl FramePool {
    /// A pool without memory.
    pub const fn new() -> Self {
        Self { donated: Spans::new(), free: Spans::new() }
    }

    /// Adds `[base, base + size)`, free, and merges it with its neighbours.
    ///
    /// # Errors
    /// `BadRange` (size must be a multiple of 4 KiB here), `AlreadyDonated`, `HeapFull`.
    pub fn donate(&mut self, base: HostPhysAddr, size: usize) -> Result<(), PoolError> {
        let span = span(base, size)?;
        if !size.is_multiple_of(PAGE) {
            return Err(PoolError::BadRange { base, size });
        }
        if self.donated.overlap(span).is_some() {
            return Err(PoolError::AlreadyDonated { base, size });
        }
        self.donated.reserve()?;
        self.free.reserve()?;
        self.donated.insert(span);
        self.free.insert(span);
        Ok(())
    }

    /// Takes `size` bytes (rounded up to 4 KiB) at a multiple of `align` bytes (a power of two).
    ///
    /// `None` if no free range is large enough, or if size is zero or align no power of two.
    pub fn alloc(&mut self, size: usize, align: usize) -> Option<HostPhysAddr> {
        let size = size.checked_next_multiple_of(PAGE).filter(|size| *size > 0)?;
        if !align.is_power_of_two() {
            return None;
        }
        let align = align.max(PAGE);
        let best = self
            .free
            .iter()
            .flat_map(|range| candidates(range, size, align).into_iter().flatten())
            .min_by_key(|candidate| candidate.cost)?;
        self.free.reserve().ok()?;
        self.free.remove(best.taken);
        Some(HostPhysAddr::from_usize(best.taken.start))
    }

    /// Takes exactly `[base, base + size)`, size rounded up to 4 KiB.
    ///
    /// # Errors
    /// `BadRange`, `NotFree` (which says what is free), `HeapFull`.
    pub fn alloc_at(&mut self, base: HostPhysAddr, size: usize) -> Result<(), PoolError> {
        let span = span(base, size)?;
        if !self.free.covers(span) {
            let nearest = self.free.nearest(span).map(Span::shown);
            return Err(PoolError::NotFree { base, size, nearest, largest: self.largest() });
        }
        self.free.reserve()?;
        self.free.remove(span);
        Ok(())
    }

    /// Gives back `[base, base + size)`, size rounded up to 4 KiB: all or part of what was taken.
    ///
    /// # Errors
    /// `BadRange`, `NotDonated`, `DoubleFree`, `HeapFull`.
    pub fn free(&mut self, base: HostPhysAddr, size: usize) -> Result<(), PoolError> {
        let span = span(base, size)?;
        if !self.donated.covers(span) {
            return Err(PoolError::NotDonated { base, size });
        }
        if self.free.overlap(span).is_some() {
            return Err(PoolError::DoubleFree { base, size });
        }
        self.free.reserve()?;
        self.free.insert(span);
        Ok(())
    }

    /// How many bytes nobody uses.
    pub fn free_bytes(&self) -> usize {
        self.free.bytes()
    }

    /// How many bytes were donated.
    pub fn total_bytes(&self) -> usize {
        self.donated.bytes()
    }

    /// The size in bytes of the largest free range; 0 when nothing is free.
    pub fn largest_free_block(&self) -> usize {
        self.largest().map_or(0, |(_, size)| size)
    }

    /// The free ranges, from the lowest: base and size in bytes.
    pub fn free_ranges(&self) -> impl Iterator<Item = FreeRange> {
        self.free.iter().map(Span::shown)
    }

    fn largest(&self) -> Option<FreeRange> {
        // The lowest of equals.
        self.free.iter().rev().max_by_key(|range| range.len()).map(Span::shown)
    }
}

/// One place to take memory from, and what that would spoil.
struct Candidate {
    taken: Span,
    /// Whole 1 GiB blocks broken, whole 2 MiB blocks broken, length of the range, address.
    cost: (usize, usize, usize, usize),
}

/// The lowest and the highest place in `range` for an aligned block of `size` bytes.
fn candidates(range: Span, size: usize, align: usize) -> [Option<Candidate>; 2] {
    let lowest = range.start.checked_next_multiple_of(align);
    let highest = range.end.checked_sub(size).map(|start| start & !align.wrapping_sub(1));
    [lowest, highest].map(|start| {
        let start = start?;
        let end = start.checked_add(size)?;
        if start < range.start || end > range.end {
            return None;
        }
        let left = [Span { start: range.start, end: start }, Span { start: end, end: range.end }];
        let broken = |block| {
            let still = left.map(|part| part.whole_blocks(block));
            range.whole_blocks(block).saturating_sub(still.iter().sum())
        };
        let cost = (broken(GIB), broken(MIB_2), range.len(), start);
        Some(Candidate { taken: Span { start, end }, cost })
    })
}

fn span(base: HostPhysAddr, size: usize) -> Result<Span, PoolError> {
    let start = base.as_usize();
    let end = size.checked_next_multiple_of(PAGE).and_then(|size| start.checked_add(size));
    match end {
        Some(end) if start.is_multiple_of(PAGE) && end > start => Ok(Span { start, end }),
        Some(_) | None => Err(PoolError::BadRange { base, size }),
    }
}
