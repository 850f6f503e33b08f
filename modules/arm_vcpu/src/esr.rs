//! From ESR_EL2 to what the guest wanted.
//!
//! Arm ARM DDI 0487, ESR_EL2. Reads no hardware.

use axaddrspace::AccessWidth;

/// The exception class, of those that a guest can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// WFI or WFE (0x01).
    Wait,
    /// HVC in AArch64 (0x16).
    Hvc,
    /// SMC in AArch64 (0x17).
    Smc,
    /// MRS, MSR or a system instruction (0x18).
    SystemRegister,
    /// A stage-2 fault of an instruction fetch (0x20).
    InstructionAbort,
    /// A stage-2 fault of a load, store or cache maintenance (0x24).
    DataAbort,
    /// Anything else that traps: a feature that this guest does not have.
    Absent,
}

/// ESR_EL2 of one exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syndrome(pub(crate) u64);

impl Class {
    /// The class that the field EC says.
    pub(crate) const fn of(ec: u64) -> Self {
        match ec {
            0x01 => Self::Wait,
            0x16 => Self::Hvc,
            0x17 => Self::Smc,
            0x18 => Self::SystemRegister,
            0x20 => Self::InstructionAbort,
            0x24 => Self::DataAbort,
            _ => Self::Absent,
        }
    }
}

impl Syndrome {
    pub(crate) const fn class(self) -> Class {
        Class::of((self.0 >> 26) & 0x3f)
    }

    #[inline]
    const fn bit(self, n: u32) -> bool {
        self.0 >> n & 1 != 0
    }

    /// IL: the length in bytes of the instruction that trapped.
    #[inline]
    pub(crate) const fn instruction_bytes(self) -> u64 {
        if self.bit(25) { 4 } else { 2 }
    }

    /// The ISS field.
    #[inline]
    pub(crate) const fn iss(self) -> u32 {
        (self.0 & 0x1ff_ffff) as u32
    }

    /// The immediate of HVC or SMC.
    #[inline]
    pub(crate) const fn immediate(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// TI: WFE and its timed kin wait for an event, WFI for an interrupt.
    #[inline]
    pub(crate) const fn is_wfi(self) -> bool {
        self.0 & 3 == 0
    }

    /// What kind of fault an abort reports.
    #[inline]
    pub(crate) const fn fault(self) -> Fault {
        match (self.0 & 0x3f) >> 2 {
            0b0001 | 0b0010 => Fault::Translation,
            0b0011 => Fault::Permission,
            _ => Fault::External,
        }
    }

    /// S1PTW: the fault happened on the guest's own table walk.
    #[inline]
    pub(crate) const fn on_table_walk(self) -> bool {
        self.bit(7)
    }

    /// CM: a cache-maintenance instruction.
    #[inline]
    pub(crate) const fn is_cache_maintenance(self) -> bool {
        self.bit(8)
    }

    /// WnR.
    #[inline]
    pub(crate) const fn is_write(self) -> bool {
        self.bit(6)
    }

    /// A data abort of the frequent kind: a device access, where nothing is mapped, made by an
    /// instruction that the syndrome describes (ISV), and not the guest's own table walk (S1PTW).
    #[inline(always)]
    pub(crate) const fn is_described_translation_fault(self) -> bool {
        const ISV: u64 = 1 << 24;
        const S1PTW: u64 = 1 << 7;
        const KIND: u64 = 0b1111 << 2;
        const TRANSLATION: u64 = 0b0001 << 2;
        self.0 & (ISV | S1PTW | KIND) == ISV | TRANSLATION
    }

    /// The access of a data abort, if the syndrome describes it (ISV).
    #[inline]
    pub(crate) const fn access(self) -> Option<Access> {
        if self.bit(24) { Some(self.described_access()) } else { None }
    }

    /// The access of a data abort whose syndrome describes it.
    #[inline(always)]
    pub(crate) const fn described_access(self) -> Access {
        Access {
            width: match (self.0 >> 22) & 3 {
                0 => AccessWidth::Byte,
                1 => AccessWidth::Word,
                2 => AccessWidth::Dword,
                _ => AccessWidth::Qword,
            },
            register: (self.0 >> 16) as usize & 31,
            register_width: if self.bit(15) { AccessWidth::Qword } else { AccessWidth::Dword },
            signed: self.bit(21),
        }
    }
}

/// Why stage 2 or memory refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is mapped there.
    Translation,
    /// It is mapped, but not for this.
    Permission,
    /// Memory or a device answered with an error, or the access can never be made.
    External,
}

/// One load or store as the syndrome describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) width: AccessWidth,
    pub(crate) register: usize,
    pub(crate) register_width: AccessWidth,
    pub(crate) signed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_halfword_load_is_decoded_whole() {
        // LDRSH X3, [..]: EC 0x24, IL, ISV, SAS 1, SSE, SRT 3, SF, translation fault level 1.
        let esr = 0x24 << 26 | 1 << 25 | 1 << 24 | 1 << 22 | 1 << 21 | 3 << 16 | 1 << 15 | 0x05;
        let syndrome = Syndrome(esr);
        assert_eq!(syndrome.class(), Class::DataAbort);
        assert_eq!(syndrome.fault(), Fault::Translation);
        let expected = Access {
            width: AccessWidth::Word,
            register: 3,
            register_width: AccessWidth::Qword,
            signed: true,
        };
        assert_eq!(syndrome.access(), Some(expected));
    }

    #[test]
    fn an_abort_without_valid_syndrome_describes_no_access() {
        assert_eq!(Syndrome(0x24 << 26 | 0x05).access(), None);
    }

    #[test]
    fn every_fault_status_is_a_translation_permission_or_external_fault() {
        for status in 0..64u64 {
            let fault = Syndrome(0x24 << 26 | status).fault();
            let expected = match status {
                0x04..=0x0b => Fault::Translation,
                0x0c..=0x0f => Fault::Permission,
                _ => Fault::External,
            };
            assert_eq!(fault, expected, "DFSC {status:#x}");
        }
    }
}
