//! What becomes of a trapped MSR, MRS or SYS instruction (ESR_EL2.EC = 0x18).
//!
//! Arm ARM DDI 0487, ESR_EL2, "ISS encoding for an exception from MSR, MRS, or System instruction execution". Decides only;
//! the caller acts. The rule for everything not listed is Undefined, so a register nobody thought of does not exist for a
//! guest: the PMU, AMU, SPE, trace, LORegions, SVE, SME, MTE, RAS, the implementation-defined space and all of EL2.
//! More than half of the file is the list of names and the test tables.

use axvcpu::SysRegAddr;

use crate::id_regs::{self, GuestFeatures, GuestGic};

/// Whether the guest reads (MRS) or writes (MSR, SYS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the system register to the general register.
    Read,
    /// From the general register to the system register.
    Write,
}

/// What the caller does about a trapped access. Unless it says otherwise, the instruction is then complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysRegAction {
    /// The general register receives this value.
    ReadValue(u64),
    /// The general register receives [`id_regs::guest_value`] of the hardware's value.
    IdRegister,
    /// The write has no effect.
    Ignore,
    /// The guest gets an undefined-instruction exception at this instruction.
    Undefined,
    /// The access leaves as `SysRegRead` or `SysRegWrite`: the interrupt controller's part.
    ExitToVmm,
    /// The EL1 physical timer or counter: emulated from the virtual time of the VM.
    CounterTimer,
    /// DC ISW, CSW or CISW: guest memory has to be cleaned and invalidated some other way, and HCR_EL2.TVM turned on.
    SetWayCacheOp,
    /// A stage-1 control register, trapped by HCR_EL2.TVM: the caller performs the access on the loaded EL1 register.
    VmControlRegister,
    /// CSSELR_EL1, trapped by HCR_EL2.TID2: the caller performs the access on the loaded register.
    CacheSelection,
}

/// The system-register encoding in the form of [`SysRegAddr`].
pub const fn sysreg(op0: usize, op1: usize, crn: usize, crm: usize, op2: usize) -> SysRegAddr {
    SysRegAddr(
        (op0 & 3) << 20 | (op2 & 7) << 17 | (op1 & 7) << 14 | (crn & 15) << 10 | (crm & 15) << 1,
    )
}

/// Takes the ISS of EC 0x18 apart: the register, Rt (31: the zero register) and the direction.
pub const fn decode_iss(iss: u32) -> (SysRegAddr, usize, Direction) {
    const REGISTER: u32 = 0x003f_fc1e;
    let direction = if iss & 1 != 0 { Direction::Read } else { Direction::Write };
    (SysRegAddr((iss & REGISTER) as usize), (iss >> 5 & 0x1f) as usize, direction)
}

/// Decides a trapped access to `reg` by a guest that has `features`.
///
/// A direction the register does not have is Undefined, as it is on hardware. The exception level does not matter: what EL0
/// may not touch either traps to EL1 first or is Undefined here.
pub fn decide(reg: SysRegAddr, direction: Direction, features: &GuestFeatures) -> SysRegAction {
    use SysRegAction::{CacheSelection, CounterTimer, SetWayCacheOp, Undefined, VmControlRegister};
    #[allow(clippy::wildcard_imports, reason = "the patterns are register names")]
    use names::*;
    let is_read = direction == Direction::Read;
    match reg {
        ACTLR_EL1 => raz_wi(direction),
        ICC_SRE_EL1 | ICC_SGI1R_EL1 | ICC_ASGI1R_EL1 | ICC_SGI0R_EL1 | ICC_DIR_EL1 => {
            gic(reg, direction, features.gic)
        }
        CNTP_CTL_EL0 | CNTP_CVAL_EL0 | CNTP_TVAL_EL0 => CounterTimer,
        CNTPCT_EL0 | CNTPCTSS_EL0 if is_read => CounterTimer,
        DC_ISW | DC_CSW | DC_CISW if !is_read => SetWayCacheOp,
        SCTLR_EL1 | TTBR0_EL1 | TTBR1_EL1 | TCR_EL1 | AFSR0_EL1 | AFSR1_EL1 | ESR_EL1 | FAR_EL1
        | MAIR_EL1 | AMAIR_EL1 | CONTEXTIDR_EL1 => VmControlRegister,
        CSSELR_EL1 => CacheSelection,
        _ if is_read && id_regs::is_id_register(reg) => SysRegAction::IdRegister,
        _ if op0(reg) == 2 => debug(reg, direction),
        _ => Undefined,
    }
}

