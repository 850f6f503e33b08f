//! The two kinds of physical address, which must never be mixed.

pub use memory_addr::{PhysAddr as HostPhysAddr, VirtAddr as HostVirtAddr};

memory_addr::def_usize_addr! {
    /// What a guest calls a physical address; the input of stage-2 translation (the manual's IPA).
    pub type GuestPhysAddr;
}

memory_addr::def_usize_addr_formatter! {
    GuestPhysAddr = "GPA:{}";
}
