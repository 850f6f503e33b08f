//! What a guest reads from the identification registers.
//!
//! Arm ARM DDI 0487, D24.2, the ID_* registers; trapped by HCR_EL2.TID1, TID2 and TID3. An allow-list, field by field: a
//! field that is not listed reads as 0, which the manual's ID scheme defines as "absent" (signed fields say so with 0xf).
//! A feature is listed when all its state is saved with the vCPU and the hypervisor knows every trap it can raise.
//! Deliberately hidden: SVE, SME, MTE, PMU, AMU, RAS, MPAM, SPE, TRBE, BRBE, trace, LORegions, EL2 and EL3, FGT, ECV, XS,
//! WFxT, LS64, MOPS, GCS, permission indirection and overlays, 128-bit descriptors, SCXTNUM (CSV2_2), mixed endianness.

use axvcpu::SysRegAddr;

use Policy::{Cap, Gicv3, Pauth, Signed, Value};
use Shown::{Fields, Whole};

#[allow(clippy::wildcard_imports, reason = "the table below names nearly all of them")]
use crate::sysreg::names::*;
use crate::sysreg::sysreg;

/// Which interrupt controller the guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestGic {
    /// GICv2: memory-mapped CPU interface.
    V2,
    /// GICv3: CPU interface in system registers.
    V3,
}

/// What differs between guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestFeatures {
    /// The interrupt controller.
    pub gic: GuestGic,
    /// Whether pointer authentication is shown where the hardware has it: the keys are swapped with the vCPU.
    pub pauth: bool,
}

/// What becomes of one 4-bit field.
#[derive(Clone, Copy)]
enum Policy {
    /// An unsigned field: the hardware's value, at most this.
    Cap(u64),
    /// A signed field: absent (0xf) if the hardware says so, else its value, at most this.
    Signed(u64),
    /// This value, whatever the hardware has.
    Value(u64),
    /// Present (1) for a GICv3 guest.
    Gicv3,
    /// The hardware's value, at most this, if the guest has pointer authentication.
    Pauth(u64),
}

impl Policy {
    fn apply(self, raw: u64, features: &GuestFeatures) -> u64 {
        match self {
            Self::Signed(_) if raw >= 8 => 0xf,
            Self::Cap(max) | Self::Signed(max) => raw.min(max),
            Self::Value(value) => value,
            Self::Gicv3 => u64::from(features.gic == GuestGic::V3),
            Self::Pauth(max) if features.pauth => raw.min(max),
            Self::Pauth(_) => 0,
        }
    }
}

