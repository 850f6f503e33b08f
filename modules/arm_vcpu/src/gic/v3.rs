//! The registers of the GICv3 CPU interface: the physical one's, and the virtual one a vCPU is given.
//!
//! GIC Architecture Specification IHI 0069, chapter 12. Encodings are used where assemblers differ in names.

use super::CpuInterface;
use crate::regs::{barrier, low_word, mrs, msr, size};

/// The highest-priority pending physical interrupt, without acknowledging it (ICC_HPPIR1_EL1, whose other bits are RES0).
#[inline]
pub fn pending() -> u32 {
    low_word(mrs!("S3_0_C12_C12_2"))
}

/// Acknowledges the highest-priority pending physical interrupt (ICC_IAR1_EL1, whose other bits are RES0); 1020 and
/// above: none.
#[inline]
pub fn acknowledge() -> u32 {
    let intid = low_word(mrs!("S3_0_C12_C12_0"));
    barrier!("dsb sy");
    intid
}

/// Lets interrupts of the same priority in again; `intid` stays active (ICC_EOIR1_EL1, EOImode 1).
#[inline]
pub fn drop_priority(intid: u32) {
    msr!("S3_0_C12_C12_1", u64::from(intid));
}

/// Makes `intid` inactive (ICC_DIR_EL1).
#[inline]
pub fn deactivate(intid: u32) {
    msr!("S3_0_C12_C11_1", u64::from(intid));
}

/// The CPU of affinity `mpidr` in ICC_SGI1R_EL1.
pub(super) fn sgi_target(mpidr: u64) -> u64 {
    let aff0 = mpidr & 0xff;
    ((mpidr >> 32) & 0xff) << 48
        | ((mpidr >> 16) & 0xff) << 32
        | (aff0 >> 4) << 44
        | ((mpidr >> 8) & 0xff) << 16
        | 1 << (aff0 & 15)
}

/// Sends physical SGI `intid` to a CPU ([`sgi_target`]). What was stored before is seen by who takes it.
#[inline]
pub(super) fn send_sgi(target: u64, intid: u32) {
    barrier!("dsb ishst");
    msr!("S3_0_C12_C11_5", target | u64::from(intid & 15) << 24);
}

/// The state bits of a list register, and of them the pending one (ICH_LR<n>_EL2.State).
const STATE: u64 = 0b11 << 62;
const PENDING: u64 = 1 << 62;
const EOI: u64 = 1 << 41;

macro_rules! by_index {
    ($get:ident, $set:ident: $($index:literal = $name:literal),+) => {
        /// Reads the register of that index; one that does not exist reads as zero.
        pub fn $get(index: usize) -> u64 {
            match index {
                $($index => mrs!($name),)+
                _ => 0,
            }
        }

        /// Writes the register of that index, if it exists.
        pub fn $set(index: usize, value: u64) {
            match index {
                $($index => msr!($name, value),)+
                _ => {}
            }
        }
    };
}

macro_rules! list_registers {
    ($($index:literal = $name:literal),+) => {
        by_index!(list_register, set_list_register: $($index = $name),+);

        /// Sets the pending bit of the list register of that index, if it is neither pending nor active, and no
        /// maintenance interrupt tells that; whether it did.
        #[inline(always)]
        pub fn pend_if_empty(index: usize) -> bool {
            match index {
                $($index => {
                    let value = mrs!($name);
                    let empty = value & (STATE | EOI) == 0;
                    if empty {
                        msr!($name, value | PENDING);
                    }
                    empty
                })+
                _ => false,
            }
        }
    };
}

list_registers!(
    0 = "S3_4_C12_C12_0",
    1 = "S3_4_C12_C12_1",
    2 = "S3_4_C12_C12_2",
    3 = "S3_4_C12_C12_3",
    4 = "S3_4_C12_C12_4",
    5 = "S3_4_C12_C12_5",
    6 = "S3_4_C12_C12_6",
    7 = "S3_4_C12_C12_7",
    8 = "S3_4_C12_C13_0",
    9 = "S3_4_C12_C13_1",
    10 = "S3_4_C12_C13_2",
    11 = "S3_4_C12_C13_3",
    12 = "S3_4_C12_C13_4",
    13 = "S3_4_C12_C13_5",
    14 = "S3_4_C12_C13_6",
    15 = "S3_4_C12_C13_7"
);

by_index!(active_priorities0, set_active_priorities0:
    0 = "S3_4_C12_C8_0", 1 = "S3_4_C12_C8_1", 2 = "S3_4_C12_C8_2", 3 = "S3_4_C12_C8_3");

by_index!(active_priorities1, set_active_priorities1:
    0 = "S3_4_C12_C9_0", 1 = "S3_4_C12_C9_1", 2 = "S3_4_C12_C9_2", 3 = "S3_4_C12_C9_3");

/// How many list registers this CPU has (ICH_VTR_EL2.ListRegs).
pub fn list_registers() -> usize {
    size(mrs!("S3_4_C12_C11_1") & 31).wrapping_add(1)
}

/// How many active-priority registers of each group exist (ICH_VTR_EL2.PREbits); others are UNDEFINED.
fn active_priority_registers() -> usize {
    match (mrs!("S3_4_C12_C11_1") >> 26) & 7 {
        0..=4 => 1,
        5 => 2,
        _ => 4,
    }
}

/// ICH_HCR_EL2.En.
const HCR_EN: u64 = 1;
/// ICH_HCR_EL2.NPIE: a maintenance interrupt when no list register is pending.
const HCR_NPIE: u64 = 1 << 3;

/// Turns the maintenance interrupt for "no list register is pending" on or off. It is signalled only
/// while a vCPU is bound.
#[inline]
pub fn set_no_pending_maintenance(on: bool) {
    let enable = mrs!("S3_4_C12_C11_0") & HCR_EN;
    msr!("S3_4_C12_C11_0", enable | if on { HCR_NPIE } else { 0 });
}

/// Gives the guest its interrupts; cheap, done each time the vCPU is bound.
#[inline]
pub(super) fn bind() {
    msr!("S3_4_C12_C11_0", mrs!("S3_4_C12_C11_0") | HCR_EN);
}

/// Keeps interrupts to the guest, and the maintenance interrupt, from a CPU that runs the host.
#[inline]
pub(super) fn unbind() {
    msr!("S3_4_C12_C11_0", mrs!("S3_4_C12_C11_0") & !HCR_EN);
}

pub(super) fn save(interface: &mut CpuInterface) {
    let [group0, group1] = &mut interface.active_priorities;
    let registers = group0.iter_mut().zip(group1).enumerate();
    for (index, (zero, one)) in registers.take(active_priority_registers()) {
        *zero = active_priorities0(index);
        *one = active_priorities1(index);
    }
    interface.vmcr = mrs!("S3_4_C12_C11_7");
}

pub(super) fn load(interface: &CpuInterface) {
    let [group0, group1] = &interface.active_priorities;
    let registers = group0.iter().zip(group1).enumerate();
    for (index, (zero, one)) in registers.take(active_priority_registers()) {
        set_active_priorities0(index, *zero);
        set_active_priorities1(index, *one);
    }
    msr!("S3_4_C12_C11_7", interface.vmcr);
    msr!("S3_4_C12_C11_0", 0);
}
