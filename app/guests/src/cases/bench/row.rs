//! One line of the table: samples and their statistics.

use crate::{println, timer};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Measurements for one row.
pub(in crate::cases) const SAMPLES: usize = 256;

static STRANGERS: AtomicU64 = AtomicU64::new(0);

/// Counts an interrupt that was not the one being measured.
pub(super) fn note_stranger() {
    STRANGERS.fetch_add(1, Relaxed);
}

/// How many there were.
pub(super) fn strangers() -> u64 {
    STRANGERS.load(Relaxed)
}

/// A row's figures, in ticks.
pub(in crate::cases) struct Row {
    name: &'static str,
    min: u64,
    median: u64,
    mean: u64,
    max: u64,
}

impl Row {
    /// Takes the samples one by one from `sample`, in ticks.
    pub(in crate::cases) fn measure(name: &'static str, mut sample: impl FnMut() -> u64) -> Row {
        let mut ticks: [u64; SAMPLES] = core::array::from_fn(|_| sample());
        ticks.sort_unstable();
        Row {
            name,
            min: ticks[0],
            median: ticks[SAMPLES / 2],
            mean: ticks.iter().sum::<u64>() / SAMPLES as u64,
            max: ticks[SAMPLES - 1],
        }
    }

    /// Prints it in nanoseconds.
    pub(in crate::cases) fn print(&self) {
        let [min, median, mean, max] =
            [self.min, self.median, self.mean, self.max].map(timer::nanos);
        println!("BENCH {} min={min} median={median} mean={mean} max={max} ns", self.name);
    }
}
