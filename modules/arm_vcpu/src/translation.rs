//! Forgetting cached stage-2 translations.
//!
//! Arm ARM DDI 0487, D8.16 "TLB maintenance". Entering a guest never needs any of this.

use crate::regs::{barrier, mrs, msr};

/// Forgets every translation tagged with `vmid`, on all CPUs. For a VMID that gets a new owner.
pub fn forget_vmid(vmid: u16) {
    let masked = mrs!("DAIF");
    barrier!("msr daifset, #2");
    let loaded = mrs!("VTTBR_EL2");
    barrier!("dsb ish");
    msr!("VTTBR_EL2", u64::from(vmid) << 48);
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
