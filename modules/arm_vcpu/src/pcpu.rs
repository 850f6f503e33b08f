//! Virtualisation on one physical CPU: its traps, its translation controls, its vectors.
//!
//! Arm ARM DDI 0487: HCR_EL2, CPTR_EL2, MDCR_EL2, CNTHCTL_EL2, VTCR_EL2, VBAR_EL2, ICC_SRE_EL2.

use axerrno::{AxResult, ax_err};
use axvcpu::AxArchPerCpu;

use crate::features;
use crate::regs::{barrier, mrs, msr};
use crate::world_switch::vector_table;

/// HCR_EL2 of every vCPU; TWI and VSE come and go.
///
/// VM and PTW: stage 2, and table walks into device memory fault. SWIO, FB, BSU inner shareable:
/// set/way and broadcast stay harmless. FMO, IMO, AMO: physical interrupts and errors come to EL2.
/// TID1, TID3, TSC, TIDCP, TACR, TSW, TLOR, TERR, TID5: identification, SMC, implementation-defined,
/// ACTLR, set/way, LOR, error-record and memory-tag identification registers trap. RW: EL1 is
/// AArch64. APK, API: pointer authentication does not trap.
pub(crate) const HCR: u64 = 1
    | 1 << 1
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 9
    | 1 << 10
    | 1 << 16
    | 1 << 18
    | 1 << 19
    | 1 << 20
    | 1 << 21
    | 1 << 22
    | 1 << 31
    | 1 << 35
    | 1 << 36
    | 1 << 40
    | 1 << 41
    | 1 << 58;

/// HCR_EL2.E2H: EL2 has the translation of EL1 (VHE).
const HCR_E2H: u64 = 1 << 34;
/// HCR_EL2.TWI: WFI traps.
pub(crate) const HCR_TWI: u64 = 1 << 13;
/// HCR_EL2.VSE: a virtual SError is pending.
pub(crate) const HCR_VSE: u64 = 1 << 8;

/// CPTR_EL2 (E2H = 0): SVE, SME, trace and activity monitors trap; floating point does not, since
/// the host switches its V registers with its threads.
const CPTR: u64 = 0x33ff | 1 << 20 | 1 << 30;

/// MDCR_EL2: PMU, debug, OS-lock, ROM-address, profiling, trace-filter and DCC accesses trap. HPMN is kept.
const MDCR: u64 = 1 << 5 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 14 | 1 << 19 | 1 << 27;
const MDCR_HPMN: u64 = 0x1f;

/// HCRX_EL2: TALLINT, so that setting PSTATE.ALLINT traps. What the other bits could enable traps instead.
const HCRX: u64 = 1 << 6;

/// MPAM2_EL2.{TRAPMPAM1EL1, TRAPMPAM0EL1, TIDR}, and EnMPAMSM = 0: the guest's partition ids are the host's.
const MPAM2: u64 = 1 << 48 | 1 << 49 | 1 << 58;

/// ICC_SRE: system registers are the interface, no bypass.
const SRE: u64 = 0b111;

/// Bits of a guest-physical address that stage 2 translates (VTCR_EL2.T0SZ = 64 - this).
pub const IPA_BITS: u64 = 39;

/// VTCR_EL2 but for PS: 4 KiB granule, walks start at level 1, write-back inner shareable walks,
/// 8-bit VMIDs.
const VTCR: u64 = (64 - IPA_BITS) | 1 << 6 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 31;

/// One physical CPU.
#[derive(Debug)]
pub struct Aarch64PerCpu {
    /// What the registers held before, while virtualisation is enabled.
    before: Option<Before>,
}

#[derive(Debug)]
struct Before {
    vbar: u64,
    hcr: u64,
    cptr: u64,
    mdcr: u64,
    cnthctl: u64,
}

impl AxArchPerCpu for Aarch64PerCpu {
    fn new(_cpu_id: usize) -> AxResult<Self> {
        if !crate::has_hardware_support() {
            return ax_err!(Unsupported, "the CPU is not at EL2");
        }
        if mrs!("HCR_EL2") & HCR_E2H != 0 {
            // Registers of EL1 would be other ones, and controls would have other layouts.
            return ax_err!(Unsupported, "the CPU runs with HCR_EL2.E2H = 1");
        }
        Ok(Self { before: None })
    }

    fn is_enabled(&self) -> bool {
        self.before.is_some()
    }

