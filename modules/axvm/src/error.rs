//! What can go wrong with a VM that is not the guest's fault, in the operator's words.

use alloc::string::String;
use core::fmt;

use axaddrspace::{AddrSpaceError, HostPhysAddr};
use axdevice::BusError;
use axerrno::AxError;

use crate::channel::ChannelError;
use crate::fdt::FdtError;
use crate::image::ImageError;
use crate::lifecycle::State;

/// Why an operation on a VM was refused or failed.
#[derive(Clone, Debug, PartialEq)]
pub enum AxVMError {
    /// The CPU is not at the level guests are run from.
    NoHardware,
    /// The VM is in a state that has no such step.
    State {
        /// The state it is in.
        state: State,
        /// What it cannot be, as a participle.
        wanted: &'static str,
    },
    /// The memory map cannot be made.
    Memory(AddrSpaceError),
    /// Memory that must be at a given host address is not free.
    NotFree {
        /// Where it would begin.
        base: HostPhysAddr,
        /// Its length in bytes.
        size: usize,
    },
    /// Two devices claim the same addresses.
    Bus(BusError),
    /// An image cannot be loaded.
    Image(ImageError),
    /// The device tree cannot be made or taken.
    DeviceTree(FdtError),
    /// A channel cannot be joined.
    Channel(ChannelError),
    /// All VMIDs are in use.
    NoVmid,
    /// The configuration asks for something this hypervisor does not have.
    Unsupported(String),
    /// A vCPU cannot be made or set up.
    Vcpu(AxError),
}

impl fmt::Display for AxVMError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHardware => write!(f, "this CPU cannot run guests: it is not at EL2"),
            Self::State { state, wanted } => write!(f, "it is {state}: it cannot be {wanted}"),
            Self::Memory(error) => error.fmt(f),
            Self::NotFree { base, size } => write!(
                f,
                "the host has no {size:#x} free bytes at {:#x}; see `host mem` for what is free",
                base.as_usize()
            ),
            Self::Bus(error) => error.fmt(f),
            Self::Image(error) => error.fmt(f),
            Self::DeviceTree(error) => error.fmt(f),
            Self::Channel(error) => error.fmt(f),
            Self::NoVmid => write!(f, "all VMIDs are in use: delete a VM first"),
            Self::Unsupported(what) => f.write_str(what),
            Self::Vcpu(error) => write!(f, "a vCPU cannot be set up: {error}"),
        }
    }
}

impl core::error::Error for AxVMError {}

impl From<AddrSpaceError> for AxVMError {
    fn from(error: AddrSpaceError) -> Self {
        Self::Memory(error)
    }
}

impl From<BusError> for AxVMError {
    fn from(error: BusError) -> Self {
        Self::Bus(error)
    }
}

impl From<ImageError> for AxVMError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<FdtError> for AxVMError {
    fn from(error: FdtError) -> Self {
        Self::DeviceTree(error)
    }
}

impl From<ChannelError> for AxVMError {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

impl From<AxVMError> for AxError {
    fn from(error: AxVMError) -> Self {
        match error {
            AxVMError::NoHardware | AxVMError::Unsupported(_) => Self::Unsupported,
            AxVMError::State { .. } => Self::BadState,
            AxVMError::Memory(error) => error.into(),
            AxVMError::NotFree { .. } | AxVMError::Channel(ChannelError::NoMemory { .. }) => {
                Self::NoMemory
            }
            AxVMError::Channel(ChannelError::Quota { .. } | ChannelError::Twice { .. }) => {
                Self::ResourceBusy
            }
            AxVMError::Channel(ChannelError::Size { .. } | ChannelError::NotNamed { .. }) => {
                Self::PermissionDenied
            }
            AxVMError::NoVmid => Self::ResourceBusy,
            AxVMError::Bus(_) | AxVMError::Image(_) | AxVMError::DeviceTree(_) => {
                Self::InvalidInput
            }
            AxVMError::Vcpu(error) => error,
        }
    }
}
