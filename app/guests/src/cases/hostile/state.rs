//! The registers of EL1 that this guest has set keep what it put there while others run on its CPU.

use super::expect::equal;
use crate::board::Board;
use crate::cpu;
use crate::report::{Outcome, check};
use crate::timer;
use core::arch::asm;

/// Long enough for the victims to have run on this CPU in between.
const WHILE_MICROS: u64 = 60_000;

/// A register and bits of it that can be anything while nothing but a loop runs.
struct Cell {
    name: &'static str,
    read: fn() -> u64,
    write: fn(u64),
    flip: u64,
}

macro_rules! cells {
    ($($name:literal $flip:expr,)*) => {
        [$(Cell {
            name: $name,
            read: || {
                let value;
                // SAFETY: reading a register touches no memory.
                unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack)) };
                value
            },
            write: |value| {
                // SAFETY: no bit of `flip` matters to a loop with interrupts masked, and they all come back.
                unsafe { asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value, options(nostack)) };
            },
            flip: $flip,
        }),*]
    };
}

/// Control, which stays as it is in a guest that changes nothing. UCI; FPEN at EL0; an ASID; TBI1; a type that no mapping uses;
/// where exceptions go, of which there are none.
const CONTROLS: [Cell; 6] = cells! {
    "SCTLR_EL1" 1 << 26,
    "CPACR_EL1" 1 << 21,
    "TTBR0_EL1" 0x5a << 48,
    "TCR_EL1" 1 << 38,
    "MAIR_EL1" 0x44 << 56,
    "VBAR_EL1" 0x0000_0012_3456_7800,
};

/// What victims have other values in.
const OTHERS: [Cell; 13] = cells! {
    "TTBR1_EL1" 0x0000_0012_3456_7000,
    "ESR_EL1" 0x1234_5678,
    "FAR_EL1" 0x1234_5678_9abc_def0,
    "ELR_EL1" 0x1234_5678_9abc_def0,
    "SPSR_EL1" 0xf000_0000,
    "PAR_EL1" 0x0000_1234_5678_9000,
    "CONTEXTIDR_EL1" 0x1234_5678,
    "TPIDR_EL0" 0x1234_5678_9abc_def0,
    "TPIDR_EL1" 0x1234_5678_9abc_def0,
    "TPIDRRO_EL0" 0x1234_5678_9abc_def0,
    "CNTKCTL_EL1" 0x3f0,
    "CSSELR_EL1" 1,
    "CNTV_CVAL_EL0" 0x1234_5678_9abc_def0,
};

/// A8c: flips bits in each, waits, and finds them as they were.
pub(super) fn kept(_: &Board) -> Outcome {
    cpu::mask_irq();
    let cells: [&Cell; 19] =
        core::array::from_fn(|n| CONTROLS.get(n).unwrap_or(&OTHERS[n.saturating_sub(6)]));
    let own = cells.map(|cell| (cell.read)());
    for (cell, own) in cells.iter().zip(own) {
        (cell.write)(own ^ cell.flip);
    }
    timer::delay(WHILE_MICROS);
    let after = cells.map(|cell| (cell.read)());
    for (cell, own) in cells.iter().zip(own) {
        (cell.write)(own);
    }
    for ((cell, own), after) in cells.iter().zip(own).zip(after) {
        equal(cell.name, after, own ^ cell.flip)?;
    }
    Ok(())
}

/// The controls of a guest that changes none of them.
pub(in crate::cases) struct Controls([u64; CONTROLS.len()]);

impl Controls {
    pub(in crate::cases) fn now() -> Controls {
        Controls(CONTROLS.each_ref().map(|cell| (cell.read)()))
    }

    /// They are what they were.
    pub(in crate::cases) fn verify(&self) -> Outcome {
        let mut cells = CONTROLS.iter().zip(self.0);
        cells.try_for_each(|(cell, own)| check(cell.name, (cell.read)(), own))
    }
}
