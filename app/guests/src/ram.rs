//! Plain memory by address: patterns over ranges that nothing else uses.

use crate::sysreg::DCZID_EL0;
use core::arch::asm;
use core::ops::Range;

/// A word that is not what was written there.
pub(crate) struct Mismatch {
    /// Where.
    pub(crate) address: u64,
    /// What it holds.
    pub(crate) got: u64,
}

fn words(range: &Range<u64>) -> impl Iterator<Item = u64> {
    range.clone().step_by(8)
}

/// Writes `pattern(address)` to every 8-byte word of `range`, which must be free RAM.
pub(crate) fn fill(range: &Range<u64>, pattern: impl Fn(u64) -> u64) {
    for address in words(range) {
        // SAFETY: the range comes from `Board::free_ram`: mapped, 8-byte aligned, no Rust object lives in it.
        unsafe { (address as *mut u64).write_volatile(pattern(address)) };
    }
}

/// The first word of `range` that does not hold `pattern(address)`.
pub(crate) fn find_mismatch(range: &Range<u64>, pattern: impl Fn(u64) -> u64) -> Option<Mismatch> {
    words(range).find_map(|address| {
        // SAFETY: as for `fill`.
        let got = unsafe { (address as *const u64).read_volatile() };
        (got != pattern(address)).then_some(Mismatch { address, got })
    })
}

/// How many words of `range` hold `value`.
pub(crate) fn count(range: &Range<u64>, value: u64) -> u64 {
    // SAFETY: as for `fill`.
    let holds = |address: &u64| unsafe { (*address as *const u64).read_volatile() } == value;
    words(range).filter(holds).count() as u64
}

/// The first word of `range` that is not zero, read with MMU and caches off.
pub(crate) fn find_nonzero_uncached(range: &Range<u64>) -> Option<u64> {
    let mut at = range.start;
    // SAFETY: as for `fill`. The code lies at its own physical address, so that it runs on without the MMU; it touches
    // no other memory, neither the stack nor the table, until both are on again; no interrupt comes, they are masked.
    unsafe {
        asm!("mrs {control}, sctlr_el1",
            "bic {off}, {control}, #1",
            "bic {off}, {off}, #4",
            "dsb sy",
            "msr sctlr_el1, {off}",
            "isb",
            "2: cmp {at}, {end}",
            "b.hs 3f",
            "ldr {off}, [{at}]",
            "cbnz {off}, 3f",
            "add {at}, {at}, #8",
            "b 2b",
            "3: msr sctlr_el1, {control}",
            "isb",
            at = inout(reg) at, end = in(reg) range.end, control = out(reg) _, off = out(reg) _,
            options(nostack));
    }
    (at < range.end).then_some(at)
}

/// Folds the words of `range` as for `fill`.
pub(crate) fn fold(range: &Range<u64>, start: u64, step: impl Fn(u64, u64) -> u64) -> u64 {
    words(range).fold(start, |sum, address| {
        // SAFETY: as for `fill`.
        step(sum, unsafe { (address as *const u64).read_volatile() })
    })
}

/// The size of the block DC ZVA clears, if the CPU allows it.
pub(crate) fn zero_block_bytes() -> Option<u64> {
    let id = DCZID_EL0::read();
    (id & 0x10 == 0).then_some(4 << (id & 0xf))
}

/// Clears the block at `address`, which must be aligned to `zero_block_bytes` and free RAM.
pub(crate) fn zero_block(address: u64) {
    // SAFETY: as for `fill`.
    unsafe { asm!("dc zva, {}", in(reg) address, options(nostack)) };
}
