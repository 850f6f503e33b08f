//! The board a VM sees, made from its configuration: memory, bus, interrupt controller. Frozen once made.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use arm_vcpu::gic::v2::CPU_INTERFACE_BYTES;
use arm_vgic::{DISTRIBUTOR_WINDOW, GICV2_DISTRIBUTOR_WINDOW, Vgic, VgicConfig, VgicError};
use axaddrspace::{AddrSpace, GuestMemoryHal, GuestPhysAddr, HostPhysAddr, MappingFlags};
use axdevice::{Access, Bus, BusBuilder, Device, Pl011, Pl061, Watchdog};
use axvmconfig::{
    AxVMCrateConfig, ChannelAccess, EmulatedDeviceConfig, EmulatedDeviceType, GicVersion,
    InterruptMode, MapType, VmMemConfig,
};

use crate::channel::Membership;
use crate::clock::GuestClock;
use crate::fdt::Gic;
use crate::plan::gic;
use crate::{AxVMError, AxVMHal, GuestCpu, HostDevice, Ports};

/// Where the distributor is unless the configuration says otherwise, as on QEMU's `virt` board.
pub(crate) const GICD_BASE: usize = 0x0800_0000;
/// Where the CPU interface of a GICv2 is.
pub(crate) const GICC_BASE: usize = 0x0801_0000;
/// Where the redistributors are unless the configuration says otherwise.
pub(crate) const GICR_BASE: usize = 0x080a_0000;
/// What a guest may do with it.
const CPU_INTERFACE_FLAGS: MappingFlags =
    MappingFlags::READ.union(MappingFlags::WRITE).union(MappingFlags::DEVICE);
/// How many shared peripheral interrupts every VM has.
const SPIS: usize = 224;
/// Their INTIDs.
const SPI_INTIDS: core::ops::RangeInclusive<u32> = 32..=255;
/// What stage 2 translates.
pub(crate) const SPACE_SIZE: usize = 1 << arm_vcpu::IPA_BITS;
/// What a configuration may ask for is what there is.
const _: () = assert!(SPACE_SIZE == axvmconfig::GUEST_SPACE_END);

/// The frozen part of a VM.
pub(crate) struct Machine<H: AxVMHal, A: GuestCpu> {
    pub(crate) space: AddrSpace<H::PagingHandler>,
    pub(crate) bus: Bus,
    pub(crate) vgic: Arc<Vgic<A::ListRegisters>>,
    pub(crate) gic: GicVersion,
    pub(crate) models: Models,
    pub(crate) clock: Arc<GuestClock<A>>,
    /// The physical SPIs that are this VM's, under the same numbers.
    pub(crate) linked: Vec<u32>,
    // These are given back after `space`, whose tables point there.
    pub(crate) channels: Vec<Membership>,
    _identical: Vec<TakenAt<H>>,
}

/// The devices that more than the bus knows.
#[derive(Default)]
pub(crate) struct Models {
    pub(crate) uarts: Vec<Arc<Pl011>>,
    /// What the power key is wired to.
    pub(crate) gpio: Option<Arc<Pl061>>,
    pub(crate) watchdog: Option<Arc<Watchdog>>,
}

