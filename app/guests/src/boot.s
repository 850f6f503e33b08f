// The arm64 boot header, the way from reset to Rust for the first and for every other CPU.
//
// Linux Documentation/arch/arm64/booting.rst: x0 holds the device tree, the MMU is off, the image is clean to the point
// of coherency. Until the MMU is on nothing here loads from memory; only the three table entries are stored.

.equ STACK_SHIFT, 14
.equ MAX_CPUS, 16
// DDI 0487, block descriptors: AF, UXN; normal memory is MAIR index 1, inner shareable; devices are index 0, PXN.
.equ BLOCK_NORMAL, 0x0040000000000705
.equ BLOCK_DEVICE, 0x0060000000000401
// Index 0: Device-nGnRnE, index 1: Normal write-back.
.equ MAIR, 0xff00
// T0SZ = T1SZ = 25, 4 KiB granules, write-back inner shareable walks, EPD1: TTBR1 is never used.
.equ TCR, (25 << 0) | (1 << 8) | (1 << 10) | (3 << 12) | (25 << 16) | (1 << 23) | (2 << 30)
// RES1 of ARMv8.0, I, C, M.
.equ SCTLR, 0x30d01805

.section .head, "ax"
.global _start
_start:
    b       primary
    .word   0
    .quad   0                       // text_offset
    .quad   _image_size
    .quad   0xa                     // little endian, 4 KiB pages, anywhere at 2 MiB
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0

.text
primary:
    msr     daifset, #15
    mov     x19, x0
    adrp    x20, _start
    adrp    x21, BOOT_TABLE
    // The loader may have left clean lines of the table in the cache: drop them on both sides of the stores.
    dc      ivac, x21
    mov     x2, #(BLOCK_DEVICE & 0xffff)
    movk    x2, #(BLOCK_DEVICE >> 48), lsl #48
    str     x2, [x21]
    mov     x2, #(BLOCK_NORMAL & 0xffff)
    movk    x2, #(BLOCK_NORMAL >> 48), lsl #48
    lsr     x3, x20, #30
    orr     x4, x2, x3, lsl #30
    str     x4, [x21, x3, lsl #3]
    add     x5, x21, x3, lsl #3
    lsr     x3, x19, #30
    orr     x4, x2, x3, lsl #30
    str     x4, [x21, x3, lsl #3]
    add     x6, x21, x3, lsl #3
    dmb     sy
    dc      ivac, x21
    dc      ivac, x5
    dc      ivac, x6
    dsb     sy
    bl      mmu_on

    // The image is linked at 0, so every relocation is RELATIVE: target + base = addend + base.
    adrp    x0, __rela_start
    add     x0, x0, :lo12:__rela_start
    adrp    x1, __rela_end
    add     x1, x1, :lo12:__rela_end
1:  cmp     x0, x1
    b.hs    2f
    ldp     x2, x3, [x0], #16
    ldr     x4, [x0], #8
    cmp     w3, #1027
    b.ne    1b
    add     x4, x4, x20
    str     x4, [x2, x20]
    b       1b
2:  adrp    x0, __bss_start
    adrp    x1, __bss_end
3:  cmp     x0, x1
    b.hs    4f
    stp     xzr, xzr, [x0], #16
    b       3b
4:  dsb     ish
    mov     x0, #0
    bl      environment
    mov     x0, x19
    b       main

// PSCI CPU_ON arrives here with x0 = the context id, whose low byte is the CPU's number in the device tree.
.global secondary_entry
secondary_entry:
    mrs     x22, cntvct_el0
    msr     daifset, #15
    mov     x19, x0
    adrp    x21, BOOT_TABLE
    bl      mmu_on
    and     x0, x19, #0xff
    bl      environment
    mov     x0, x19
    mov     x1, x22
    b       secondary_main

// x0 = CPU number: stack, vectors, FP unlocked, SError and debug exceptions open.
environment:
    adrp    x1, STACKS
    add     x0, x0, #1
    add     x1, x1, x0, lsl #STACK_SHIFT
    msr     spsel, #1
    mov     sp, x1
    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     vbar_el1, x1
    mov     x1, #(3 << 20)
    msr     cpacr_el1, x1
    isb
    msr     daifclr, #4
    ret

// x21 = the level-1 table. Clobbers x0 to x2.
mmu_on:
    mov     x0, #MAIR
    msr     mair_el1, x0
    mov     x0, #(TCR & 0xffff)
    movk    x0, #((TCR >> 16) & 0xffff), lsl #16
    mrs     x1, id_aa64mmfr0_el1
    and     x1, x1, #0xf
    mov     x2, #2                  // 40 bits of output are enough, fewer where the CPU has fewer
    cmp     x1, x2
    csel    x1, x1, x2, lo
    bfi     x0, x1, #32, #3
    msr     tcr_el1, x0
    msr     ttbr0_el1, x21
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    mov     x0, #(SCTLR & 0xffff)
    movk    x0, #(SCTLR >> 16), lsl #16
    msr     sctlr_el1, x0
    isb
    ret

.section .table, "aw"
.balign 4096
.global BOOT_TABLE
BOOT_TABLE:
    .zero   4096

.section .stacks, "aw", %nobits
.balign 4096
STACKS:
    .zero   MAX_CPUS << STACK_SHIFT
