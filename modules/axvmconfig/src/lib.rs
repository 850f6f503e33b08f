//! From the text of a TOML file to a checked description of a VM, a board or a bundle.
//!
//! Every file is walked as a tree in which each value knows its place, so that an error names file, line,
//! column and key, shows the line, and says what may stand there. What comes out is resolved: sizes are
//! bytes, names are enums, and defaults are filled in wherever the file alone decides them.
//!
//! | file | type |
//! |---|---|
//! | `configs/vms/*.toml` | [`AxVMCrateConfig`] |
//! | `configs/boards/*.toml` | [`BoardConfig`] |
//! | the index of a bundle | [`BundleIndex`] |
//!
//! Nothing here reads a file or knows the machine: whether an image exists, a host CPU is there or an
//! address can be had is asked later, by those who know.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod board;
mod bundle;
mod channel;
mod choice;
mod claims;
mod cpus;
mod device;
mod error;
mod fields;
mod json;
mod keys;
mod kind;
mod node;
mod overrides;
mod passthrough;
mod region;
pub mod schema;
mod source;
mod standard;
mod suggest;
mod taken;
mod vm;

#[cfg(test)]
mod tests;

pub use board::{BoardConfig, QemuConfig};
pub use bundle::{BundleIndex, BundleVm};
pub use channel::{ChannelConfig, MAX_CHANNELS, MAX_PEERS};
pub use choice::{
    ChannelAccess, EmulatedDeviceType, GicVersion, ImageLocation, InterruptMode, MapType,
    RestartPolicy, VmType,
};
pub use claims::GUEST_SPACE_END;
pub use device::EmulatedDeviceConfig;
pub use error::ConfigError;
pub use overrides::Overrides;
pub use passthrough::PassThroughDeviceConfig;
pub use region::{RegionFlags, VmMemConfig};
pub use vm::{AxVMCrateConfig, BaseConfig, DevicesConfig, KernelConfig, MAX_VCPUS};
