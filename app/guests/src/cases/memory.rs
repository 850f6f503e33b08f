//! Every byte of free RAM holds what was written there, at its own address.

use crate::board::Board;
use crate::println;
use crate::ram::{self, Mismatch};
use crate::report::{Outcome, check, ensure};
use core::ops::Range;

/// Mixes the address so that every byte of the word depends on every address bit.
fn pattern(address: u64) -> u64 {
    (address ^ address >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn inverted(address: u64) -> u64 {
    !pattern(address)
}

/// Writes all of it before reading any of it, so that two addresses on one byte are found.
pub(super) fn run(board: &Board) -> Outcome {
    for (name, word) in [("pattern", pattern as fn(u64) -> u64), ("inverted", inverted)] {
        for range in board.free_ram() {
            ram::fill(&range, word);
        }
        for range in board.free_ram() {
            println!("{name}: {:#x} to {:#x}", range.start, range.end);
            holds("a word of RAM", &range, word)?;
        }
    }
    board.free_ram().try_for_each(|range| zeroing(&range))
}

/// DC ZVA on every other block of the first mebibyte at most: the blocks between keep their pattern.
fn zeroing(range: &Range<u64>) -> Outcome {
    let Some(block) = ram::zero_block_bytes() else { return Ok(()) };
    let start = range.start.next_multiple_of(2 * block);
    let end = range.end.min(start + (1 << 20)) & !(2 * block - 1);
    if start >= end {
        return Ok(());
    }
    ram::fill(&(start..end), pattern);
    for address in (start..end).step_by(2 * block as usize) {
        ram::zero_block(address);
    }
    let striped = |address: u64| if address & block == 0 { 0 } else { pattern(address) };
    holds("a word around DC ZVA", &(start..end), striped)
}

fn holds(what: &'static str, range: &Range<u64>, word: impl Fn(u64) -> u64) -> Outcome {
    ensure(
        "a range is not made of words",
        range.start.is_multiple_of(8) && range.end.is_multiple_of(8),
    )?;
    match ram::find_mismatch(range, &word) {
        None => Ok(()),
        Some(Mismatch { address, got }) => {
            println!("at {address:#x}");
            check(what, got, word(address))
        }
    }
}
