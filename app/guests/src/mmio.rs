//! Device registers: single plain loads and stores of 32 bits, the form whose syndrome a hypervisor can decode.

use core::arch::asm;

/// Reads the device register at `address`, which must lie in one of the board's device windows.
pub(crate) fn read(address: usize) -> u32 {
    let value;
    // SAFETY: all callers name a register of the UART or the GIC, or a word of a channel; these are mapped as device
    // memory and no Rust object lives there.
    unsafe { asm!("ldr {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)) };
    value
}

/// Writes the device register at `address`, which must lie in one of the board's device windows.
pub(crate) fn write(address: usize, value: u32) {
    // SAFETY: as for `read`.
    unsafe { asm!("str {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)) };
}

/// Reads or writes 1, 2, 4 or 8 bytes at `address`, a multiple of `width`.
pub(crate) fn any(address: usize, width: usize, value: u64, is_read: bool) {
    // SAFETY: as for `read`.
    unsafe {
        match (width, is_read) {
            (1, true) => asm!("ldrb w9, [{}]", in(reg) address, out("x9") _, options(nostack)),
            (2, true) => asm!("ldrh w9, [{}]", in(reg) address, out("x9") _, options(nostack)),
            (4, true) => asm!("ldr w9, [{}]", in(reg) address, out("x9") _, options(nostack)),
            (_, true) => asm!("ldr x9, [{}]", in(reg) address, out("x9") _, options(nostack)),
            (1, false) => asm!("strb {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
            (2, false) => asm!("strh {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
            (4, false) => asm!("str {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
            (_, false) => asm!("str {}, [{}]", in(reg) value, in(reg) address, options(nostack)),
        }
    }
}

/// Reads the 64-bit device register at `address`.
pub(crate) fn read64(address: usize) -> u64 {
    let value;
    // SAFETY: as for `read`.
    unsafe { asm!("ldr {}, [{}]", out(reg) value, in(reg) address, options(nostack)) };
    value
}

/// Writes the 64-bit device register at `address`.
pub(crate) fn write64(address: usize, value: u64) {
    // SAFETY: as for `read`.
    unsafe { asm!("str {}, [{}]", in(reg) value, in(reg) address, options(nostack)) };
}
