//! Where kernel, ramdisk and device tree go in the guest's RAM.
//!
//! Linux, Documentation/arch/arm64/booting.rst, has the rules for the three.

use super::{Image, ImageError, Part, kernel::Kernel, space::Space};
use alloc::vec::Vec;
use axaddrspace::GuestPhysAddr;
use core::ops::Range;

/// The biggest device tree Linux accepts, in bytes; also what is kept free for it at the start of RAM.
pub const DEVICE_TREE_MAX: usize = 2 << 20;
/// What the device tree's address is a multiple of.
const DEVICE_TREE_ALIGN: usize = 8;
/// Linux maps a window of this size, aligned to [`WINDOW_ALIGN`], that must cover kernel and ramdisk.
const WINDOW_SIZE: usize = 32 << 30;
/// See [`WINDOW_SIZE`].
const WINDOW_ALIGN: usize = 1 << 30;

/// Addresses from the configuration, which win over the ones that would be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Where the kernel's first byte goes.
    pub kernel: Option<GuestPhysAddr>,
    /// Where the guest starts.
    pub entry: Option<GuestPhysAddr>,
    /// Where the ramdisk's first byte goes.
    pub ramdisk: Option<GuestPhysAddr>,
    /// Where the device tree's first byte goes.
    pub device_tree: Option<GuestPhysAddr>,
}

/// What is to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadRequest<'r> {
    /// The guest's RAM: first address, size in bytes.
    pub ram: &'r [(GuestPhysAddr, usize)],
    /// Memory it may execute and not write, in the same form: where a kernel goes only when told to.
    pub rom: &'r [(GuestPhysAddr, usize)],
    /// The kernel.
    pub kernel: &'r Image,
    /// The size of the ramdisk in bytes, if there is one.
    pub ramdisk_size: Option<usize>,
    /// The most bytes the device tree may have, if there is one; it is built once the ramdisk's
    /// place is known.
    pub device_tree_size: Option<usize>,
    /// What the configuration says.
    pub overrides: Overrides,
}

/// Bytes of the kernel and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The address of the first byte.
    pub gpa: GuestPhysAddr,
    /// Where they are in the kernel once it is unpacked.
    pub file: Range<usize>,
}

/// Where everything goes: all of it in RAM, but for a kernel in read-only memory; nothing over anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The kernel's bytes.
    pub segments: Vec<Segment>,
    /// The kernel's memory that is not in its file and must be zero.
    pub zero: Vec<Range<GuestPhysAddr>>,
    /// Where the boot vCPU starts.
    pub entry: GuestPhysAddr,
    /// From the kernel's first byte to the end of its memory.
    pub kernel: Range<GuestPhysAddr>,
    /// The ramdisk.
    pub ramdisk: Option<Range<GuestPhysAddr>>,
    /// The room for the device tree, whose address the boot vCPU finds in x0.
    pub device_tree: Option<Range<GuestPhysAddr>>,
}

impl Layout {
    /// Where the parts of `bytes` go, which are those of the kernel from the offset `at` on.
    pub fn places<'b>(
        &self,
        at: usize,
        bytes: &'b [u8],
    ) -> impl Iterator<Item = (GuestPhysAddr, &'b [u8])> {
        let end = at.saturating_add(bytes.len());
        self.segments.iter().filter_map(move |segment| {
            let from = segment.file.start.max(at);
            let part =
                bytes.get(from.checked_sub(at)?..segment.file.end.min(end).checked_sub(at)?)?;
            let offset = from.checked_sub(segment.file.start)?;
            let gpa = segment.gpa.as_usize().checked_add(offset)?;
            (!part.is_empty()).then(|| (gpa.into(), part))
        })
    }
}

/// Decides where the parts of `request` go.
///
/// The kernel goes to the first multiple of 2 MiB (plus its text_offset) behind the first 2 MiB of the
/// lowest RAM region that can hold it, an ELF file with fixed addresses to those; the device tree to the
/// start of that region; the ramdisk behind the kernel.
///
/// # Errors
/// A part that does not fit, is misaligned, outside of RAM or over another; no RAM.
pub fn layout(request: &LoadRequest<'_>) -> Result<Layout, ImageError> {
    check_sizes(request)?;
    let at = request.overrides;
    let mut space = Space::new(request.ram, request.rom)?;
    let kernel = Kernel::place(request.kernel, &mut space, at.kernel)?;
    let entry = kernel.entry(at.entry)?;
    // What has a fixed place goes first; the rest finds its way around it.
    let mut device_tree =
        fixed(&mut space, Part::DeviceTree, request.device_tree_size, at.device_tree)?;
    let mut ramdisk = fixed(&mut space, Part::Ramdisk, request.ramdisk_size, at.ramdisk)?;
    if let (None, Some(size)) = (&device_tree, request.device_tree_size) {
        device_tree = Some(space.take_start(Part::DeviceTree, kernel.range.start, size)?);
    }
    if let (None, Some(size)) = (&ramdisk, request.ramdisk_size) {
        ramdisk = Some(space.take_behind(Part::Ramdisk, &kernel.range, kernel.untold, size)?);
    }
    if let (Image::Linux(_), Some(ramdisk)) = (request.kernel, &ramdisk) {
        check_window(&kernel.range, ramdisk)?;
    }
    Ok(Layout {
        segments: kernel.segments(),
        zero: kernel.zero(),
        entry,
        kernel: guest(kernel.range),
        ramdisk: ramdisk.map(guest),
        device_tree: device_tree.map(guest),
    })
}

/// Refuses sizes that are wrong wherever the part goes.
fn check_sizes(request: &LoadRequest<'_>) -> Result<(), ImageError> {
    if request.ramdisk_size == Some(0) {
        return Err(ImageError::Empty(Part::Ramdisk));
    }
    match request.device_tree_size {
        Some(0) => Err(ImageError::Empty(Part::DeviceTree)),
        Some(size) if size > DEVICE_TREE_MAX => Err(ImageError::DeviceTreeTooBig(size)),
        Some(_) | None => Ok(()),
    }
}

/// Takes the place the configuration gives a part, if there is such a part and it is given one.
fn fixed(
    space: &mut Space,
    part: Part,
    size: Option<usize>,
    at: Option<GuestPhysAddr>,
) -> Result<Option<Range<usize>>, ImageError> {
    let (Some(size), Some(at)) = (size, at) else {
        return Ok(None);
    };
    let given = at.as_usize();
    let better = given & !(DEVICE_TREE_ALIGN - 1);
    if part == Part::DeviceTree && given != better {
        return Err(ImageError::Misaligned { part, given, better });
    }
    space.take(part, given, size).map(Some)
}

/// Refuses a ramdisk that Linux could not map together with the kernel.
fn check_window(kernel: &Range<usize>, ramdisk: &Range<usize>) -> Result<(), ImageError> {
    let start = kernel.start.min(ramdisk.start) & !(WINDOW_ALIGN - 1);
    let end = kernel.end.max(ramdisk.end);
    if end.saturating_sub(start) > WINDOW_SIZE { Err(ImageError::RamdiskTooFar) } else { Ok(()) }
}

/// The same range as guest-physical addresses.
pub(super) fn guest(range: Range<usize>) -> Range<GuestPhysAddr> {
    range.start.into()..range.end.into()
}
