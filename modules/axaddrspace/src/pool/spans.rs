//! A sorted set of addresses, kept as ranges that neither overlap nor touch.

use alloc::vec::Vec;

use super::{FreeRange, PoolError};
use crate::HostPhysAddr;

/// The addresses from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// As the pool's users see it.
    pub(super) const fn shown(self) -> FreeRange {
        (HostPhysAddr::from_usize(self.start), self.len())
    }

    /// How many naturally aligned blocks of `size` bytes (a power of two) lie within.
    pub(super) fn whole_blocks(&self, size: usize) -> usize {
        let shift = size.trailing_zeros();
        let first = self.start.saturating_add(size.saturating_sub(1)).unbounded_shr(shift);
        self.end.unbounded_shr(shift).saturating_sub(first)
    }
}

/// The set.
#[derive(Debug)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Span> {
        self.0.iter().copied()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(Span::len).fold(0, usize::saturating_add)
    }

    /// Room for one span more, so that the next change cannot fail.
    pub(super) fn reserve(&mut self) -> Result<(), PoolError> {
        self.0.try_reserve(1).map_err(|_| PoolError::HeapFull)
    }

    /// The index of the first span that ends beyond `at`.
    fn position(&self, at: usize) -> usize {
        self.0.partition_point(|span| span.end <= at)
    }

    /// The lowest span that shares an address with `wanted`.
    pub(super) fn overlap(&self, wanted: Span) -> Option<Span> {
        let candidate = self.0.get(self.position(wanted.start)).copied()?;
        (candidate.start < wanted.end).then_some(candidate)
    }

    /// Whether all of `wanted` is in the set.
    pub(super) fn covers(&self, wanted: Span) -> bool {
        self.overlap(wanted)
            .is_some_and(|span| span.start <= wanted.start && wanted.end <= span.end)
    }

    /// The span that overlaps `wanted`, or else the next above it, or else the next below it.
    pub(super) fn nearest(&self, wanted: Span) -> Option<Span> {
        self.0.get(self.position(wanted.start)).or_else(|| self.0.last()).copied()
    }

    /// Adds `new`, of which nothing is in the set, into reserved room; joins what touches.
    pub(super) fn insert(&mut self, new: Span) {
        let first = self.0.partition_point(|span| span.end < new.start);
        let touching = self.0.iter().skip(first).take_while(|span| span.start <= new.end).count();
        let beyond = first.saturating_add(touching);
        let joined = self.0.iter().skip(first).take(touching).fold(new, |joined, span| Span {
            start: joined.start.min(span.start),
            end: joined.end.max(span.end),
        });
        self.0.splice(first..beyond, [joined]);
    }

    /// Removes `taken`, which one span covers, using reserved room if both its ends remain.
    pub(super) fn remove(&mut self, taken: Span) {
        let index = self.position(taken.start);
        let Some(span) = self.0.get_mut(index) else {
            return;
        };
        let right = Span { start: taken.end, end: span.end };
        span.end = taken.start;
        match (span.len() > 0, right.len() > 0) {
            (true, true) => self.0.insert(index.saturating_add(1), right),
            (false, true) => *span = right,
            (true, false) => {}
            (false, false) => {
                self.0.remove(index);
            }
        }
    }
}
