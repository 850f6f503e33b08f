//! What can be wrong with a guest's images, in the operator's words.

use super::Packing;
use axerrno::AxErrorKind;
use core::fmt;

/// One of the things that are put into a guest's RAM before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The kernel, or whatever runs first.
    Kernel,
    /// The initial ramdisk.
    Ramdisk,
    /// The device tree.
    DeviceTree,
}

impl Part {
    /// The configuration key that sets the part's address.
    pub const fn address_key(self) -> &'static str {
        match self {
            Self::Kernel => "kernel_load_addr",
            Self::Ramdisk => "ramdisk_load_addr",
            Self::DeviceTree => "dtb_load_addr",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Ramdisk => "ramdisk",
            Self::DeviceTree => "device tree",
        })
    }
}

/// Why an image cannot be loaded; each prints as one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// A file has no bytes.
    Empty(Part),
    /// The kernel is compressed in a way that is not known here: the name of it.
    Compressed(&'static str),
    /// The kernel is compressed, and the compressed data is broken.
    BadPacking {
        /// How it is compressed.
        packing: Packing,
        /// What is wrong.
        what: &'static str,
    },
    /// The kernel is compressed and does not say how big it is, which is more than there is room for.
    UnpacksTooBig {
        /// How it is compressed.
        packing: Packing,
        /// How many bytes there is room for.
        limit: usize,
    },
    /// Unpacking the kernel would take a bigger window than is given.
    WindowTooBig {
        /// What it needs in bytes.
        window: u64,
        /// What is given.
        limit: usize,
    },
    /// The host has too little memory of its own to unpack the kernel.
    NoHeap {
        /// How many bytes it takes.
        needed: usize,
    },
    /// The kernel is of a known kind that cannot run here.
    Foreign(&'static str),
    /// The kernel is built for big-endian data.
    BigEndian,
    /// The kernel file is shorter than its own header says, in bytes.
    Truncated {
        /// The length of the file.
        have: usize,
        /// The least length the header allows.
        promised: u64,
    },
    /// The header of a Linux Image contradicts the boot protocol.
    BadLinux(&'static str),
    /// The headers of an ELF file contradict each other.
    BadElf(&'static str),
    /// An ELF file has more segments than are accepted.
    TooManySegments {
        /// How many program headers it has.
        have: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// An ELF file that cannot be moved was given another address.
    FixedAddress {
        /// The address it is linked to.
        linked: usize,
        /// The address it was given.
        given: usize,
    },
    /// A given address is not aligned as the part needs it.
    Misaligned {
        /// What was to be placed.
        part: Part,
        /// The address it was given.
        given: usize,
        /// The nearest lower address that would do.
        better: usize,
    },
    /// The guest has no RAM, or a RAM region that leaves the address space.
    BadRam,
    /// A part does not lie in RAM.
    OutsideRam {
        /// What was to be placed.
        part: Part,
        /// Its first address.
        start: usize,
        /// Its size in bytes.
        size: usize,
    },
    /// A part does not fit into what is free.
    NoRoom {
        /// What was to be placed.
        part: Part,
        /// Its size in bytes.
        size: usize,
        /// The bytes the RAM region lacks.
        missing: usize,
    },
    /// Two parts want the same bytes.
    Overlap {
        /// What was to be placed.
        part: Part,
        /// Its first address.
        start: usize,
        /// The address behind its last byte.
        end: usize,
        /// What is there.
        other: Part,
        /// Where that ends.
        other_end: usize,
    },
    /// The device tree is bigger than the boot protocol allows, in bytes.
    DeviceTreeTooBig(usize),
    /// The ramdisk is too far from the kernel for Linux.
    RamdiskTooFar,
    /// The entry point is not an address inside the kernel that code can start at.
    BadEntry(usize),
}

/// A size for people: whole MiB, rounded up, from 1 MiB on.
struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: usize = 1 << 20;
        if self.0 < MIB {
            write!(f, "{} bytes", self.0)
        } else {
            write!(f, "{} MiB", self.0.div_ceil(MIB))
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty(part) => write!(f, "the {part} file is empty"),
            Self::Compressed(how) => write!(
                f,
                "the kernel is compressed ({how}), and only gzip or zstd can be unpacked here; give it as one of them or unpacked"
            ),
            Self::BadPacking { packing, what } => {
                write!(f, "the {packing} data of the kernel is broken: {what}; compress it anew")
            }
            Self::UnpacksTooBig { packing, limit } => write!(
                f,
                "the kernel ({packing}) unpacks to more than the VM's {} of RAM; give it more, or another kernel",
                Size(limit)
            ),
            Self::WindowTooBig { window, limit } => write!(
                f,
                "the kernel (zstd) needs a window of {}, and at most {} are given; compress it with `zstd -19` or less",
                Size(usize::try_from(window).unwrap_or(usize::MAX)),
                Size(limit)
            ),
            Self::NoHeap { needed } => write!(
                f,
                "the host has no {} of its own left to unpack the kernel; give it unpacked",
                Size(needed)
            ),
            Self::Foreign(what) => write!(
                f,
                "the kernel is {what}; an arm64 Linux Image, an aarch64 ELF file or a flat binary is needed"
            ),
            Self::BigEndian => f.write_str("the kernel is big-endian; build it for little-endian"),
            Self::Truncated { have, promised } => write!(
                f,
                "the kernel image is truncated: {have} bytes, its header promises {promised}"
            ),
            Self::BadLinux(what) => write!(f, "the header of the Linux kernel is broken: {what}"),
            Self::BadElf(what) => write!(f, "the ELF kernel is broken: {what}"),
            Self::TooManySegments { have, limit } => {
                write!(f, "the ELF kernel has {have} program headers; at most {limit} are accepted")
            }
            Self::FixedAddress { linked, given } => write!(
                f,
                "the ELF kernel is linked to {linked:#x} and cannot be moved to {given:#x}; remove kernel_load_addr"
            ),
            Self::Misaligned { part, given, better } => write!(
                f,
                "the {part} cannot be loaded at {given:#x}; write {} = {better:#x}",
                part.address_key()
            ),
            Self::BadRam => f.write_str("the VM has no usable RAM; check memory_regions"),
            Self::OutsideRam { part, start, size } => write!(
                f,
                "the {part} ({}) would lie at {start:#x}, which is not all RAM; change {} or memory_regions",
                Size(size),
                part.address_key()
            ),
            Self::NoRoom { part, size, missing } => write!(
                f,
                "the {part} ({}) does not fit; give the VM {} more memory",
                Size(size),
                Size(missing)
            ),
            Self::Overlap { part, start, end, other, other_end } => write!(
                f,
                "the {part} at {start:#x}..{end:#x} overlaps the {other}, which ends at {other_end:#x}; change {}",
                part.address_key()
            ),
            Self::DeviceTreeTooBig(size) => {
                write!(f, "the device tree has {size} bytes; at most 2 MiB are allowed")
            }
            Self::RamdiskTooFar => f.write_str(
                "the ramdisk is more than 32 GiB away from the kernel; change ramdisk_load_addr",
            ),
            Self::BadEntry(entry) => write!(
                f,
                "entry_point {entry:#x} is not an instruction address inside the kernel; remove it"
            ),
        }
    }
}

impl core::error::Error for ImageError {}

/// Through this, `AxError` as well.
impl From<ImageError> for AxErrorKind {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Empty(_)
            | ImageError::Compressed(_)
            | ImageError::BadPacking { .. }
            | ImageError::WindowTooBig { .. }
            | ImageError::Foreign(_)
            | ImageError::BigEndian
            | ImageError::Truncated { .. }
            | ImageError::BadLinux(_)
            | ImageError::BadElf(_)
            | ImageError::TooManySegments { .. } => Self::InvalidExecutable,
            ImageError::NoRoom { .. }
            | ImageError::UnpacksTooBig { .. }
            | ImageError::NoHeap { .. } => Self::NoMemory,
            ImageError::FixedAddress { .. }
            | ImageError::Misaligned { .. }
            | ImageError::BadRam
            | ImageError::OutsideRam { .. }
            | ImageError::Overlap { .. }
            | ImageError::DeviceTreeTooBig(_)
            | ImageError::RamdiskTooFar
            | ImageError::BadEntry(_) => Self::InvalidInput,
        }
    }
}
