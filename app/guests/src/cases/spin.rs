//! Never comes back: spins with interrupts masked, as a guest that has lost its way does, or sleeps so with `asleep=1`.

use crate::board::Board;
use crate::report::Outcome;
use crate::{cpu, println};

/// Spins or sleeps for ever.
pub(super) fn run(board: &Board) -> Outcome {
    if board.argument("asleep").is_some() {
        loop {
            cpu::sleep_until(|| false);
        }
    }
    cpu::mask_irq();
    println!("spinning");
    loop {
        core::hint::spin_loop();
    }
}
