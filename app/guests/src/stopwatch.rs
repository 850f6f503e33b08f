//! Single operations between two reads of the counter.

use crate::gic::v2;
use crate::sysreg::DAIF;
use core::ops::Range;

core::arch::global_asm!(include_str!("stopwatch.s"));

/// The counter before and after.
#[repr(C)]
pub(crate) struct Lap {
    before: u64,
    after: u64,
}

impl Lap {
    /// Ticks between the two.
    pub(crate) fn ticks(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }

    /// The same where the two are of counters that started apart.
    pub(crate) fn difference(&self) -> i64 {
        self.after.wrapping_sub(self.before) as i64
    }

    /// The counter before.
    pub(crate) fn before(&self) -> u64 {
        self.before
    }

    /// The counter after.
    pub(crate) fn after(&self) -> u64 {
        self.after
    }
}

unsafe extern "C" {
    fn clock_hvc(function: u64, x1: u64, x2: u64, x3: u64, result: *mut u64) -> Lap;
    fn clock_load(address: usize) -> Lap;
    fn clock_store(address: usize, value: u32) -> Lap;
    safe fn clock_nothing() -> Lap;
    safe fn clock_id() -> Lap;
    safe fn clock_id_kept() -> Lap;
    fn clock_timer_write(deadline: u64) -> Lap;
    safe fn clock_tlbi() -> Lap;
    fn clock_end(intid: u64) -> Lap;
    fn clock_copy(target: usize, source: usize, bytes: usize) -> Lap;
    fn clock_turn(own: usize, other: usize) -> Lap;
    fn clock_send(value: u64) -> u64;
    fn clock_send_store(value: u64, address: usize) -> u64;
    fn clock_spin() -> Lap;
    fn clock_yield() -> Lap;
    fn clock_wfi() -> Lap;
    fn clock_self(value: u64) -> Lap;
    fn clock_self_store(value: u64, address: usize) -> Lap;
}

/// PSTATE.I: every way into the gate wants interrupts masked.
fn assert_masked() {
    assert!(DAIF::read() & 1 << 7 != 0, "interrupts must be masked");
}

/// An HVC with its four arguments, and its result.
pub(crate) fn hvc(function: u64, arguments: [u64; 3]) -> (Lap, i32) {
    let ([x1, x2, x3], mut result) = (arguments, 0);
    // SAFETY: as `psci::call`; the registers the callee may change are the caller's to save in the C convention.
    let lap = unsafe { clock_hvc(function, x1, x2, x3, &mut result) };
    (lap, result as u32 as i32)
}

/// A 32-bit read of the device register at `address`.
pub(crate) fn device_read(address: usize) -> Lap {
    // SAFETY: as `mmio::read`.
    unsafe { clock_load(address) }
}

/// A 32-bit write of the device register at `address`.
pub(crate) fn device_write(address: usize, value: u32) -> Lap {
    // SAFETY: as `mmio::write`.
    unsafe { clock_store(address, value) }
}

/// A write to each page of `range`, which is free RAM that nobody has touched.
pub(crate) fn touches(range: Range<u64>) -> impl Iterator<Item = Lap> {
    // SAFETY: the range comes from `Board::free_ram`.
    range.step_by(4096).map(|page| unsafe { clock_store(page as usize, 1) })
}

/// Two reads of the counter.
pub(crate) fn nothing() -> Lap {
    clock_nothing()
}

/// A read of ID_AA64ISAR0_EL1.
pub(crate) fn id_register() -> Lap {
    clock_id()
}

/// The same into a register that functions keep.
pub(crate) fn id_register_kept() -> Lap {
    clock_id_kept()
}

/// A write of CNTV_CVAL_EL0.
pub(crate) fn timer_write(deadline: u64) -> Lap {
    // SAFETY: at worst an interrupt, whose handler touches atomics only.
    unsafe { clock_timer_write(deadline) }
}

/// An invalidation of the TLBs of all CPUs.
pub(crate) fn tlb_invalidation() -> Lap {
    clock_tlbi()
}

/// The end of the active interrupt `intid`; a GICv2's is a store.
pub(crate) fn end(intid: u32) -> Lap {
    if v2::is_here() {
        return device_write(v2::end_register(), v2::end_word(intid));
    }
    // SAFETY: an interrupt that ends touches no memory.
    unsafe { clock_end(intid.into()) }
}

/// A copy within `free`, which is RAM that nobody uses: its first half to its second.
pub(crate) fn copy(free: &Range<u64>) -> Lap {
    let half = ((free.end - free.start) / 2) as usize & !63;
    let source = free.start as usize;
    // SAFETY: the range comes from `Board::free_ram`.
    unsafe { clock_copy(source + half, source, half) }
}

/// The addresses where two vCPUs that share a CPU stamp in turn: 8 bytes each, of this image or of a channel.
pub(crate) struct Turns {
    pub(crate) own: usize,
    pub(crate) other: usize,
}

impl Turns {
    /// Waits for a turn of the other; `before` is its last stamp, in its own ticks, `after` the first time here behind it.
    pub(crate) fn next(&self) -> Lap {
        // SAFETY: both addresses are of atomics or of device-like memory that holds nothing else.
        unsafe { clock_turn(self.own, self.other) }
    }
}

/// Sends an SGI to another CPU (ICC_SGI1R_EL1 or GICD_SGIR); the counter just before.
pub(crate) fn send(value: u64) -> u64 {
    if v2::is_here() {
        // SAFETY: as below, and the address is that of GICD_SGIR.
        return unsafe { clock_send_store(value, v2::sgir()) };
    }
    // SAFETY: an SGI interrupts a CPU whose handlers touch atomics only.
    unsafe { clock_send(value) }
}

/// Spins until an interrupt is taken, which the caller then acknowledges; `after` is the handler's first instruction.
pub(crate) fn spin_for_interrupt() -> Lap {
    assert_masked();
    // SAFETY: leaves by clock_vectors, which return here as a function does.
    unsafe { clock_spin() }
}

/// The same, giving way to other CPUs of an emulator with one thread.
pub(crate) fn yield_for_interrupt() -> Lap {
    assert_masked();
    // SAFETY: as `spin_for_interrupt`.
    unsafe { clock_yield() }
}

/// Sleeps in WFI until an interrupt is taken.
pub(crate) fn sleep_for_interrupt() -> Lap {
    assert_masked();
    // SAFETY: as `spin_for_interrupt`.
    unsafe { clock_wfi() }
}

/// Writes to the device register at `address` and spins until this CPU takes the interrupt that comes of it.
pub(crate) fn write_for_interrupt(address: usize, value: u32) -> Lap {
    assert_masked();
    // SAFETY: as `spin_for_interrupt` and `mmio::write`.
    unsafe { clock_self_store(value.into(), address) }
}

/// Sends an SGI to this CPU and spins until it is taken.
pub(crate) fn send_to_self(value: u64) -> Lap {
    assert_masked();
    if v2::is_here() {
        return write_for_interrupt(v2::sgir(), value as u32);
    }
    // SAFETY: as `spin_for_interrupt`.
    unsafe { clock_self(value) }
}
