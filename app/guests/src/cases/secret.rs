//! One guest hides a word all over its memory; another one, which is given that memory later, looks for anything.

use crate::board::Board;
use crate::report::{Outcome, check, ensure};
use crate::{ivc, println, ram};

/// No instruction, no address, no text.
const SECRET: u64 = 0x5ec2_e75e_c2e7_5ec2;

/// Says how much of its own secret there is still from an earlier life, and fills all free RAM and the channel with it.
pub(super) fn hide(board: &Board) -> Outcome {
    let found: u64 = board.free_ram().map(|range| ram::count(&range, SECRET)).sum();
    println!("found {found} words of the secret");
    for range in board.free_ram() {
        ram::fill(&range, |_| SECRET);
    }
    let words = ivc::bytes() / 8;
    for word in 0..words {
        ivc::store(word * 8, SECRET);
    }
    println!("hid it in {} words of a channel", words);
    let hidden: u64 = board.free_ram().map(|range| ram::count(&range, SECRET)).sum();
    let bytes: u64 = board.free_ram().map(|range| range.end - range.start).sum();
    check("words of the secret", hidden, bytes / 8)
}

/// All free RAM and the channel are zero: first as the memory itself has it, past the caches, then through them.
pub(super) fn seek(board: &Board) -> Outcome {
    for range in board.free_ram() {
        println!("seeks in {:#x} to {:#x}", range.start, range.end);
        let bare = ram::find_nonzero_uncached(&range);
        check("the address of a word that is not zero, past the caches", bare.unwrap_or(0), 0u64)?;
        let mismatch = ram::find_mismatch(&range, |_| 0);
        let cached = mismatch.map_or(0, |mismatch| mismatch.address);
        check("the address of a word that is not zero, through the caches", cached, 0u64)?;
    }
    let clean = (0..ivc::bytes() / 8).all(|word| ivc::load(word * 8) == 0);
    ensure("a word of the channel is not zero", clean)
}
