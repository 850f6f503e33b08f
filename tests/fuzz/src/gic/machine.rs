//! CPUs with list registers of plain data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use arm_vgic::{Kick, ListRegisters, TIMER_PPI, from_gich, to_gich};

// The fields of a list register, IHI 0069 section 12.4.
pub(super) const PENDING: u64 = 1 << 62;
pub(super) const ACTIVE: u64 = 1 << 63;
pub(super) const STATE: u64 = PENDING | ACTIVE;
pub(super) const HW: u64 = 1 << 61;
pub(super) const EOI: u64 = 1 << 41;
/// SPIs that are linked to physical ones, those with the same numbers.
pub(super) const LINKED: std::ops::Range<u32> = 60..63;

/// One physical CPU.
#[derive(Default)]
pub(super) struct Cpu {
    pub(super) lrs: [AtomicU64; 16],
    pub(super) no_pending: AtomicBool,
    pub(super) timer_enabled: AtomicBool,
    pub(super) timer_active: AtomicBool,
}

/// The machine under the guests.
pub(super) struct Machine {
    pub(super) gicv2: bool,
    pub(super) count: usize,
    pub(super) current: AtomicUsize,
    pub(super) cpus: Vec<Cpu>,
    /// Who was kicked and has not exited since, one bit each.
    pub(super) kicked: AtomicU64,
    /// The physical SPIs that are active.
    pub(super) active_spis: AtomicU64,
}

impl Machine {
    fn here(&self) -> &Cpu {
        &self.cpus[self.current.load(Relaxed)]
    }
}

/// The list registers of the CPU that executes.
pub(super) struct Here(pub(super) Arc<Machine>);

impl ListRegisters for Here {
    fn count(&self) -> usize {
        self.0.count
    }

    fn read(&self, n: usize) -> u64 {
        assert!(n < self.0.count);
        self.0.here().lrs[n].load(Relaxed)
    }

    fn write(&self, n: usize, value: u64) {
        assert!(n < self.0.count);
        assert!(value & HW == 0 || value & STATE != STATE, "linked, active and pending");
        let kept = if self.0.gicv2 { from_gich(to_gich(value)) } else { value };
        assert_eq!(kept, value, "a list register does not hold all of it");
        self.0.here().lrs[n].store(kept, Relaxed);
    }

    fn set_maintenance(&self, no_pending: bool) {
        self.0.here().no_pending.store(no_pending, Relaxed);
    }

    fn enable_physical_ppi(&self, intid: u32, on: bool) {
        assert_eq!(intid, TIMER_PPI);
        self.0.here().timer_enabled.store(on, Relaxed);
    }

    fn set_physical_ppi_active(&self, intid: u32, active: bool) {
        assert_eq!(intid, TIMER_PPI);
        self.0.here().timer_active.store(active, Relaxed);
    }

    fn release_physical_spi(&self, intid: u32) {
        assert!(LINKED.contains(&intid));
        self.0.active_spis.fetch_and(!(1 << intid), Relaxed);
    }
}

impl Kick for Machine {
    fn kick(&self, vcpu: usize) {
        self.kicked.fetch_or(1 << vcpu, Relaxed);
    }
}
