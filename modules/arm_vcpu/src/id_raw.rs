//! The CPU's own identification registers, by encoding, and what guests read instead of the frequent ones.
//!
//! Arm ARM DDI 0487, D24.2. Every encoding of op0 3, op1 0, CRn 0, CRm 1 to 7 can be read at EL2: what is
//! unallocated reads as zero.

use axvcpu::SysRegAddr;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::id_regs::{GuestFeatures, guest_value};
use crate::sysreg::sysreg;

/// What a guest reads in the registers of HCR_EL2.TID3, by CRm and op2: some kernels read them all the time.
static SHOWN: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// Works out what guests with `features` read. All CPUs are taken to be of one kind.
pub(crate) fn prepare(features: &GuestFeatures) {
    for (index, shown) in SHOWN.iter().enumerate() {
        let reg = sysreg(3, 0, 0, index >> 3, index & 7);
        shown.store(guest_value(reg, raw_value(reg), features), Ordering::Relaxed);
    }
}

/// What a guest reads in `reg`, if that is one of the registers of HCR_EL2.TID3.
#[inline(always)]
pub(crate) fn shown_value(reg: SysRegAddr) -> Option<u64> {
    const CRM: usize = 0b111 << 1;
    const OP2: usize = 0b111 << 17;
    const FIRST: usize = sysreg(3, 0, 0, 0, 0).0;
    // CRm 0 holds MIDR_EL1 and others, which do not trap.
    if reg.0 & !(CRM | OP2) != FIRST || reg.0 & CRM == 0 {
        return None;
    }
    let index = (reg.0 & CRM) << 2 | reg.0 >> 17 & 7;
    SHOWN.get(index).map(|shown| shown.load(Ordering::Relaxed))
}

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
