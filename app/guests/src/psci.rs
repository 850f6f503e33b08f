//! PSCI by HVC (DEN 0022): the calls and their codes.

use core::arch::asm;

/// Function identifiers; the 64-bit form where there is one.
pub(crate) const PSCI_VERSION: u64 = 0x8400_0000;
pub(crate) const CPU_SUSPEND: u64 = 0xc400_0001;
pub(crate) const CPU_OFF: u64 = 0x8400_0002;
pub(crate) const CPU_ON: u64 = 0xc400_0003;
pub(crate) const AFFINITY_INFO: u64 = 0xc400_0004;
pub(crate) const SYSTEM_OFF: u64 = 0x8400_0008;
pub(crate) const SYSTEM_RESET: u64 = 0x8400_0009;
pub(crate) const PSCI_FEATURES: u64 = 0x8400_000a;
/// An identifier of the standard service range that PSCI does not define.
pub(crate) const UNKNOWN: u64 = 0x8400_001f;

pub(crate) const SUCCESS: i32 = 0;
pub(crate) const NOT_SUPPORTED: i32 = -1;
pub(crate) const INVALID_PARAMETERS: i32 = -2;
pub(crate) const ALREADY_ON: i32 = -4;
/// Somebody else is starting it.
pub(crate) const ON_PENDING_ERROR: i32 = -5;

/// AFFINITY_INFO's answers.
pub(crate) const ON: i32 = 0;
pub(crate) const OFF: i32 = 1;
pub(crate) const ON_PENDING: i32 = 2;

/// One call. PSCI's results are 32-bit signed, whatever the width of the call.
pub(crate) fn call(function: u64, arguments: [u64; 3]) -> i32 {
    let mut x0 = function;
    let [mut x1, mut x2, mut x3] = arguments;
    // SAFETY: SMCCC 1.0 lets the callee change x0 to x17, all of which are declared; it touches none of our memory but for
    // CPU_ON, whose new CPU starts in boot.s on a stack of its own.
    unsafe {
        asm!("hvc #0", inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3,
            out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _,
            out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            options(nostack));
    }
    let _ = (x1, x2, x3);
    x0 as u32 as i32
}

/// Powers the machine off.
pub(crate) fn system_off() -> ! {
    loop {
        call(SYSTEM_OFF, [0; 3]);
    }
}

/// Turns this CPU off; returns only if that is refused.
pub(crate) fn cpu_off() -> i32 {
    call(CPU_OFF, [0; 3])
}

/// Asks whether the CPU with this affinity is on.
pub(crate) fn affinity_info(affinity: u64) -> i32 {
    call(AFFINITY_INFO, [affinity, 0, 0])
}

/// Starts CPU `number` in `secondary_main` with `context`, whose low byte is replaced by the number.
pub(crate) fn cpu_on(number: usize, context: u64) -> i32 {
    let context = (context & !0xff) | number as u64;
    call(CPU_ON, [crate::cpu::affinity(number), crate::boot::secondary_entry_address(), context])
}
