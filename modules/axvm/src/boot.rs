//! From images and a frozen machine to a boot vCPU that stands at its entry.
//!
//! Linux, Documentation/arch/arm64/booting.rst: X0 holds the device tree, the MMU is off.

use alloc::vec::Vec;

use axaddrspace::GuestPhysAddr;
use axvmconfig::{AxVMCrateConfig, RegionFlags};

use crate::fdt::{self, Gic, GuestBoard};
use crate::image::{DEVICE_TREE_MAX, Layout, LoadRequest, Overrides, layout};
use crate::machine::Machine;
use crate::mpidr::mpidr_of;
use crate::{AxVMError, AxVMHal, GuestCpu};

/// The files of a VM. They stay where they are, so that it can be booted again.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    /// The kernel: Linux Image, ELF or flat.
    pub kernel: &'static [u8],
    /// The initial ramdisk.
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
/// As [`load`], but for the memory itself.
pub(crate) fn check(config: &AxVMCrateConfig, images: &Images) -> Result<(), AxVMError> {
    plan(&ram(config), config, images).map(|_| ())
}

/// Puts `images` and the device tree into the guest's memory.
///
/// # Errors
/// An image that is broken or does not fit, a device tree that cannot be made.
pub(crate) fn load<H: AxVMHal, A: GuestCpu>(
    machine: &Machine<H, A>,
    config: &AxVMCrateConfig,
    images: &Images,
) -> Result<Start, AxVMError> {
    let ram = ram(config);
    let layout = plan(&ram, config, images)?;
    for segment in &layout.segments {
        machine.space.write_image(segment.gpa, segment.bytes)?;
    }
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
        None => {
            let tree = build_tree(machine, config, &layout)?;
            machine.space.write_image(room.start, &tree)?;
        }
    }
    Ok(Start { entry: layout.entry, device_tree: room.start })
}

fn plan<'a>(
    ram: &'a [(GuestPhysAddr, usize)],
    config: &AxVMCrateConfig,
    images: &Images,
) -> Result<Layout<'a>, AxVMError> {
    if let Some(given) = images.device_tree {
        fdt::check_given(given, DEVICE_TREE_MAX)?;
    }
    let at = |address: Option<usize>| address.map(GuestPhysAddr::from_usize);
    Ok(layout(&LoadRequest {
        ram,
        kernel: images.kernel,
        ramdisk_size: images.ramdisk.map(<[u8]>::len),
        device_tree_size: Some(images.device_tree.map_or(DEVICE_TREE_MAX, <[u8]>::len)),
        overrides: Overrides {
            kernel: at(config.kernel.kernel_load_addr),
            entry: at(config.kernel.entry_point),
            ramdisk: at(config.kernel.ramdisk_load_addr),
            device_tree: at(config.kernel.dtb_load_addr),
        },
    })?)
}

/// The regions a guest may write and execute: what its device tree calls memory.
fn ram(config: &AxVMCrateConfig) -> Vec<(GuestPhysAddr, usize)> {
    let regions = config.memory_regions.iter();
    regions
        .filter(|region| region.flags.contains(RegionFlags::RWX))
        .filter(|region| !region.flags.contains(RegionFlags::DEVICE))
        .map(|region| (GuestPhysAddr::from_usize(region.gpa), region.size))
        .collect()
}

/// Memory the kernel wants zero: it may hold an earlier run's data.
fn zero<H: AxVMHal, A: GuestCpu>(
    machine: &Machine<H, A>,
    start: GuestPhysAddr,
    end: GuestPhysAddr,
) -> Result<(), AxVMError> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut at = start.as_usize();
    while at < end.as_usize() {
        let bytes = (end.as_usize() - at).min(ZEROS.len());
        let zeros = ZEROS.get(..bytes).unwrap_or(&ZEROS);
        machine.space.write_image(GuestPhysAddr::from_usize(at), zeros)?;
        at += bytes;
    }
    Ok(())
}

fn build_tree<H: AxVMHal, A: GuestCpu>(
    machine: &Machine<H, A>,
    config: &AxVMCrateConfig,
    layout: &Layout<'_>,
) -> Result<Vec<u8>, AxVMError> {
    let cpus: Vec<u64> = (0..config.base.cpu_num).map(mpidr_of).collect();
    let uarts: Vec<_> = machine.uarts.iter().map(|uart| (uart.base, uart.intid)).collect();
    Ok(fdt::build(&GuestBoard {
        ram: &ram(config),
        cpus: &cpus,
        gic: Gic::V3 { gicd: machine.gicd, gicr: machine.gicr, gicr_size: machine.gicr_size },
        uarts: &uarts,
        virtio_mmio: &[],
        devices: &[],
        bootargs: &config.kernel.cmdline,
        initrd: layout.ramdisk.clone(),
    })?)
}
