//! The first channel to other guests: its memory, its doorbell, the hypervisor's calls about it.

use crate::mmio;
use crate::psci;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Function identifiers.
const IVC_STATUS: u64 = 0xc600_0000;
const IVC_NOTIFY: u64 = 0xc600_0001;
/// The first identifier behind them.
pub(crate) const UNKNOWN: u64 = 0xc600_0002;
/// The answer about a channel of somebody else's.
pub(crate) const NOT_PERMITTED: i32 = -3;

static BASE: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static DOORBELL: AtomicU64 = AtomicU64::new(0);

/// Notes where the device tree has the channel, and its interrupt.
pub(crate) fn set_window(base: usize, bytes: usize, doorbell: u32) {
    BASE.store(base, Relaxed);
    BYTES.store(bytes, Relaxed);
    DOORBELL.store(doorbell.into(), Relaxed);
}

/// Its size; 0 if the machine has no channel.
pub(crate) fn bytes() -> usize {
    BYTES.load(Relaxed)
}

/// The INTID of its doorbell.
pub(crate) fn doorbell() -> u32 {
    DOORBELL.load(Relaxed) as u32
}

/// The word at `offset`, read before all that is read after it.
///
/// # Panics
/// When the channel does not have it.
pub(crate) fn load(offset: usize) -> u64 {
    let value = mmio::read64(address(offset));
    barrier();
    value
}

/// Writes the word at `offset`, after all that was written before it.
///
/// # Panics
/// When the channel does not have it.
pub(crate) fn store(offset: usize, value: u64) {
    barrier();
    mmio::write64(address(offset), value);
}

/// The address of the word at `offset`.
///
/// # Panics
/// When the channel does not have it.
pub(crate) fn address(offset: usize) -> usize {
    assert!(offset + 8 <= bytes(), "beyond the channel");
    BASE.load(Relaxed) + offset
}

fn barrier() {
    // SAFETY: a barrier.
    unsafe { asm!("dmb ish", options(nostack)) };
}

/// How many others are in channel `number`, or a negative code.
pub(crate) fn others(number: u64) -> i32 {
    psci::call(IVC_STATUS, [number, 0, 0])
}

/// Rings the others' doorbells in channel `number`; how many there are, or a negative code.
pub(crate) fn notify(number: u64) -> i32 {
    barrier();
    psci::call(IVC_NOTIFY, [number, 0, 0])
}
