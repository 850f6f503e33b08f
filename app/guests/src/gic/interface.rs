//! The CPU interface: the ICC system registers of the CPU that asks.

use crate::sysreg::{
    ICC_BPR1_EL1, ICC_CTLR_EL1, ICC_DIR_EL1, ICC_EOIR1_EL1, ICC_IAR1_EL1, ICC_IGRPEN1_EL1,
    ICC_PMR_EL1, ICC_SGI1R_EL1, ICC_SRE_EL1,
};

/// Whether a write to ICC_EOIR1_EL1 also deactivates.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum EoiMode {
    /// EOIR drops the priority and deactivates.
    Together = 0,
    /// EOIR drops the priority, DIR deactivates.
    Apart = 2,
}

/// Open to every priority, finest preemption, EOIR does it all.
pub(super) fn init() {
    ICC_SRE_EL1::write(1);
    set_priority_mask(0xff);
    ICC_BPR1_EL1::write(0);
    set_eoi_mode(EoiMode::Together);
    open_cpu_interface();
}

/// No group-1 interrupt reaches this CPU.
pub(crate) fn close_cpu_interface() {
    ICC_IGRPEN1_EL1::write(0);
}

/// Group-1 interrupts reach this CPU.
pub(crate) fn open_cpu_interface() {
    ICC_IGRPEN1_EL1::write(1);
}

/// ICC_IAR1_EL1: takes the most urgent interrupt, which becomes active.
pub(crate) fn acknowledge() -> u32 {
    let intid = ICC_IAR1_EL1::read() as u32 & 0xff_ffff;
    barrier();
    intid
}

/// ICC_EOIR1_EL1.
pub(crate) fn end(intid: u32) {
    barrier();
    ICC_EOIR1_EL1::write(intid.into());
}

/// ICC_DIR_EL1.
pub(crate) fn deactivate(intid: u32) {
    barrier();
    ICC_DIR_EL1::write(intid.into());
}

/// Only interrupts more urgent than `mask` are signalled.
pub(crate) fn set_priority_mask(mask: u8) {
    ICC_PMR_EL1::write(mask.into());
    barrier();
}

/// What EOIR does on this CPU.
pub(crate) fn set_eoi_mode(mode: EoiMode) {
    ICC_CTLR_EL1::write(ICC_CTLR_EL1::read() & !2 | mode as u64);
}

/// ICC_SGI1R_EL1 for SGI `id` to the CPU with this affinity.
pub(crate) fn sgi_to(affinity: u64, id: u32) -> u64 {
    let (aff0, aff1, aff2, aff3) =
        (affinity & 0xff, affinity >> 8 & 0xff, affinity >> 16 & 0xff, affinity >> 32 & 0xff);
    aff3 << 48
        | (aff0 >> 4) << 44
        | aff2 << 32
        | u64::from(id) << 24
        | aff1 << 16
        | 1 << (aff0 & 15)
}

/// ICC_SGI1R_EL1 for SGI `id` to every CPU but the sender (IRM).
pub(crate) fn sgi_to_others(id: u32) -> u64 {
    1 << 40 | u64::from(id) << 24
}

/// Sends what `sgi_to` or `sgi_to_others` made.
pub(crate) fn send_sgi(value: u64) {
    barrier();
    ICC_SGI1R_EL1::write(value);
}

/// What was written before is seen by every CPU and device before what follows.
fn barrier() {
    // SAFETY: a barrier.
    unsafe { core::arch::asm!("dsb sy", options(nostack)) };
}
