//! Why an address-space call was refused.

use core::fmt;

use axerrno::AxErrorKind;

use crate::{GuestPhysAddr, HostPhysAddr, MappingFlags};

/// A refused mapping or a refused access to guest memory; nothing was changed unless a variant says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AddrSpaceError {
    /// A guest address, a host address or a size is not a multiple of 4 KiB.
    Misaligned {
        /// The first of the values that is not.
        value: usize,
    },
    /// The range holds no byte.
    Empty {
        /// Where it would have begun.
        gpa: GuestPhysAddr,
    },
    /// The guest range leaves the address space.
    OutOfRange {
        /// Where the range begins.
        gpa: GuestPhysAddr,
        /// Its length in bytes.
        size: usize,
        /// Where the address space (or what stage 2 can translate) begins.
        base: GuestPhysAddr,
        /// Its first address beyond.
        end: GuestPhysAddr,
    },
    /// The host range does not fit the 48 bits an output address has.
    HostOutOfRange {
        /// Where the range begins.
        hpa: HostPhysAddr,
        /// Its length in bytes.
        size: usize,
    },
    /// Part of the guest range is mapped already.
    Overlap {
        /// Where the wanted range begins.
        gpa: GuestPhysAddr,
        /// Its length in bytes.
        size: usize,
        /// Where the region in the way begins.
        with: GuestPhysAddr,
        /// Its length in bytes.
        with_size: usize,
    },
    /// The flags allow no access at all, or make allocated memory a device.
    BadFlags {
        /// Where the region would have begun.
        gpa: GuestPhysAddr,
        /// The flags given.
        flags: MappingFlags,
    },
    /// No region covers this address.
    NotMapped {
        /// The first address without a region.
        gpa: GuestPhysAddr,
    },
    /// The address belongs to a passthrough device, which is not memory.
    NotRam {
        /// The first such address.
        gpa: GuestPhysAddr,
    },
    /// The region may not be written by the guest, nor by a device on its behalf.
    ReadOnly {
        /// The first such address.
        gpa: GuestPhysAddr,
    },
    /// A value is not at a multiple of its own size.
    MisalignedValue {
        /// Where it was looked for.
        gpa: GuestPhysAddr,
        /// Its size in bytes.
        size: usize,
    },
    /// The host has no frame left; the mapping call gave back what it had taken.
    NoMemory {
        /// The guest address that could not be backed.
        gpa: GuestPhysAddr,
    },
}

impl fmt::Display for AddrSpaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Misaligned { value } => write!(f, "{value:#x} is not a multiple of 4 KiB"),
            Self::Empty { gpa } => write!(f, "the range at {gpa:?} is empty"),
            Self::OutOfRange { gpa, size, base, end } => {
                write!(
                    f,
                    "{gpa:?} plus {size:#x} bytes leaves the address space {base:?} to {end:?}"
                )
            }
            Self::HostOutOfRange { hpa, size } => {
                write!(
                    f,
                    "{hpa:?} plus {size:#x} bytes is beyond the 48 bits of a physical address"
                )
            }
            Self::Overlap { gpa, size, with, with_size } => write!(
                f,
                "{gpa:?} plus {size:#x} bytes overlaps the region at {with:?} of {with_size:#x} bytes"
            ),
            Self::BadFlags { gpa, flags } => {
                write!(f, "the flags {flags:?} make no sense for the region at {gpa:?}")
            }
            Self::NotMapped { gpa } => write!(f, "nothing is mapped at {gpa:?}"),
            Self::NotRam { gpa } => write!(f, "{gpa:?} is a passthrough device, not memory"),
            Self::ReadOnly { gpa } => write!(f, "the memory at {gpa:?} is read-only"),
            Self::MisalignedValue { gpa, size } => {
                write!(f, "{gpa:?} is not aligned for a value of {size} bytes")
            }
            Self::NoMemory { gpa } => write!(f, "the host has no free memory left to back {gpa:?}"),
        }
    }
}

impl core::error::Error for AddrSpaceError {}

// `AxError` converts from whatever converts to its kind.
impl From<AddrSpaceError> for AxErrorKind {
    fn from(error: AddrSpaceError) -> Self {
        match error {
            AddrSpaceError::Misaligned { .. }
            | AddrSpaceError::Empty { .. }
            | AddrSpaceError::OutOfRange { .. }
            | AddrSpaceError::HostOutOfRange { .. }
            | AddrSpaceError::BadFlags { .. }
            | AddrSpaceError::NotMapped { .. }
            | AddrSpaceError::NotRam { .. }
            | AddrSpaceError::MisalignedValue { .. } => Self::InvalidInput,
            AddrSpaceError::Overlap { .. } => Self::AlreadyExists,
            AddrSpaceError::ReadOnly { .. } => Self::PermissionDenied,
            AddrSpaceError::NoMemory { .. } => Self::NoMemory,
        }
    }
}
