//! What a hostile case expects. With the boot argument `sabotage` it expects something else each time, so that a case
//! that could not fail is one that still passes.

use super::attempt::{self, End, FROM_EL1, Level, Registers, attempt_at, class};
use crate::println;
use crate::report::{self, Outcome, Word};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

static SABOTAGE: AtomicBool = AtomicBool::new(false);

/// From here on every expectation is a wrong one.
pub(crate) fn sabotage() {
    SABOTAGE.store(true, Relaxed);
}

/// Fails unless `got` equals `want`.
pub(crate) fn equal(what: &'static str, got: impl Into<Word>, want: impl Into<Word>) -> Outcome {
    let (Word(got), Word(want)) = (got.into(), want.into());
    report::check(what, got, if SABOTAGE.load(Relaxed) { want ^ 1 } else { want })
}

/// Fails unless `holds`.
pub(crate) fn holds(what: &'static str, holds: bool) -> Outcome {
    report::ensure(what, holds != SABOTAGE.load(Relaxed))
}

/// Fails unless `end` is an exception of `class` to vector `vector`, at the first word.
fn exception(what: &'static str, level: Level, end: &End, class: u64, word: u32) -> Outcome {
    let vector = if level == Level::El1 { FROM_EL1 } else { attempt::FROM_EL0 };
    let right = end.class() == class && end.vector == vector && end.elr == attempt::place(level);
    said(what, right, end, word)
}

/// `holds`, after the details where it does not.
pub(crate) fn said(what: &'static str, right: bool, end: &End, word: u32) -> Outcome {
    let outcome = holds(what, right);
    if outcome.is_err() {
        let End { vector, esr, elr, far, spsr } = end;
        println!(
            "word {word:#010x}: vector {vector}, ESR {esr:#x}, ELR {elr:#x}, FAR {far:#x}, SPSR {spsr:#x}"
        );
    }
    outcome
}

/// `word` at `level` is undefined there, and is reported where it stands.
pub(crate) fn undefined_at(what: &'static str, level: Level, word: u32) -> Outcome {
    let end = attempt_at(level, &[word], &mut Registers::marked());
    exception(what, level, &end, class::UNKNOWN, word)
}

/// `word` at EL1 is undefined.
pub(crate) fn undefined(what: &'static str, word: u32) -> Outcome {
    undefined_at(what, Level::El1, word)
}

/// `word` is executed; gives the registers it leaves.
pub(crate) fn done(
    what: &'static str,
    word: u32,
    mut registers: Registers,
) -> Result<Registers, report::Failure> {
    let end = attempt::attempt(&[word], &mut registers);
    said(what, end.is_done(), &end, word)?;
    Ok(registers)
}

/// `word` is refused with a data abort, which tells `far` if that is known, and leaves every register as it was.
pub(crate) fn data_abort(
    what: &'static str,
    word: u32,
    registers: Registers,
    far: Option<u64>,
) -> Outcome {
    let mut after = registers;
    let end = attempt::attempt(&[word], &mut after);
    exception(what, Level::El1, &end, class::DATA_ABORT, word)?;
    said("FAR_EL1", far.is_none_or(|far| end.far == far), &end, word)?;
    unchanged(&registers, &after)
}

/// No register is another than before.
pub(crate) fn unchanged(before: &Registers, after: &Registers) -> Outcome {
    for (n, (got, want)) in after.x.iter().zip(before.x).enumerate() {
        if *got != want {
            println!("X{n}");
            return report::check("a register of a refused instruction", *got, want);
        }
    }
    report::check("the stack pointer of a refused instruction", after.sp, before.sp)
}

/// `word` ends in one of the two ways a hypervisor may choose: refused, or executed.
pub(crate) fn done_or_refused(what: &'static str, word: u32, registers: &mut Registers) -> Outcome {
    let end = attempt::attempt(&[word], registers);
    let refused = matches!(end.class(), class::DATA_ABORT | class::UNKNOWN);
    said(what, end.is_done() || refused, &end, word)
}

/// Entering `pc` is refused with a fetch abort there.
pub(crate) fn fetch_abort(what: &'static str, pc: u64) -> Result<End, report::Failure> {
    let end = attempt::enter(pc, Level::El1 as u64, &mut Registers::marked());
    let right = end.class() == class::FETCH_ABORT && end.far == pc && end.elr == pc;
    said(what, right, &end, 0)?;
    Ok(end)
}

/// Says that the guest is about to hang for good; sabotaged, it does not.
pub(crate) fn wedge(what: &'static str) -> Outcome {
    holds("not wedged", true)?;
    println!("wedged: {what}");
    Ok(())
}
