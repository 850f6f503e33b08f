//! How an exception is delivered to the guest's EL1: what its registers hold at its first handler instruction.
//!
//! Arm ARM DDI 0487, shared pseudocode AArch64.TakeException, and ESR_EL1. Computes only; the caller writes the registers.

use axvcpu::GuestFault;

/// PSTATE and SPSR bits, in the AArch64 layout of SPSR_ELx.
mod pstate {
    pub(super) const EL1H: u64 = 0b0101;
    pub(super) const AARCH32: u64 = 1 << 4;
    pub(super) const DAIF: u64 = 0xf << 6;
    pub(super) const SSBS: u64 = 1 << 12;
    pub(super) const PAN: u64 = 1 << 22;
    /// N, Z, C, V, DIT and PAN: what an exception leaves alone, at the same place for AArch64 and AArch32.
    pub(super) const KEPT: u64 = 0xf << 28 | 1 << 24 | PAN;
}

/// SCTLR_EL1.SPAN: 0 sets PAN at every exception.
const SCTLR_SPAN: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS: the value SSBS gets at every exception.
const SCTLR_DSSBS: u64 = 1 << 44;

/// The guest at the moment it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The address the exception returns to: the instruction that is to blame.
    pub pc: u64,
    /// SPSR_EL2 of the trap: AArch64 EL0t, EL1t or EL1h, or AArch32 User.
    pub pstate: u64,
    /// VBAR_EL1.
    pub vbar_el1: u64,
    /// SCTLR_EL1.
    pub sctlr_el1: u64,
}

/// An exception to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// Unknown reason: an undefined instruction or register.
    Undefined,
    /// PSTATE.IL was set.
    IllegalState,
    /// A synchronous external abort on an instruction fetch.
    InstructionAbort {
        /// The virtual address.
        far: u64,
        /// Whether the access itself or the walk of the guest's own tables was refused.
        stage: AbortedAt,
    },
    /// A synchronous external abort on a data access.
    DataAbort {
        /// The virtual address.
        far: u64,
        /// Whether the access itself or the walk of the guest's own tables was refused.
        stage: AbortedAt,
        /// Read, write or maintenance.
        access: DataAccess,
    },
    /// An asynchronous external abort. The caller has made sure that PSTATE.A is 0, or sets HCR_EL2.VSE instead.
    SError {
        /// The ISS the guest reads (25 bits).
        iss: u32,
    },
    /// An exception that hardware would report to EL1 in the same words, had EL2 not trapped it (FP access, BTI, ...).
    Reflected {
        /// ESR_EL2 of the trap: EC, IL and ISS are kept. Not for classes whose EC tells lower from current EL.
        esr: u64,
    },
}

/// What an external abort struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortedAt {
    /// The access itself.
    Access,
    /// The walk of the guest's stage-1 tables. The level is not known to the hypervisor and reads as 0.
    Walk,
}

/// What a data access did, as the guest's ESR_EL1 tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAccess {
    /// WnR = 0.
    Read,
    /// WnR = 1.
    Write,
    /// Cache maintenance or address translation: CM = 1, WnR = 1.
    Maintenance,
}

impl Exception {
    /// The exception for `fault`; the details of an abort come from ESR_EL2 and FAR_EL2 of the stage-2 fault.
    ///
    /// The syndrome is only believed in what the fault does not decide, so a fault raised later, by a device or the bus,
    /// may pass the ESR_EL2 of its exit.
    pub fn from_fault(fault: GuestFault, esr_el2: u64, far_el2: u64) -> Self {
        const WNR: u64 = 1 << 6;
        const S1PTW: u64 = 1 << 7;
        const CM: u64 = 1 << 8;
        let stage = if esr_el2 & S1PTW != 0 { AbortedAt::Walk } else { AbortedAt::Access };
        let access = match (esr_el2 & CM != 0, esr_el2 & WNR != 0) {
            (true, _) => DataAccess::Maintenance,
            (false, true) => DataAccess::Write,
            (false, false) => DataAccess::Read,
        };
        match fault {
            GuestFault::Undefined => Self::Undefined,
            GuestFault::DataAbort => Self::DataAbort { far: far_el2, stage, access },
            GuestFault::PrefetchAbort => Self::InstructionAbort { far: far_el2, stage },
        }
    }

    /// FAR_EL1, for the exceptions that set it.
    const fn far(self) -> Option<u64> {
        match self {
            Self::InstructionAbort { far, .. } | Self::DataAbort { far, .. } => Some(far),
            Self::Undefined | Self::IllegalState | Self::SError { .. } | Self::Reflected { .. } => {
                None
            }
        }
    }

    /// ESR_EL1. IL is 1 for all but reflected exceptions, as the manual demands where there is no ISV.
    fn syndrome(self, from: Origin) -> u64 {
        const IL: u64 = 1 << 25;
        let (class, iss) = match self {
            Self::Undefined => (0x00, 0),
            Self::IllegalState => (0x0e, 0),
            Self::InstructionAbort { stage, .. } => (0x20 | from.same_el(), stage.fault_status()),
            Self::DataAbort { stage, access, .. } => {
                (0x24 | from.same_el(), stage.fault_status() | access.iss())
            }
            Self::SError { iss } => (0x2f, u64::from(iss) & 0x01ff_ffff),
            Self::Reflected { esr } => return esr & 0xffff_ffff,
        };
        class << 26 | IL | iss
    }
}

