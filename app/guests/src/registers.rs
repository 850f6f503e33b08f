//! The vector and general registers as plain arrays.

core::arch::global_asm!(include_str!("registers.s"));

/// V0 to V31, two doublewords each.
pub(crate) type Vectors = [u64; 64];
/// X3 to X30.
pub(crate) type Generals = [u64; 28];

unsafe extern "C" {
    fn load_vectors(from: *const Vectors);
    fn store_vectors(to: *mut Vectors);
    fn spin_with_registers(until: u64, registers: *mut Generals);
}

/// Fills V0 to V31; the compiler never uses them on this target.
pub(crate) fn set_vectors(values: &Vectors) {
    // SAFETY: reads exactly one `Vectors`; nothing else holds a value in these registers.
    unsafe { load_vectors(values) };
}

/// V0 to V31.
pub(crate) fn vectors() -> Vectors {
    let mut values = [0; 64];
    // SAFETY: writes exactly one `Vectors`.
    unsafe { store_vectors(&mut values) };
    values
}

/// Spins until the counter is at `until` with `values` in X3 to X30, and returns what they hold then.
///
/// Interrupts may come meanwhile: the vectors save and restore what they use, on this stack.
pub(crate) fn spin(until: u64, mut values: Generals) -> Generals {
    // SAFETY: reads and writes exactly one `Generals`, and keeps the callee-saved registers.
    unsafe { spin_with_registers(until, &mut values) };
    values
}
