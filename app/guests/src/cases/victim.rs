//! What no other guest may change: a heartbeat by timer, a checksum of memory, registers, how late the timer came.
//!
//! Runs until it is stopped, and says four times a second how it is:
//! `VICTIM beat=100 sum=0x.. bad=0 late=80,20,0,0,0,0,0 max_us=90`. `late` counts interrupts that came up to 100 us, 300 us,
//! 1 ms, 3 ms, 10 ms and 100 ms after their deadline, and later; `max_us` is since the last line.

use super::Completion;
use super::hostile::state::Controls;
use super::leak::contents::Contents;
use crate::board::Board;
use crate::report::{Outcome, fail};
use crate::{cpu, gic, println, ram, timer};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

const PERIOD_MICROS: u64 = 10_000;
const BEATS_PER_LINE: u64 = 25;
/// Memory that is looked after, and how much of it at each beat.
const WATCHED_BYTES: u64 = 1 << 20;
const CHUNK_BYTES: u64 = 32 << 10;
const LIMITS_US: [u64; 6] = [100, 300, 1_000, 3_000, 10_000, 100_000];

static FIRED: AtomicBool = AtomicBool::new(false);
static TAKEN_AT: AtomicU64 = AtomicU64::new(0);
static FOREIGN: AtomicU64 = AtomicU64::new(0);

/// Notes when the timer's interrupt came.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid != timer::INTID {
        FOREIGN.fetch_add(1, Relaxed);
        return Completion::Done;
    }
    TAKEN_AT.store(timer::now(), Relaxed);
    timer::stop();
    FIRED.store(true, Relaxed);
    Completion::Done
}

/// How late the timer was.
struct Lateness {
    counts: [u64; LIMITS_US.len() + 1],
    max_us: u64,
}

impl Lateness {
    fn note(&mut self, ticks: u64) {
        let late_us = timer::nanos(ticks) / 1000;
        let place = LIMITS_US.iter().position(|&limit| late_us <= limit).unwrap_or(LIMITS_US.len());
        self.counts[place] += 1;
        self.max_us = self.max_us.max(late_us);
    }
}

/// The watched memory.
struct Watched {
    range: Range<u64>,
    next: u64,
    /// Of the part of this pass that was read, and of the whole of the last.
    partial: u64,
    sum: u64,
}

/// FNV-1a over words.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn pattern(address: u64) -> u64 {
    (address ^ 0x0005_7a7e_0000).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Watched {
    fn new(board: &Board) -> Option<Watched> {
        let range = board.free_ram().find(|range| range.end - range.start >= WATCHED_BYTES)?;
        let range = range.start..range.start + WATCHED_BYTES;
        ram::fill(&range, pattern);
        let mut watched = Watched { next: range.start, range, partial: BASIS, sum: 0 };
        while watched.sum == 0 {
            watched.read_on();
        }
        Some(watched)
    }

    fn read_on(&mut self) {
        let end = self.next + CHUNK_BYTES;
        self.partial = ram::fold(&(self.next..end), self.partial, |sum, word| {
            (sum ^ word).wrapping_mul(0x100_0000_01b3)
        });
        self.next = end;
        if end >= self.range.end {
            (self.sum, self.next, self.partial) = (self.partial, self.range.start, BASIS);
        }
    }
}

/// `pattern=WORD` makes its registers differ from those of other victims.
pub(super) fn run(board: &Board) -> Outcome {
    let Some(mut watched) = Watched::new(board) else { return fail("too little memory") };
    let contents = Contents::load(board.argument("pattern").unwrap_or("victim"));
    let controls = Controls::now();
    let mut late = Lateness { counts: [0; LIMITS_US.len() + 1], max_us: 0 };
    let mut bad = 0;
    gic::enable(timer::INTID);
    cpu::unmask_irq();
    for beat in 1u64.. {
        let deadline = timer::now() + timer::micros(PERIOD_MICROS);
        FIRED.store(false, Relaxed);
        timer::arm(deadline);
        cpu::sleep_until(|| FIRED.load(Relaxed));
        late.note(TAKEN_AT.load(Relaxed).saturating_sub(deadline));
        watched.read_on();
        if let Err(failure) = contents.verify().and_then(|()| controls.verify()) {
            bad += 1;
            println!("VICTIM beat={beat}: {failure}");
        }
        if beat % BEATS_PER_LINE == 0 {
            say(beat, watched.sum, bad + FOREIGN.load(Relaxed), &mut late);
        }
    }
    Ok(())
}

fn say(beat: u64, sum: u64, bad: u64, late: &mut Lateness) {
    let [a, b, c, d, e, f, g] = late.counts;
    let max_us = core::mem::take(&mut late.max_us);
    println!(
        "VICTIM beat={beat} sum={sum:#x} bad={bad} late={a},{b},{c},{d},{e},{f},{g} max_us={max_us}"
    );
}
