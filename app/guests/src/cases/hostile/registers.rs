//! System registers and instructions that a guest does not have, and those of which it has its own.

use super::attempt::{self, FROM_EL0, FROM_EL1, Level, Registers, class};
use super::expect::{done, equal, holds, undefined};
use super::words::{Reg, word};
use crate::board::Board;
use crate::cases::leak::contents::Contents;
use crate::registers as plain;
use crate::report::{Failure, Outcome};
use crate::sysreg::{
    CNTKCTL_EL1, CONTEXTIDR_EL1, ID_AA64DFR0_EL1, ID_AA64PFR0_EL1, ID_AA64PFR1_EL1, PAR_EL1,
    SP_EL0, TPIDR_EL0, TPIDR_EL1, TPIDRRO_EL0,
};
use crate::timer;

/// Long enough for the victims to have run on this CPU in between.
const WHILE_MICROS: u64 = 60_000;

/// Neither direction of `reg` exists.
fn absent(what: &'static str, reg: Reg) -> Outcome {
    undefined(what, reg.read(3))?;
    undefined(what, reg.write(3))
}

/// The value of `reg`.
pub(super) fn read(what: &'static str, reg: Reg) -> Result<u64, Failure> {
    Ok(done(what, reg.read(3), Registers::marked())?.x[3])
}

/// Writes `value` to `reg`.
pub(super) fn write(what: &'static str, reg: Reg, value: u64) -> Outcome {
    done(what, reg.write(3), Registers::marked().with(3, value)).map(|_| ())
}

/// Every CRm and op2.
fn crm_op2() -> impl Iterator<Item = (u32, u32)> {
    (0..16).flat_map(|crm| (0..8).map(move |op2| (crm, op2)))
}

/// A1: S3_x_C11_*, S3_x_C15_* and the system instructions of the same numbers.
pub(super) fn implementation_defined(_: &Board) -> Outcome {
    for op0 in [1, 3] {
        for (op1, crn) in (0..8).flat_map(|op1| [(op1, 11), (op1, 15)]) {
            for (crm, op2) in crm_op2() {
                absent("an implementation-defined register", Reg(op0, op1, crn, crm, op2))?;
            }
        }
    }
    Ok(())
}

/// A2: the PMU.
pub(super) fn performance_monitors(_: &Board) -> Outcome {
    equal("ID_AA64DFR0_EL1.PMUVer", ID_AA64DFR0_EL1::read() >> 8 & 0xf, 0u64)?;
    for (crm, op2) in crm_op2() {
        match crm {
            8..12 => absent("PMEVCNTRn_EL0", Reg(3, 3, 14, crm, op2))?,
            12..15 => {
                absent("PMCR_EL0 and its like", Reg(3, 3, 9, crm, op2))?;
                absent("PMEVTYPERn_EL0", Reg(3, 3, 14, crm, op2))?;
                absent("PMINTENSET_EL1 and its like", Reg(3, 0, 9, crm, op2))?;
            }
            _ => {}
        }
    }
    absent("PMCCFILTR_EL0", Reg(3, 3, 14, 15, 7))
}

/// A3: the activity monitors.
pub(super) fn activity_monitors(_: &Board) -> Outcome {
    equal("ID_AA64PFR0_EL1.AMU", ID_AA64PFR0_EL1::read() >> 44 & 0xf, 0u64)?;
    for (crm, op2) in crm_op2().filter(|(crm, _)| *crm >= 2) {
        absent("AMCR_EL0 and its like", Reg(3, 3, 13, crm, op2))?;
    }
    Ok(())
}

/// A4a: debug registers keep nothing.
pub(super) fn debug_registers(_: &Board) -> Outcome {
    const MDSCR_EL1: Reg = Reg(2, 0, 0, 2, 2);
    const OSLSR_EL1: Reg = Reg(2, 0, 1, 1, 4);
    const KEEP_NOTHING: [Reg; 6] = [
        MDSCR_EL1,
        Reg(2, 0, 0, 2, 0),
        Reg(2, 0, 0, 0, 2),
        Reg(2, 0, 0, 3, 2),
        Reg(2, 0, 0, 6, 2),
        Reg(2, 0, 1, 3, 4),
    ];
    let breakpoints = (0..2).flat_map(|n| (4..8).map(move |op2| Reg(2, 0, 0, n, op2)));
    for reg in KEEP_NOTHING.into_iter().chain(breakpoints) {
        write("a debug register", reg, u64::MAX)?;
        equal("a debug register", read("a debug register", reg)?, 0u64)?;
    }
    write("OSLAR_EL1", Reg(2, 0, 1, 0, 4), 1)?;
    equal("OSLSR_EL1", read("OSLSR_EL1", OSLSR_EL1)?, 8u64)
}

