//! Never comes back: spins with interrupts masked, as a guest that has lost its way does.

use crate::board::Board;
use crate::report::Outcome;
use crate::{cpu, println};

/// Spins for ever.
pub(super) fn run(_board: &Board) -> Outcome {
    cpu::mask_irq();
    println!("spinning");
    loop {
        core::hint::spin_loop();
    }
}
