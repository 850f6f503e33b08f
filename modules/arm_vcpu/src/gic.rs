//! The registers of the GICv3 CPU interface: the physical one's, and the virtual one a vCPU is given.
//!
//! GIC Architecture Specification IHI 0069, chapter 12. Encodings are used where assemblers differ in names.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::regs::{barrier, low_word, mrs, msr, size};

/// Acknowledged nothing: the interrupt went away between the peek and the acknowledgement.
pub const SPURIOUS: u32 = 1020;

/// The highest-priority pending physical interrupt, without acknowledging it (ICC_HPPIR1_EL1).
#[inline]
pub fn pending() -> u32 {
    low_word(mrs!("S3_0_C12_C12_2")) & 0xff_ffff
}

/// Acknowledges the highest-priority pending physical interrupt (ICC_IAR1_EL1); 1020 and above: none.
#[inline]
pub fn acknowledge() -> u32 {
    let intid = low_word(mrs!("S3_0_C12_C12_0")) & 0xff_ffff;
    barrier!("dsb sy");
    intid
}

/// Lets interrupts of the same priority in again; `intid` stays active (ICC_EOIR1_EL1, EOImode 1).
#[inline]
pub fn drop_priority(intid: u32) {
    msr!("S3_0_C12_C12_1", u64::from(intid));
}

/// Makes `intid` inactive (ICC_DIR_EL1).
#[inline]
pub fn deactivate(intid: u32) {
    msr!("S3_0_C12_C11_1", u64::from(intid));
}

/// Sends physical SGI `intid` to the CPU of affinity `mpidr` (ICC_SGI1R_EL1).
pub fn send_sgi(mpidr: u64, intid: u32) {
    let aff0 = mpidr & 0xff;
    let value = ((mpidr >> 32) & 0xff) << 48
        | ((mpidr >> 16) & 0xff) << 32
        | (aff0 >> 4) << 44
        | u64::from(intid & 15) << 24
        | ((mpidr >> 8) & 0xff) << 16
        | 1 << (aff0 & 15);
    barrier!("dsb ishst");
    msr!("S3_0_C12_C11_5", value);
    barrier!("isb");
}

macro_rules! by_index {
    ($get:ident, $set:ident: $($index:literal = $name:literal),+) => {
        /// Reads the register of that index; one that does not exist reads as zero.
        pub fn $get(index: usize) -> u64 {
            match index {
                $($index => mrs!($name),)+
                _ => 0,
            }
        }

        /// Writes the register of that index, if it exists.
        pub fn $set(index: usize, value: u64) {
            match index {
                $($index => msr!($name, value),)+
                _ => {}
            }
        }
    };
}

by_index!(list_register, set_list_register:
    0 = "S3_4_C12_C12_0", 1 = "S3_4_C12_C12_1", 2 = "S3_4_C12_C12_2", 3 = "S3_4_C12_C12_3",
    4 = "S3_4_C12_C12_4", 5 = "S3_4_C12_C12_5", 6 = "S3_4_C12_C12_6", 7 = "S3_4_C12_C12_7",
    8 = "S3_4_C12_C13_0", 9 = "S3_4_C12_C13_1", 10 = "S3_4_C12_C13_2", 11 = "S3_4_C12_C13_3",
    12 = "S3_4_C12_C13_4", 13 = "S3_4_C12_C13_5", 14 = "S3_4_C12_C13_6", 15 = "S3_4_C12_C13_7");

by_index!(active_priorities0, set_active_priorities0:
    0 = "S3_4_C12_C8_0", 1 = "S3_4_C12_C8_1", 2 = "S3_4_C12_C8_2", 3 = "S3_4_C12_C8_3");

by_index!(active_priorities1, set_active_priorities1:
    0 = "S3_4_C12_C9_0", 1 = "S3_4_C12_C9_1", 2 = "S3_4_C12_C9_2", 3 = "S3_4_C12_C9_3");

/// How many list registers this CPU has (ICH_VTR_EL2.ListRegs).
pub fn list_registers() -> usize {
    size(mrs!("S3_4_C12_C11_1") & 31) + 1
}

/// How many active-priority registers of each group exist (ICH_VTR_EL2.PREbits); others are UNDEFINED.
fn active_priority_registers() -> usize {
    match (mrs!("S3_4_C12_C11_1") >> 26) & 7 {
        0..=4 => 1,
        5 => 2,
        _ => 4,
    }
}

/// ICH_HCR_EL2.En.
const HCR_EN: u64 = 1;
/// ICH_HCR_EL2.NPIE: a maintenance interrupt when no list register is pending.
const HCR_NPIE: u64 = 1 << 3;

