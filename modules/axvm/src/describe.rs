//! The board a configuration describes, as an operator sees it before there is a VM.

mod given;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::ops::Range;

use arm_vcpu::gic::v2::CPU_INTERFACE_BYTES;
use arm_vgic::{DISTRIBUTOR_WINDOW, GICV2_DISTRIBUTOR_WINDOW};
use axaddrspace::{AddrSpaceError, GuestPhysAddr};
use axdevice::{Bus, BusBuilder};
use axvmconfig::{
    AxVMCrateConfig, ChannelConfig, EmulatedDeviceConfig, EmulatedDeviceType, GicVersion,
    VmMemConfig,
};

pub use self::given::{GivenDevice, KnownHost};

use crate::AxVMError;
use crate::boot::Images;
use crate::fdt::Gic;
use crate::image::{Image, Packing};
use crate::machine::{self, Dummy, SPACE_SIZE};
use crate::plan::{Plan, device_tree, gic, plan};

/// Where a device answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceWindow {
    /// What it is called.
    pub name: String,
    /// The first address.
    pub gpa: GuestPhysAddr,
    /// How many bytes.
    pub size: usize,
    /// Its interrupt as an INTID.
    pub intid: Option<u32>,
}

/// What a VM's address space holds when it boots. Shown with `{}` it is a table, one line per range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardMap {
    /// The VM's name.
    pub name: String,
    /// How many vCPUs it has.
    pub vcpus: usize,
    /// Its memory, in the order of the configuration.
    pub regions: Vec<VmMemConfig>,
    /// Its devices, in the order of their addresses.
    pub windows: Vec<DeviceWindow>,
    /// The devices of the host it is given, in the order of the configuration.
    pub given: Vec<GivenDevice>,
    /// The memory it shares with other VMs.
    pub channels: Vec<ChannelConfig>,
    /// What kind of kernel it boots.
    pub image: Image,
    /// How the kernel's file is compressed.
    pub packing: Packing,
    /// From the kernel's first byte to the end of its memory.
    pub kernel: Range<GuestPhysAddr>,
    /// The ramdisk.
    pub ramdisk: Option<Range<GuestPhysAddr>>,
    /// The device tree.
    pub device_tree: Option<Range<GuestPhysAddr>>,
    /// Where the boot vCPU starts.
    pub entry: GuestPhysAddr,
    /// The bytes of the device tree, generated or given.
    pub tree: Vec<u8>,
}

/// What a VM made of `config` and `images` would be on `host`. No guest memory is taken. Where neither says which, the
/// interrupt controller is taken to be a GICv3; devices of a host that is not known are in no device tree.
///
/// # Errors
/// What creating and booting the VM gives, but for what depends on the host: whether memory is free,
/// and, if the kernel is compressed, whether it unpacks to its end.
pub fn describe(
    config: &AxVMCrateConfig,
    images: &Images,
    host: &KnownHost,
) -> Result<BoardMap, AxVMError> {
    let Plan { source, image, layout } = plan(config, images)?;
    machine::check_supported(config)?;
    config.memory_regions.iter().try_for_each(check_reach)?;
    let version = match host.gic {
        Some(version) => machine::gic_version(config, version)?,
        None => config.devices.gic.unwrap_or(GicVersion::V3),
    };
    let gic = gic(config, version);
    let windows = windows(config, gic)?;
    let given = given::devices(config, host, &bus_of(config, &windows)?)?;
    let tree = match images.device_tree {
        Some(given) => given.to_vec(),
        None => device_tree(config, gic, &layout, &host.devices)?,
    };
    let filled = |room: &Range<GuestPhysAddr>| {
        let end = room.start.as_usize().saturating_add(tree.len());
        room.start..GuestPhysAddr::from_usize(end)
    };
    Ok(BoardMap {
        name: config.base.name.clone(),
        vcpus: config.base.cpu_num,
        regions: config.memory_regions.clone(),
        windows,
        given,
        channels: config.devices.channels.clone(),
        image,
        packing: source.packing(),
        kernel: layout.kernel,
        ramdisk: layout.ramdisk,
        device_tree: layout.device_tree.as_ref().map(filled),
        entry: layout.entry,
        tree,
    })
}

/// Refuses a region beyond what stage 2 translates.
fn check_reach(region: &VmMemConfig) -> Result<(), AxVMError> {
    if region.gpa.checked_add(region.size).is_some_and(|end| end <= SPACE_SIZE) {
        return Ok(());
    }
    Err(AxVMError::Memory(AddrSpaceError::OutOfRange {
        gpa: GuestPhysAddr::from_usize(region.gpa),
        size: region.size,
        base: GuestPhysAddr::from_usize(0),
        end: GuestPhysAddr::from_usize(SPACE_SIZE),
    }))
}

/// The windows of the interrupt controller and of the emulated devices.
fn windows(config: &AxVMCrateConfig, gic: Gic) -> Result<Vec<DeviceWindow>, AxVMError> {
    let part = |name, gpa, size| DeviceWindow { name: String::from(name), gpa, size, intid: None };
    let mut windows = match gic {
        Gic::V3 { gicd, gicr, gicr_size } => {
            Vec::from([part("gicd", gicd, DISTRIBUTOR_WINDOW), part("gicr", gicr, gicr_size)])
        }
        Gic::V2 { gicd, gicc } => Vec::from([
            part("gicd", gicd, GICV2_DISTRIBUTOR_WINDOW),
            part("gicc", gicc, CPU_INTERFACE_BYTES),
        ]),
        Gic::Absent => Vec::new(),
    };
    for device in &config.devices.emu_devices {
        windows.extend(window(device)?);
    }
    windows.sort_by_key(|window| window.gpa);
    Ok(windows)
}