impl AbortedAt {
    /// DFSC and IFSC.
    const fn fault_status(self) -> u64 {
        match self {
            Self::Access => 0x10,
            Self::Walk => 0x14,
        }
    }
}

impl DataAccess {
    /// WnR and CM.
    const fn iss(self) -> u64 {
        match self {
            Self::Read => 0,
            Self::Write => 1 << 6,
            Self::Maintenance => 1 << 8 | 1 << 6,
        }
    }
}

/// Where an exception comes from: the quarter of the vector table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    CurrentSp0,
    CurrentSpx,
    LowerAarch64,
    LowerAarch32,
}

impl Origin {
    const fn of(pstate: u64) -> Self {
        match (pstate & pstate::AARCH32 != 0, pstate >> 2 & 3, pstate & 1) {
            (true, ..) => Self::LowerAarch32,
            (false, 0, _) => Self::LowerAarch64,
            (false, _, 0) => Self::CurrentSp0,
            (false, ..) => Self::CurrentSpx,
        }
    }

    const fn vector_offset(self) -> u64 {
        match self {
            Self::CurrentSp0 => 0x000,
            Self::CurrentSpx => 0x200,
            Self::LowerAarch64 => 0x400,
            Self::LowerAarch32 => 0x600,
        }
    }

    /// The lowest bit of an abort's EC: set when it comes from the same exception level.
    const fn same_el(self) -> u64 {
        match self {
            Self::CurrentSp0 | Self::CurrentSpx => 1,
            Self::LowerAarch64 | Self::LowerAarch32 => 0,
        }
    }
}

/// The registers with which the guest enters its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// ELR_EL2: the guest's vector.
    pub pc: u64,
    /// SPSR_EL2: EL1h with everything masked.
    pub pstate: u64,
    /// ELR_EL1.
    pub elr_el1: u64,
    /// SPSR_EL1.
    pub spsr_el1: u64,
    /// ESR_EL1.
    pub esr_el1: u64,
    /// FAR_EL1; `None`: leave it.
    pub far_el1: Option<u64>,
}

/// Computes how `exception` enters EL1 of the guest that stopped in the state `at`.
pub fn enter(at: &Interrupted, exception: Exception) -> Entry {
    const SERROR_OFFSET: u64 = 0x180;
    const VBAR_RES0: u64 = 0x7ff;
    let from = Origin::of(at.pstate);
    let kind_offset = match exception {
        Exception::SError { .. } => SERROR_OFFSET,
        Exception::Undefined
        | Exception::IllegalState
        | Exception::InstructionAbort { .. }
        | Exception::DataAbort { .. }
        | Exception::Reflected { .. } => 0,
    };
    Entry {
        pc: at.vbar_el1 & !VBAR_RES0 | from.vector_offset() | kind_offset,
        pstate: handler_pstate(at),
        elr_el1: at.pc,
        spsr_el1: at.pstate,
        esr_el1: exception.syndrome(from),
        far_el1: exception.far(),
    }
}