impl<H: AxVMHal, A: GuestCpu> Machine<H, A> {
    /// Everything `config` names, with memory behind it.
    ///
    /// # Errors
    /// What does not fit, is not there, or is not supported; everything taken is given back.
    pub(crate) fn new(config: &AxVMCrateConfig, ports: &Ports) -> Result<Self, AxVMError> {
        check_supported(config)?;
        let gicv = A::gicv();
        let host = if gicv.is_some() { GicVersion::V2 } else { GicVersion::V3 };
        let version = gic_version(config, host)?;
        let mut space = AddrSpace::new_empty(GuestPhysAddr::from_usize(0), SPACE_SIZE)?;
        let mut identical = Vec::new();
        for region in &config.memory_regions {
            map_region(&mut space, region, &mut identical)?;
        }
        let shape = VgicConfig { vcpus: config.base.cpu_num, spis: SPIS };
        let (lrs, kick) = (A::ListRegisters::default(), ports.vcpus.clone());
        let mut bus = BusBuilder::new();
        let vgic = match version {
            GicVersion::V3 => Vgic::new(shape, lrs, kick),
            GicVersion::V2 => Vgic::gicv2(shape, lrs, kick),
        };
        let vgic = vgic.map_err(unsupported_shape)?;
        match gic(config, version) {
            Gic::V3 { gicd, gicr, gicr_size } => {
                bus.add("gicd", gicd, DISTRIBUTOR_WINDOW, vgic.distributor());
                bus.add("gicr", gicr, gicr_size, vgic.redistributors());
            }
            Gic::V2 { gicd, gicc } => {
                bus.add("gicd", gicd, GICV2_DISTRIBUTOR_WINDOW, vgic.distributor());
                if let Some(gicv) = gicv {
                    // The guest has the hardware's own virtual CPU interface.
                    space.map_linear(gicc, gicv, CPU_INTERFACE_BYTES, CPU_INTERFACE_FLAGS)?;
                }
            }
            // Nobody can switch on what is in it, so that nothing ever leaves it.
            Gic::Absent => {}
        }
        let (mut models, clock) = (Models::default(), Arc::new(GuestClock::new()));
        for device in &config.devices.emu_devices {
            add_device(&mut bus, &mut models, device, &vgic, &clock, ports)?;
        }
        let bus = bus.build()?;
        let linked = add_host_devices(&mut space, &vgic, config, &ports.devices)?;
        for region in space.regions() {
            check_apart(region.base.as_usize(), region.size, &bus)?;
        }
        let channels = join_channels::<H, _>(&mut space, config, ports, &vgic)?;
        let gic = version;
        Ok(Self { space, bus, vgic, gic, models, clock, linked, channels, _identical: identical })
    }
}

/// Maps the host's devices and links their interrupts, which it gives.
fn add_host_devices<H: GuestMemoryHal, L: arm_vgic::ListRegisters + 'static>(
    space: &mut AddrSpace<H>,
    vgic: &Vgic<L>,
    config: &AxVMCrateConfig,
    devices: &[HostDevice],
) -> Result<Vec<u32>, AxVMError> {
    if devices.len() != config.devices.passthrough_devices.len() {
        return Err(AxVMError::Unsupported(String::from(
            "passthrough devices are not supported on this host",
        )));
    }
    let registers = MappingFlags::READ | MappingFlags::WRITE | MappingFlags::DEVICE;
    let mut linked = Vec::new();
    for device in devices {
        let pages = device.guest_pages();
        let gpa = GuestPhysAddr::from_usize(pages.start);
        let hpa = HostPhysAddr::from_usize(device.pages().start);
        space.map_linear(gpa, hpa, pages.len(), registers)?;
        for interrupt in &device.interrupts {
            let intid = link_of(config, device, interrupt.intid)?;
            vgic.link_spi(interrupt.intid, Some(intid));
            linked.push(interrupt.intid);
        }
    }
    Ok(linked)
}

/// The number under which physical SPI `intid` is the guest's, if nothing else has it.
pub(crate) fn link_of(
    config: &AxVMCrateConfig,
    device: &HostDevice,
    intid: u32,
) -> Result<u16, AxVMError> {
    if config.devices.interrupt_mode == InterruptMode::None {
        return Err(AxVMError::Unsupported(format!(
            "device {} has interrupt {intid}, and with interrupt_mode = \"none\" there is nothing to interrupt: \
             give it by address, without irq",
            device.name
        )));
    }
    let mut emulated = config.devices.emu_devices.iter();
    if let Some(other) = emulated.find(|other| u32::try_from(other.irq_id) == Ok(intid)) {
        return Err(AxVMError::Unsupported(format!(
            "devices {} and {} both have interrupt {intid}: give the emulated one another",
            other.name, device.name
        )));
    }
    let mut channels = config.devices.channels.iter();
    if let Some(other) = channels.find(|other| u32::try_from(other.irq_id) == Ok(intid)) {
        return Err(AxVMError::Unsupported(format!(
            "device {} has interrupt {intid}, which channel {} rings: a VM can have one of them only",
            device.name, other.name
        )));
    }
    let known = u16::try_from(intid).ok().filter(|_| SPI_INTIDS.contains(&intid));
    known.ok_or_else(|| {
        AxVMError::Unsupported(format!(
            "device {} has interrupt {intid}, and a VM has none above {}",
            device.name,
            SPI_INTIDS.end()
        ))
    })
}