/// Turns the maintenance interrupt for "no list register is pending" on or off. It is signalled only
/// while a vCPU is bound.
#[inline]
pub fn set_no_pending_maintenance(on: bool) {
    let enable = mrs!("S3_4_C12_C11_0") & HCR_EN;
    msr!("S3_4_C12_C11_0", enable | if on { HCR_NPIE } else { 0 });
}

/// The state of a vCPU's CPU interface while it is not loaded, but for its list registers: what is in
/// those is the virtual interrupt controller's.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuInterface {
    active_priorities: [[u64; 4]; 2],
    vmcr: u64,
}

impl CpuInterface {
    /// The power-on state: nothing active, interrupt groups disabled.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Gives the guest its interrupts; cheap, done each time the vCPU is bound.
    #[inline]
    pub(crate) fn bind(&self) {
        msr!("S3_4_C12_C11_0", mrs!("S3_4_C12_C11_0") | HCR_EN);
    }

    /// Keeps interrupts to the guest, and the maintenance interrupt, from a CPU that runs the host.
    #[inline]
    pub(crate) fn unbind(&self) {
        msr!("S3_4_C12_C11_0", mrs!("S3_4_C12_C11_0") & !HCR_EN);
    }

    pub(crate) fn save(&mut self) {
        let [group0, group1] = &mut self.active_priorities;
        let registers = group0.iter_mut().zip(group1).enumerate();
        for (index, (zero, one)) in registers.take(active_priority_registers()) {
            *zero = active_priorities0(index);
            *one = active_priorities1(index);
        }
        self.vmcr = mrs!("S3_4_C12_C11_7");
    }

    pub(crate) fn load(&self) {
        let [group0, group1] = &self.active_priorities;
        let registers = group0.iter().zip(group1).enumerate();
        for (index, (zero, one)) in registers.take(active_priority_registers()) {
            set_active_priorities0(index, *zero);
            set_active_priorities1(index, *one);
        }
        msr!("S3_4_C12_C11_7", self.vmcr);
        msr!("S3_4_C12_C11_0", 0);
    }
}

const MAX_CPUS: usize = 64;

/// Affinity and SGI-frame address of every physical redistributor, filled once per CPU at start.
static REDISTRIBUTORS: [(AtomicU64, AtomicUsize); MAX_CPUS] =
    [const { (AtomicU64::new(0), AtomicUsize::new(0)) }; MAX_CPUS];

/// The affinity fields of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// The SGI and PPI frame of this CPU's physical redistributor.
pub struct Redistributor {
    sgi_frame: usize,
}

impl Redistributor {
    const ISENABLER0: usize = 0x100;
    const ICENABLER0: usize = 0x180;
    const IPRIORITYR: usize = 0x400;
    const ISACTIVER0: usize = 0x300;
    const ICACTIVER0: usize = 0x380;

    /// Tells where physical CPU `cpu_id`'s SGI frame is mapped. Called on that CPU, before it runs guests.
    ///
    /// # Safety
    /// `sgi_frame` must be the mapped address of the SGI_base frame of the redistributor of the CPU
    /// this runs on, and stay mapped as device memory for ever.
    pub unsafe fn register(cpu_id: usize, sgi_frame: usize) {
        if let Some((affinity, address)) = REDISTRIBUTORS.get(cpu_id) {
            affinity.store(mrs!("MPIDR_EL1") & AFFINITY, Ordering::Relaxed);
            address.store(sgi_frame, Ordering::Release);
        }
    }

    /// The redistributor of the CPU this runs on, once it is registered.
    pub fn this_cpu() -> Option<Self> {
        let me = mrs!("MPIDR_EL1") & AFFINITY;
        REDISTRIBUTORS
            .iter()
            .map(|(affinity, address)| (affinity, address.load(Ordering::Acquire)))
            .find(|(affinity, address)| *address != 0 && affinity.load(Ordering::Relaxed) == me)
            .map(|(_, sgi_frame)| Self { sgi_frame })
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
        let register = Self::IPRIORITYR + (size(u64::from(intid)) & 31);
        let address = core::ptr::with_exposed_provenance_mut::<u8>(self.sgi_frame + register);
        // SAFETY: `register`'s caller promised a mapped SGI frame; priorities are byte-accessible.
        unsafe { address.write_volatile(priority) };
    }

    fn set_bit(&self, register: usize, intid: u32) {
        let address = core::ptr::with_exposed_provenance_mut::<u32>(self.sgi_frame + register);
        // SAFETY: `register`'s caller promised a mapped SGI frame; these write-one registers have no
        // effect but on the one interrupt.
        unsafe { address.write_volatile(1 << (intid & 31)) };
        // Complete before the guest is entered: what it must not see is gone, what is its own is there.
        barrier!("dsb sy");
    }
}
