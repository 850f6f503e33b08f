//! Random code: memory full of random words, and jumps into it.

use super::attempt;
use super::expect::holds;
use super::program::Program;
use super::random::Random;
use super::{access, other_cpus};
use crate::board::Board;
use crate::report::Outcome;
use crate::{boot, mmio, println, ram};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

static SEED: AtomicU64 = AtomicU64::new(0);

/// W: nothing says how it ends.
pub(super) fn run(board: &Board) -> Outcome {
    let seed = board.number("seed").unwrap_or(1);
    println!("seed {seed}: into the wild");
    holds("not into the wild", true)?;
    SEED.store(seed, SeqCst);
    other_cpus(board, || {
        on(0);
        Ok(())
    })
}

/// W: on every CPU.
pub(super) fn on(number: usize) {
    const BYTES: u64 = 256 << 10;
    let mut random = Random::new(SEED.load(SeqCst).wrapping_mul(0x1_0001) + number as u64);
    let end = boot::image().end.next_multiple_of(4096) + BYTES * (number as u64 + 1);
    let start = end - BYTES;
    for address in (start..end).step_by(8) {
        let pair = u64::from(word(&mut random)) << 32 | u64::from(word(&mut random));
        ram::fill(&(address..address + 8), |_| pair);
    }
    attempt::publish(start, BYTES);
    let mut program = Program::at(random, end);
    loop {
        let mut registers = program.registers();
        let entry = start + (program.below(BYTES) & !3);
        let pstate = if program.below(4) == 0 { 0x3c5 } else { 0x5 };
        if program.below(3) == 0 {
            mmio::any(access::at_uart(0) as usize, 4, b'.'.into(), false);
        }
        attempt::enter(entry, pstate, &mut registers);
    }
}

/// A random word: often of the system, of loads and stores, or a call.
fn word(random: &mut Random) -> u32 {
    let bits = random.next() as u32;
    match random.below(8) {
        0 => 0xd500_0000 | bits & 0x003f_ffff,
        1 => bits & !0x0a00_0000 | 0x0800_0000,
        2 => 0xd400_0000 | bits & 3 | bits & 0x1f_ffe0,
        3 => 0xd538_0000 | bits & 0x0007_ffff,
        _ => bits,
    }
}
