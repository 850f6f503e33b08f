//! The virtual timer of one vCPU (CNTV_*), which is the hardware's while the vCPU is bound.

use crate::regs::{barrier, mrs, msr};

/// CNTV_CTL_EL0.ENABLE.
const ENABLE: u64 = 1;
/// CNTV_CTL_EL0.IMASK.
const IMASK: u64 = 2;

/// The saved timer. Values are in ticks of the guest's own counter.
#[derive(Clone, Copy, Debug, Default)]
pub struct VirtualTimer {
    control: u64,
    compare: u64,
    offset: u64,
}

impl VirtualTimer {
    pub(crate) const fn new(offset: u64) -> Self {
        Self { control: 0, compare: 0, offset }
    }

    pub(crate) fn set_offset(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// The physical counter value at which the timer's interrupt is due, if it can come, read from
    /// the hardware while the vCPU is bound.
    pub(crate) fn current_deadline(&self) -> Option<u64> {
        let armed = mrs!("CNTV_CTL_EL0") & (ENABLE | IMASK) == ENABLE;
        armed.then(|| mrs!("CNTV_CVAL_EL0").saturating_add(self.offset))
    }

    /// The physical counter value at which the guest's counter was zero.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    #[inline]
    pub(crate) fn bind(&self) {
        msr!("CNTV_CTL_EL0", self.control);
    }

    /// Keeps the timer from interrupting the host.
    #[inline]
    pub(crate) fn unbind(&mut self) {
        self.control = mrs!("CNTV_CTL_EL0") & (ENABLE | IMASK);
        msr!("CNTV_CTL_EL0", 0);
    }

    pub(crate) fn load(&self) {
        msr!("CNTVOFF_EL2", self.offset);
        msr!("CNTV_CVAL_EL0", self.compare);
    }

    pub(crate) fn save(&mut self) {
        self.compare = mrs!("CNTV_CVAL_EL0");
    }
}

/// The physical counter (CNTPCT_EL0), in ticks.
#[inline]
pub fn physical_counter() -> u64 {
    barrier!("isb");
    physical_counter_unordered()
}

/// The same, read wherever the CPU pleases among the instructions around it.
#[inline]
pub fn physical_counter_unordered() -> u64 {
    mrs!("CNTPCT_EL0")
}

/// The counter's frequency (CNTFRQ_EL0), in Hz.
pub fn counter_frequency() -> u64 {
    mrs!("CNTFRQ_EL0")
}

/// The timer that belongs to the hypervisor's runners: the EL1 physical timer, PPI 30, which guests
/// do not get and the host does not use.
pub struct SliceTimer;

impl SliceTimer {
    /// Its private interrupt.
    pub const INTID: u32 = 30;

    /// Interrupts this CPU when the physical counter reaches `deadline`.
    #[inline]
    pub fn arm(deadline: u64) {
        msr!("CNTP_CVAL_EL0", deadline);
        msr!("CNTP_CTL_EL0", ENABLE);
    }

    /// No interrupt any more.
    #[inline]
    pub fn disarm() {
        msr!("CNTP_CTL_EL0", 0);
        barrier!("isb");
    }
}
