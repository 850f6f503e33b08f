//! The only unsafe code of this crate: table entries and guest memory behind physical addresses.
//!
//! Guest memory changes under our feet, so it is only touched by volatile accesses and copied; no
//! Rust reference to it exists. Table entries are atomics, since other CPUs and the MMU read them.
//! What the callers guarantee, and these functions cannot check: a `table` is a frame that
//! `stage2.rs` allocated and has not freed, and a `hpa` range lies within memory that an
//! [`AddrSpace`](crate::AddrSpace) maps as RAM, which the hypervisor promised is reachable through
//! `phys_to_virt`.
#![expect(unsafe_code, reason = "the one module of this crate that needs it")]

use core::{
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use page_table_multiarch::PagingHandler;

use crate::{GuestScalar, HostPhysAddr, pte::Descriptor};

/// Entries in one table.
pub(crate) const ENTRIES: usize = 512;

/// The bytes one bulk access moves.
const CHUNK: usize = size_of::<u128>();

fn entry<H: PagingHandler>(table: HostPhysAddr, index: usize) -> *mut u64 {
    let base = H::phys_to_virt(table).as_mut_ptr_of::<u64>();
    base.wrapping_add(index % ENTRIES)
}

/// Reads entry `index` of `table`.
pub(crate) fn load<H: PagingHandler>(table: HostPhysAddr, index: usize) -> Descriptor {
    // SAFETY: the entry lies in a live table frame (module invariant), is 8-byte aligned, and is
    // only ever accessed as an atomic while the frame is a table.
    let entry = unsafe { AtomicU64::from_ptr(entry::<H>(table, index)) };
    Descriptor(entry.load(Ordering::Acquire))
}

/// Writes entry `index` of `table`; what was written before is visible to whoever sees the entry.
pub(crate) fn store<H: PagingHandler>(table: HostPhysAddr, index: usize, value: Descriptor) {
    // SAFETY: as in `load`.
    let entry = unsafe { AtomicU64::from_ptr(entry::<H>(table, index)) };
    entry.store(value.0, Ordering::Release);
}

/// Waits until the MMU's walks on all CPUs see the entries written so far.
pub(crate) fn complete_table_writes() {
    // SAFETY: a barrier touches neither memory nor registers.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!("dsb ishst", options(nostack, preserves_flags));
    }
}

/// Copies guest memory at `hpa` into `out`.
pub(crate) fn copy_from<H: PagingHandler>(hpa: HostPhysAddr, out: &mut [u8]) {
    let mut from = H::phys_to_virt(hpa).as_ptr();
    let lead = from.align_offset(CHUNK).min(out.len());
    let (head, rest) = out.split_at_mut(lead);
    from = bytes_from(from, head);
    let (chunks, tail) = rest.as_chunks_mut::<CHUNK>();
    for chunk in chunks {
        // SAFETY: within the guest's RAM (module invariant) and aligned by `lead`.
        *chunk = unsafe { ptr::read_volatile(from.cast::<u128>()) }.to_ne_bytes();
        from = from.wrapping_add(CHUNK);
    }
    bytes_from(from, tail);
}

fn bytes_from(mut from: *const u8, out: &mut [u8]) -> *const u8 {
    for byte in out {
        // SAFETY: within the guest's RAM (module invariant).
        *byte = unsafe { ptr::read_volatile(from) };
        from = from.wrapping_add(1);
    }
    from
}

/// Copies `data` to guest memory at `hpa`.
pub(crate) fn copy_to<H: PagingHandler>(hpa: HostPhysAddr, data: &[u8]) {
    let mut to = H::phys_to_virt(hpa).as_mut_ptr();
    let lead = to.align_offset(CHUNK).min(data.len());
    let (head, rest) = data.split_at(lead);
    to = bytes_to(to, head);
    // SAFETY: every pattern of 16 bytes is a `u128`.
    let (before, wide, after) = unsafe { rest.align_to::<u128>() };
    if before.is_empty() {
        // Both sides are aligned, as images in a bundle are: no byte is touched singly.
        for &chunk in wide {
            to = chunk_to(to, chunk);
        }
        bytes_to(to, after);
        return;
    }
    let (chunks, tail) = rest.as_chunks::<CHUNK>();
    for chunk in chunks {
        to = chunk_to(to, u128::from_ne_bytes(*chunk));
    }
    bytes_to(to, tail);
}

#[inline(always)]
fn chunk_to(to: *mut u8, chunk: u128) -> *mut u8 {
    // SAFETY: within the guest's RAM (module invariant) and aligned by `copy_to`.
    unsafe { ptr::write_volatile(to.cast::<u128>(), chunk) };
    to.wrapping_add(CHUNK)
}

fn bytes_to(mut to: *mut u8, data: &[u8]) -> *mut u8 {
    for byte in data {
        // SAFETY: within the guest's RAM (module invariant).
        unsafe { ptr::write_volatile(to, *byte) };
        to = to.wrapping_add(1);
    }
    to
}

/// Reads one naturally aligned value at `hpa`, in a single access.
pub(crate) fn read_value<H: PagingHandler, T: GuestScalar>(hpa: HostPhysAddr) -> T {
    let from = H::phys_to_virt(hpa).as_ptr_of::<T>();
    // SAFETY: within the guest's RAM (module invariant), aligned by the caller; `T` is one of the
    // unsigned integers, for which every bit pattern is a value.
    unsafe { ptr::read_volatile(from) }
}

/// Writes one naturally aligned value at `hpa`, in a single access.
pub(crate) fn write_value<H: PagingHandler, T: GuestScalar>(hpa: HostPhysAddr, value: T) {
    let to = H::phys_to_virt(hpa).as_mut_ptr_of::<T>();
    // SAFETY: within the guest's RAM (module invariant), aligned by the caller.
    unsafe { ptr::write_volatile(to, value) };
}
