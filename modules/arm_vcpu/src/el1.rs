//! The guest's EL1 and EL0 system registers, which stay in the CPU while its vCPU is loaded.
//!
//! Arm ARM DDI 0487, D23.2. The host uses none of them at EL2 (E2H = 0) but SP_EL0, which
//! `bind` swaps. Registers a guest can neither read nor be affected by (hidden or trapped) are absent.

use crate::regs::{mrs, msr};

/// In pairs, each of which is one store or load.
macro_rules! registers {
    ($($field:ident = $name:literal, $second:ident = $second_name:literal);+ $(;)?) => {
        /// Saved values of the EL1 and EL0 system registers.
        #[repr(C)]
        #[derive(Clone, Debug, Default)]
        pub struct El1Registers {
            $(#[doc = $name] pub $field: u64, #[doc = $second_name] pub $second: u64,)+
        }

        impl El1Registers {
            #[inline]
            pub(crate) fn save(&mut self) {
                $(
                    let (first, second) = (mrs!($name), mrs!($second_name));
                    (self.$field, self.$second) = (first, second);
                )+
            }

            #[inline]
            pub(crate) fn load(&self) {
                $(
                    let (first, second) = (self.$field, self.$second);
                    msr!($name, first);
                    msr!($second_name, second);
                )+
            }
        }
    };
}

registers! {
    sctlr = "SCTLR_EL1", cpacr = "CPACR_EL1";
    ttbr0 = "TTBR0_EL1", ttbr1 = "TTBR1_EL1";
    tcr = "TCR_EL1", esr = "ESR_EL1";
    afsr0 = "AFSR0_EL1", afsr1 = "AFSR1_EL1";
    far = "FAR_EL1", par = "PAR_EL1";
    mair = "MAIR_EL1", amair = "AMAIR_EL1";
    vbar = "VBAR_EL1", contextidr = "CONTEXTIDR_EL1";
    tpidr_el0 = "TPIDR_EL0", tpidrro_el0 = "TPIDRRO_EL0";
    tpidr_el1 = "TPIDR_EL1", cntkctl = "CNTKCTL_EL1";
    csselr = "CSSELR_EL1", sp_el1 = "SP_EL1";
    elr_el1 = "ELR_EL1", spsr_el1 = "SPSR_EL1";
}

/// The pointer-authentication keys, where the CPU has them (ID_AA64ISAR1_EL1).
#[derive(Clone, Debug, Default)]
pub(crate) struct PauthKeys([u64; 10]);

macro_rules! pauth_keys {
    ($($index:literal = $name:literal),+ $(,)?) => {
        impl PauthKeys {
            pub(crate) fn save(&mut self) {
                $(self.0[$index] = mrs!($name);)+
            }

            pub(crate) fn load(&self) {
                $(msr!($name, self.0[$index]);)+
            }
        }
    };
}

// By encoding: the assembler knows the names only where the target has the extension.
pauth_keys! {
    0 = "S3_0_C2_C1_0", // APIAKeyLo_EL1
    1 = "S3_0_C2_C1_1",
    2 = "S3_0_C2_C1_2", // APIBKeyLo_EL1
    3 = "S3_0_C2_C1_3",
    4 = "S3_0_C2_C2_0", // APDAKeyLo_EL1
    5 = "S3_0_C2_C2_1",
    6 = "S3_0_C2_C2_2", // APDBKeyLo_EL1
    7 = "S3_0_C2_C2_3",
    8 = "S3_0_C2_C3_0", // APGAKeyLo_EL1
    9 = "S3_0_C2_C3_1",
}
