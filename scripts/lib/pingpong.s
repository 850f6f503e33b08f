// Two processes that hand one byte to and fro through two pipes, each asleep while the other has it. Ends with 0 when all
// exchanges were whole.

.equ    EXCHANGES, 10000
.equ    PIPES, 4 * 4                    // two pairs of descriptors: there, back

.global _start
_start:
    sub     sp, sp, #32                 // the pipes, and a byte behind them
    mov     x19, #EXCHANGES
    mov     x0, sp
    bl      pipe
    add     x0, sp, #8
    bl      pipe
    mov     x0, #17                     // SIGCHLD
    mov     x1, #0
    mov     x2, #0
    mov     x3, #0
    mov     x4, #0
    mov     x8, #220                    // clone, as fork
    svc     #0
    tbnz    x0, #63, fail
    cbz     x0, echo

1:  ldr     w0, [sp, #4]
    bl      send
    ldr     w0, [sp, #8]
    bl      receive
    subs    x19, x19, #1
    b.ne    1b
    mov     x0, #0
    b       leave

echo:
    ldr     w0, [sp, #0]
    bl      receive
    ldr     w0, [sp, #12]
    bl      send
    subs    x19, x19, #1
    b.ne    echo
    mov     x0, #0
    b       leave

pipe:
    mov     x1, #0
    mov     x8, #59                     // pipe2
    svc     #0
    cbnz    x0, fail
    ret

send:
    mov     x8, #64                     // write
    b       transfer
receive:
    mov     x8, #63                     // read
transfer:
    add     x1, sp, #PIPES
    mov     x2, #1
    svc     #0
    cmp     x0, #1
    b.ne    fail
    ret

fail:
    mov     x0, #1
leave:
    mov     x8, #93                     // exit
    svc     #0
