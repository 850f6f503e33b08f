// One attempt: enters code with chosen registers, level and state, and comes back by the exception that ends it.
//
// TPIDR_EL1 holds the frame while an attempt runs, else zero; the vectors keep x0 in TPIDR_EL0. The offsets are those of
// `Frame` in attempt.rs.

.equ FRAME_SP, 248
.equ FRAME_SP_EL0, 256
.equ FRAME_KEPT_SP, 264
.equ FRAME_ESR, 272
.equ FRAME_FAR, 288
.equ FRAME_VECTOR, 304

.macro each_register operation
    \operation x2, x3, [x0, #16]
    \operation x4, x5, [x0, #32]
    \operation x6, x7, [x0, #48]
    \operation x8, x9, [x0, #64]
    \operation x10, x11, [x0, #80]
    \operation x12, x13, [x0, #96]
    \operation x14, x15, [x0, #112]
    \operation x16, x17, [x0, #128]
    \operation x18, x19, [x0, #144]
    \operation x20, x21, [x0, #160]
    \operation x22, x23, [x0, #176]
    \operation x24, x25, [x0, #192]
    \operation x26, x27, [x0, #208]
    \operation x28, x29, [x0, #224]
.endm

.text
// x0 = frame, x1 = where to enter, x2 = PSTATE there. Interrupts are masked.
.global hostile_enter
hostile_enter:
    sub     sp, sp, #96
    stp     x19, x20, [sp]
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    mov     x3, sp
    str     x3, [x0, #FRAME_KEPT_SP]
    msr     tpidr_el1, x0
    msr     elr_el1, x1
    msr     spsr_el1, x2
    ldp     x3, x4, [x0, #FRAME_SP]
    mov     sp, x3
    msr     sp_el0, x4
    each_register ldp
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    eret

// Every exception of an attempt comes here, with the vector's number in x1 and x1 itself in the frame.
attempt_ends:
    each_register stp
    str     x30, [x0, #240]
    mrs     x2, tpidr_el0
    str     x2, [x0]
    mov     x3, sp
    mrs     x4, sp_el0
    stp     x3, x4, [x0, #FRAME_SP]
    mrs     x2, esr_el1
    mrs     x3, elr_el1
    stp     x2, x3, [x0, #FRAME_ESR]
    mrs     x2, far_el1
    mrs     x3, spsr_el1
    stp     x2, x3, [x0, #FRAME_FAR]
    str     x1, [x0, #FRAME_VECTOR]
    ldr     x1, [x0, #FRAME_KEPT_SP]
    mov     sp, x1
    msr     tpidr_el1, xzr
    ldp     x19, x20, [sp]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    add     sp, sp, #96
    ret

// Outside of an attempt, with x0 back, an exception goes where the ordinary vectors have it.
.macro attempted number
.balign 128
    msr     tpidr_el0, x0
    mrs     x0, tpidr_el1
    cbz     x0, 1f
    str     x1, [x0, #8]
    mov     x1, #\number
    b       attempt_ends
1:  mrs     x0, tpidr_el0
    b       vectors + \number * 128
.endm

.balign 2048
.global hostile_vectors
hostile_vectors:
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    attempted \number
    .endr
