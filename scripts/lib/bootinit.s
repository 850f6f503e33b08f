// /init of the boot measurement. Its first instruction is what is waited for; the rest is left to a script.

.global _start
_start:
    sub     sp, sp, #32
    adr     x0, shell
    adr     x3, script
    stp     x0, x3, [sp]
    str     xzr, [sp, #16]
    mov     x1, sp
    add     x2, sp, #16
    mov     x8, #221                // execve
    svc     #0
1:  b       1b

shell:
    .asciz  "/bin/sh"
script:
    .asciz  "/report"
