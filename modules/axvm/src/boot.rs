//! From images and a frozen machine to a boot vCPU that stands at its entry.
//!
//! Linux, Documentation/arch/arm64/booting.rst: X0 holds the device tree, the MMU is off.

use axaddrspace::GuestPhysAddr;
use axvmconfig::AxVMCrateConfig;

use crate::machine::Machine;
use crate::plan::{device_tree, gic, plan};
use crate::{AxVMError, AxVMHal, GuestCpu, HostDevice};

/// The files of a VM. They stay where they are, so that it can be booted again.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    /// The kernel: Linux Image, ELF or flat; plain, gzip or zstd.
    pub kernel: &'static [u8],
    /// The initial ramdisk, which is passed on as it is.
    pub ramdisk: Option<&'static [u8]>,
    /// A device tree instead of the generated one.
    pub device_tree: Option<&'static [u8]>,
}

/// Where the boot vCPU starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) entry: GuestPhysAddr,
    pub(crate) device_tree: GuestPhysAddr,
}

/// Checks that `images` fit the memory of `config`, without touching any.
///
/// # Errors
/// As [`load`], but for the memory itself, and for what only shows when the whole kernel is unpacked.
pub(crate) fn check(config: &AxVMCrateConfig, images: &Images) -> Result<(), AxVMError> {
    plan(config, images).map(|_| ())
}

/// Puts `images` and the device tree into the guest's memory. A compressed kernel is unpacked into it,
/// chunk by chunk.
///
/// # Errors
/// An image that is broken or does not fit, a device tree that cannot be made. Part of the guest's
/// memory may have been written then.
pub(crate) fn load<H: AxVMHal, A: GuestCpu>(
    machine: &Machine<H, A>,
    config: &AxVMCrateConfig,
    images: &Images,
    devices: &[HostDevice],
) -> Result<Start, AxVMError> {
    let plan = plan(config, images)?;
    let layout = &plan.layout;
    plan.source.read(|at, bytes| {
        layout
            .places(at, bytes)
            .try_for_each(|(gpa, part)| Ok::<_, AxVMError>(machine.space.write_image(gpa, part)?))
    })?;
    for range in &layout.zero {
        zero(machine, range.start, range.end)?;
    }
    if let (Some(range), Some(bytes)) = (&layout.ramdisk, images.ramdisk) {
        machine.space.write_image(range.start, bytes)?;
    }
    let Some(room) = &layout.device_tree else {
        return Ok(Start { entry: layout.entry, device_tree: GuestPhysAddr::from_usize(0) });
    };
    match images.device_tree {
        Some(given) => machine.space.write_image(room.start, given)?,
        None => machine.space.write_image(
            room.start,
            &device_tree(config, gic(config, machine.gic), layout, devices)?,
        )?,
    }
    Ok(Start { entry: layout.entry, device_tree: room.start })
}

/// Memory the kernel wants zero: it may hold an earlier run's data.
fn zero<H: AxVMHal, A: GuestCpu>(
    machine: &Machine<H, A>,
    start: GuestPhysAddr,
    end: GuestPhysAddr,
) -> Result<(), AxVMError> {
    const PAGE: usize = 4096;
    /// Aligned, and copied to where memory is aligned as well: words are faster than bytes.
    #[repr(align(16))]
    struct Zeros([u8; PAGE]);
    static ZEROS: Zeros = Zeros([0; PAGE]);
    let mut at = start.as_usize();
    while at < end.as_usize() {
        let bytes = end.as_usize().saturating_sub(at).min(PAGE.saturating_sub(at % PAGE));
        let zeros = ZEROS.0.get(..bytes).unwrap_or(&ZEROS.0);
        machine.space.write_image(GuestPhysAddr::from_usize(at), zeros)?;
        at = at.saturating_add(bytes);
    }
    Ok(())
}
