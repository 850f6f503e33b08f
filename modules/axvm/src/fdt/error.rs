//! What can be wrong with a device tree, in the operator's words.

use alloc::string::String;
use axerrno::AxErrorKind;
use core::fmt;

/// Why a device tree cannot be built or used; each prints as one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FdtError {
    /// The kernel command line contains a NUL character.
    BadCommandLine,
    /// A device has a name, or is compatible with one, that a device tree cannot hold.
    BadName(String),
    /// A device has an interrupt that is no shared peripheral interrupt (32 to 1019).
    BadInterrupt(u32),
    /// The machine has no RAM or no CPU.
    NoMachine,
    /// The tree has more bytes than a guest accepts.
    TooBig {
        /// Its size in bytes.
        size: usize,
        /// The most it may have.
        limit: usize,
    },
    /// A tree that was given is malformed.
    Malformed {
        /// The offset in the file.
        offset: usize,
        /// The node it belongs to, if the reader got that far.
        path: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The writer refused the tree.
    Writer(&'static str),
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadCommandLine => f.write_str("cmdline contains a NUL character; remove it"),
            Self::BadName(name) => {
                write!(
                    f,
                    "`{}` cannot be a device's name; use up to 31 of A-Z a-z 0-9 , . _ + - and start with a letter",
                    name.escape_debug()
                )
            }
            Self::BadInterrupt(intid) => {
                write!(f, "a device cannot have interrupt {intid}; use one from 32 to 1019")
            }
            Self::NoMachine => f.write_str("the VM has no RAM or no CPU"),
            Self::TooBig { size, limit } => {
                write!(f, "the device tree has {size} bytes; at most {limit} are allowed")
            }
            Self::Malformed { offset, path, what } if path.is_empty() => {
                write!(f, "the device tree is broken at byte {offset:#x}: {what}")
            }
            Self::Malformed { offset, path, what } => {
                write!(f, "the device tree is broken at byte {offset:#x}, in {path}: {what}")
            }
            Self::Writer(what) => write!(f, "the device tree cannot be written: {what}"),
        }
    }
}

impl core::error::Error for FdtError {}

/// Through this, `AxError` as well.
impl From<FdtError> for AxErrorKind {
    fn from(error: FdtError) -> Self {
        match error {
            FdtError::Malformed { .. } => Self::InvalidData,
            FdtError::BadCommandLine
            | FdtError::BadName(_)
            | FdtError::BadInterrupt(_)
            | FdtError::NoMachine
            | FdtError::TooBig { .. }
            | FdtError::Writer(_) => Self::InvalidInput,
        }
    }
}

impl From<vm_fdt::Error> for FdtError {
    fn from(error: vm_fdt::Error) -> Self {
        use vm_fdt::Error;
        Self::Writer(match error {
            Error::PropertyBeforeBeginNode => "a property before the root node",
            Error::PropertyAfterEndNode => "a property behind a child node",
            Error::PropertyValueTooLarge => "a property is too large",
            Error::TotalSizeTooLarge => "the whole is too large",
            Error::InvalidString => "a text contains a NUL character",
            Error::OutOfOrderEndNode => "a node is closed before its child",
            Error::UnclosedNode => "a node is not closed",
            Error::InvalidMemoryReservation => "a memory reservation is invalid",
            Error::OverlappingMemoryReservations => "memory reservations overlap",
            Error::InvalidNodeName => "a node's name is invalid",
            Error::InvalidPropertyName => "a property's name is invalid",
            Error::NodeDepthTooLarge => "its nodes are nested too deeply",
            Error::DuplicatePhandle => "a phandle is given twice",
        })
    }
}
