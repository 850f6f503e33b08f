// What the compiler would not leave alone: all vector registers, and x3 to x30 across a spin.

.arch_extension fp
.text

.macro each_pair operation
    \operation q0, q1, [x0]
    \operation q2, q3, [x0, #32]
    \operation q4, q5, [x0, #64]
    \operation q6, q7, [x0, #96]
    \operation q8, q9, [x0, #128]
    \operation q10, q11, [x0, #160]
    \operation q12, q13, [x0, #192]
    \operation q14, q15, [x0, #224]
    \operation q16, q17, [x0, #256]
    \operation q18, q19, [x0, #288]
    \operation q20, q21, [x0, #320]
    \operation q22, q23, [x0, #352]
    \operation q24, q25, [x0, #384]
    \operation q26, q27, [x0, #416]
    \operation q28, q29, [x0, #448]
    \operation q30, q31, [x0, #480]
.endm

.macro each_general operation
    \operation x3, x4, [x1]
    \operation x5, x6, [x1, #16]
    \operation x7, x8, [x1, #32]
    \operation x9, x10, [x1, #48]
    \operation x11, x12, [x1, #64]
    \operation x13, x14, [x1, #80]
    \operation x15, x16, [x1, #96]
    \operation x17, x18, [x1, #112]
    \operation x19, x20, [x1, #128]
    \operation x21, x22, [x1, #144]
    \operation x23, x24, [x1, #160]
    \operation x25, x26, [x1, #176]
    \operation x27, x28, [x1, #192]
    \operation x29, x30, [x1, #208]
.endm

// x0 = 64 doublewords.
.global load_vectors
load_vectors:
    each_pair ldp
    ret

.global store_vectors
store_vectors:
    each_pair stp
    ret

// x0 = counter value to spin to, x1 = 28 doublewords for x3 to x30: loaded before, stored after.
.global spin_with_registers
spin_with_registers:
    sub     sp, sp, #96
    stp     x19, x20, [sp]
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    each_general ldp
1:  mrs     x2, cntvct_el0
    cmp     x2, x0
    b.lo    1b
    each_general stp
    ldp     x19, x20, [sp]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    add     sp, sp, #96
    ret
