//! The world switch: into the guest by ERET, out of it by the lower-EL vectors. Assembly, all of it.
//!
//! Arm ARM DDI 0487, D1.3 "Exceptions". While the guest runs, SP_EL2 points at its vCPU, so that a vector
//! saves the guest's registers without a scratch register. It then calls the exit handler on the
//! runner's stack, which holds, at the vCPU's `host_stack_top`:
//!
//! | offset | holds |
//! |---|---|
//! | 0 | the address of the vCPU |
//! | 16 | the host's X19 to X30, for leaving |
//!
//! An exit saves what a called function may change (X0 to X18 and X30), and going back restores it. X19 to X29 still hold
//! the guest's values then, unless the handler has given them new ones. They too are saved before what may look at them is
//! called, and when the guest is left.

use axvcpu::Resume;

use crate::Aarch64VCpu;
use core::mem::offset_of;

/// What the exit handler wants done. Bit 0: the guest is entered again, else `enter_guest` returns. Bit 1: the handler has
/// written registers above X18, so that what is in memory is newer than what is in the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Next(usize);

impl Next {
    /// `enter_guest` returns.
    pub(crate) const LEAVE: Self = Self(Resume::No as usize);

    /// As the handler wants it, where it has written no register above X18.
    #[inline(always)]
    pub(crate) const fn of(resume: Resume) -> Self {
        Self(resume as usize)
    }

    /// The same where it has.
    #[inline(always)]
    pub(crate) const fn of_newer(resume: Resume) -> Self {
        Self(resume as usize | 2)
    }
}

// The assembly takes it for granted.
const _: () = assert!(Resume::No as usize == 0 && Resume::Yes as usize == 1);

/// Called by a vector: the vCPU, what it holds as its handler's data, and for a synchronous exit ESR_EL2.
pub(crate) type ExitFn = unsafe extern "C" fn(*mut Aarch64VCpu, *mut (), u64) -> Next;

/// What the vectors call: for a synchronous exit the function of its exception class.
#[repr(C)]
pub(crate) struct ExitTable {
    pub(crate) synchronous: [ExitFn; 64],
    pub(crate) interrupt: ExitFn,
    pub(crate) error: ExitFn,
}

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    r#"
    .macro LOAD_KEPT
    ldr     x19, [x0, #152]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    .endm

    .section .text.axle_world_switch, "ax"
    .global axle_enter_guest
    .p2align 6
axle_enter_guest:
    sub     sp, sp, #112
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    stp     x29, x30, [sp, #96]
    str     x0, [sp]
    mov     x2, sp
    str     x2, [x0, #{STACK}]
    LOAD_KEPT
    b       axle_enter

    // After the handler: X0 says what is next, X19 to X29 are the guest's.
    .p2align 6
axle_next:
    cbz     x0, axle_leave
    tbnz    x0, #1, axle_newer
    ldr     x0, [sp]
axle_enter:
    mov     sp, x0
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldr     x18, [sp, #144]
    ldr     x30, [sp, #240]
    ldp     x0, x1, [sp]
    eret
    // Straight-line speculation past ERET ends here.
    dsb     nsh
    isb

axle_newer:
    tbz     x0, #0, axle_host
    ldr     x0, [sp]
    LOAD_KEPT
    b       axle_enter

axle_leave:
    ldr     x1, [sp]
    stp     x20, x21, [x1, #160]
    stp     x22, x23, [x1, #176]
    stp     x24, x25, [x1, #192]
    stp     x26, x27, [x1, #208]
    stp     x28, x29, [x1, #224]
axle_host:
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp, #96]
    add     sp, sp, #112
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

    .macro SAVE_CHANGING
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    str     x30, [sp, #240]
    .endm

    .macro SAVE_KEPT
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    .endm

    // X9: the function.
    .macro CALL
    ldp     x1, x8, [sp, #{DATA}]
    mov     x0, sp
    mov     sp, x8
    adr     x30, axle_next
    br      x9
    .endm

    .macro SYNCHRONOUS
    .p2align 7
    SAVE_CHANGING
    mrs     x2, esr_el2
    // Bit 1 of the class: HVC, SMC and others whose handlers look at no register above X17.
    tbnz    w2, #27, 1f
    SAVE_KEPT
1:  lsr     w9, w2, #26
    ldr     x10, [sp, #{EXITS}]
    ldr     x9, [x10, x9, lsl #3]
    CALL
    .endm

    .macro INTERRUPT
    .p2align 7
    SAVE_CHANGING
    ldr     x10, [sp, #{EXITS}]
    ldr     x9, [x10, #{INTERRUPT}]
    CALL
    .endm

    .macro SERROR
    .p2align 7
    SAVE_CHANGING
    SAVE_KEPT
    ldr     x10, [sp, #{EXITS}]
    ldr     x9, [x10, #{ERROR}]
    CALL
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
    SYNCHRONOUS
    INTERRUPT
    INTERRUPT
    SERROR
    SYNCHRONOUS
    INTERRUPT
    INTERRUPT
    SERROR
    "#,
    STACK = const offset_of!(Aarch64VCpu, host_stack_top),
    DATA = const offset_of!(Aarch64VCpu, handler_data),
    EXITS = const offset_of!(Aarch64VCpu, exits),
    INTERRUPT = const offset_of!(ExitTable, interrupt),
    ERROR = const offset_of!(ExitTable, error),
);

// The assembly takes these for granted.
const _: () = assert!(offset_of!(Aarch64VCpu, ctx) == 0);
const _: () = assert!(
    offset_of!(Aarch64VCpu, host_stack_top)
        == offset_of!(Aarch64VCpu, handler_data).wrapping_add(size_of::<u64>())
);

#[cfg(target_arch = "aarch64")]
unsafe extern "C" {
    fn axle_enter_guest(vcpu: *mut ());
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

/// Runs the guest of `vcpu`, calling its handler at every exit, until the handler says to leave.
///
/// # Safety
/// Interrupts must be masked and the rest of the guest's state loaded, as `AxArchVCpu::bind` leaves it.
/// The functions of the vCPU's `exits` must be callable with its `handler_data` until this returns.
#[inline]
pub(crate) unsafe fn enter_guest(vcpu: *mut Aarch64VCpu) {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the vCPU is laid out as the assembly reads it; what the guest can reach is bounded by the
    // stage-2 tables and traps that `load` installed; the rest is the caller's promise.
    unsafe {
        axle_enter_guest(vcpu.cast());
    }
    #[cfg(not(target_arch = "aarch64"))]
    let _ = vcpu;
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
