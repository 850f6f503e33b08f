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
        Row::of(name, &mut core::array::from_fn::<u64, SAMPLES, _>(|_| sample()))
    }

    /// The row of `samples`, in ticks, at least one.
    pub(super) fn of(name: &'static str, samples: &mut [u64]) -> Row {
        samples.sort_unstable();
        Row {
            name,
            min: samples[0],
            median: samples[samples.len() / 2],
            mean: samples.iter().sum::<u64>() / samples.len() as u64,
            max: samples[samples.len() - 1],
        }
    }

    /// Prints it in nanoseconds.
    pub(in crate::cases) fn print(&self) {
        let [min, median, mean, max] =
            [self.min, self.median, self.mean, self.max].map(timer::nanos);
        println!("BENCH {} min={min} median={median} mean={mean} max={max} ns", self.name);
    }
}

/// The rows that were measured, printed when nothing is left to measure.
pub(super) struct Table {
    rows: [Option<Row>; Table::ROOM],
    count: usize,
}

impl Table {
    const ROOM: usize = 24;

    /// No rows.
    pub(super) fn new() -> Table {
        Table { rows: [const { None }; Table::ROOM], count: 0 }
    }

    /// One more row.
    pub(super) fn add(&mut self, row: Row) {
        self.rows[self.count] = Some(row);
        self.count += 1;
    }

    /// Prints them all.
    pub(super) fn print(&self) {
        self.rows.iter().flatten().for_each(Row::print);
    }
}
