//! What a guest has said: the last bytes of its console, for replay and for whoever is attached.

use alloc::boxed::Box;
use alloc::vec;

use axdevice::ByteSink;
use kspin::SpinNoIrq;

/// How much is kept per VM.
const KEPT: usize = 64 << 10;

/// A ring of the last bytes written.
pub(crate) struct History {
    ring: SpinNoIrq<Ring>,
}

struct Ring {
    bytes: Box<[u8]>,
    /// How many bytes were ever written.
    written: u64,
    /// Where the output of its last run begins; none if it never ran.
    start: Option<u64>,
}

impl History {
    pub(crate) fn new() -> Self {
        let bytes = vec![0; KEPT].into_boxed_slice();
        Self { ring: SpinNoIrq::new(Ring { bytes, written: 0, start: None }) }
    }

    /// How many bytes were ever written.
    pub(crate) fn written(&self) -> u64 {
        self.ring.lock().written
    }

    /// Notes that the last run's output begins at `at`.
    pub(crate) fn set_start(&self, at: u64) {
        self.ring.lock().start = Some(at);
    }

    /// Where the output of the last run begins; none if there was none.
    pub(crate) fn start(&self) -> Option<u64> {
        self.ring.lock().start
    }

    /// Copies what stands at `cursor` into `out` and moves the cursor on; a cursor at what is gone
    /// already moves to the oldest byte that is kept.
    pub(crate) fn read(&self, cursor: &mut u64, out: &mut [u8]) -> usize {
        let ring = self.ring.lock();
        let oldest = ring.written.saturating_sub(KEPT as u64);
        *cursor = (*cursor).clamp(oldest, ring.written);
        let available = ring.written.saturating_sub(*cursor);
        let count = out.len().min(usize::try_from(available).unwrap_or(KEPT));
        for (offset, slot) in (0u64..).zip(out.iter_mut().take(count)) {
            *slot = ring.at(cursor.wrapping_add(offset));
        }
        *cursor = cursor.wrapping_add(count as u64);
        count
    }
}

impl Ring {
    fn index(position: u64) -> usize {
        const SIZE: u64 = KEPT as u64;
        usize::try_from(position % SIZE).unwrap_or(0)
    }

    fn at(&self, position: u64) -> u8 {
        self.bytes.get(Self::index(position)).copied().unwrap_or(0)
    }
}

impl ByteSink for History {
    fn put(&self, byte: u8) {
        let mut ring = self.ring.lock();
        let index = Ring::index(ring.written);
        if let Some(slot) = ring.bytes.get_mut(index) {
            *slot = byte;
        }
        ring.written = ring.written.wrapping_add(1);
    }
}