/// How one register is shown.
enum Shown {
    /// Exactly as the hardware has it.
    Whole,
    /// Only these fields: lowest bit and policy of each.
    Fields(&'static [(u32, Policy)]),
}

/// What the guest reads from `reg` when the hardware's own register reads `raw`.
///
/// `raw` is not looked at for registers outside [`registers`]: those read as zero and need not (some must not) be read.
/// CCSIDR_EL1's `raw` is the one that the guest's CSSELR_EL1 selects.
pub fn guest_value(reg: SysRegAddr, raw: u64, features: &GuestFeatures) -> u64 {
    let Some((_, shown)) = TABLE.iter().find(|(known, _)| *known == reg) else {
        return 0;
    };
    match shown {
        Shown::Whole => raw,
        Shown::Fields(fields) => fields.iter().fold(0, |value, &(shift, policy)| {
            value | policy.apply(raw >> shift & 0xf, features) << shift
        }),
    }
}

/// Whether a read of `reg` is answered by [`guest_value`].
///
/// True for the whole space of HCR_EL2.TID3 (op0 3, op1 0, CRn 0, CRm 1 to 7), unallocated encodings included, and for
/// the listed registers of TID1 and TID2.
pub fn is_id_register(reg: SysRegAddr) -> bool {
    const CRM_AND_OP2: usize = sysreg(0, 0, 0, 0xf, 7).0;
    let crm = reg.0 >> 1 & 0xf;
    let in_tid3 = reg.0 & !CRM_AND_OP2 == sysreg(3, 0, 0, 0, 0).0 && (1..=7).contains(&crm);
    in_tid3 || registers().any(|known| known == reg)
}

/// The registers of which [`guest_value`] wants the hardware's value.
pub fn registers() -> impl Iterator<Item = SysRegAddr> {
    TABLE.iter().map(|&(reg, _)| reg)
}

/// Every identification register with something to show, in the order of its encoding.
///
/// All fields are 4 bits wide. Longer than a screen because the manual's list is.
#[rustfmt::skip]
static TABLE: &[(SysRegAddr, Shown)] = &[
    // The implementation, by which kernels choose their errata work-arounds, and the caches. All read-only facts.
    (REVIDR_EL1, Whole), (AIDR_EL1, Whole), (CTR_EL0, Whole), (CLIDR_EL1, Whole), (CCSIDR_EL1, Whole),

    (ID_AA64PFR0_EL1, Fields(&[
        (0, Cap(2)),       // EL0: AArch32 as the hardware has it
        (4, Value(1)),     // EL1: AArch64 only (HCR_EL2.RW)
        (16, Signed(1)),   // FP
        (20, Signed(1)),   // AdvSIMD
        (24, Gicv3),       // GIC
        (48, Cap(1)),      // DIT
        (56, Cap(1)),      // CSV2: not 2, which adds SCXTNUM_EL0 and _EL1
        (60, Cap(1)),      // CSV3
    ])),
    (ID_AA64PFR1_EL1, Fields(&[
        (0, Cap(1)),       // BT
        (4, Cap(2)),       // SSBS
    ])),
    (ID_AA64DFR0_EL1, Fields(&[
        (0, Value(6)),     // DebugVer: Armv8.0, the least there is
        (12, Value(1)),    // BRPs: two breakpoints, the least there is; they are RAZ/WI
        (20, Value(1)),    // WRPs: two watchpoints, likewise
        (36, Value(0xf)),  // DoubleLock: absent, so that OSDLR_EL1 is RAZ/WI
    ])),
    (ID_AA64ISAR0_EL1, Fields(&[
        (4, Cap(2)),       // AES
        (8, Cap(1)),       // SHA1
        (12, Cap(2)),      // SHA2
        (16, Cap(1)),      // CRC32
        (20, Cap(3)),      // Atomic
        (28, Cap(1)),      // RDM
        (32, Cap(1)),      // SHA3
        (36, Cap(1)),      // SM3
        (40, Cap(1)),      // SM4
        (44, Cap(1)),      // DP
        (48, Cap(1)),      // FHM
        (52, Cap(2)),      // TS
        (56, Cap(2)),      // TLB
        (60, Cap(1)),      // RNDR
    ])),
    (ID_AA64ISAR1_EL1, Fields(&[
        (0, Cap(2)),       // DPB
        (4, Pauth(5)),     // APA
        (8, Pauth(5)),     // API
        (12, Cap(1)),      // JSCVT
        (16, Cap(1)),      // FCMA
        (20, Cap(2)),      // LRCPC: not 3, which adds pairs and write-back that a device access cannot decode
        (24, Pauth(1)),    // GPA
        (28, Pauth(1)),    // GPI
        (32, Cap(1)),      // FRINTTS
        (36, Cap(1)),      // SB
        (40, Cap(1)),      // SPECRES
        (44, Cap(2)),      // BF16
        (48, Cap(1)),      // DGH
        (52, Cap(1)),      // I8MM
    ])),
    (ID_AA64ISAR2_EL1, Fields(&[
        (4, Cap(1)),       // RPRES
        (8, Pauth(1)),     // GPA3
        (12, Pauth(5)),    // APA3
        (20, Cap(1)),      // BC
        (24, Pauth(1)),    // PAC_frac
        (28, Cap(1)),      // CLRBHB
        (48, Cap(1)),      // RPRFM
        (52, Cap(1)),      // CSSC
    ])),
    (ID_AA64MMFR0_EL1, Fields(&[
        (0, Cap(1)),       // PARange: 36 bits, the largest encodable size within stage 2's 39-bit input
        (4, Cap(2)),       // ASIDBits
        (20, Cap(1)),      // TGran16: without 52-bit addresses
        (24, Signed(0)),   // TGran64
        (28, Signed(0)),   // TGran4: without 52-bit addresses
        (32, Value(1)),    // TGran16_2: no stage 2
        (36, Value(1)),    // TGran64_2: no stage 2
        (40, Value(1)),    // TGran4_2: no stage 2
        (44, Cap(1)),      // ExS
    ])),
    (ID_AA64MMFR1_EL1, Fields(&[
        (0, Cap(2)),       // HAFDBS
        (12, Cap(2)),      // HPDS
        (20, Cap(3)),      // PAN
        (24, Cap(1)),      // SpecSEI
        (36, Cap(3)),      // ETS
        (44, Cap(1)),      // AFP
        (48, Cap(1)),      // nTLBPA
        (60, Cap(1)),      // ECBHB
    ])),
    (ID_AA64MMFR2_EL1, Fields(&[
        (0, Cap(1)),       // CnP
        (4, Cap(1)),       // UAO
        (8, Cap(1)),       // LSM
        (16, Cap(1)),      // VARange
        (20, Cap(1)),      // CCIDX: the format of CCSIDR_EL1, which is shown whole
        (28, Cap(1)),      // ST
        (32, Cap(1)),      // AT
        (36, Cap(1)),      // IDS
        (48, Cap(1)),      // TTL
        (60, Cap(1)),      // E0PD
    ])),

    // AArch32 as EL0 sees it. The fields of its EL1 are harmless facts, except those of hidden features.
    (ID_PFR0_EL1, Fields(&[
        (0, Cap(1)), (4, Cap(3)), (8, Cap(1)),                // State0 to State2: A32, T32, Jazelle
        (16, Cap(1)), (24, Cap(1)),                           // CSV2, DIT
    ])),
    (ID_PFR1_EL1, Fields(&[(16, Cap(1)), (28, Gicv3)])),      // GenTimer (without ECV), GIC
    (ID_DFR0_EL1, Fields(&[(0, Value(6))])),                  // CopDbg: as DebugVer
    (ID_MMFR0_EL1, Fields(&[
        (0, Cap(5)), (8, Signed(1)), (12, Cap(1)),            // VMSA, OuterShr, ShareLvl
        (20, Cap(2)), (28, Signed(1)),                        // AuxReg, InnerShr
    ])),
    (ID_MMFR1_EL1, Fields(&[(28, Cap(4))])),                  // BPred
    (ID_MMFR2_EL1, Fields(&[
        (16, Cap(6)), (20, Cap(2)), (24, Cap(1)),             // UniTLB, MemBarr, WFIStall
    ])),
    (ID_MMFR3_EL1, Fields(&[
        (0, Cap(1)), (4, Cap(1)), (8, Cap(2)), (12, Cap(2)),  // CMaintVA, CMaintSW, BPMaint, MaintBcst
        (16, Cap(2)), (20, Cap(1)), (24, Cap(2)),             // PAN, CohWalk, CMemSz
        (28, Signed(0)),                                      // Supersec
    ])),
    (ID_ISAR0_EL1, Fields(&[
        (4, Cap(1)), (8, Cap(1)), (12, Cap(1)),               // BitCount, BitField, CmpBranch
        (20, Cap(1)), (24, Cap(2)),                           // Debug, Divide
    ])),
    (ID_ISAR1_EL1, Fields(&[
        (0, Cap(1)), (4, Cap(1)), (8, Cap(1)), (12, Cap(2)),  // Endian, Except, Except_AR, Extend
        (16, Cap(1)), (20, Cap(1)), (24, Cap(3)),             // IfThen, Immediate, Interwork
        (28, Cap(1)),                                         // Jazelle
    ])),
    (ID_ISAR2_EL1, Fields(&[
        (0, Cap(2)), (4, Cap(4)), (12, Cap(2)),               // LoadStore, MemHint, Mult
        (16, Cap(3)), (20, Cap(2)), (24, Cap(1)),             // MultS, MultU, PSR_AR
        (28, Cap(2)),                                         // Reversal
    ])),
    (ID_ISAR3_EL1, Fields(&[
        (0, Cap(1)), (4, Cap(3)), (8, Cap(1)), (12, Cap(2)),  // Saturate, SIMD, SVC, SynchPrim
        (16, Cap(1)), (20, Cap(1)), (24, Cap(1)),             // TabBranch, T32Copy, TrueNOP
    ])),
    (ID_ISAR4_EL1, Fields(&[
        (0, Cap(2)), (4, Cap(4)), (8, Cap(1)), (16, Cap(1)),  // Unpriv, WithShifts, Writeback, Barrier
    ])),
    (ID_ISAR5_EL1, Fields(&[
        (0, Cap(1)), (4, Cap(2)), (8, Cap(1)), (12, Cap(1)),  // SEVL, AES, SHA1, SHA2
        (16, Cap(1)), (24, Cap(1)), (28, Cap(1)),             // CRC32, RDM, VCMA
    ])),
    (ID_MMFR4_EL1, Fields(&[
        (0, Cap(1)), (4, Cap(1)), (12, Cap(1)),               // SpecSEI, AC2, CnP
        (16, Cap(2)), (20, Cap(1)), (24, Cap(1)),             // HPDS, LSM, CCIDX
    ])),
    (ID_ISAR6_EL1, Fields(&[
        (0, Cap(1)), (4, Cap(1)), (8, Cap(1)), (12, Cap(1)),  // JSCVT, DP, FHM, SB
        (16, Cap(1)), (20, Cap(1)), (24, Cap(1)),             // SPECRES, BF16, I8MM
        (28, Cap(1)),                                         // CLRBHB
    ])),
    (MVFR0_EL1, Fields(&[
        (0, Cap(2)), (4, Cap(2)), (8, Cap(2)), (12, Cap(1)),  // SIMDReg, FPSP, FPDP, FPTrap
        (16, Cap(1)), (20, Cap(1)), (24, Cap(1)),             // FPDivide, FPSqrt, FPShVec
        (28, Cap(1)),                                         // FPRound
    ])),
    (MVFR1_EL1, Fields(&[
        (0, Cap(1)), (4, Cap(1)), (8, Cap(1)), (12, Cap(1)),  // FPFtZ, FPDNaN, SIMDLS, SIMDInt
        (16, Cap(1)), (20, Cap(2)), (24, Cap(3)),             // SIMDSP, SIMDHP, FPHP
        (28, Cap(1)),                                         // SIMDFMAC
    ])),
    (MVFR2_EL1, Fields(&[(0, Cap(3)), (4, Cap(4))])),         // SIMDMisc, FPMisc
    (ID_PFR2_EL1, Fields(&[(0, Cap(1)), (4, Cap(1))])),       // CSV3, SSBS
    (ID_MMFR5_EL1, Fields(&[(0, Cap(3)), (4, Cap(1))])),      // ETS, nTLBPA
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
mod tests {
    use super::*;

    const PLAIN: GuestFeatures = GuestFeatures { gic: GuestGic::V3, pauth: false };
    const FULL: GuestFeatures = GuestFeatures { gic: GuestGic::V3, pauth: true };
    const GICV2: GuestFeatures = GuestFeatures { gic: GuestGic::V2, pauth: false };

    fn field(value: u64, shift: u32) -> u64 {
        value >> shift & 0xf
    }

    /// Cortex-A72 r0p3, from its reference manual.
    #[test]
    fn a_cortex_a72_keeps_what_it_has_and_loses_el2_and_el3() {
        let shown = |reg, raw| guest_value(reg, raw, &PLAIN);
        assert_eq!(shown(ID_AA64PFR0_EL1, 0x0100_2222), 0x0100_0012);
        assert_eq!(shown(ID_AA64DFR0_EL1, 0x1030_5106), 0xf0_0010_1006);
        assert_eq!(shown(ID_AA64ISAR0_EL1, 0x0001_1120), 0x0001_1120);
        assert_eq!(shown(ID_AA64MMFR0_EL1, 0x0000_1124), 0x111_0000_0021);
        assert_eq!(shown(ID_ISAR5_EL1, 0x0001_1121), 0x0001_1121);
        assert_eq!(shown(MVFR1_EL1, 0x1211_1111), 0x1211_1111);
        assert_eq!(shown(ID_MMFR0_EL1, 0x1020_1105), 0x1020_1105);
    }

    #[test]
    fn unknown_future_values_are_cut_to_what_is_known() {
        let shown = |reg| guest_value(reg, u64::MAX, &FULL);
        let expected = [
            (ID_AA64PFR0_EL1, 0x1101_0000_01ff_0012),
            (ID_AA64PFR1_EL1, 0x21),
            (ID_AA64ISAR0_EL1, 0x1221_1111_1031_2120),
            (ID_AA64ISAR1_EL1, 0x0011_2111_1121_1552),
            (ID_AA64ISAR2_EL1, 0x0011_0000_1110_5110),
            (ID_AA64MMFR0_EL1, 0x0000_1111_ff10_0021),
            (ID_AA64MMFR1_EL1, 0x1001_1030_0130_2002),
            (ID_AA64MMFR2_EL1, 0x1001_0011_1011_0111),
        ];
        for (reg, value) in expected {
            assert_eq!(shown(reg), value, "{reg:x?}: {:#018x}", shown(reg));
        }
    }

    #[test]
    fn hidden_features_read_as_absent() {
        let pfr0 = guest_value(ID_AA64PFR0_EL1, u64::MAX >> 1, &FULL);
        for shift in [8, 12, 28, 32, 36, 40, 44, 52] {
            assert_eq!(field(pfr0, shift), 0, "EL2, EL3, RAS, SVE, SEL2, MPAM, AMU, RME: {shift}");
        }
        let pfr1 = guest_value(ID_AA64PFR1_EL1, u64::MAX, &FULL);
        assert_eq!(pfr1 >> 8, 0, "MTE, SME and all above");
        let dfr0 = guest_value(ID_AA64DFR0_EL1, u64::MAX, &FULL);
        for shift in [4, 8, 32, 40, 44, 48, 52] {
            assert_eq!(field(dfr0, shift), 0, "trace, PMU, SPE, TRBE, BRBE: {shift}");
        }
        let wholly = [ID_AA64PFR2_EL1, ID_AA64ZFR0_EL1, ID_AA64SMFR0_EL1, ID_AA64FPFR0_EL1];
        let later = [ID_AA64DFR1_EL1, ID_AA64ISAR3_EL1, ID_AA64MMFR3_EL1, ID_AA64MMFR4_EL1];
        for reg in wholly.into_iter().chain(later) {
            assert_eq!(guest_value(reg, u64::MAX, &FULL), 0);
        }
    }

    #[test]
    fn signed_fields_say_absent_when_the_hardware_does() {
        let absent = guest_value(ID_AA64PFR0_EL1, 0x00ff_0011, &PLAIN);
        assert_eq!((field(absent, 16), field(absent, 20)), (0xf, 0xf));
        let granules = guest_value(ID_AA64MMFR0_EL1, 0x1f21_0005, &PLAIN);
        assert_eq!((field(granules, 20), field(granules, 24), field(granules, 28)), (1, 0xf, 0));
    }

    #[test]
    fn pointer_authentication_is_shown_only_to_guests_that_have_it() {
        for (reg, mask) in [(ID_AA64ISAR1_EL1, 0xff00_0ff0), (ID_AA64ISAR2_EL1, 0x0f00_ff00)] {
            assert_eq!(guest_value(reg, u64::MAX, &PLAIN) & mask, 0);
            assert_ne!(guest_value(reg, u64::MAX, &FULL) & mask, 0);
            assert_eq!(guest_value(reg, 0, &FULL), 0);
        }
    }

    #[test]
    fn the_gic_fields_follow_the_guest_and_not_the_hardware() {
        for raw in [0, u64::MAX] {
            assert_eq!(field(guest_value(ID_AA64PFR0_EL1, raw, &GICV2), 24), 0);
            assert_eq!(field(guest_value(ID_AA64PFR0_EL1, raw, &PLAIN), 24), 1);
            assert_eq!(field(guest_value(ID_PFR1_EL1, raw, &GICV2), 28), 0);
            assert_eq!(field(guest_value(ID_PFR1_EL1, raw, &PLAIN), 28), 1);
        }
    }

    #[test]
    fn showing_twice_shows_the_same() {
        let mut raw = 0x9e37_79b9_7f4a_7c15_u64;
        for reg in (0..100).flat_map(|_| registers()) {
            raw = raw.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1).rotate_left(17);
            let once = guest_value(reg, raw, &FULL);
            assert_eq!(guest_value(reg, once, &FULL), once);
        }
    }

    #[test]
    fn every_field_is_listed_once_and_fits() {
        for (reg, shown) in TABLE {
            assert_eq!(registers().filter(|other| other == reg).count(), 1, "{reg:x?}");
            if let Fields(fields) = shown {
                assert!(fields.windows(2).all(|pair| pair[0].0 < pair[1].0), "{reg:x?}");
                assert!(fields.iter().all(|(shift, _)| shift % 4 == 0 && *shift < 64));
            }
        }
    }

    #[test]
    fn the_trapped_space_is_answered_and_nothing_else() {
        let all = (0..4 * 8 * 16 * 16 * 8)
            .map(|n: usize| sysreg(n >> 14, n >> 11 & 7, n >> 7 & 15, n >> 3 & 15, n & 7));
        // CRm 1 to 7 with eight op2 each, and REVIDR, AIDR, CTR, CLIDR, CCSIDR.
        assert_eq!(all.filter(|&reg| is_id_register(reg)).count(), 7 * 8 + 5);
        assert!(is_id_register(sysreg(3, 0, 0, 7, 7)));
        assert_eq!(guest_value(sysreg(3, 0, 0, 7, 7), u64::MAX, &FULL), 0);
        assert!(!is_id_register(sysreg(3, 0, 0, 0, 0)), "MIDR_EL1 comes from VPIDR_EL2");
    }
}
