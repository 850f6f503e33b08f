//! The CPU interface of the CPU that asks: ICC system registers, or a GICv2's in memory.

use super::v2;
use crate::mmio;
use crate::sysreg::{
    ICC_AP0R0_EL1, ICC_AP1R0_EL1, ICC_BPR1_EL1, ICC_CTLR_EL1, ICC_DIR_EL1, ICC_EOIR1_EL1,
    ICC_HPPIR1_EL1, ICC_IAR1_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1, ICC_RPR_EL1, ICC_SGI1R_EL1,
    ICC_SRE_EL1,
};

/// Whether a write to EOIR also deactivates.
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
    if v2::is_here() {
        return v2::init_interface();
    }
    ICC_SRE_EL1::write(1);
    set_priority_mask(0xff);
    ICC_BPR1_EL1::write(0);
    set_eoi_mode(EoiMode::Together);
    open_cpu_interface();
}

/// No priority counts as active, whatever was written there: this CPU handles no interrupt.
pub(crate) fn forget_active_priorities() {
    if v2::is_here() {
        return v2::forget_active_priorities();
    }
    ICC_AP0R0_EL1::write(0);
    ICC_AP1R0_EL1::write(0);
}

/// No interrupt reaches this CPU.
pub(crate) fn close_cpu_interface() {
    if v2::is_here() {
        return v2::enable_interface(false);
    }
    ICC_IGRPEN1_EL1::write(0);
}

/// Interrupts reach this CPU.
pub(crate) fn open_cpu_interface() {
    if v2::is_here() {
        return v2::enable_interface(true);
    }
    ICC_IGRPEN1_EL1::write(1);
}

/// IAR: takes the most urgent interrupt, which becomes active.
pub(crate) fn acknowledge() -> u32 {
    let intid =
        if v2::is_here() { v2::acknowledge() } else { ICC_IAR1_EL1::read() as u32 & 0xff_ffff };
    barrier();
    intid
}

/// EOIR.
pub(crate) fn end(intid: u32) {
    barrier();
    if v2::is_here() {
        return v2::end(intid);
    }
    ICC_EOIR1_EL1::write(intid.into());
}

/// DIR.
pub(crate) fn deactivate(intid: u32) {
    barrier();
    if v2::is_here() {
        return v2::deactivate(intid);
    }
    ICC_DIR_EL1::write(intid.into());
}

/// Only interrupts more urgent than `mask` are signalled.
pub(crate) fn set_priority_mask(mask: u8) {
    if v2::is_here() {
        v2::set_priority_mask(mask.into());
    } else {
        ICC_PMR_EL1::write(mask.into());
    }
    barrier();
}

/// What `set_priority_mask` has set.
pub(crate) fn priority_mask() -> u64 {
    if v2::is_here() { v2::priority_mask().into() } else { ICC_PMR_EL1::read() }
}

/// BPR of the group that is used.
pub(crate) fn binary_point() -> u64 {
    if v2::is_here() { v2::binary_point().into() } else { ICC_BPR1_EL1::read() }
}

/// Sets it.
pub(crate) fn set_binary_point(value: u8) {
    if v2::is_here() {
        v2::set_binary_point(value.into());
    } else {
        ICC_BPR1_EL1::write(value.into());
    }
}

/// RPR: the priority of the most urgent active interrupt.
pub(crate) fn running_priority() -> u64 {
    if v2::is_here() { v2::running_priority().into() } else { ICC_RPR_EL1::read() }
}

/// HPPIR: the interrupt that `acknowledge` would take.
pub(crate) fn highest_pending() -> u64 {
    if v2::is_here() { v2::highest_pending().into() } else { ICC_HPPIR1_EL1::read() }
}

/// What EOIR does on this CPU.
pub(crate) fn set_eoi_mode(mode: EoiMode) {
    if v2::is_here() {
        return v2::set_eoi_apart(matches!(mode, EoiMode::Apart));
    }
    ICC_CTLR_EL1::write(ICC_CTLR_EL1::read() & !2 | mode as u64);
}

/// ICC_SGI1R_EL1, or GICD_SGIR, for SGI `id` to the CPU with this affinity.
pub(crate) fn sgi_to(affinity: u64, id: u32) -> u64 {
    if v2::is_here() {
        return v2::sgi_to(affinity, id);
    }
    let (aff0, aff1, aff2, aff3) =
        (affinity & 0xff, affinity >> 8 & 0xff, affinity >> 16 & 0xff, affinity >> 32 & 0xff);
    aff3 << 48
        | (aff0 >> 4) << 44
        | aff2 << 32
        | u64::from(id) << 24
        | aff1 << 16
        | 1 << (aff0 & 15)
}

/// The same for every CPU but the sender.
pub(crate) fn sgi_to_others(id: u32) -> u64 {
    if v2::is_here() {
        return v2::sgi_to_others(id);
    }
    // IRM.
    1 << 40 | u64::from(id) << 24
}

/// Sends what `sgi_to` or `sgi_to_others` made.
pub(crate) fn send_sgi(value: u64) {
    barrier();
    if v2::is_here() {
        return mmio::write(v2::sgir(), value as u32);
    }
    ICC_SGI1R_EL1::write(value);
}

/// What was written before is seen by every CPU and device before what follows.
fn barrier() {
    // SAFETY: a barrier.
    unsafe { core::arch::asm!("dsb sy", options(nostack)) };
}
