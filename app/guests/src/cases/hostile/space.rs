//! Second views of physical memory for attempts: gigabyte blocks beside the ones that `boot.s` made.
//!
//! Physical gigabyte g is seen at gigabyte VIEW + g of the address space.

use crate::boot;
use core::arch::asm;

/// A view: its first gigabyte in the address space, and how its blocks are mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Normal memory that EL0 may execute and read.
    El0Code = 256,
    /// Normal memory that EL0 may write.
    El0Data = 272,
    /// Devices that EL0 may write.
    El0Device = 288,
    /// Normal memory that EL1 may execute, whatever is there.
    Executable = 304,
    /// Normal memory without caches, so that no access is refused before stage 2: of all 36 bits.
    Uncached = 320,
}

/// Block descriptor: valid, AF, inner shareable, index 1 of MAIR.
const NORMAL: u64 = 0x705;
const DEVICE: u64 = 0x401;
const UNCACHED: u64 = 0x409;
const AP_EL0: u64 = 1 << 6;
const AP_READ_ONLY: u64 = 1 << 7;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;

/// Index 0: Device-nGnRnE, 1: Normal write-back, as in `boot.s`; 2: Normal non-cacheable.
const MAIR: u64 = 0x0044_ff00;

impl View {
    pub(crate) const ALL: [View; 5] =
        [View::El0Code, View::El0Data, View::El0Device, View::Uncached, View::Executable];

    /// How much the uncached view shows, in gigabytes; the others show less.
    pub(crate) const UNCACHED_GIB: u64 = 64;

    const fn gibs(self) -> u64 {
        match self {
            View::Uncached => View::UNCACHED_GIB,
            View::El0Code | View::El0Data | View::El0Device | View::Executable => 16,
        }
    }

    /// The attributes of its block descriptors.
    pub(crate) const fn attributes(self) -> u64 {
        match self {
            View::El0Code => NORMAL | AP_EL0 | AP_READ_ONLY | PXN,
            View::El0Data => NORMAL | AP_EL0 | PXN | UXN,
            View::El0Device => DEVICE | AP_EL0 | PXN | UXN,
            View::Uncached => UNCACHED | PXN | UXN,
            View::Executable => NORMAL | UXN,
        }
    }

    /// Where the view has physical address `pa`.
    pub(crate) const fn of(self, pa: u64) -> u64 {
        ((self as u64) << 30) + pa
    }
}

/// Maps all views. Only invalid entries become valid.
pub(crate) fn prepare() {
    // SAFETY: adds an index that no mapping uses yet.
    unsafe { asm!("msr mair_el1, {}", "isb", in(reg) MAIR, options(nostack)) };
    boot::set_entry(AARCH32_GIB, 1 << 30 | View::El0Code.attributes());
    for view in View::ALL {
        for gib in 0..view.gibs() {
            boot::set_entry((view as u64 + gib) as usize, gib << 30 | view.attributes());
        }
    }
}

/// A gigabyte within the reach of AArch32, where EL0 sees the second one.
const AARCH32_GIB: usize = 3;

/// Where AArch32 at EL0 sees the code at `address`.
pub(crate) const fn for_aarch32(address: u64) -> u64 {
    (AARCH32_GIB as u64) << 30 | address & 0x3fff_ffff
}

/// Makes gigabyte `gib` of the address space what `descriptor` says.
pub(crate) fn set_table(gib: usize, descriptor: u64) {
    boot::set_entry(gib, descriptor);
}

/// Forgets this CPU's translations.
pub(crate) fn forget() {
    // SAFETY: the walker finds again what is forgotten.
    unsafe { asm!("dsb ishst", "tlbi vmalle1", "dsb ish", "isb", options(nostack)) };
}

/// Where EL0 sees the code at `address`.
pub(crate) const fn for_el0(address: u64) -> u64 {
    View::El0Code.of(address)
}
