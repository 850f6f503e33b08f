#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
//! What a guest-physical address means: address types, stage-2 tables, guest memory, the frame pool.
//!
//! | file | holds |
//! |---|---|
//! | `addr.rs`, `access.rs` | the words every crate shares |
//! | `hal.rs` | what the hypervisor supplies: frames, cache and TLB maintenance |
//! | `pool.rs` | [`FramePool`]: which host memory is free |
//! | `pte.rs`, `stage2.rs` | the descriptors and the tables made of them (VMSAv8-64, stage 2) |
//! | `region.rs`, `space.rs` | [`AddrSpace`]: one VM's guest-physical memory map |
//! | `memory.rs` | checked copies to and from that memory |
//! | `raw.rs` | every unsafe operation of the crate |

extern crate alloc;
#[cfg(test)]
extern crate std;

mod access;
mod addr;
mod error;
#[cfg(test)]
mod fake;
mod hal;
mod memory;
mod pool;
mod pte;
mod raw;
mod region;
mod space;
mod stage2;

pub use access::AccessWidth;
pub use addr::{GuestPhysAddr, HostPhysAddr, HostVirtAddr};
pub use error::AddrSpaceError;
pub use hal::GuestMemoryHal;
pub use memory::GuestScalar;
pub use page_table_entry::MappingFlags;
pub use page_table_multiarch::{PageSize, PagingHandler};
pub use pool::{FramePool, FreeRange, PoolError};
pub use region::{Backing, Region};
pub use space::AddrSpace;
pub use stage2::{IPA_BITS, START_LEVEL};