/// PSTATE at the handler: EL1h, DAIF masked, SS, IL, BTYPE, UAO and (with MTE hidden) TCO clear, SSBS and PAN by SCTLR_EL1.
fn handler_pstate(at: &Interrupted) -> u64 {
    let pan = if at.sctlr_el1 & SCTLR_SPAN == 0 { pstate::PAN } else { 0 };
    let ssbs = if at.sctlr_el1 & SCTLR_DSSBS != 0 { pstate::SSBS } else { 0 };
    at.pstate & pstate::KEPT | pstate::EL1H | pstate::DAIF | pan | ssbs
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
mod tests {
    use super::*;

    const EL0T: u64 = 0;
    const EL1T: u64 = 4;
    const EL1H: u64 = 5;
    const USER32: u64 = 0x10;
    const SPAN: u64 = 1 << 23;
    const READ: Exception =
        Exception::DataAbort { far: 0x1234, stage: AbortedAt::Access, access: DataAccess::Read };

    fn at(pstate: u64, sctlr_el1: u64) -> Interrupted {
        Interrupted { pc: 0x4008_0004, pstate, vbar_el1: 0xffff_8000_0001_0800, sctlr_el1 }
    }

    #[test]
    fn the_vector_follows_the_interrupted_level_and_stack() {
        let offset =
            |pstate, exception| enter(&at(pstate, SPAN), exception).pc - 0xffff_8000_0001_0800;
        for (pstate, expected) in [(EL1T, 0), (EL1H, 0x200), (EL0T, 0x400), (USER32, 0x600)] {
            assert_eq!(offset(pstate, Exception::Undefined), expected);
            assert_eq!(offset(pstate, READ), expected);
            assert_eq!(offset(pstate, Exception::SError { iss: 0 }), expected + 0x180);
        }
    }

    #[test]
    fn junk_in_the_low_bits_of_vbar_is_ignored() {
        let state = Interrupted { vbar_el1: u64::MAX, ..at(EL1H, SPAN) };
        assert_eq!(enter(&state, Exception::Undefined).pc, 0xffff_ffff_ffff_fa00);
    }

    #[test]
    fn an_undefined_instruction_is_reported_where_it_stands() {
        let entry = enter(&at(EL0T | 1 << 31, SPAN), Exception::Undefined);
        assert_eq!(entry.elr_el1, 0x4008_0004);
        assert_eq!(entry.spsr_el1, 1 << 31);
        assert_eq!(entry.esr_el1, 0x0200_0000);
        assert_eq!(entry.far_el1, None);
    }

    #[test]
    fn the_handler_runs_in_el1h_masked_with_the_flags_kept() {
        let flags = 0xa << 28 | 1 << 24;
        // TCO, UAO, SS, IL, BTYPE and SSBS of the interrupted code do not reach the handler.
        let dropped = 1 << 25 | 1 << 23 | 1 << 21 | 1 << 20 | 3 << 10 | 1 << 12;
        let entry = enter(&at(EL1H | flags | dropped, SPAN), Exception::Undefined);
        assert_eq!(entry.pstate, flags | 0x3c5);
        assert_eq!(entry.spsr_el1, EL1H | flags | dropped);
    }

    #[test]
    fn aarch32_execution_state_does_not_reach_the_handler() {
        let thumb = USER32 | 1 << 5 | 0x3f << 10 | 3 << 25 | 0xf << 16 | 1 << 27 | 1 << 9;
        assert_eq!(enter(&at(thumb | 1 << 30, SPAN), Exception::Undefined).pstate, 1 << 30 | 0x3c5);
    }

    #[test]
    fn pan_and_ssbs_follow_sctlr() {
        let pan = 1 << 22;
        let pstate = |from, sctlr| enter(&at(from, sctlr), Exception::Undefined).pstate;
        assert_eq!(pstate(EL0T, 0), pan | 0x3c5);
        assert_eq!(pstate(EL0T, SPAN), 0x3c5);
        assert_eq!(pstate(EL1H | pan, SPAN), pan | 0x3c5, "SPAN leaves PAN as it was");
        assert_eq!(pstate(EL0T, SPAN | 1 << 44), 1 << 12 | 0x3c5);
    }

    #[test]
    fn aborts_tell_level_direction_and_address() {
        let esr = |pstate, exception| enter(&at(pstate, SPAN), exception).esr_el1;
        let data = |stage, access| Exception::DataAbort { far: 0, stage, access };
        assert_eq!(esr(EL0T, READ), 0x9200_0010);
        assert_eq!(esr(USER32, READ), 0x9200_0010);
        assert_eq!(esr(EL1H, READ), 0x9600_0010);
        assert_eq!(esr(EL1T, data(AbortedAt::Access, DataAccess::Write)), 0x9600_0050);
        assert_eq!(esr(EL1H, data(AbortedAt::Access, DataAccess::Maintenance)), 0x9600_0150);
        assert_eq!(esr(EL1H, data(AbortedAt::Walk, DataAccess::Read)), 0x9600_0014);
        let fetch = Exception::InstructionAbort { far: 0x5678, stage: AbortedAt::Access };
        assert_eq!(esr(EL0T, fetch), 0x8200_0010);
        assert_eq!(esr(EL1H, fetch), 0x8600_0010);
        assert_eq!(enter(&at(EL1H, SPAN), READ).far_el1, Some(0x1234));
        assert_eq!(enter(&at(EL1H, SPAN), fetch).far_el1, Some(0x5678));
    }

    #[test]
    fn the_other_classes_have_their_codes() {
        let esr = |exception| enter(&at(EL1H, SPAN), exception).esr_el1;
        assert_eq!(esr(Exception::IllegalState), 0x3a00_0000);
        assert_eq!(esr(Exception::SError { iss: u32::MAX }), 0xbfff_ffff);
        assert_eq!(esr(Exception::Reflected { esr: 0xf_1e00_0000 }), 0x1e00_0000);
    }

    #[test]
    fn a_fault_takes_its_details_from_the_syndrome() {
        let of = |fault, esr| Exception::from_fault(fault, esr, 0x1234);
        assert_eq!(of(GuestFault::Undefined, u64::MAX), Exception::Undefined);
        assert_eq!(of(GuestFault::DataAbort, 0x9200_0007), READ);
        let written = |stage, access| Exception::DataAbort { far: 0x1234, stage, access };
        let write = written(AbortedAt::Access, DataAccess::Write);
        assert_eq!(of(GuestFault::DataAbort, 0x9200_0047), write);
        let maintenance = written(AbortedAt::Walk, DataAccess::Maintenance);
        assert_eq!(of(GuestFault::DataAbort, 0x9200_01c7), maintenance);
        let walk = Exception::InstructionAbort { far: 0x1234, stage: AbortedAt::Walk };
        assert_eq!(of(GuestFault::PrefetchAbort, 0x8200_0087), walk);
    }
}
