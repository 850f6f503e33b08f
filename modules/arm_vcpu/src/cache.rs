//! Cache maintenance for memory that host and guests see differently.
//!
//! Arm ARM DDI 0487, D7.5 "Caches and memory hierarchy"; CTR_EL0, DCZID_EL0. A guest starts with its
//! caches off: what the host wrote must be in memory, not in a cache, before the guest reads it.

use crate::regs::{barrier, mrs};

/// The data-cache line, in bytes (CTR_EL0.DminLine).
fn line_bytes() -> usize {
    4 << (mrs!("CTR_EL0") >> 16 & 0xf)
}

/// The block DC ZVA zeroes, in bytes; none where it is prohibited (DCZID_EL0.DZP).
fn zero_block_bytes() -> Option<usize> {
    let dczid = mrs!("DCZID_EL0");
    (dczid & 1 << 4 == 0).then_some(4 << (dczid & 0xf))
}

/// Fills `size` bytes at virtual address `start` with zeros that reach memory. Both page-aligned.
///
/// # Safety
/// The range must be mapped normal memory that no Rust object lives in: frames of guests.
pub unsafe fn zero(start: usize, size: usize) {
    let end = start.saturating_add(size);
    let line = line_bytes();
    match zero_block_bytes() {
        // Line by line: a VM's memory is many lines, and one pass over them takes half the time of two.
        Some(block) if block == line => sweep(start, end, line, |at| {
            by_address(at, Op::Zero);
            by_address(at, Op::CleanInvalidate);
        }),
        Some(block) => {
            sweep(start, end, block, |at| by_address(at, Op::Zero));
            sweep(start, end, line, |at| by_address(at, Op::CleanInvalidate));
        }
        None => {
            for at in (start..end).step_by(8) {
                // SAFETY: the caller vouches for mapped memory that nobody's object is in.
                unsafe { core::ptr::with_exposed_provenance_mut::<u64>(at).write_volatile(0) };
            }
            sweep(start, end, line, |at| by_address(at, Op::CleanInvalidate));
        }
    }
    barrier!("dsb sy");
}

/// Calls `act` for every `step` bytes, a power of two up to 2 KiB, of a page-aligned range; two steps for each comparison.
#[inline(always)]
fn sweep(start: usize, end: usize, step: usize, act: impl Fn(usize)) {
    let mut at = start;
    while at < end {
        act(at);
        act(at.wrapping_add(step));
        at = at.wrapping_add(step.wrapping_mul(2));
    }
}

/// Makes `size` bytes at virtual address `start`, just written, visible to a guest whose caches are
/// off, and executable as they are.
pub fn publish(start: usize, size: usize) {
    let line = line_bytes();
    let end = start.saturating_add(size);
    for at in (start & !line.wrapping_sub(1)..end).step_by(line) {
        by_address(at, Op::CleanInvalidate);
    }
    barrier!("dsb sy");
    barrier!("ic ialluis");
    barrier!("dsb ish");
    barrier!("isb");
}

#[derive(Clone, Copy)]
enum Op {
    Zero,
    CleanInvalidate,
}

#[inline(always)]
fn by_address(address: usize, op: Op) {
    #[cfg(target_arch = "aarch64")]
    match op {
        // SAFETY: zeroes one block of the range that `zero`'s caller vouched for.
        Op::Zero => unsafe {
            core::arch::asm!("dc zva, {}", in(reg) address, options(nostack));
        },
        // SAFETY: cleaning and invalidating a line changes no value anyone can read.
        Op::CleanInvalidate => unsafe {
            core::arch::asm!("dc civac, {}", in(reg) address, options(nostack));
        },
    }
    #[cfg(not(target_arch = "aarch64"))]
    let _ = (address, op);
}