    fn hardware_enable(&mut self) -> AxResult {
        if self.before.is_some() {
            return ax_err!(BadState, "enabled already");
        }
        self.before = Some(Before {
            vbar: mrs!("VBAR_EL2"),
            hcr: mrs!("HCR_EL2"),
            cptr: mrs!("CPTR_EL2"),
            mdcr: mrs!("MDCR_EL2"),
            cnthctl: mrs!("CNTHCTL_EL2"),
        });
        crate::id_raw::prepare(&crate::traps::features());
        let physical_address_size = mrs!("ID_AA64MMFR0_EL1") & 7;
        msr!("VTCR_EL2", VTCR | physical_address_size << 16);
        msr!("HCR_EL2", HCR);
        msr!("CPTR_EL2", CPTR);
        msr!("MDCR_EL2", MDCR | mrs!("MDCR_EL2") & MDCR_HPMN);
        msr!("HSTR_EL2", 0);
        msr!("VPIDR_EL2", mrs!("MIDR_EL1"));
        trap_later_features();
        // Guests cannot write it: whatever firmware left would make debug exceptions in them.
        msr!("MDSCR_EL1", 0);
        if features::performance_monitors() {
            // PMUSERENR_EL0, likewise: it would decide who is told of what EL0 tries.
            msr!("S3_3_C9_C14_0", 0);
        }
        msr!("VTTBR_EL2", crate::translation::no_vm());
        // EL1 sees the virtual counter and timer; the physical ones trap.
        msr!("CNTHCTL_EL2", 0);
        if !crate::gic::is_v2() {
            // ICC_SRE_EL1 is one for all guests, so it traps: ICC_SRE_EL2.Enable (bit 3) is 0, where that is not fixed.
            msr!("S3_0_C12_C12_5", SRE);
            msr!("S3_4_C12_C9_5", SRE);
        }
        // What every vCPU leaves behind, and the next one finds.
        msr!("CNTV_CTL_EL0", 0);
        crate::gic::empty_list_registers();
        // The table sends what is the host's to the host: its slots for the current EL are the host's own.
        msr!("VBAR_EL2", vector_table());
        barrier!("isb");
        barrier!("tlbi alle1is");
        barrier!("dsb ish");
        barrier!("isb");
        Ok(())
    }

    fn hardware_disable(&mut self) -> AxResult {
        let Some(before) = self.before.take() else {
            return ax_err!(BadState, "not enabled");
        };
        msr!("VBAR_EL2", before.vbar);
        msr!("HCR_EL2", before.hcr);
        msr!("CPTR_EL2", before.cptr);
        msr!("MDCR_EL2", before.mdcr);
        msr!("CNTHCTL_EL2", before.cnthctl);
        barrier!("isb");
        Ok(())
    }
}

/// The controls that came with later versions of the architecture.
fn trap_later_features() {
    if features::extended_hcr() {
        msr!("S3_4_C1_C2_2", HCRX);
    }
    // Nothing but what the other controls say traps, and the bits that have to be set to allow something are not.
    if features::fine_grained_traps() >= 1 {
        // HFGRTR_EL2, HFGWTR_EL2, HFGITR_EL2, HDFGRTR_EL2, HDFGWTR_EL2.
        msr!("S3_4_C1_C1_4", 0);
        msr!("S3_4_C1_C1_5", 0);
        msr!("S3_4_C1_C1_6", 0);
        msr!("S3_4_C3_C1_4", 0);
        msr!("S3_4_C3_C1_5", 0);
    }
    if features::fine_grained_traps() >= 2 {
        // HDFGRTR2_EL2, HDFGWTR2_EL2, HFGRTR2_EL2, HFGWTR2_EL2, HFGITR2_EL2.
        msr!("S3_4_C3_C1_0", 0);
        msr!("S3_4_C3_C1_1", 0);
        msr!("S3_4_C3_C1_2", 0);
        msr!("S3_4_C3_C1_3", 0);
        msr!("S3_4_C3_C1_7", 0);
    }
    if features::mpam() {
        /// MPAMIDR_EL1.HAS_HCR.
        const HAS_HCR: u64 = 1 << 17;
        msr!("S3_4_C10_C5_0", MPAM2);
        if mrs!("S3_0_C10_C4_4") & HAS_HCR != 0 {
            // MPAMHCR_EL2.TRAP_MPAMIDR_EL1, which does what MPAM2_EL2.TIDR does on later CPUs.
            msr!("S3_4_C10_C4_0", 1 << 31);
        }
    }
}