/// Reads as zero, ignores writes.
const fn raz_wi(direction: Direction) -> SysRegAction {
    match direction {
        Direction::Read => SysRegAction::ReadValue(0),
        Direction::Write => SysRegAction::Ignore,
    }
}

/// The GICv3 system registers that trap while the virtual CPU interface is on; a GICv2 guest has none of them.
fn gic(reg: SysRegAddr, direction: Direction, gic: GuestGic) -> SysRegAction {
    /// SRE, DFB, DIB: the system-register interface cannot be turned off, there is no bypass.
    const SRE_FIXED: u64 = 0b111;
    match (gic, reg, direction) {
        (GuestGic::V2, ..) => SysRegAction::Undefined,
        (GuestGic::V3, names::ICC_SRE_EL1, Direction::Read) => SysRegAction::ReadValue(SRE_FIXED),
        (GuestGic::V3, names::ICC_SRE_EL1, Direction::Write) => SysRegAction::Ignore,
        (GuestGic::V3, _, Direction::Write) => SysRegAction::ExitToVmm,
        (GuestGic::V3, _, Direction::Read) => SysRegAction::Undefined,
    }
}

/// The self-hosted debug registers, trapped by MDCR_EL2.TDA, TDRA and TDOSA: present, without effect.
///
/// No hardware breakpoint, watchpoint or single step is ever armed, so no debug state can cross VMs. BRK needs none of this.
fn debug(reg: SysRegAddr, direction: Direction) -> SysRegAction {
    #[allow(clippy::wildcard_imports, reason = "the patterns are register names")]
    use names::*;
    /// OSLM = 0b10 (bits 3 and 0): the OS lock exists; OSLK = 0: it is open.
    const OS_LOCK_OPEN: u64 = 1 << 3;
    let is_read = direction == Direction::Read;
    match reg {
        OSLSR_EL1 if is_read => SysRegAction::ReadValue(OS_LOCK_OPEN),
        MDRAR_EL1 | DBGAUTHSTATUS_EL1 | MDCCSR_EL0 if is_read => raz_wi(direction),
        OSLAR_EL1 if !is_read => raz_wi(direction),
        MDSCR_EL1 | MDCCINT_EL1 | OSDLR_EL1 | OSDTRRX_EL1 | OSDTRTX_EL1 | OSECCR_EL1
        | DBGPRCR_EL1 | DBGCLAIMSET_EL1 | DBGCLAIMCLR_EL1 | DBGDTR_EL0 | DBGDTRRX_EL0 => {
            raz_wi(direction)
        }
        _ if is_breakpoint_or_watchpoint(reg) => raz_wi(direction),
        _ => SysRegAction::Undefined,
    }
}

/// DBGBVR, DBGBCR, DBGWVR and DBGWCR, all sixteen of each: op2 4 to 7 of CRn 0, the number in CRm.
const fn is_breakpoint_or_watchpoint(reg: SysRegAddr) -> bool {
    const OP0_OP1_CRN_AND_HIGH_OP2: usize = sysreg(3, 7, 15, 0, 4).0;
    reg.0 & OP0_OP1_CRN_AND_HIGH_OP2 == sysreg(2, 0, 0, 0, 4).0
}

/// Op0: 1 SYS, 2 debug and trace, 3 everything else.
const fn op0(reg: SysRegAddr) -> usize {
    reg.0 >> 20 & 3
}

/// The registers by the manual's names.
pub mod names {
    use super::{SysRegAddr, sysreg};