/// A4b: a single step that was asked for never happens.
pub(super) fn single_step(_: &Board) -> Outcome {
    const SS: u64 = 1 << 21;
    const DEBUG_MASKED: u64 = 1 << 9;
    write("MDSCR_EL1", Reg(2, 0, 0, 2, 2), 0xa001)?;
    for level in [Level::El0, Level::El1] {
        let start = attempt::write(&[word!("nop"), word!("nop")], level);
        let pstate = level as u64 & !DEBUG_MASKED | SS;
        let end = attempt::enter(start, pstate, &mut Registers::marked());
        holds("the words after a step", end.is_done())?;
    }
    Ok(())
}

/// A4c: a software breakpoint is the guest's own exception.
pub(super) fn software_breakpoint(_: &Board) -> Outcome {
    for (level, vector) in [(Level::El0, FROM_EL0), (Level::El1, FROM_EL1)] {
        let end = attempt::attempt_at(level, &[word!("brk #7")], &mut Registers::marked());
        equal("class of BRK", end.class(), class::BREAKPOINT)?;
        equal("its vector", end.vector, vector)?;
        equal("its comment", end.esr & 0xffff, 7u64)?;
        undefined("HLT", word!("hlt #1"))?;
    }
    Ok(())
}

/// A5: ACTLR_EL1.
pub(super) fn auxiliary_control(_: &Board) -> Outcome {
    const ACTLR_EL1: Reg = Reg(3, 0, 1, 0, 1);
    write("ACTLR_EL1", ACTLR_EL1, u64::MAX)?;
    equal("ACTLR_EL1", read("ACTLR_EL1", ACTLR_EL1)?, 0u64)
}

/// CPACR_EL1: nothing of FP, SVE and SME is the guest's own trap.
fn open_everything() -> Outcome {
    write("CPACR_EL1", Reg(3, 0, 1, 0, 2), 3 << 16 | 3 << 20 | 3 << 24)
}

/// A6a: SVE.
pub(super) fn scalable_vectors(_: &Board) -> Outcome {
    open_everything()?;
    equal("ID_AA64PFR0_EL1.SVE", ID_AA64PFR0_EL1::read() >> 32 & 0xf, 0u64)?;
    equal("ID_AA64ZFR0_EL1", read("ID_AA64ZFR0_EL1", Reg(3, 0, 0, 4, 4))?, 0u64)?;
    absent("ZCR_EL1", Reg(3, 0, 1, 2, 0))?;
    undefined("PTRUE", word!("ptrue p0.b"))?;
    undefined("RDVL", word!("rdvl x0, #1"))?;
    undefined("STR Z", word!("str z0, [x2]"))
}

/// A6b: SME.
pub(super) fn matrix_extension(_: &Board) -> Outcome {
    open_everything()?;
    equal("ID_AA64PFR1_EL1.SME", ID_AA64PFR1_EL1::read() >> 24 & 0xf, 0u64)?;
    absent("SMCR_EL1", Reg(3, 0, 1, 2, 6))?;
    absent("SVCR", Reg(3, 3, 4, 2, 2))?;
    absent("TPIDR2_EL0", Reg(3, 3, 13, 0, 5))?;
    undefined("SMSTART", word!("smstart"))?;
    undefined("ZERO ZA", word!("zero {{za}}"))
}

/// A7: the vector registers are zero when a guest starts, and keep what it puts there.
pub(super) fn vectors(_: &Board) -> Outcome {
    for value in plain::vectors() {
        equal("a vector register of a new vCPU", value, 0u64)?;
    }
    let secret = core::array::from_fn(|n| 0x5ec2_e700_0000_0000 + n as u64);
    plain::set_vectors(&secret);
    timer::delay(WHILE_MICROS);
    for (got, want) in plain::vectors().into_iter().zip(secret) {
        equal("a vector register", got, want)?;
    }
    Ok(())
}

