//! Bytes that wait for a guest: a ring of fixed size, so that nothing an exit puts there takes memory.

/// The most that wait. An index is a `u8`, which wraps where the ring does.
pub(crate) const QUEUE: usize = 1 << u8::BITS;

/// A queue of bytes, the oldest in front.
pub(crate) struct ByteQueue {
    ring: [u8; QUEUE],
    front: u8,
    len: usize,
}

impl ByteQueue {
    pub(crate) const fn new() -> Self {
        Self { ring: [0; QUEUE], front: 0, len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.len >= QUEUE
    }

    /// Adds `byte` at the end; false when the queue is full.
    pub(crate) fn push(&mut self, byte: u8) -> bool {
        if self.is_full() {
            return false;
        }
        let [behind, ..] = self.len.to_le_bytes();
        if let Some(slot) = self.ring.get_mut(usize::from(self.front.wrapping_add(behind))) {
            *slot = byte;
        }
        self.len = self.len.saturating_add(1);
        true
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self) -> Option<u8> {
        self.len = self.len.checked_sub(1)?;
        let byte = self.ring.get(usize::from(self.front)).copied();
        self.front = self.front.wrapping_add(1);
        byte
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_however_often_the_ring_wraps() {
        let mut queue = ByteQueue::new();
        let mut put = (0u8..=255).cycle();
        let mut expected = put.clone();
        for burst in [1, 255, 256, 7, 100, 256, 3] {
            for byte in put.by_ref().take(burst) {
                assert!(queue.push(byte));
            }
            assert_eq!(queue.len(), burst);
            for byte in expected.by_ref().take(burst) {
                assert_eq!(queue.pop(), Some(byte));
            }
            assert!(queue.is_empty());
            assert_eq!(queue.pop(), None);
        }
    }

    #[test]
    fn a_full_queue_takes_no_more_and_loses_nothing() {
        let mut queue = ByteQueue::new();
        assert!(queue.push(9) && queue.pop() == Some(9));
        assert_eq!((0u8..=255).filter(|byte| queue.push(*byte)).count(), QUEUE);
        assert!(queue.is_full() && !queue.push(1));
        assert!((0u8..=255).all(|byte| queue.pop() == Some(byte)));
    }
}
