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

/// Writes the byte at `address` alone, so that a neighbour which another CPU writes meanwhile keeps its value.
pub(crate) fn write_byte(address: usize, value: u8) {
    // SAFETY: as for `read`.
    unsafe { asm!("strb {:w}, [{}]", in(reg) u32::from(value), in(reg) address, options(nostack)) };
}

/// One function for each width and direction.
macro_rules! accesses {
    ($($name:ident: $text:literal;)*) => {$(
        fn $name(address: usize, value: u64) {
            // SAFETY: as for `read`.
            unsafe { asm!($text, in("x9") address, inout("x10") value => _, options(nostack)) };
        }
    )*};
}

accesses! {
    load1: "ldrb w10, [x9]";
    load2: "ldrh w10, [x9]";
    load4: "ldr w10, [x9]";
    load8: "ldr x10, [x9]";
    store1: "strb w10, [x9]";
    store2: "strh w10, [x9]";
    store4: "str w10, [x9]";
    store8: "str x10, [x9]";
}

/// Reads, or writes `value`, 1, 2, 4 or 8 bytes at `address`, a multiple of `width`.
pub(crate) fn any(address: usize, width: usize, value: u64, is_read: bool) {
    match (width, is_read) {
        (1, true) => load1(address, value),
        (2, true) => load2(address, value),
        (4, true) => load4(address, value),
        (_, true) => load8(address, value),
        (1, false) => store1(address, value),
        (2, false) => store2(address, value),
        (4, false) => store4(address, value),
        (_, false) => store8(address, value),
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
