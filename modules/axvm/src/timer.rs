//! The EL1 physical timer of a guest (CNTP_*), emulated on its virtual time.
//!
//! Arm ARM DDI 0487, D12.2. The hardware's own belongs to the hypervisor's runners; guests that use
//! this one instead of the virtual timer pay an exit per access.

use arm_vcpu::sysreg::names;
use axvcpu::SysRegAddr;
use core::sync::atomic::{AtomicU64, Ordering};

const ENABLE: u64 = 1;
const IMASK: u64 = 2;
const ISTATUS: u64 = 4;

/// One vCPU's physical timer. Values are in ticks of the guest's counter.
#[derive(Debug, Default)]
pub(crate) struct PhysicalTimer {
    control: AtomicU64,
    compare: AtomicU64,
}

impl PhysicalTimer {
    /// The interrupt it drives.
    pub(crate) const PPI: u32 = 30;

    pub(crate) fn reset(&self) {
        self.control.store(0, Ordering::Relaxed);
        self.compare.store(0, Ordering::Relaxed);
    }

    /// Whether it can come: while it is off its line stays as the last write of a register left it, low.
    pub(crate) fn is_on(&self) -> bool {
        self.control.load(Ordering::Relaxed) & ENABLE != 0
    }

    fn is_due(&self, now: u64) -> bool {
        self.is_on() && now >= self.compare.load(Ordering::Relaxed)
    }

    /// The level of its interrupt line.
    pub(crate) fn line(&self, now: u64) -> bool {
        self.is_due(now) && self.control.load(Ordering::Relaxed) & IMASK == 0
    }

    /// When the line will rise by itself.
    pub(crate) fn deadline(&self, now: u64) -> Option<u64> {
        let armed = self.control.load(Ordering::Relaxed) & (ENABLE | IMASK) == ENABLE;
        let compare = self.compare.load(Ordering::Relaxed);
        (armed && now < compare).then_some(compare)
    }

    /// Reads one of its registers, or the counter; none if `register` is another.
    pub(crate) fn read(&self, register: SysRegAddr, now: u64) -> Option<u64> {
        let compare = self.compare.load(Ordering::Relaxed);
        match register {
            names::CNTPCT_EL0 | names::CNTPCTSS_EL0 => Some(now),
            names::CNTP_CTL_EL0 => {
                let status = if self.is_due(now) { ISTATUS } else { 0 };
                Some(self.control.load(Ordering::Relaxed) | status)
            }
            names::CNTP_CVAL_EL0 => Some(compare),
            names::CNTP_TVAL_EL0 => Some(compare.wrapping_sub(now) & 0xffff_ffff),
            _ => None,
        }
    }

    /// Writes one of its registers; false if `register` is none of them.
    pub(crate) fn write(&self, register: SysRegAddr, value: u64, now: u64) -> bool {
        match register {
            names::CNTP_CTL_EL0 => self.control.store(value & (ENABLE | IMASK), Ordering::Relaxed),
            names::CNTP_CVAL_EL0 => self.compare.store(value, Ordering::Relaxed),
            names::CNTP_TVAL_EL0 => {
                let ticks = i64::from((value & 0xffff_ffff) as u32 as i32).cast_unsigned();
                self.compare.store(now.wrapping_add(ticks), Ordering::Relaxed);
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_follows_the_counter() {
        let timer = PhysicalTimer::default();
        assert!(timer.write(names::CNTP_TVAL_EL0, 100, 1000));
        assert_eq!(timer.read(names::CNTP_CVAL_EL0, 1000), Some(1100));
        assert!(timer.write(names::CNTP_CTL_EL0, 1, 1000));
        assert_eq!(timer.deadline(1000), Some(1100));
        assert!(!timer.line(1099));
        assert!(timer.line(1100));
        assert_eq!(timer.read(names::CNTP_CTL_EL0, 1100), Some(5));
        assert!(timer.write(names::CNTP_CTL_EL0, 3, 1100));
        assert!(!timer.line(1100));
        assert!(timer.write(names::CNTP_TVAL_EL0, 0xffff_fff6, 1100));
        assert_eq!(timer.read(names::CNTP_CVAL_EL0, 0), Some(1090));
        assert_eq!(timer.read(names::CNTP_TVAL_EL0, 1100), Some(0xffff_fff6));
        assert_eq!(timer.read(names::CNTPCT_EL0, 77), Some(77));
        assert_eq!(timer.read(names::ACTLR_EL1, 77), None);
    }
}
