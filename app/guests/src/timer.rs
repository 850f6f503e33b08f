//! The virtual timer and its counter (DDI 0487, chapter D12).

use crate::cpu;
use crate::sysreg::{CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0};
use core::arch::asm;

/// The virtual timer's private interrupt, PPI 11.
pub(crate) const INTID: u32 = 27;

/// CNTV_CTL_EL0: on; no interrupt; the condition holds.
pub(crate) const ENABLE: u64 = 1;
pub(crate) const IMASK: u64 = 2;
pub(crate) const ISTATUS: u64 = 4;

/// The counter, not read ahead of what comes before.
pub(crate) fn now() -> u64 {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack)) };
    CNTVCT_EL0::read()
}

/// That many microseconds in ticks, at least one.
pub(crate) fn micros(count: u64) -> u64 {
    (CNTFRQ_EL0::read() * count / 1_000_000).max(1)
}

/// Ticks as nanoseconds.
pub(crate) fn nanos(ticks: u64) -> u64 {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(CNTFRQ_EL0::read().max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// Interrupts when the counter reaches `deadline`.
pub(crate) fn arm(deadline: u64) {
    CNTV_CVAL_EL0::write(deadline);
    CNTV_CTL_EL0::write(ENABLE);
}

/// Whether the deadline has come.
pub(crate) fn is_due() -> bool {
    CNTV_CTL_EL0::read() & (ENABLE | ISTATUS) == ENABLE | ISTATUS
}

/// Off.
pub(crate) fn stop() {
    CNTV_CTL_EL0::write(0);
}

/// Waits until `done`; false if that takes more than ten seconds.
pub(crate) fn wait_for(done: impl Fn() -> bool) -> bool {
    let limit = now() + micros(10_000_000);
    while !done() {
        if now() > limit {
            return done();
        }
        cpu::relax();
    }
    true
}

/// Lets `micros_count` microseconds pass.
pub(crate) fn delay(micros_count: u64) {
    let end = now() + micros(micros_count);
    while now() < end {
        cpu::relax();
    }
}