/// Refuses memory in front of a device: the guest would never reach the device.
pub(crate) fn check_apart(base: usize, size: usize, bus: &Bus) -> Result<(), AxVMError> {
    for window in bus.windows() {
        let start = window.gpa.as_usize();
        let end = start.saturating_add(window.size);
        if base < end && start < base.saturating_add(size) {
            return Err(AxVMError::Unsupported(format!(
                "what is mapped at {base:#x} covers the device {} at {start:#x}: give it less memory, or another base",
                window.name
            )));
        }
    }
    Ok(())
}

pub(crate) fn check_supported(config: &AxVMCrateConfig) -> Result<(), AxVMError> {
    let unsupported = |what: &str| Err(AxVMError::Unsupported(String::from(what)));
    let as_numbered = |ids: &Vec<usize>| ids.iter().enumerate().all(|(vcpu, id)| vcpu == *id);
    if !config.base.phys_cpu_ids.as_ref().is_none_or(as_numbered) {
        return unsupported("phys_cpu_ids must be 0, 1, 2 and so on: others are not supported yet");
    }
    Ok(())
}

fn unsupported_shape(error: VgicError) -> AxVMError {
    AxVMError::Unsupported(format!("{error}"))
}

/// The interrupt controller of a guest of this host: the host's own, whose virtual CPU interface it uses.
pub(crate) fn gic_version(
    config: &AxVMCrateConfig,
    host: GicVersion,
) -> Result<GicVersion, AxVMError> {
    let name = match host {
        GicVersion::V2 => "v2",
        GicVersion::V3 => "v3",
    };
    if config.devices.gic.is_none_or(|wanted| wanted == host) {
        return Ok(host);
    }
    Err(AxVMError::Unsupported(format!(
        "gic must be \"{name}\" on this host, or left out: a guest gets the interrupt controller that the host has"
    )))
}

pub(crate) fn base_of(
    config: &AxVMCrateConfig,
    wanted: EmulatedDeviceType,
    default: usize,
) -> GuestPhysAddr {
    let given = config.devices.emu_devices.iter().find(|device| device.emu_type == wanted);
    GuestPhysAddr::from_usize(given.map_or(default, |device| device.base_gpa))
}

fn add_device<A: GuestCpu, L: arm_vgic::ListRegisters + 'static>(
    bus: &mut BusBuilder,
    models: &mut Models,
    device: &EmulatedDeviceConfig,
    vgic: &Arc<Vgic<L>>,
    clock: &Arc<GuestClock<A>>,
    ports: &Ports,
) -> Result<(), AxVMError> {
    let base = GuestPhysAddr::from_usize(device.base_gpa);
    match device.emu_type {
        EmulatedDeviceType::Console => {
            let intid = interrupt_of(device)?;
            let model = Arc::new(Pl011::new(ports.console.clone(), vgic.spi_line(intid)));
            bus.add(device.name.as_str(), base, device.length, model.clone());
            models.uarts.push(model);
        }
        EmulatedDeviceType::PowerButton => {
            let model = Arc::new(Pl061::new(vgic.spi_line(interrupt_of(device)?)));
            bus.add(device.name.as_str(), base, device.length, model.clone());
            models.gpio = Some(model);
        }
        EmulatedDeviceType::Watchdog => {
            let line = vgic.spi_line(interrupt_of(device)?);
            let model = Arc::new(Watchdog::new(clock.clone(), line));
            bus.add(device.name.as_str(), base, Watchdog::WINDOW, model.clone());
            models.watchdog = Some(model);
        }
        EmulatedDeviceType::Dummy => {
            bus.add(device.name.as_str(), base, device.length, Arc::new(Dummy));
        }
        // Made with the interrupt controller above.
        EmulatedDeviceType::InterruptController
        | EmulatedDeviceType::GicDistributor
        | EmulatedDeviceType::GicRedistributor => {}
        EmulatedDeviceType::IvcChannel
        | EmulatedDeviceType::GicIts
        | EmulatedDeviceType::Plic
        | EmulatedDeviceType::VirtioBlk
        | EmulatedDeviceType::VirtioNet
        | EmulatedDeviceType::VirtioConsole => {
            return Err(unsupported_model(device));
        }
    }
    Ok(())
}