    /// One constant per line: name, op0, op1, CRn, CRm, op2.
    macro_rules! registers {
        ($($name:ident $op0:literal $op1:literal $crn:literal $crm:literal $op2:literal;)*) => {$(
            #[doc = concat!("`", stringify!($name), "`.")]
            pub const $name: SysRegAddr = sysreg($op0, $op1, $crn, $crm, $op2);
        )*};
    }

    // Identification.
    registers! {
        REVIDR_EL1 3 0 0 0 6;
        ID_PFR0_EL1 3 0 0 1 0;
        ID_PFR1_EL1 3 0 0 1 1;
        ID_DFR0_EL1 3 0 0 1 2;
        ID_AFR0_EL1 3 0 0 1 3;
        ID_MMFR0_EL1 3 0 0 1 4;
        ID_MMFR1_EL1 3 0 0 1 5;
        ID_MMFR2_EL1 3 0 0 1 6;
        ID_MMFR3_EL1 3 0 0 1 7;
        ID_ISAR0_EL1 3 0 0 2 0;
        ID_ISAR1_EL1 3 0 0 2 1;
        ID_ISAR2_EL1 3 0 0 2 2;
        ID_ISAR3_EL1 3 0 0 2 3;
        ID_ISAR4_EL1 3 0 0 2 4;
        ID_ISAR5_EL1 3 0 0 2 5;
        ID_MMFR4_EL1 3 0 0 2 6;
        ID_ISAR6_EL1 3 0 0 2 7;
        MVFR0_EL1 3 0 0 3 0;
        MVFR1_EL1 3 0 0 3 1;
        MVFR2_EL1 3 0 0 3 2;
        ID_PFR2_EL1 3 0 0 3 4;
        ID_DFR1_EL1 3 0 0 3 5;
        ID_MMFR5_EL1 3 0 0 3 6;
        ID_AA64PFR0_EL1 3 0 0 4 0;
        ID_AA64PFR1_EL1 3 0 0 4 1;
        ID_AA64PFR2_EL1 3 0 0 4 2;
        ID_AA64ZFR0_EL1 3 0 0 4 4;
        ID_AA64SMFR0_EL1 3 0 0 4 5;
        ID_AA64FPFR0_EL1 3 0 0 4 7;
        ID_AA64DFR0_EL1 3 0 0 5 0;
        ID_AA64DFR1_EL1 3 0 0 5 1;
        ID_AA64DFR2_EL1 3 0 0 5 2;
        ID_AA64AFR0_EL1 3 0 0 5 4;
        ID_AA64AFR1_EL1 3 0 0 5 5;
        ID_AA64ISAR0_EL1 3 0 0 6 0;
        ID_AA64ISAR1_EL1 3 0 0 6 1;
        ID_AA64ISAR2_EL1 3 0 0 6 2;
        ID_AA64ISAR3_EL1 3 0 0 6 3;
        ID_AA64MMFR0_EL1 3 0 0 7 0;
        ID_AA64MMFR1_EL1 3 0 0 7 1;
        ID_AA64MMFR2_EL1 3 0 0 7 2;
        ID_AA64MMFR3_EL1 3 0 0 7 3;
        ID_AA64MMFR4_EL1 3 0 0 7 4;
        CCSIDR_EL1 3 1 0 0 0;
        CLIDR_EL1 3 1 0 0 1;
        AIDR_EL1 3 1 0 0 7;
        CSSELR_EL1 3 2 0 0 0;
        CTR_EL0 3 3 0 0 1;
    }

    // Control of stage 1 (HCR_EL2.TVM) and of the processor.
    registers! {
        SCTLR_EL1 3 0 1 0 0;
        ACTLR_EL1 3 0 1 0 1;
        TTBR0_EL1 3 0 2 0 0;
        TTBR1_EL1 3 0 2 0 1;
        TCR_EL1 3 0 2 0 2;
        AFSR0_EL1 3 0 5 1 0;
        AFSR1_EL1 3 0 5 1 1;
        ESR_EL1 3 0 5 2 0;
        FAR_EL1 3 0 6 0 0;
        MAIR_EL1 3 0 10 2 0;
        AMAIR_EL1 3 0 10 3 0;
        CONTEXTIDR_EL1 3 0 13 0 1;
    }

