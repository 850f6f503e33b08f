//! The cause of a recorded exit, in words.

use core::fmt;

use crate::RECORDED_INTERRUPT;
use crate::esr::{Class, Fault, Syndrome};
use crate::sysreg::{Direction, decode_iss};

/// ESR_EL2 of an exit, or [`RECORDED_INTERRUPT`] with the INTID that was pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause(pub u64);

impl Cause {
    /// Whether FAR_EL2 has said something about it: the guest-virtual address of the access.
    pub fn has_address(self) -> bool {
        self.0 & RECORDED_INTERRUPT == 0
            && matches!(Syndrome(self.0).class(), Class::DataAbort | Class::InstructionAbort)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & RECORDED_INTERRUPT != 0 {
            return write!(f, "interrupt {}", self.0 & !RECORDED_INTERRUPT);
        }
        let syndrome = Syndrome(self.0);
        match syndrome.class() {
            Class::Wait if syndrome.is_wfi() => f.write_str("WFI"),
            Class::Wait => f.write_str("WFE"),
            Class::Hvc => write!(f, "HVC #{:#x}", syndrome.immediate()),
            Class::Smc => write!(f, "SMC #{:#x}", syndrome.immediate()),
            Class::SystemRegister => system_register(syndrome.iss(), f),
            Class::InstructionAbort => write!(f, "fetch, {}", fault(syndrome)),
            Class::DataAbort => data_abort(syndrome, f),
            Class::Absent => write!(f, "class {:#x}, ESR {:#x}", self.0 >> 26 & 0x3f, self.0),
        }
    }
}

/// The register in the form that assemblers take for one without a name (Arm ARM DDI 0487, C5.1.2).
fn system_register(iss: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (_, rt, direction) = decode_iss(iss);
    let field = |shift: u32, mask: u32| iss >> shift & mask;
    let (op0, op1, op2) = (field(20, 3), field(14, 7), field(17, 7));
    let (crn, crm) = (field(10, 15), field(1, 15));
    match direction {
        Direction::Read => write!(f, "MRS X{rt}, S{op0}_{op1}_C{crn}_C{crm}_{op2}"),
        Direction::Write => write!(f, "MSR S{op0}_{op1}_C{crn}_C{crm}_{op2}, X{rt}"),
    }
}

fn data_abort(syndrome: Syndrome, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (verb, preposition) =
        if syndrome.is_write() { ("write", "from") } else { ("read", "into") };
    match syndrome.access() {
        Some(access) => {
            let (bytes, register) = (access.width.bytes(), access.register);
            write!(f, "{verb} of {bytes} bytes {preposition} X{register}")?;
        }
        None => f.write_str(verb)?,
    }
    if syndrome.is_described_translation_fault() {
        return Ok(());
    }
    write!(f, ", {}", fault(syndrome))
}

fn fault(syndrome: Syndrome) -> &'static str {
    match (syndrome.fault(), syndrome.on_table_walk()) {
        (Fault::Translation, false) => "translation fault",
        (Fault::Permission, false) => "permission fault",
        (Fault::External, false) => "external abort",
        (Fault::Translation | Fault::Permission | Fault::External, true) => "fault on a table walk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysreg::names;
    use std::string::ToString;

    #[test]
    fn causes_read_like_the_manual() {
        let register = names::ICC_SGI1R_EL1.0 as u64 | 5 << 5;
        let load = 1 << 25 | 1 << 24 | 2 << 22 | 3 << 16 | 0x05;
        for (cause, text) in [
            (RECORDED_INTERRUPT | 27, "interrupt 27"),
            (0x01 << 26 | 1 << 25, "WFI"),
            (0x16 << 26 | 1 << 25 | 7, "HVC #0x7"),
            (0x18 << 26 | 1 << 25 | register, "MSR S3_0_C12_C11_5, X5"),
            (0x24 << 26 | load, "read of 4 bytes into X3"),
            (0x24 << 26 | load | 1 << 6, "write of 4 bytes from X3"),
            (0x24 << 26 | 1 << 25 | 0x0d, "read, permission fault"),
            (0x20 << 26 | 1 << 25 | 0x10, "fetch, external abort"),
            (0x0e << 26 | 1 << 25, "class 0xe, ESR 0x3a000000"),
        ] {
            assert_eq!(Cause(cause).to_string(), text);
        }
        assert!(Cause(0x24 << 26).has_address());
        assert!(!Cause(RECORDED_INTERRUPT | 27).has_address());
    }
}
