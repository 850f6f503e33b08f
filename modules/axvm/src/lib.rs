#![no_std]
//! A virtual machine: its life cycle, its memory map, its exits, its power calls, its images.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod boot;
mod channel;
mod clock;
mod describe;
mod error;
mod exit;
pub mod fdt;
mod flow;
mod hal;
pub mod image;
pub mod ivc;
mod lifecycle;
mod machine;
pub mod mpidr;
mod passthrough;
mod plan;
mod power_key;
pub mod psci;
mod record;
mod run;
mod stats;
mod sync;
#[cfg(test)]
mod tests;
mod timer;
mod vcpu;
mod vm;
mod vmid;
mod watchdog;

pub use boot::Images;
pub use channel::{ChannelError, Channels, MAX_HOST_BYTES, MAX_HOST_CHANNELS};
pub use describe::{BoardMap, DeviceWindow, GivenDevice, KnownHost, describe};
pub use error::AxVMError;
pub use exit::{KICK_SGI, MAINTENANCE_PPI};
pub use hal::{AxVMHal, VcpuPort};
pub use lifecycle::{State, StopReason};
pub use passthrough::{HostDevice, HostInterrupt, HostNode, resolve as resolve_host_devices};
pub use record::Recorded;
pub use run::RunOptions;
pub use stats::ExitKind;
pub use vcpu::{CpuInterface, GuestCpu};
pub use vm::{AxVM, AxVMRef, Boot, ChannelView, Departure, Ports, has_hardware_support};
pub use vmid::used as vmids_in_use;