/// A8a: thread registers and the like: nobody else's at the start, and kept.
pub(super) fn thread_registers(_: &Board) -> Outcome {
    let fresh = [
        TPIDRRO_EL0::read(),
        CONTEXTIDR_EL1::read(),
        CNTKCTL_EL1::read(),
        PAR_EL1::read(),
        SP_EL0::read(),
    ];
    for value in fresh {
        equal("a register of a new vCPU", value, 0u64)?;
    }
    let contents = Contents::load("hostile");
    timer::delay(WHILE_MICROS);
    let outcome = contents.verify();
    TPIDR_EL1::write(0);
    outcome?;
    equal("TPIDR_EL0 after all", TPIDR_EL0::read() == 0, false)
}

/// A8b: pointer-authentication keys.
pub(super) fn authentication_keys(_: &Board) -> Outcome {
    const KEYS: [Reg; 10] = [
        Reg(3, 0, 2, 1, 0),
        Reg(3, 0, 2, 1, 1),
        Reg(3, 0, 2, 1, 2),
        Reg(3, 0, 2, 1, 3),
        Reg(3, 0, 2, 2, 0),
        Reg(3, 0, 2, 2, 1),
        Reg(3, 0, 2, 2, 2),
        Reg(3, 0, 2, 2, 3),
        Reg(3, 0, 2, 3, 0),
        Reg(3, 0, 2, 3, 1),
    ];
    let fields = read("ID_AA64ISAR1_EL1", Reg(3, 0, 0, 6, 1))? & 0xff00_0ff0;
    let fields = fields | read("ID_AA64ISAR2_EL1", Reg(3, 0, 0, 6, 2))? & 0xff00;
    if fields == 0 {
        return KEYS.into_iter().try_for_each(|key| absent("a key that there is none of", key));
    }
    for key in KEYS {
        equal("a key of a new vCPU", read("a key", key)?, 0u64)?;
    }
    for (n, key) in (1u64..).zip(KEYS) {
        write("a key", key, n.wrapping_mul(0x0123_4567_89ab_cdef))?;
    }
    timer::delay(WHILE_MICROS);
    for (n, key) in (1u64..).zip(KEYS) {
        equal("a key", read("a key", key)?, n.wrapping_mul(0x0123_4567_89ab_cdef))?;
    }
    Ok(())
}

/// A9: memory tagging.
pub(super) fn memory_tags(_: &Board) -> Outcome {
    equal("ID_AA64PFR1_EL1.MTE", ID_AA64PFR1_EL1::read() >> 8 & 0xf, 0u64)?;
    for reg in [Reg(3, 0, 1, 0, 5), Reg(3, 0, 1, 0, 6), Reg(3, 0, 5, 6, 0), Reg(3, 0, 5, 6, 1)] {
        absent("RGSR_EL1, GCR_EL1, TFSR_EL1 or TFSRE0_EL1", reg)?;
    }
    // Of the identification space, where FEAT_IDST may report what does not exist as a trapped access.
    let end = attempt::attempt(&[Reg(3, 1, 0, 0, 4).read(3)], &mut Registers::marked());
    let absent = matches!(end.class(), class::UNKNOWN | class::SYSTEM_REGISTER);
    holds("GMID_EL1 is absent", absent)
}

/// A10: limited-ordering regions.
pub(super) fn ordering_regions(_: &Board) -> Outcome {
    for op2 in [0, 1, 2, 3, 7] {
        absent("LORSA_EL1 and its like", Reg(3, 0, 10, 4, op2))?;
    }
    Ok(())
}

/// A11a: every register of EL2, EL3 and their aliases.
pub(super) fn higher_levels(_: &Board) -> Outcome {
    for (op1, crn) in (4..8).flat_map(|op1| (0..16).map(move |crn| (op1, crn))) {
        for (crm, op2) in crm_op2() {
            absent("a register of EL2 or EL3", Reg(3, op1, crn, crm, op2))?;
        }
    }
    Ok(())
}

/// A11b: translation and TLB maintenance of EL2 and EL3.
pub(super) fn higher_maintenance(_: &Board) -> Outcome {
    for (op1, crn) in [4, 6].into_iter().flat_map(|op1| [(op1, 7), (op1, 8), (op1, 9)]) {
        for (crm, op2) in crm_op2() {
            undefined("maintenance of EL2 or EL3", Reg(1, op1, crn, crm, op2).write(3))?;
        }
    }
    Ok(())
}
