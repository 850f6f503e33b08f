//! What a configuration and its images make of a guest's board, before any memory is taken.

use alloc::string::String;
use alloc::vec::Vec;

use arm_vgic::REDISTRIBUTOR_STRIDE;
use axaddrspace::GuestPhysAddr;
use axvmconfig::{
    AxVMCrateConfig, EmulatedDeviceConfig, EmulatedDeviceType, GicVersion, InterruptMode,
    RegionFlags, VmMemConfig,
};

use crate::boot::Images;
use crate::fdt::{self, Gic, GuestBoard};
use crate::image::{DEVICE_TREE_MAX, Image, Layout, LoadRequest, Overrides, Source, layout};
use crate::mpidr::mpidr_of;
use crate::{AxVMError, HostDevice, machine};

/// A kernel that can be loaded, and where everything goes.
pub(crate) struct Plan {
    pub(crate) source: Source<'static>,
    pub(crate) image: Image,
    pub(crate) layout: Layout,
}

/// Where `images` go in the memory of `config`.
///
/// # Errors
/// An image that is broken or does not fit.
pub(crate) fn plan(config: &AxVMCrateConfig, images: &Images) -> Result<Plan, AxVMError> {
    if let Some(given) = images.device_tree {
        fdt::check_given(given, DEVICE_TREE_MAX)?;
    }
    let ram = ram(config);
    let room = ram.iter().fold(0_usize, |sum, (_, size)| sum.saturating_add(*size));
    let source = Source::open(images.kernel, room)?;
    let image = source.image()?;
    let at = |address: Option<usize>| address.map(GuestPhysAddr::from_usize);
    let layout = layout(&LoadRequest {
        ram: &ram,
        rom: &rom(config),
        kernel: &image,
        ramdisk_size: images.ramdisk.map(<[u8]>::len),
        device_tree_size: Some(images.device_tree.map_or(DEVICE_TREE_MAX, <[u8]>::len)),
        overrides: Overrides {
            kernel: at(config.kernel.kernel_load_addr),
            entry: at(config.kernel.entry_point),
            ramdisk: at(config.kernel.ramdisk_load_addr),
            device_tree: at(config.kernel.dtb_load_addr),
        },
    })?;
    Ok(Plan { source, image, layout })
}

/// The device tree of the board that `config` describes, with the images placed by `layout`.
///
/// # Errors
/// Something a device tree cannot hold.
pub(crate) fn device_tree(
    config: &AxVMCrateConfig,
    gic: Gic,
    layout: &Layout,
    devices: &[HostDevice],
) -> Result<Vec<u8>, AxVMError> {
    let cpus: Vec<u64> = (0..config.base.cpu_num).map(mpidr_of).collect();
    let uarts: Vec<_> = places(config, EmulatedDeviceType::Console).collect();
    let words: Vec<_> = devices.iter().map(Words::of).collect();
    let devices: Vec<_> =
        devices.iter().zip(&words).map(|(device, words)| words.node(device)).collect();
    Ok(fdt::build(&GuestBoard {
        ram: &ram(config),
        cpus: &cpus,
        gic,
        uarts: &uarts,
        virtio_mmio: &[],
        devices: &devices,
        power_button: places(config, EmulatedDeviceType::PowerButton).next(),
        watchdog: places(config, EmulatedDeviceType::Watchdog).next(),
        channels: &config.devices.channels,
        bootargs: &config.kernel.cmdline,
        initrd: layout.ramdisk.clone(),
    })?)
}

/// The lists of one device of the host as the device tree takes them.
struct Words<'a> {
    compatible: Vec<&'a str>,
    clock_names: Vec<&'a str>,
    intids: Vec<u32>,
}

impl<'a> Words<'a> {
    fn of(device: &'a HostDevice) -> Self {
        Self {
            compatible: device.compatible.iter().map(String::as_str).collect(),
            clock_names: device.clock_names.iter().map(String::as_str).collect(),
            intids: device.interrupts.iter().map(|interrupt| interrupt.intid).collect(),
        }
    }

    fn node(&'a self, device: &'a HostDevice) -> fdt::Device<'a> {
        fdt::Device {
            name: &device.node,
            compatible: &self.compatible,
            base: GuestPhysAddr::from_usize(device.base_gpa),
            size: device.size,
            intids: &self.intids,
            clock_names: &self.clock_names,
        }
    }
}

/// The windows of the interrupt controller.
pub(crate) fn gic(config: &AxVMCrateConfig, version: GicVersion) -> Gic {
    use EmulatedDeviceType::{GicDistributor, GicRedistributor};
    if config.devices.interrupt_mode == InterruptMode::None {
        return Gic::Absent;
    }
    let gicd = machine::base_of(config, GicDistributor, machine::GICD_BASE);
    match version {
        GicVersion::V2 => Gic::V2 { gicd, gicc: GuestPhysAddr::from_usize(machine::GICC_BASE) },
        GicVersion::V3 => Gic::V3 {
            gicd,
            gicr: machine::base_of(config, GicRedistributor, machine::GICR_BASE),
            gicr_size: config.base.cpu_num.saturating_mul(REDISTRIBUTOR_STRIDE),
        },
    }
}

/// The devices of one kind: first address, and INTID or 0.
fn places(
    config: &AxVMCrateConfig,
    kind: EmulatedDeviceType,
) -> impl Iterator<Item = (GuestPhysAddr, u32)> {
    let devices = config.devices.emu_devices.iter();
    let devices = devices.filter(move |device| device.emu_type == kind);
    devices.map(|device: &EmulatedDeviceConfig| {
        (GuestPhysAddr::from_usize(device.base_gpa), u32::try_from(device.irq_id).unwrap_or(0))
    })
}

/// The regions a guest may write and execute: what its device tree calls memory.
fn ram(config: &AxVMCrateConfig) -> Vec<(GuestPhysAddr, usize)> {
    regions(config, |flags| flags.contains(RegionFlags::RWX))
}

/// The regions a guest may execute and not write.
fn rom(config: &AxVMCrateConfig) -> Vec<(GuestPhysAddr, usize)> {
    let code = RegionFlags::READ.union(RegionFlags::EXECUTE);
    regions(config, |flags| flags.contains(code) && !flags.contains(RegionFlags::WRITE))
}

/// The regions of memory, as opposed to devices, whose flags are `right`.
fn regions(
    config: &AxVMCrateConfig,
    right: impl Fn(RegionFlags) -> bool,
) -> Vec<(GuestPhysAddr, usize)> {
    let memory =
        |region: &&VmMemConfig| right(region.flags) && !region.flags.contains(RegionFlags::DEVICE);
    let place = |region: &VmMemConfig| (GuestPhysAddr::from_usize(region.gpa), region.size);
    config.memory_regions.iter().filter(memory).map(place).collect()
}
