//! Forgetting cached stage-2 translations.
//!
//! Arm ARM DDI 0487, D8.16 "TLB maintenance". Entering a guest never needs any of this.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::regs::{barrier, mrs, msr};

/// A root table with nothing in it.
#[repr(align(4096))]
struct EmptyTable([u64; 512]);

static EMPTY: EmptyTable = EmptyTable([0; 512]);

/// VTTBR_EL2 of a CPU that has no VM loaded: VMID 0 and a table that maps nothing.
#[inline]
pub(crate) fn no_vm() -> u64 {
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    let known = KNOWN.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let address = physical_address((&raw const EMPTY.0).addr());
    KNOWN.store(address, Ordering::Relaxed);
    address
}

/// Where the host maps `address` to (AT S1E2R).
#[cold]
#[inline(never)]
fn physical_address(address: usize) -> u64 {
    let par_of_guest = mrs!("PAR_EL1");
    // AT S1E2R
    msr!("S1_4_C7_C8_0", address as u64);
    barrier!("isb");
    let par = mrs!("PAR_EL1");
    msr!("PAR_EL1", par_of_guest);
    par & 0x000f_ffff_ffff_f000
}

/// Forgets every translation tagged with `vmid`, on all CPUs. For a VMID that gets a new owner.
pub fn forget_vmid(vmid: u16) {
    let masked = mrs!("DAIF");
    barrier!("msr daifset, #2");
    let loaded = mrs!("VTTBR_EL2");
    barrier!("dsb ish");
    msr!("VTTBR_EL2", no_vm() | u64::from(vmid) << 48);
    barrier!("isb");
    barrier!("tlbi vmalls12e1is");
    barrier!("dsb ish");
    barrier!("isb");
    msr!("VTTBR_EL2", loaded);
    barrier!("isb");
    msr!("DAIF", masked);
}

/// Forgets what this CPU remembers of the loaded VM's translations: for a vCPU that comes after
/// another of its VM, whose ASIDs may mean something else.
pub fn forget_local_translations() {
    barrier!("tlbi vmalle1");
    barrier!("dsb nsh");
    barrier!("isb");
}

/// Forgets every guest's translations, on all CPUs: the middle step of break-before-make on live tables.
pub fn forget_all_translations() {
    barrier!("dsb ishst");
    barrier!("tlbi alle1is");
    barrier!("dsb ish");
    barrier!("isb");
}