/// A bus with `windows`, which are apart from each other and from memory.
fn bus_of(config: &AxVMCrateConfig, windows: &[DeviceWindow]) -> Result<Bus, AxVMError> {
    let mut bus = BusBuilder::new();
    for window in windows {
        bus.add(window.name.as_str(), window.gpa, window.size, Arc::new(Dummy));
    }
    let bus = bus.build()?;
    let regions = config.memory_regions.iter();
    regions
        .map(|region| (region.gpa, region.size))
        .try_for_each(|(base, size)| machine::check_apart(base, size, &bus))?;
    Ok(bus)
}

/// Where `device` answers, unless that is the interrupt controller's affair.
fn window(device: &EmulatedDeviceConfig) -> Result<Option<DeviceWindow>, AxVMError> {
    let intid = match device.emu_type {
        EmulatedDeviceType::Console
        | EmulatedDeviceType::PowerButton
        | EmulatedDeviceType::Watchdog => {
            Some(machine::interrupt_of(device)?).filter(|intid| *intid != 0)
        }
        EmulatedDeviceType::Dummy => None,
        EmulatedDeviceType::InterruptController
        | EmulatedDeviceType::GicDistributor
        | EmulatedDeviceType::GicRedistributor => return Ok(None),
        EmulatedDeviceType::IvcChannel
        | EmulatedDeviceType::GicIts
        | EmulatedDeviceType::Plic
        | EmulatedDeviceType::VirtioBlk
        | EmulatedDeviceType::VirtioNet
        | EmulatedDeviceType::VirtioConsole => return Err(machine::unsupported_model(device)),
    };
    let (name, size) = (device.name.clone(), device.length);
    Ok(Some(DeviceWindow { name, gpa: GuestPhysAddr::from_usize(device.base_gpa), size, intid }))
}

/// One line of the table.
struct Line {
    start: usize,
    size: usize,
    /// Whether it lies within the memory of a line above.
    within: bool,
    text: String,
}

impl Line {
    fn part(range: &Range<GuestPhysAddr>, text: String) -> Self {
        let (start, end) = (range.start.as_usize(), range.end.as_usize());
        Self { start, size: end.saturating_sub(start), within: true, text }
    }
}

impl BoardMap {
    /// The lines in the order of their addresses, memory before what lies in it.
    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for region in &self.regions {
            let text = alloc::format!("memory {} ({})", region.flags, region.map_type);
            lines.push(Line { start: region.gpa, size: region.size, within: false, text });
        }
        for window in &self.windows {
            let start = window.gpa.as_usize();
            let mut text = alloc::format!("device {}", window.name);
            if let Some(intid) = window.intid {
                text.push_str(&alloc::format!(", interrupt {intid}"));
            }
            lines.push(Line { start, size: window.size, within: false, text });
        }
        for device in &self.given {
            if let (Some(gpa), Some(size)) = (device.gpa, device.size) {
                let (start, text) = (gpa.as_usize(), device.text());
                lines.push(Line { start, size, within: false, text });
            }
        }
        for channel in &self.channels {
            let ChannelConfig { name, access, irq_id, .. } = channel;
            let text = alloc::format!("channel {name} ({access}), interrupt {irq_id}");
            lines.push(Line { start: channel.gpa, size: channel.size, within: false, text });
        }
        let kernel = match self.packing {
            Packing::Plain => alloc::format!("kernel ({})", self.image),
            packing @ (Packing::Gzip | Packing::Zstd) => {
                alloc::format!("kernel ({}, {packing})", self.image)
            }
        };
        lines.push(Line::part(&self.kernel, kernel));
        let ramdisk = self.ramdisk.iter().map(|range| Line::part(range, "ramdisk".into()));
        lines.extend(ramdisk);
        let tree = self.device_tree.iter().map(|range| Line::part(range, "device tree".into()));
        lines.extend(tree);
        lines.sort_by_key(|line| (line.start, line.within, Reverse(line.size)));
        lines
    }
}

impl fmt::Display for BoardMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.vcpus == 1 { "" } else { "s" };
        let entry = self.entry.as_usize();
        write!(f, "{}: {} vCPU{plural}, starts at {entry:#x}", self.name, self.vcpus)?;
        for Line { start, size, within, text } in self.lines() {
            let last = start.saturating_add(size).saturating_sub(1);
            let indent = if within { "  " } else { "" };
            write!(f, "\n  {start:#010x}-{last:#010x} {:>10}  {indent}{text}", Size(size))?;
        }
        let is_placed = |device: &&GivenDevice| device.gpa.is_some() && device.size.is_some();
        for device in self.given.iter().filter(|device| !is_placed(device)) {
            write!(f, "\n  {:21} {:>10}  {}", device.place(), "", device.text())?;
        }
        Ok(())
    }
}

/// A size in the biggest unit that divides it, up to MiB.
struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shift, name) = if self.0.is_multiple_of(1 << 20) {
            (20, "MiB")
        } else if self.0.is_multiple_of(1 << 10) {
            (10, "KiB")
        } else {
            (0, "B")
        };
        f.pad(&alloc::format!("{} {name}", self.0 >> shift))
    }
}

#[cfg(test)]
mod tests;
