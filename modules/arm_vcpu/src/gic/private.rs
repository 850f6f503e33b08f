//! The private interrupts of each physical CPU: SGIs and PPIs.
//!
//! IHI 0069, section 12.11, and IHI 0048, section 4.3: the frame SGI_base of a redistributor and the distributor of a GICv2
//! have their registers at the same offsets.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::{is_v2, v2};
use crate::regs::{barrier, mrs, size};

const MAX_CPUS: usize = 64;

/// What is known of one physical CPU.
struct Cpu {
    affinity: AtomicU64,
    /// Where its private registers are mapped; zero until it is known.
    frame: AtomicUsize,
    /// Its bit in the target masks of a GICv2.
    target: AtomicU32,
}

/// Every physical CPU, filled once per CPU at start.
static CPUS: [Cpu; MAX_CPUS] = [const {
    Cpu { affinity: AtomicU64::new(0), frame: AtomicUsize::new(0), target: AtomicU32::new(0) }
}; MAX_CPUS];

/// The affinity fields of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// The CPU of that affinity, once it is registered.
fn find(affinity: u64) -> Option<(&'static Cpu, usize)> {
    CPUS.iter()
        .map(|cpu| (cpu, cpu.frame.load(Ordering::Acquire)))
        .find(|(cpu, frame)| *frame != 0 && cpu.affinity.load(Ordering::Relaxed) == affinity)
}

/// The CPU of affinity `mpidr` as a bit of a GICv2's target masks; zero for one that is not registered.
pub(super) fn target_of(mpidr: u64) -> u32 {
    find(mpidr & AFFINITY).map_or(0, |(cpu, _)| cpu.target.load(Ordering::Relaxed))
}

/// The registers of this CPU's SGIs and PPIs.
pub struct PrivateInterrupts {
    frame: usize,
}

impl PrivateInterrupts {
    const ISENABLER0: usize = 0x100;
    const ICENABLER0: usize = 0x180;
    const IPRIORITYR: usize = 0x400;
    const ISACTIVER0: usize = 0x300;
    const ICACTIVER0: usize = 0x380;

    /// Tells where physical CPU `cpu_id`'s private registers are mapped: SGI_base of its redistributor, or the distributor
    /// of a GICv2. Called on that CPU, before it runs guests.
    ///
    /// # Safety
    /// `frame` must be the mapped address of those of the CPU this runs on, and stay mapped as device memory for ever.
    pub unsafe fn register(cpu_id: usize, frame: usize) {
        if let Some(cpu) = CPUS.get(cpu_id) {
            cpu.affinity.store(mrs!("MPIDR_EL1") & AFFINITY, Ordering::Relaxed);
            cpu.target.store(if is_v2() { v2::own_target() } else { 0 }, Ordering::Relaxed);
            cpu.frame.store(frame, Ordering::Release);
        }
    }

    /// Those of the CPU this runs on, once they are registered.
    pub fn this_cpu() -> Option<Self> {
        find(mrs!("MPIDR_EL1") & AFFINITY).map(|(_, frame)| Self { frame })
    }

    /// Lets private interrupt `intid` through to this CPU.
    pub fn enable(&self, intid: u32) {
        self.set_bit(Self::ISENABLER0, intid);
    }

    /// Keeps private interrupt `intid` from this CPU.
    pub fn disable(&self, intid: u32) {
        self.set_bit(Self::ICENABLER0, intid);
    }

    /// Makes private interrupt `intid` active, or inactive, without any having come.
    pub fn set_active(&self, intid: u32, active: bool) {
        self.set_bit(if active { Self::ISACTIVER0 } else { Self::ICACTIVER0 }, intid);
    }

    /// Sets the priority of private interrupt `intid`; a lower value goes first.
    pub fn set_priority(&self, intid: u32, priority: u8) {
        let register = Self::IPRIORITYR.wrapping_add(size(u64::from(intid)) & 31);
        let address =
            core::ptr::with_exposed_provenance_mut::<u8>(self.frame.wrapping_add(register));
        // SAFETY: `register`'s caller promised mapped registers; priorities are byte-accessible.
        unsafe { address.write_volatile(priority) };
    }

    fn set_bit(&self, register: usize, intid: u32) {
        let address =
            core::ptr::with_exposed_provenance_mut::<u32>(self.frame.wrapping_add(register));
        // SAFETY: `register`'s caller promised mapped registers; these write-one registers have no
        // effect but on the one interrupt.
        unsafe { address.write_volatile(1 << (intid & 31)) };
        // Complete before the guest is entered: what it must not see is gone, what is its own is there.
        barrier!("dsb sy");
    }
}
