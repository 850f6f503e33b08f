#![no_std]
//! What a guest-physical address means: address types, stage-2 tables, guest memory, the frame pool.

mod access;
mod addr;

pub use access::AccessWidth;
pub use addr::{GuestPhysAddr, HostPhysAddr, HostVirtAddr};
pub use page_table_entry::MappingFlags;
