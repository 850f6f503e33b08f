// One operation each between two reads of the counter, and handlers that read it first of all.
//
// No ISB stands between a read and the operation: under an instruction-counting emulator it would be counted, and the
// operations that exit synchronise by themselves. Each measured result is the pair x0 = before, x1 = after.
//
// The labels traps_..., spins, sleeps, interrupted, turns and turned are for who traces the way between two of them (scripts/lib/account.py).

.text

// x0 = function id, x1 to x3 = arguments, x4 = where the result goes. A full SMCCC call: four arguments, HVC. x4 to x17
// are the callee's.
.global clock_hvc
clock_hvc:
    stp     x19, x20, [sp, #-48]!
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    mov     x20, x0
    mov     x21, x1
    mov     x22, x2
    mov     x23, x3
    mov     x24, x4
    mrs     x19, cntvct_el0
    mov     x0, x20
    mov     x1, x21
    mov     x2, x22
    mov     x3, x23
traps_call:
    hvc     #0
    mrs     x1, cntvct_el0
    str     x0, [x24]
    mov     x0, x19
    ldp     x23, x24, [sp, #32]
    ldp     x21, x22, [sp, #16]
    ldp     x19, x20, [sp], #48
    ret

// x0 = address.
.global clock_load
clock_load:
    mov     x2, x0
    mrs     x0, cntvct_el0
traps_load:
    ldr     w3, [x2]
    mrs     x1, cntvct_el0
    ret

// x0 = address, w1 = value.
.global clock_store
clock_store:
    mov     x2, x0
    mov     w3, w1
    mrs     x0, cntvct_el0
traps_store:
    str     w3, [x2]
    mrs     x1, cntvct_el0
    ret

.global clock_nothing
clock_nothing:
    mrs     x0, cntvct_el0
    mrs     x1, cntvct_el0
    ret

// ID_AA64ISAR0_EL1: the register Linux reads most often.
.global clock_id
clock_id:
    mrs     x0, cntvct_el0
traps_identity:
    mrs     x2, id_aa64isar0_el1
    mrs     x1, cntvct_el0
    ret

// The same into a register that functions keep.
.global clock_id_kept
clock_id_kept:
    stp     x29, x20, [sp, #-16]!
    mrs     x0, cntvct_el0
    mrs     x20, id_aa64isar0_el1
    mrs     x1, cntvct_el0
    ldp     x29, x20, [sp], #16
    ret

// x0 = CNTV_CVAL_EL0, far away.
.global clock_timer_write
clock_timer_write:
    mov     x2, x0
    mrs     x0, cntvct_el0
    msr     cntv_cval_el0, x2
    mrs     x1, cntvct_el0
    ret

.global clock_tlbi
clock_tlbi:
    mrs     x0, cntvct_el0
    tlbi    vmalle1is
    mrs     x1, cntvct_el0
    dsb     ish
    isb
    ret

// x0 = ICC_EOIR1_EL1: an interrupt that is active.
.global clock_end
clock_end:
    mov     x2, x0
    mrs     x0, cntvct_el0
    msr     S3_0_C12_C12_1, x2
    mrs     x1, cntvct_el0
    ret

// x0 = target, x1 = source, x2 = bytes, a multiple of 64.
.global clock_copy
clock_copy:
    mov     x3, x0
    mrs     x0, cntvct_el0
1:  ldp     x4, x5, [x1]
    ldp     x6, x7, [x1, #16]
    ldp     x8, x9, [x1, #32]
    ldp     x10, x11, [x1, #48]
    add     x1, x1, #64
    stp     x4, x5, [x3]
    stp     x6, x7, [x3, #16]
    stp     x8, x9, [x3, #32]
    stp     x10, x11, [x3, #48]
    add     x3, x3, #64
    subs    x2, x2, #64
    b.ne    1b
    mrs     x1, cntvct_el0
    ret

// x0 = where this vCPU stamps, x1 = where the other does. Stamps until it has not run for a while and the other has, and once
// more. The pair is the other's last stamp and the first time here behind it.
.global clock_turn
clock_turn:
    ldr     x6, [x1]
    mrs     x2, cntvct_el0
turns:
1:  mov     x3, x2
    str     x3, [x0]
    mrs     x2, cntvct_el0
    sub     x4, x2, x3
    cmp     x4, #200                // longer than this loop, shorter than a turn of the other
    b.lo    1b
turned:
    ldr     x5, [x1]
    cmp     x5, x6
    mov     x6, x5
    b.eq    1b
    str     x2, [x0]
    mov     x0, x5
    mov     x1, x2
    ret

// x0 = ICC_SGI1R_EL1, for another CPU. Returns the counter just before. YIELD lets an emulator with one thread turn to
// that CPU at once.
.global clock_send
clock_send:
    mov     x2, x0
    dsb     sy
    mrs     x0, cntvct_el0
traps_send:
    msr     S3_0_C12_C11_5, x2
    yield
    ret

// x0 = value, x1 = address of GICD_SGIR.
.global clock_send_store
clock_send_store:
    mov     x2, x0
    mov     x3, x1
    dsb     sy
    mrs     x0, cntvct_el0
    str     w2, [x3]
    yield
    ret

// The following open the gate for an interrupt and leave by it: the vector reads the counter, restores VBAR_EL1 from x10
// and returns to the caller, interrupts masked. Called with interrupts masked.
.macro into_the_gate
    mrs     x10, vbar_el1
    adrp    x11, clock_vectors
    add     x11, x11, :lo12:clock_vectors
    msr     vbar_el1, x11
    isb
.endm

.global clock_spin
clock_spin:
    into_the_gate
    mov     x0, xzr
    msr     daifclr, #2
spins:
1:  b       1b

// Gives way all the time: an emulator with one thread would let a plain spin run for its whole slice.
.global clock_yield
clock_yield:
    into_the_gate
    mov     x0, xzr
    msr     daifclr, #2
1:  yield
    b       1b

.global clock_wfi
clock_wfi:
    into_the_gate
    mov     x0, xzr
    dsb     sy
    msr     daifclr, #2
sleeps:
1:  wfi
    b       1b

// x0 = ICC_SGI1R_EL1, for this CPU.
.global clock_self
clock_self:
    into_the_gate
    mov     x12, x0
    msr     daifclr, #2
    isb
    mrs     x0, cntvct_el0
traps_self:
    msr     S3_0_C12_C11_5, x12
    isb
1:  b       1b

// x0 = value, x1 = address of a register whose write interrupts this CPU.
.global clock_self_store
clock_self_store:
    into_the_gate
    mov     x12, x0
    mov     x13, x1
    msr     daifclr, #2
    isb
    mrs     x0, cntvct_el0
    str     w12, [x13]
    dsb     sy
    isb
1:  b       1b

.balign 2048
clock_vectors:
.rept 5
.balign 128
    b       clock_failed
.endr
.balign 128
interrupted:
    mrs     x1, cntvct_el0
    msr     vbar_el1, x10
    isb
    msr     daifclr, #4
    ret
.rept 10
.balign 128
    b       clock_failed
.endr
.balign 128
clock_failed:
    msr     vbar_el1, x10
    mov     x0, #16
    mrs     x1, esr_el1
    mrs     x2, elr_el1
    mrs     x3, far_el1
    b       unexpected_exception
