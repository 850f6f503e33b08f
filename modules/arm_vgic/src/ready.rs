//! The interrupts of one vCPU that wait for a list register, best priority first.

use alloc::{boxed::Box, vec};

/// Priority levels: the upper five bits of a priority.
const LEVELS: usize = 32;

/// One bit per interrupt and priority level with two summaries above, so that every operation takes constant time.
pub(crate) struct ReadyQueue {
    /// Levels that have any interrupt.
    levels: u32,
    /// Per level, the words that have any.
    words: [u32; LEVELS],
    /// `bits[level * stride + word]`.
    bits: Box<[u32]>,
    stride: usize,
}

impl ReadyQueue {
    /// An empty queue for `words * 32` interrupts, at most 32 words.
    pub(crate) fn new(words: usize) -> Self {
        Self {
            levels: 0,
            words: [0; LEVELS],
            bits: vec![0; words.saturating_mul(LEVELS)].into_boxed_slice(),
            stride: words,
        }
    }

    #[inline(always)]
    fn place(&self, level: usize, word: usize) -> usize {
        level.wrapping_mul(self.stride).wrapping_add(word)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.levels == 0
    }

    /// Adds interrupt `n` of `word`.
    #[inline]
    pub(crate) fn insert(&mut self, word: usize, n: u32, priority: u8) {
        let level = usize::from(priority >> 3);
        let place = self.place(level, word);
        let Some(bits) = self.bits.get_mut(place) else {
            return;
        };
        *bits |= 1 << n;
        if let Some(words) = self.words.get_mut(level) {
            *words |= 1 << word;
        }
        self.levels |= 1 << level;
    }

    /// Takes interrupt `n` of `word` out; `priority` is the one it was inserted with.
    #[inline]
    pub(crate) fn remove(&mut self, word: usize, n: u32, priority: u8) {
        let level = usize::from(priority >> 3);
        let place = self.place(level, word);
        let Some(bits) = self.bits.get_mut(place) else {
            return;
        };
        *bits &= !(1 << n);
        if *bits != 0 {
            return;
        }
        let Some(words) = self.words.get_mut(level) else {
            return;
        };
        *words &= !(1 << word);
        if *words == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// Word and bit of the best interrupt; among equals the lowest INTID.
    #[inline]
    pub(crate) fn first(&self) -> Option<(usize, u32)> {
        // An empty queue has 32 trailing zeros, and level 32 does not exist.
        let level = self.levels.trailing_zeros() as usize;
        let word = self.words.get(level)?.trailing_zeros() as usize;
        let bits = self.bits.get(self.place(level, word))?;
        (*bits != 0).then(|| (word, bits.trailing_zeros()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_best_priority_comes_first_and_then_the_lowest_number() {
        let mut queue = ReadyQueue::new(32);
        assert_eq!(queue.first(), None);
        queue.insert(31, 27, 0xa0);
        queue.insert(2, 5, 0xa0);
        queue.insert(2, 4, 0xa0);
        queue.insert(9, 31, 0x20);
        queue.insert(0, 0, 0xf8);
        for (word, n, priority) in
            [(9, 31, 0x20), (2, 4, 0xa0), (2, 5, 0xa0), (31, 27, 0xa0), (0, 0, 0xf8)]
        {
            assert_eq!(queue.first(), Some((word, n)));
            queue.remove(word, n, priority);
        }
        assert!(queue.is_empty());
        assert_eq!(queue.first(), None);
    }

    #[test]
    fn removing_what_is_not_there_changes_nothing() {
        let mut queue = ReadyQueue::new(2);
        queue.insert(1, 3, 0x80);
        queue.remove(1, 4, 0x80);
        queue.remove(0, 3, 0x80);
        queue.remove(1, 3, 0x88);
        queue.remove(77, 3, 0x80);
        assert_eq!(queue.first(), Some((1, 3)));
    }
}
