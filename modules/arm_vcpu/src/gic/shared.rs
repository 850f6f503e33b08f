//! The physical distributor, as far as shared interrupts that belong to guests go.
//!
//! IHI 0069, section 12.9, and IHI 0048, section 4.3: a GICv3 and a GICv2 differ in how an interrupt is sent to a CPU.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::{is_v2, private};
use crate::regs::{barrier, size};

/// The affinity fields of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// Where the physical distributor is mapped; zero until then.
static DISTRIBUTOR: AtomicUsize = AtomicUsize::new(0);

/// The physical distributor, as far as SPIs that belong to guests go.
///
/// Its registers with one bit per interrupt take a one and leave the others be, so that nobody is excluded.
pub struct Distributor {
    base: usize,
}

impl Distributor {
    const ISENABLER: usize = 0x100;
    const ICENABLER: usize = 0x180;
    const ICPENDR: usize = 0x280;
    const ISACTIVER: usize = 0x300;
    const ICACTIVER: usize = 0x380;
    const IPRIORITYR: usize = 0x400;
    /// GICv2: a byte for each interrupt, with a bit for each CPU.
    const ITARGETSR: usize = 0x800;
    /// GICv3: an affinity for each interrupt.
    const IROUTER: usize = 0x6000;
    /// The bytes of a GICv3's registers.
    pub const SIZE: usize = 0x1_0000;

    /// Tells where the distributor is mapped.
    ///
    /// # Safety
    /// `base` must be the mapped address of the machine's distributor, of the version that [`is_v2`] tells whenever
    /// an interrupt is routed, and stay mapped as device memory for ever.
    pub unsafe fn register(base: usize) {
        DISTRIBUTOR.store(base, Ordering::Release);
    }

    /// The distributor, once it is registered.
    pub fn get() -> Option<Self> {
        match DISTRIBUTOR.load(Ordering::Acquire) {
            0 => None,
            base => Some(Self { base }),
        }
    }

    /// Forwards SPI `intid`.
    pub fn enable(&self, intid: u32) {
        self.set_bit(Self::ISENABLER, intid);
    }

    /// Keeps SPI `intid` back; it may still come for a moment.
    pub fn disable(&self, intid: u32) {
        self.set_bit(Self::ICENABLER, intid);
    }

    /// Forgets that SPI `intid` is pending, unless its input says so.
    pub fn clear_pending(&self, intid: u32) {
        self.set_bit(Self::ICPENDR, intid);
    }

    /// Makes SPI `intid` active, or inactive.
    pub fn set_active(&self, intid: u32, active: bool) {
        self.set_bit(if active { Self::ISACTIVER } else { Self::ICACTIVER }, intid);
    }

    /// Sets the priority of SPI `intid`; a lower value goes first.
    pub fn set_priority(&self, intid: u32, priority: u8) {
        self.set_byte(Self::IPRIORITYR, intid, priority);
    }

    /// Sends SPI `intid` to the CPU of that affinity, which must be registered.
    pub fn route(&self, intid: u32, affinity: u64) {
        if is_v2() {
            let [target, ..] = private::target_of(affinity).to_le_bytes();
            self.set_byte(Self::ITARGETSR, intid, target);
        } else {
            let address = self.address::<u64>(Self::IROUTER, size(u64::from(spi(intid)) << 3));
            // SAFETY: `register`'s caller promised a mapped distributor; the register is one SPI's own.
            unsafe { address.write_volatile(affinity & AFFINITY) };
        }
        barrier!("dsb sy");
    }

    /// The address of what is `offset` behind `first`.
    fn address<T>(&self, first: usize, offset: usize) -> *mut T {
        let address = self.base.wrapping_add(first).wrapping_add(offset);
        core::ptr::with_exposed_provenance_mut(address)
    }

    fn set_byte(&self, register: usize, intid: u32, value: u8) {
        let address = self.address::<u8>(register, size(u64::from(spi(intid))));
        // SAFETY: `register`'s caller promised a mapped distributor; priorities and targets are byte-accessible, and a
        // byte is one SPI's own.
        unsafe { address.write_volatile(value) };
    }

    fn set_bit(&self, register: usize, intid: u32) {
        let intid = spi(intid);
        let address = self.address::<u32>(register, size(u64::from(intid / 32) << 2));
        // SAFETY: `register`'s caller promised a mapped distributor; these write-one registers have no
        // effect but on the one interrupt, which is an SPI and a guest's.
        unsafe { address.write_volatile(1 << (intid % 32)) };
        barrier!("dsb sy");
    }
}

/// An INTID that is within the distributor's registers, whatever is given.
fn spi(intid: u32) -> u32 {
    intid & 1023
}
