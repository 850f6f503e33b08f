//! The assembly that runs before Rust, the table it translates through.

use crate::board::MAX_CPUS;
use core::sync::atomic::{AtomicU64, Ordering};

core::arch::global_asm!(include_str!("boot.s"));

/// As `MAX_CPUS` in `boot.s`, which reserves that many stacks.
const _: () = assert!(MAX_CPUS == 16);

/// A level-1 table: 512 blocks of 1 GiB.
#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

unsafe extern "C" {
    static _start: u8;
    static _end: u8;
    static BOOT_TABLE: Table;
    fn secondary_entry();
}

/// Block descriptor bits of normal memory, as `BLOCK_NORMAL` in `boot.s`.
const BLOCK_NORMAL: u64 = 0x0040_0000_0000_0705;

/// First address of the image and the first one past its stacks.
pub(crate) fn image() -> core::ops::Range<u64> {
    (&raw const _start).addr() as u64..(&raw const _end).addr() as u64
}

/// The physical address CPU_ON shall be given.
pub(crate) fn secondary_entry_address() -> u64 {
    secondary_entry as *const () as u64
}

/// Replaces the entry of gigabyte `gib` of the address space, which nothing in use lies in.
pub(crate) fn set_entry(gib: usize, descriptor: u64) {
    // SAFETY: boot.s defines the table with this layout, and it is only ever accessed atomically.
    let table = unsafe { &BOOT_TABLE };
    let Some(entry) = table.0.get(gib) else { return };
    entry.store(0, Ordering::Release);
    // SAFETY: forgets translations, of which the walker finds the others again.
    unsafe { core::arch::asm!("dsb ishst", "tlbi vmalle1is", "dsb ish", "isb", options(nostack)) };
    entry.store(descriptor, Ordering::Release);
    // SAFETY: barriers only; they make the new entry visible to the table walker.
    unsafe { core::arch::asm!("dsb ishst", "isb", options(nostack)) };
}

/// Maps the gigabytes that `ram` lies in as normal memory at their own address.
///
/// Only invalid entries become valid, so nothing needs to leave the TLB.
pub(crate) fn map_ram(ram: core::ops::Range<u64>) {
    // SAFETY: boot.s defines the table with this layout, and it is only ever accessed atomically.
    let table = unsafe { &BOOT_TABLE };
    for gib in ram.start >> 30..ram.end.div_ceil(1 << 30) {
        if let Some(entry) = usize::try_from(gib).ok().and_then(|gib| table.0.get(gib)) {
            entry.store((gib << 30) | BLOCK_NORMAL, Ordering::Release);
        }
    }
    // SAFETY: barriers only; they make the new entries visible to the table walker.
    unsafe { core::arch::asm!("dsb ish", "isb", options(nostack)) };
}
