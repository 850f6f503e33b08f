//! The CPUs: which one this is, interrupt masking, sleep.

use crate::board::MAX_CPUS;
use crate::sysreg::MPIDR_EL1;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

static AFFINITIES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Aff3 to Aff0 of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// Notes the affinities of the machine's CPUs, in the order of the device tree.
pub(crate) fn set_list(affinities: impl Iterator<Item = u64>) {
    for (number, affinity) in affinities.take(MAX_CPUS).enumerate() {
        AFFINITIES[number].store(affinity, Ordering::Relaxed);
        COUNT.store(number + 1, Ordering::Release);
    }
}

/// How many CPUs the machine has.
pub(crate) fn count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// The affinity of CPU `number`.
pub(crate) fn affinity(number: usize) -> u64 {
    AFFINITIES[number].load(Ordering::Relaxed)
}

/// The number of the CPU that asks; CPU 0 if the tree does not know it.
pub(crate) fn number() -> usize {
    let own = MPIDR_EL1::read() & AFFINITY;
    (0..count()).find(|&number| affinity(number) == own).unwrap_or(0)
}

/// Lets interrupts in.
pub(crate) fn unmask_irq() {
    // SAFETY: handlers touch atomics only, so they may run between any two instructions.
    unsafe { asm!("msr daifclr, #2", options(nostack)) };
}

/// Keeps interrupts out.
pub(crate) fn mask_irq() {
    // SAFETY: masking cannot break anything that relied on an interrupt not coming.
    unsafe { asm!("msr daifset, #2", options(nostack)) };
}

/// Lets other CPUs go first; under emulation with one thread this is what makes them run at all.
pub(crate) fn relax() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nostack)) };
}

/// Sleeps in WFI until something comes, or for no time at all.
pub(crate) fn wait() {
    // SAFETY: a hint.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) };
}

/// Sleeps in WFI, taking interrupts, until one of them makes `done` true.
///
/// Interrupts are unmasked only between the test and the next sleep, so none can slip through in between. They are
/// unmasked on return.
pub(crate) fn sleep_until(done: impl Fn() -> bool) {
    mask_irq();
    while !done() {
        // SAFETY: WFI returns on a pending interrupt even while they are masked.
        unsafe { asm!("dsb sy", "wfi", options(nostack)) };
        unmask_irq();
        // SAFETY: gives the pending interrupt a defined place to be taken.
        unsafe { asm!("isb", options(nostack)) };
        mask_irq();
    }
    unmask_irq();
}