/// The error of a device whose model there is not.
pub(crate) fn unsupported_model(device: &EmulatedDeviceConfig) -> AxVMError {
    AxVMError::Unsupported(format!("device {}: this model is not supported yet", device.name))
}

/// The SPI of `device`, or 0 for none.
pub(crate) fn interrupt_of(device: &EmulatedDeviceConfig) -> Result<u32, AxVMError> {
    match u32::try_from(device.irq_id) {
        Ok(intid) if intid == 0 || SPI_INTIDS.contains(&intid) => Ok(intid),
        Ok(_) | Err(_) => Err(AxVMError::Unsupported(format!(
            "device {}: a VM has no interrupt {}; use one from {} to {}",
            device.name,
            device.irq_id,
            SPI_INTIDS.start(),
            SPI_INTIDS.end()
        ))),
    }
}

/// Reads as zero, ignores writes.
pub(crate) struct Dummy;

impl Device for Dummy {
    fn read(&self, _: Access) -> u64 {
        0
    }

    fn write(&self, _: Access, _: u64) {}
}

fn map_region<H: AxVMHal>(
    space: &mut AddrSpace<H::PagingHandler>,
    region: &VmMemConfig,
    identical: &mut Vec<TakenAt<H>>,
) -> Result<(), AxVMError> {
    let gpa = GuestPhysAddr::from_usize(region.gpa);
    let hpa = HostPhysAddr::from_usize(region.gpa);
    let flags = MappingFlags::from_bits_truncate(region.flags.bits());
    match region.map_type {
        MapType::Alloc => space.map_alloc(gpa, region.size, flags)?,
        MapType::Identical => {
            identical.push(TakenAt::new(hpa, region.size)?);
            space.map_linear(gpa, hpa, region.size, flags)?;
        }
        // Memory that the host's device tree keeps from the host: this hypervisor does not know any yet.
        MapType::Reserved => {
            return Err(AxVMError::Unsupported(format!(
                "the memory region at {:#x} is \"reserved\", which is not supported yet: use \"alloc\" or \"identical\"",
                region.gpa
            )));
        }
    }
    Ok(())
}

/// Joins every channel of `config` and maps its memory, which nobody can execute.
fn join_channels<H: AxVMHal, L: arm_vgic::ListRegisters + 'static>(
    space: &mut AddrSpace<H::PagingHandler>,
    config: &AxVMCrateConfig,
    ports: &Ports,
    vgic: &Arc<Vgic<L>>,
) -> Result<Vec<Membership>, AxVMError> {
    let mut joined = Vec::new();
    for channel in &config.devices.channels {
        let flags = match channel.access {
            ChannelAccess::ReadWrite => MappingFlags::READ.union(MappingFlags::WRITE),
            ChannelAccess::Read => MappingFlags::READ,
        };
        let (doorbell, vgic) = (u32::try_from(channel.irq_id).unwrap_or(0), vgic.clone());
        let ring = alloc::boxed::Box::new(move || vgic.pulse_spi(doorbell));
        let own = ports.channels.join::<H::PagingHandler>(&config.base.name, channel, ring)?;
        let gpa = GuestPhysAddr::from_usize(channel.gpa);
        space.map_linear(gpa, own.base(), channel.size, flags)?;
        joined.push(own);
    }
    Ok(joined)
}

/// Guest memory taken at its host address; dropping it gives it back.
struct TakenAt<H: AxVMHal> {
    base: HostPhysAddr,
    size: usize,
    host: core::marker::PhantomData<H>,
}

impl<H: AxVMHal> TakenAt<H> {
    fn new(base: HostPhysAddr, size: usize) -> Result<Self, AxVMError> {
        if !H::alloc_memory_region_at(base, size) {
            return Err(AxVMError::NotFree { base, size });
        }
        // As `map_alloc` does for what it allocates: no guest sees what was there before.
        H::PagingHandler::zero(base, size);
        Ok(Self { base, size, host: core::marker::PhantomData })
    }
}

impl<H: AxVMHal> Drop for TakenAt<H> {
    fn drop(&mut self) {
        H::PagingHandler::zero(self.base, self.size);
        H::dealloc_memory_region_at(self.base, self.size);
    }
}
