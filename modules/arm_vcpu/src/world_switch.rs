//! The world switch: into the guest by ERET, out of it by the lower-EL vectors. Assembly, all of it.
//!
//! Arm ARM DDI 0487, D1.3 "Exceptions". While the guest runs, SP_EL2 points at this frame on the
//! runner's stack, which is how a vector finds its vCPU without a scratch register:
//!
//! | offset | holds |
//! |---|---|
//! | 0 | address of the vCPU's [`TrapFrame`] |
//! | 16 | the guest's X0 and X1 while the vector needs two registers |
//! | 32 | the host's X19 to X30 |

use crate::TrapFrame;

/// Which lower-EL vector ended the guest's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Vector {
    Synchronous = 0,
    Irq = 1,
    SError = 2,
}

impl Vector {
    #[inline]
    const fn from_raw(raw: u64) -> Self {
        match raw {
            0 => Self::Synchronous,
            1 => Self::Irq,
            _ => Self::SError,
        }
    }
}

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    r#"
    .section .text.axle_world_switch, "ax"
    .global axle_enter_guest
    .p2align 6
axle_enter_guest:
    sub     sp, sp, #128
    stp     x19, x20, [sp, #32]
    stp     x21, x22, [sp, #48]
    stp     x23, x24, [sp, #64]
    stp     x25, x26, [sp, #80]
    stp     x27, x28, [sp, #96]
    stp     x29, x30, [sp, #112]
    str     x0, [sp]
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    eret
    // Straight-line speculation past ERET ends here.
    dsb     nsh
    isb

    .p2align 6
axle_leave_guest:
    ldr     x0, [sp]
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    str     x30, [x0, #240]
    ldp     x2, x3, [sp, #16]
    stp     x2, x3, [x0]
    mov     x0, x1
    ldp     x19, x20, [sp, #32]
    ldp     x21, x22, [sp, #48]
    ldp     x23, x24, [sp, #64]
    ldp     x25, x26, [sp, #80]
    ldp     x27, x28, [sp, #96]
    ldp     x29, x30, [sp, #112]
    add     sp, sp, #128
    ret

    // An SError between these two labels is expected: its vector slot comes back here.
    .global axle_consume_error
    .p2align 4
axle_consume_error:
    mrs     x2, daif
    msr     daifclr, #4
axle_error_expected:
    isb
    msr     daif, x2
    ret

    .p2align 4
axle_own_error:
    stp     x0, x1, [sp, #-16]!
    mrs     x0, elr_el2
    adr     x1, axle_error_expected
    sub     x0, x0, x1
    cmp     x0, #8
    b.hs    1f
    // Returns with SErrors masked again: the pending one is gone.
    mrs     x0, spsr_el2
    orr     x0, x0, #0x100
    msr     spsr_el2, x0
    ldp     x0, x1, [sp], #16
    eret
1:  ldp     x0, x1, [sp], #16
    b       axle_host_serror

    .macro TO_HOST slot
    .p2align 7
    b       axle_host_\slot
    .endm

    .macro FROM_GUEST vector
    .p2align 7
    stp     x0, x1, [sp, #16]
    mov     x1, #\vector
    b       axle_leave_guest
    .endm

    // The hypervisor's own fault: keep every register, tell the hypervisor.
    .macro OWN_FAULT kind
    .p2align 7
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    mov     x1, #\kind
    b       axle_own_fault
    .endm

    .p2align 6
axle_own_fault:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x2, elr_el2
    stp     x30, x2, [sp, #240]
    mrs     x3, spsr_el2
    mrs     x4, esr_el2
    stp     x3, x4, [sp, #256]
    mrs     x5, far_el2
    add     x6, sp, #288
    stp     x5, x6, [sp, #272]
    mov     x0, sp
    bl      axle_host_fault
1:  wfe
    b       1b

    .section .text.axle_vectors, "ax"
    .global axle_vectors
    .p2align 11
axle_vectors:
    OWN_FAULT 0
    OWN_FAULT 1
    OWN_FAULT 2
    OWN_FAULT 3
    OWN_FAULT 4
    TO_HOST irq
    TO_HOST fiq
    .p2align 7
    b       axle_own_error
    FROM_GUEST 0
    FROM_GUEST 1
    FROM_GUEST 1
    FROM_GUEST 2
    FROM_GUEST 0
    FROM_GUEST 1
    FROM_GUEST 1
    FROM_GUEST 2
    "#
);

#[cfg(target_arch = "aarch64")]
unsafe extern "C" {
    fn axle_enter_guest(frame: *mut TrapFrame) -> u64;
    fn axle_consume_error();
    static axle_vectors: u8;
}

/// Takes the SError that is pending on this CPU, without any other effect.
#[cold]
pub(crate) fn consume_error() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: unmasks SErrors for one instruction; the vector slot recognises its address and returns.
    unsafe {
        axle_consume_error();
    }
}

/// Runs the guest whose registers are in `frame` until its next exit.
///
/// Interrupts must be masked and the rest of the guest's state loaded, as `AxArchVCpu::bind` leaves it.
#[inline]
pub(crate) fn enter_guest(frame: &mut TrapFrame) -> Vector {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the frame is exclusively ours and laid out as the assembly reads it; what the guest can
    // reach is bounded by the stage-2 tables and traps that `load` installed.
    let raw = unsafe { axle_enter_guest(frame) };
    #[cfg(not(target_arch = "aarch64"))]
    let raw = {
        let _ = frame;
        0
    };
    Vector::from_raw(raw)
}

/// The address of Axle's EL2 vector table.
///
/// The hypervisor supplies four symbols to it: `axle_host_irq`, `axle_host_fiq` and
/// `axle_host_serror`, reached with every register as the host's code had it, and
/// `axle_host_fault(&OwnFault, kind) -> !`.
pub(crate) fn vector_table() -> u64 {
    #[cfg(target_arch = "aarch64")]
    {
        (&raw const axle_vectors) as u64
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        0
    }
}

/// What the hypervisor's own fault looked like: the argument of `axle_host_fault`.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct OwnFault {
    /// X0 to X30.
    pub gpr: [u64; 31],
    /// ELR_EL2: where it happened.
    pub elr: u64,
    /// SPSR_EL2.
    pub spsr: u64,
    /// ESR_EL2: what happened.
    pub esr: u64,
    /// FAR_EL2: at which address.
    pub far: u64,
    /// The stack pointer before.
    pub sp: u64,
}
