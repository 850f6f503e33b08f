//! Never comes back: spins with interrupts masked, as a guest that has lost its way does, or sleeps so with `asleep=1`.
//!
//! With `period=MICROSECONDS` its timer is always due within that time, though nothing comes of it: an emulator that runs its
//! CPUs in turn ends a turn when a timer is due, and with none for long, CPUs get long turns that have nothing to do with
//! what the hypervisor gives them.

use crate::board::Board;
use crate::report::Outcome;
use crate::{cpu, println, timer};

/// Spins or sleeps for ever.
pub(super) fn run(board: &Board) -> Outcome {
    if board.argument("asleep").is_some() {
        loop {
            cpu::sleep_until(|| false);
        }
    }
    cpu::mask_irq();
    println!("spinning");
    let Some(period) = board.number("period").map(timer::micros) else {
        loop {
            core::hint::spin_loop();
        }
    };
    let mut deadline = 0;
    loop {
        let now = timer::now();
        if now >= deadline {
            deadline = now + period;
            timer::arm(deadline);
        }
    }
}
