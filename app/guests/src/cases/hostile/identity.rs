//! What the ID registers show is there, and what they hide is not.

use super::attempt::{self, Level, Registers, class};
use super::expect::{equal, said};
use super::registers::read;
use super::words::{Reg, word};
use crate::board::Board;
use crate::ram;
use crate::report::{Outcome, fail};

/// A field of an ID register: CRm, op2, lowest bit.
#[derive(Clone, Copy)]
struct Field(u32, u32, u32);

/// What is hidden reads as absent.
const HIDDEN: [(&str, Field, u64); 23] = [
    ("EL2", Field(4, 0, 8), 0),
    ("EL3", Field(4, 0, 12), 0),
    ("RAS", Field(4, 0, 28), 0),
    ("SVE", Field(4, 0, 32), 0),
    ("SEL2", Field(4, 0, 36), 0),
    ("MPAM", Field(4, 0, 40), 0),
    ("AMU", Field(4, 0, 44), 0),
    ("RME", Field(4, 0, 52), 0),
    ("MTE", Field(4, 1, 8), 0),
    ("RAS_frac", Field(4, 1, 12), 0),
    ("MPAM_frac", Field(4, 1, 16), 0),
    ("SME", Field(4, 1, 24), 0),
    ("NMI", Field(4, 1, 36), 0),
    ("GCS", Field(4, 1, 44), 0),
    ("TraceVer", Field(5, 0, 4), 0),
    ("PMUVer", Field(5, 0, 8), 0),
    ("PMSVer", Field(5, 0, 32), 0),
    ("TraceFilt", Field(5, 0, 40), 0),
    ("TraceBuffer", Field(5, 0, 44), 0),
    ("BRBE", Field(5, 0, 52), 0),
    ("WFxT", Field(6, 2, 0), 0),
    ("MOPS", Field(6, 2, 16), 0),
    ("LO", Field(7, 1, 16), 0),
];

/// An instruction that exists where `field` is at least `least`.
struct Feature {
    name: &'static str,
    field: Field,
    least: u64,
    word: u32,
}

const fn feature(name: &'static str, field: Field, least: u64, word: u32) -> Feature {
    Feature { name, field, least, word }
}

/// X2 points to memory, the other registers to nothing.
fn features() -> [Feature; 31] {
    let isar0 = |low| Field(6, 0, low);
    let isar1 = |low| Field(6, 1, low);
    [
        feature("AES", isar0(4), 1, word!("aese v0.16b, v0.16b")),
        feature("PMULL", isar0(4), 2, word!("pmull v0.1q, v0.1d, v0.1d")),
        feature("SHA1", isar0(8), 1, word!("sha1h s0, s0")),
        feature("SHA256", isar0(12), 1, word!("sha256su0 v0.4s, v0.4s")),
        feature("SHA512", isar0(12), 2, word!("sha512su0 v0.2d, v0.2d")),
        feature("CRC32", isar0(16), 1, word!("crc32b w0, w0, w0")),
        feature("LSE", isar0(20), 2, word!("ldadd w3, w4, [x2]")),
        feature("RDM", isar0(28), 1, word!("sqrdmlah v0.4s, v0.4s, v0.4s")),
        feature("SHA3", isar0(32), 1, word!("eor3 v0.16b, v0.16b, v0.16b, v0.16b")),
        feature("SM3", isar0(36), 1, word!("sm3ss1 v0.4s, v0.4s, v0.4s, v0.4s")),
        feature("SM4", isar0(40), 1, word!("sm4e v0.4s, v0.4s")),
        feature("DotProd", isar0(44), 1, word!("udot v0.4s, v0.16b, v0.16b")),
        feature("FHM", isar0(48), 1, word!("fmlal v0.4s, v0.4h, v0.4h")),
        feature("FlagM", isar0(52), 1, word!("cfinv")),
        feature("FlagM2", isar0(52), 2, word!("axflag")),
        feature("TLBIOS", isar0(56), 1, word!("tlbi vmalle1os")),
        feature("RNG", isar0(60), 1, word!("mrs x3, S3_3_C2_C4_0")),
        feature("JSCVT", isar1(12), 1, word!("fjcvtzs w0, d0")),
        feature("FCMA", isar1(16), 1, word!("fcadd v0.4s, v0.4s, v0.4s, #90")),
        feature("LRCPC", isar1(20), 1, word!("ldapr w3, [x2]")),
        feature("LRCPC2", isar1(20), 2, word!("ldapur w3, [x2]")),
        feature("FRINTTS", isar1(32), 1, word!("frint32z d0, d0")),
        feature("SB", isar1(36), 1, word!("sb")),
        feature("BF16", isar1(44), 1, word!("bfdot v0.4s, v0.8h, v0.8h")),
        feature("I8MM", isar1(52), 1, word!("smmla v0.4s, v0.16b, v0.16b")),
        feature("DPB", isar1(0), 1, word!("dc cvap, x2")),
        feature("DPB2", isar1(0), 2, word!("dc cvadp, x2")),
        feature("PAN", Field(7, 1, 20), 1, word!("msr pan, #0")),
        feature("UAO", Field(7, 2, 4), 1, word!("msr uao, #0")),
        feature("DIT", Field(4, 0, 48), 1, word!("msr dit, #0")),
        feature("SSBS", Field(4, 1, 4), 2, word!("msr ssbs, #0")),
    ]
}

fn value(Field(crm, op2, low): Field) -> Result<u64, crate::report::Failure> {
    Ok(read("an ID register", Reg(3, 0, 0, crm, op2))? >> low & 0xf)
}

/// A23: every ID register reads; what is hidden is absent; what is shown works at EL1, and harms nobody.
pub(super) fn registers_agree(board: &Board) -> Outcome {
    for (crm, op2) in (1..8).flat_map(|crm| (0..8).map(move |op2| (crm, op2))) {
        read("an ID register", Reg(3, 0, 0, crm, op2))?;
        let write = Reg(3, 0, 0, crm, op2).write(3);
        super::expect::undefined("a write to an ID register", write)?;
    }
    for (name, field, absent) in HIDDEN {
        equal(name, value(field)?, absent)?;
    }
    let Some(free) = board.free_ram().next() else { return fail("no memory") };
    ram::fill(&(free.start..free.start + 64), |_| 0);
    for Feature { name, field, least, word } in features() {
        if value(field)? >= least {
            let mut registers = Registers::marked().with(2, free.start);
            let end = attempt::attempt(&[word], &mut registers);
            said(name, end.is_done(), &end, word)?;
        }
    }
    Ok(())
}

/// A23b: the same registers at EL0, where none of them is to be read but by emulation of the guest's own.
pub(super) fn not_at_el0(_: &Board) -> Outcome {
    for (crm, op2) in (0..8).flat_map(|crm| (0..8).map(move |op2| (crm, op2))) {
        let mut registers = Registers::marked();
        let word = Reg(3, 0, 0, crm, op2).read(3);
        let end = attempt::attempt_at(Level::El0, &[word], &mut registers);
        // FEAT_IDST reports them as a trapped access.
        let refused = matches!(end.class(), class::UNKNOWN | class::SYSTEM_REGISTER);
        said("an ID register at EL0", refused, &end, word)?;
        equal("x3 after it", registers.x[3], Registers::marked().x[3])?;
    }
    Ok(())
}
