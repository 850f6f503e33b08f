//! What the CPU this runs on has.

use crate::regs::mrs;

/// Whether the CPU has pointer authentication, and with it the key registers
/// (ID_AA64ISAR1_EL1.{API, APA, GPI, GPA}, ID_AA64ISAR2_EL1.{APA3, GPA3}).
pub(crate) fn pointer_authentication() -> bool {
    const ISAR1: u64 = 0xff << 4 | 0xff << 24;
    const ISAR2: u64 = 0xff << 8;
    // ID_AA64ISAR2_EL1 by encoding: older assemblers lack the name.
    mrs!("ID_AA64ISAR1_EL1") & ISAR1 != 0 || mrs!("S3_0_C0_C6_2") & ISAR2 != 0
}

/// Whether the CPU has HCRX_EL2 (ID_AA64MMFR1_EL1.HCX).
pub(crate) fn extended_hcr() -> bool {
    mrs!("ID_AA64MMFR1_EL1") >> 40 & 0xf != 0
}

/// Whether the CPU has the error-synchronisation registers (ID_AA64PFR0_EL1.RAS).
pub(crate) fn ras() -> bool {
    mrs!("ID_AA64PFR0_EL1") >> 28 & 0xf != 0
}

/// How many generations of fine-grained trap registers the CPU has (ID_AA64MMFR0_EL1.FGT).
pub(crate) fn fine_grained_traps() -> u64 {
    mrs!("ID_AA64MMFR0_EL1") >> 56 & 0xf
}

/// Whether the CPU has memory partitioning (ID_AA64PFR0_EL1.MPAM, ID_AA64PFR1_EL1.MPAM_frac).
pub(crate) fn mpam() -> bool {
    mrs!("ID_AA64PFR0_EL1") >> 40 & 0xf != 0 || mrs!("ID_AA64PFR1_EL1") >> 16 & 0xf != 0
}

/// Whether the CPU has the architecture's performance monitors (ID_AA64DFR0_EL1.PMUVer; 0xf: others).
pub(crate) fn performance_monitors() -> bool {
    !matches!(mrs!("ID_AA64DFR0_EL1") >> 8 & 0xf, 0 | 0xf)
}

/// Whether the CPU's interrupts come through the system registers of a GICv3 that the host uses
/// (ID_AA64PFR0_EL1.GIC; ICC_SRE_EL2.SRE, which exists only then).
pub(crate) fn gicv3_in_use() -> bool {
    mrs!("ID_AA64PFR0_EL1") >> 24 & 0xf != 0 && mrs!("S3_4_C12_C9_5") & 1 != 0
}
