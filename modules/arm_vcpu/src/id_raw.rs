//! The CPU's own identification registers, by encoding.
//!
//! Arm ARM DDI 0487, D24.2. Every encoding of op0 3, op1 0, CRn 0, CRm 1 to 7 can be read at EL2: what is
//! unallocated reads as zero.

use axvcpu::SysRegAddr;

use crate::sysreg::sysreg;

macro_rules! read_by_encoding {
    ($reg:expr; $(($op1:literal, $crm:literal, $op2:literal)),+ $(,)?) => {
        match $reg {
            $(reg if reg == sysreg(3, $op1, 0, $crm, $op2) => {
                crate::regs::mrs!("S3_", $op1, "_C0_C", $crm, "_", $op2)
            })+
            _ => 0,
        }
    };
}

/// What the hardware says in `reg`; zero for a register that is none of these.
#[cold]
pub(crate) fn raw_value(reg: SysRegAddr) -> u64 {
    read_by_encoding!(reg;
        (0, 0, 6), (1, 0, 1), (1, 0, 7), (3, 0, 1), (3, 0, 7),
        (0, 1, 0), (0, 1, 1), (0, 1, 2), (0, 1, 3), (0, 1, 4), (0, 1, 5), (0, 1, 6), (0, 1, 7),
        (0, 2, 0), (0, 2, 1), (0, 2, 2), (0, 2, 3), (0, 2, 4), (0, 2, 5), (0, 2, 6), (0, 2, 7),
        (0, 3, 0), (0, 3, 1), (0, 3, 2), (0, 3, 4), (0, 3, 5), (0, 3, 6),
        (0, 4, 0), (0, 4, 1), (0, 4, 2), (0, 4, 4), (0, 4, 5),
        (0, 5, 0), (0, 5, 1), (0, 5, 4), (0, 5, 5),
        (0, 6, 0), (0, 6, 1), (0, 6, 2), (0, 6, 3),
        (0, 7, 0), (0, 7, 1), (0, 7, 2), (0, 7, 3), (0, 7, 4),
    )
}