    // The GIC CPU interface, the physical timer, cache maintenance by set and way.
    registers! {
        ICC_DIR_EL1 3 0 12 11 1;
        ICC_SGI1R_EL1 3 0 12 11 5;
        ICC_ASGI1R_EL1 3 0 12 11 6;
        ICC_SGI0R_EL1 3 0 12 11 7;
        ICC_SRE_EL1 3 0 12 12 5;
        CNTPCT_EL0 3 3 14 0 1;
        CNTPCTSS_EL0 3 3 14 0 5;
        CNTP_TVAL_EL0 3 3 14 2 0;
        CNTP_CTL_EL0 3 3 14 2 1;
        CNTP_CVAL_EL0 3 3 14 2 2;
        DC_ISW 1 0 7 6 2;
        DC_CSW 1 0 7 10 2;
        DC_CISW 1 0 7 14 2;
    }

    // Self-hosted debug.
    registers! {
        OSDTRRX_EL1 2 0 0 0 2;
        MDCCINT_EL1 2 0 0 2 0;
        MDSCR_EL1 2 0 0 2 2;
        OSDTRTX_EL1 2 0 0 3 2;
        OSECCR_EL1 2 0 0 6 2;
        MDRAR_EL1 2 0 1 0 0;
        OSLAR_EL1 2 0 1 0 4;
        OSLSR_EL1 2 0 1 1 4;
        OSDLR_EL1 2 0 1 3 4;
        DBGPRCR_EL1 2 0 1 4 4;
        DBGCLAIMSET_EL1 2 0 7 8 6;
        DBGCLAIMCLR_EL1 2 0 7 9 6;
        DBGAUTHSTATUS_EL1 2 0 7 14 6;
        MDCCSR_EL0 2 3 0 1 0;
        DBGDTR_EL0 2 3 0 4 0;
        DBGDTRRX_EL0 2 3 0 5 0;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
mod tests {
    use super::{Direction::*, SysRegAction::*, names::*, *};

    const V3: GuestFeatures = GuestFeatures { gic: GuestGic::V3, pauth: false };
    const V2: GuestFeatures = GuestFeatures { gic: GuestGic::V2, pauth: false };

    fn on_v3(reg: SysRegAddr) -> (SysRegAction, SysRegAction) {
        (decide(reg, Read, &V3), decide(reg, Write, &V3))
    }

    fn every_register() -> impl Iterator<Item = SysRegAddr> {
        (0..4 * 8 * 16 * 16 * 8)
            .map(|n: usize| sysreg(n >> 14, n >> 11 & 7, n >> 7 & 15, n >> 3 & 15, n & 7))
    }

    #[test]
    fn the_iss_is_taken_apart() {
        // mrs x7, icc_sre_el1 and msr icc_sgi1r_el1, xzr: op0 3, op2 5, op1 0, CRn 12, CRm 12 and 11.
        let iss = |crm: u32, rt: u32, direction: u32| {
            3 << 20 | 5 << 17 | 12 << 10 | rt << 5 | crm << 1 | direction
        };
        assert_eq!(decode_iss(iss(12, 7, 1)), (ICC_SRE_EL1, 7, Read));
        assert_eq!(decode_iss(iss(11, 31, 0)), (ICC_SGI1R_EL1, 31, Write));
        assert_eq!(decode_iss(u32::MAX).0, SysRegAddr(0x003f_fc1e));
    }

    #[test]
    fn an_iss_and_its_register_agree_everywhere() {
        for reg in every_register() {
            let iss = u32::try_from(reg.0).unwrap() | 19 << 5 | 1;
            assert_eq!(decode_iss(iss), (reg, 19, Read));
        }
    }

    #[test]
    fn actlr_reads_zero_and_ignores_writes() {
        assert_eq!(on_v3(ACTLR_EL1), (ReadValue(0), Ignore));
    }

    #[test]
    fn id_registers_are_read_only() {
        for reg in id_regs::registers().chain([sysreg(3, 0, 0, 4, 3), ID_AA64ZFR0_EL1]) {
            assert_eq!(on_v3(reg), (IdRegister, Undefined), "{reg:x?}");
        }
        assert_eq!(on_v3(CSSELR_EL1), (CacheSelection, CacheSelection));
    }

    #[test]
    fn what_is_hidden_is_undefined() {
        let hidden = [
            ("S3_0_C11_C0_0", sysreg(3, 0, 11, 0, 0)),
            ("S3_0_C15_C2_0", sysreg(3, 0, 15, 2, 0)),
            ("S3_7_C15_C15_7", sysreg(3, 7, 15, 15, 7)),
            ("S1_1_C15_C0_0", sysreg(1, 1, 15, 0, 0)),
            ("PMCR_EL0", sysreg(3, 3, 9, 12, 0)),
            ("PMCCNTR_EL0", sysreg(3, 3, 9, 13, 0)),
            ("PMUSERENR_EL0", sysreg(3, 3, 9, 14, 0)),
            ("PMINTENSET_EL1", sysreg(3, 0, 9, 14, 1)),
            ("PMEVCNTR0_EL0", sysreg(3, 3, 14, 8, 0)),
            ("PMCCFILTR_EL0", sysreg(3, 3, 14, 15, 7)),
            ("AMCR_EL0", sysreg(3, 3, 13, 2, 0)),
            ("AMEVCNTR00_EL0", sysreg(3, 3, 13, 4, 0)),
            ("PMSCR_EL1", sysreg(3, 0, 9, 9, 0)),
            ("PMBLIMITR_EL1", sysreg(3, 0, 9, 10, 0)),
            ("TRBLIMITR_EL1", sysreg(3, 0, 9, 11, 0)),
            ("TRFCR_EL1", sysreg(3, 0, 1, 2, 1)),
            ("TRCPRGCTLR", sysreg(2, 1, 0, 1, 0)),
            ("BRBCR_EL1", sysreg(2, 1, 9, 0, 0)),
            ("LORSA_EL1", sysreg(3, 0, 10, 4, 0)),
            ("LORC_EL1", sysreg(3, 0, 10, 4, 3)),
            ("LORID_EL1", sysreg(3, 0, 10, 4, 7)),
            ("ZCR_EL1", sysreg(3, 0, 1, 2, 0)),
            ("SMCR_EL1", sysreg(3, 0, 1, 2, 6)),
            ("SVCR", sysreg(3, 3, 4, 2, 2)),
            ("TPIDR2_EL0", sysreg(3, 3, 13, 0, 5)),
            ("RGSR_EL1", sysreg(3, 0, 1, 0, 5)),
            ("GCR_EL1", sysreg(3, 0, 1, 0, 6)),
            ("TFSR_EL1", sysreg(3, 0, 5, 6, 0)),
            ("GMID_EL1", sysreg(3, 1, 0, 0, 4)),
            ("DC IGSW", sysreg(1, 0, 7, 6, 4)),
            ("DC CIGDSW", sysreg(1, 0, 7, 14, 6)),
            ("ERRIDR_EL1", sysreg(3, 0, 5, 3, 0)),
            ("ERXSTATUS_EL1", sysreg(3, 0, 5, 4, 2)),
            ("SCXTNUM_EL1", sysreg(3, 0, 13, 0, 7)),
            ("TCR2_EL1", sysreg(3, 0, 2, 0, 3)),
            ("PIR_EL1", sysreg(3, 0, 10, 2, 3)),
            ("APIAKeyLo_EL1", sysreg(3, 0, 2, 1, 0)),
            ("CCSIDR2_EL1", sysreg(3, 1, 0, 0, 2)),
            ("HCR_EL2", sysreg(3, 4, 1, 1, 0)),
            ("CNTPS_CTL_EL1", sysreg(3, 7, 14, 2, 1)),
            ("AT S12E1R", sysreg(1, 4, 7, 8, 4)),
            ("TLBI ALLE1", sysreg(1, 4, 8, 7, 4)),
            ("MDSELR_EL1", sysreg(2, 0, 0, 4, 2)),
        ];
        for (name, reg) in hidden {
            assert_eq!(on_v3(reg), (Undefined, Undefined), "{name}");
        }
    }

    #[test]
    fn debug_registers_read_zero_and_the_os_lock_is_open() {
        assert_eq!(on_v3(OSLSR_EL1), (ReadValue(8), Undefined));
        assert_eq!(on_v3(OSLAR_EL1), (Undefined, Ignore));
        for reg in [MDRAR_EL1, DBGAUTHSTATUS_EL1, MDCCSR_EL0] {
            assert_eq!(on_v3(reg), (ReadValue(0), Undefined));
        }
        for reg in [MDSCR_EL1, OSDLR_EL1, MDCCINT_EL1, DBGPRCR_EL1, DBGCLAIMSET_EL1, DBGDTR_EL0] {
            assert_eq!(on_v3(reg), (ReadValue(0), Ignore));
        }
        for (number, op2) in (0..16).flat_map(|n| (4..8).map(move |op2| (n, op2))) {
            assert_eq!(on_v3(sysreg(2, 0, 0, number, op2)), (ReadValue(0), Ignore));
        }
    }

    #[test]
    fn the_gic_interface_exists_for_gicv3_guests_only() {
        assert_eq!(on_v3(ICC_SRE_EL1), (ReadValue(7), Ignore));
        for reg in [ICC_SGI1R_EL1, ICC_ASGI1R_EL1, ICC_SGI0R_EL1, ICC_DIR_EL1] {
            assert_eq!(on_v3(reg), (Undefined, ExitToVmm));
        }
        for reg in [ICC_SRE_EL1, ICC_SGI1R_EL1, ICC_ASGI1R_EL1, ICC_SGI0R_EL1, ICC_DIR_EL1] {
            assert_eq!(decide(reg, Read, &V2), Undefined);
            assert_eq!(decide(reg, Write, &V2), Undefined);
        }
    }

    #[test]
    fn the_counter_is_read_only_and_the_timer_is_not() {
        for reg in [CNTPCT_EL0, CNTPCTSS_EL0] {
            assert_eq!(on_v3(reg), (CounterTimer, Undefined));
        }
        for reg in [CNTP_CTL_EL0, CNTP_CVAL_EL0, CNTP_TVAL_EL0] {
            assert_eq!(on_v3(reg), (CounterTimer, CounterTimer));
        }
    }

    #[test]
    fn set_way_operations_are_writes() {
        for reg in [DC_ISW, DC_CSW, DC_CISW] {
            assert_eq!(on_v3(reg), (Undefined, SetWayCacheOp));
        }
    }

    #[test]
    fn the_defined_registers_are_counted() {
        let count = |direction, wanted: fn(SysRegAction) -> bool| {
            every_register().filter(|&reg| wanted(decide(reg, direction, &V3))).count()
        };
        assert_eq!(count(Read, |action| action == IdRegister), 61);
        assert_eq!(count(Read, |action| action == VmControlRegister), 11);
        assert_eq!(count(Write, |action| action == VmControlRegister), 11);
        assert_eq!(count(Write, |action| action == ExitToVmm), 4);
        // ACTLR, ICC_SRE, OSLAR, eleven plain debug registers, 64 of breakpoints and watchpoints.
        assert_eq!(count(Write, |action| action == Ignore), 78);
        // 61, 11, ACTLR, ICC_SRE, 5 counters and timers, CSSELR, 4 read-only and 11 plain debug registers, 64.
        assert_eq!(count(Read, |action| action != Undefined), 159);
    }
}
