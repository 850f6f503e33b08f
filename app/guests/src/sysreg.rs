//! System registers by the manual's names (DDI 0487, chapter D24; ICC registers: IHI 0069).
//!
//! Only registers that cannot break memory safety are here: nothing that moves the stack, the vectors or translation.
//! SP_EL0, TTBR1_EL1 and the thread registers are plain storage to this guest.
#![allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "the manual's names")]

use core::arch::asm;

macro_rules! registers {
    ($($name:ident = $encoding:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        pub(crate) enum $name {}

        #[allow(dead_code, reason = "one pair of accessors for every register")]
        impl $name {
            /// MRS.
            #[inline(always)]
            pub(crate) fn read() -> u64 {
                let value;
                // SAFETY: reading a register of this list touches no memory.
                unsafe { asm!(concat!("mrs {}, ", $encoding), out(reg) value, options(nostack)) };
                value
            }

            /// MSR, then ISB.
            #[inline(always)]
            pub(crate) fn write(value: u64) {
                // SAFETY: see the module: no register of this list moves memory the compiler relies on.
                unsafe { asm!(concat!("msr ", $encoding, ", {}"), "isb", in(reg) value, options(nostack)) };
            }
        }
    )*};
}

registers! {
    MPIDR_EL1 = "mpidr_el1";
    ID_AA64PFR0_EL1 = "id_aa64pfr0_el1";
    ID_AA64MMFR0_EL1 = "id_aa64mmfr0_el1";
    ID_AA64PFR1_EL1 = "id_aa64pfr1_el1";
    ID_AA64DFR0_EL1 = "id_aa64dfr0_el1";
    CNTFRQ_EL0 = "cntfrq_el0";
    CNTVCT_EL0 = "cntvct_el0";
    CNTPCT_EL0 = "cntpct_el0";
    CNTP_CTL_EL0 = "cntp_ctl_el0";
    CNTP_CVAL_EL0 = "cntp_cval_el0";
    CNTV_CTL_EL0 = "cntv_ctl_el0";
    CNTV_CVAL_EL0 = "cntv_cval_el0";
    CNTV_TVAL_EL0 = "cntv_tval_el0";
    ISR_EL1 = "isr_el1";
    DCZID_EL0 = "dczid_el0";
    ICC_AP0R0_EL1 = "S3_0_C12_C8_4";
    ICC_AP1R0_EL1 = "S3_0_C12_C9_0";
    ICC_SRE_EL1 = "S3_0_C12_C12_5";
    ICC_PMR_EL1 = "S3_0_C4_C6_0";
    ICC_BPR1_EL1 = "S3_0_C12_C12_3";
    ICC_CTLR_EL1 = "S3_0_C12_C12_4";
    ICC_IGRPEN1_EL1 = "S3_0_C12_C12_7";
    ICC_IAR1_EL1 = "S3_0_C12_C12_0";
    ICC_EOIR1_EL1 = "S3_0_C12_C12_1";
    ICC_HPPIR1_EL1 = "S3_0_C12_C12_2";
    ICC_DIR_EL1 = "S3_0_C12_C11_1";
    ICC_RPR_EL1 = "S3_0_C12_C11_3";
    ICC_SGI1R_EL1 = "S3_0_C12_C11_5";
    DAIF = "daif";
    SP_EL0 = "sp_el0";
    TPIDR_EL0 = "tpidr_el0";
    TPIDRRO_EL0 = "tpidrro_el0";
    TPIDR_EL1 = "tpidr_el1";
    CONTEXTIDR_EL1 = "contextidr_el1";
    CNTKCTL_EL1 = "cntkctl_el1";
    PAR_EL1 = "par_el1";
    TTBR1_EL1 = "ttbr1_el1";
    AMAIR_EL1 = "amair_el1";
    AFSR0_EL1 = "afsr0_el1";
    AFSR1_EL1 = "afsr1_el1";
    ESR_EL1 = "esr_el1";
    FAR_EL1 = "far_el1";
    CSSELR_EL1 = "csselr_el1";
    FPCR = "S3_3_C4_C4_0";
    FPSR = "S3_3_C4_C4_1";
}
