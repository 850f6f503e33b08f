// Waits for the power key and switches the machine off; for a Linux whose kernel has no gpio-keys.
//
// Linux, include/uapi/linux/gpio.h, version 2 of the interface: one request for rising edges of the key's line, one read
// that sleeps until there is one. Ends when there is no GPIO controller, or when somebody else has the line.

.equ    KEY, 3                          // the input that the board's power key drives
.equ    GPIO_V2_GET_LINE_IOCTL, 0xc250b407
.equ    INPUT_RISING, 1 << 2 | 1 << 4   // GPIO_V2_LINE_FLAG_INPUT, GPIO_V2_LINE_FLAG_EDGE_RISING
.equ    REQUEST_BYTES, 592              // struct gpio_v2_line_request, and where its fields are
.equ    OFFSETS, 0
.equ    CONSUMER, 256
.equ    FLAGS, 288
.equ    NUM_LINES, 560
.equ    FD, 588
.equ    EVENT_BYTES, 48                 // struct gpio_v2_line_event

.global _start
_start:
    mov     x0, #-100                   // AT_FDCWD
    adr     x1, chip
    mov     x2, #0                      // O_RDONLY
    mov     x8, #56                     // openat
    svc     #0
    tbnz    x0, #63, leave
    adrp    x19, request
    add     x19, x19, :lo12:request
    mov     w9, #KEY
    str     w9, [x19, #OFFSETS]
    ldr     x9, name
    str     x9, [x19, #CONSUMER]
    mov     x9, #INPUT_RISING
    str     x9, [x19, #FLAGS]
    mov     w9, #1
    str     w9, [x19, #NUM_LINES]
    ldr     w1, =GPIO_V2_GET_LINE_IOCTL
    mov     x2, x19
    mov     x8, #29                     // ioctl
    svc     #0
    tbnz    x0, #63, leave
    ldr     w0, [x19, #FD]
    adrp    x1, event
    add     x1, x1, :lo12:event
    mov     x2, #EVENT_BYTES
    mov     x8, #63                     // read
    svc     #0
    tbnz    x0, #63, leave
    mov     x8, #81                     // sync
    svc     #0
    ldr     w0, =0xfee1dead             // LINUX_REBOOT_MAGIC1
    ldr     w1, =672274793              // LINUX_REBOOT_MAGIC2
    ldr     w2, =0x4321fedc             // LINUX_REBOOT_CMD_POWER_OFF
    mov     x8, #142                    // reboot
    svc     #0
leave:
    mov     x0, #0
    mov     x8, #93                     // exit
    svc     #0

    .balign 8
name:
    .asciz  "axlekey"
chip:
    .asciz  "/dev/gpiochip0"

.bss
    .balign 8
request:
    .skip   REQUEST_BYTES
event:
    .skip   EVENT_BYTES
