//! Says what machine it finds itself on.

use crate::board::Board;
use crate::report::{Outcome, ensure};
use crate::{cpu, println};

/// Prints one line.
pub(super) fn run(board: &Board) -> Outcome {
    println!("hello from a guest: {} cpu(s), {} MiB", cpu::count(), board.ram_bytes() >> 20);
    ensure("the device tree names no CPU", cpu::count() > 0)?;
    ensure("the device tree names no memory", board.ram_bytes() > 0)
}
