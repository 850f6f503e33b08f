//! HVC and SMC: what they must not do.

use super::attempt::{self, Level, Registers, class};
use super::expect::{done, equal, holds, undefined_at};
use super::words::{hvc, smc};
use crate::board::Board;
use crate::report::Outcome;

/// SMC Calling Convention: an unknown function.
const NOT_SUPPORTED: u64 = u64::MAX;

/// A call of `function` with `arguments` by `word`: x0 after it.
pub(super) fn call(
    word: u32,
    function: u64,
    arguments: [u64; 3],
) -> Result<u64, crate::report::Failure> {
    let [first, second, third] = arguments;
    let at = Registers::marked().with(0, function).with(1, first).with(2, second).with(3, third);
    let after = done("a call", word, at)?;
    for n in 18..31 {
        equal("a register that calls must keep", after.x[n], at.x[n])?;
    }
    Ok(after.x[0])
}

/// A12: function identifiers of firmware, of other hypervisors, of nobody.
pub(super) fn unknown_functions(_: &Board) -> Outcome {
    const FUNCTIONS: [u64; 14] = [
        0x95c1_ba5f,
        0x95c1_ba60,
        0x95c1_ba61,
        0x84c1_ba5f,
        0x8600_0000,
        0xc600_0002,
        0xbf00_ff01,
        0x8000_7fff,
        0x8400_ff01,
        0x3200_0000,
        0xb200_0000,
        0xf200_0000,
        0xffff_ffff,
        0,
    ];
    // Every owner, fast and not, 32 and 64 bits.
    let owners = (0..256u64).map(|top| top << 24 | 0x4321);
    for function in FUNCTIONS.into_iter().chain(owners) {
        for word in [hvc(0), smc(0)] {
            let got = call(word, function, [1, 2, 3])?;
            equal("x0 after an unknown call", got, NOT_SUPPORTED)?;
        }
    }
    Ok(())
}

/// A13: an immediate that means nothing.
pub(super) fn immediates(_: &Board) -> Outcome {
    const PSCI_VERSION: u64 = 0x8400_0000;
    const PSCI_OFF: u64 = 0x8400_0008;
    for immediate in [1, 2, 0x4a48, 0xea1, 0x7fff, 0x8000, 0xffff] {
        for (word, function) in [hvc(immediate), smc(immediate)]
            .into_iter()
            .flat_map(|word| [(word, PSCI_VERSION), (word, PSCI_OFF)])
        {
            let mut registers = Registers::marked().with(0, function);
            let end = attempt::attempt(&[word], &mut registers);
            let refused = end.class() == class::UNKNOWN && end.elr == attempt::place(Level::El1);
            let answered = end.is_done() && registers.x[0] == NOT_SUPPORTED;
            holds("an immediate that is not zero", refused || answered)?;
        }
    }
    Ok(())
}

/// A14: calls are EL1's.
pub(super) fn from_el0(_: &Board) -> Outcome {
    undefined_at("HVC at EL0", Level::El0, hvc(0))?;
    undefined_at("HVC at EL0", Level::El0, hvc(0x1234))?;
    undefined_at("SMC at EL0", Level::El0, smc(0))
}
