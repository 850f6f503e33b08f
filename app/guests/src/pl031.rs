//! The PL031 clock (ARM DDI 0224): its registers, where the device tree has one.

use crate::mmio;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// SPI 2 of QEMU's virt board, and of the boards made after it.
pub(crate) const INTID: u32 = 34;

/// RTCDR: the time. RTCMR: when it rings. RTCIMSC, RTCRIS, RTCICR: bit 0 is the alarm's.
pub(crate) const DR: usize = 0x00;
pub(crate) const MR: usize = 0x04;
pub(crate) const IMSC: usize = 0x10;
pub(crate) const RIS: usize = 0x14;
pub(crate) const ICR: usize = 0x1c;

/// 0 where there is none.
static BASE: AtomicUsize = AtomicUsize::new(0);

/// Where the device tree has it.
pub(crate) fn set_base(base: usize) {
    BASE.store(base, Relaxed);
}

/// Whether the machine has one.
pub(crate) fn is_here() -> bool {
    BASE.load(Relaxed) != 0
}

/// The address of `register`.
pub(crate) fn address(register: usize) -> usize {
    BASE.load(Relaxed) + register
}

/// Reads `register`.
pub(crate) fn read(register: usize) -> u32 {
    mmio::read(address(register))
}

/// Writes `register`.
pub(crate) fn write(register: usize, value: u32) {
    mmio::write(address(register), value);
}
