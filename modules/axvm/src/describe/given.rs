//! The host's devices that a VM would be given, as far as the host is known.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use axaddrspace::{AddrSpaceError, GuestPhysAddr};
use axdevice::Bus;
use axvmconfig::{AxVMCrateConfig, GicVersion, PassThroughDeviceConfig};

use crate::passthrough::overlap;
use crate::{AxVMError, HostDevice, machine};

/// What is known of the host that a VM would run on; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct KnownHost {
    /// Its interrupt controller.
    pub gic: Option<GicVersion>,
    /// The devices that the VM asks for, in the order of its configuration; none where the host is not known.
    pub devices: Vec<HostDevice>,
}

/// A device of the host that the VM would be given. What is missing only the host's device tree says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenDevice {
    /// What the configuration calls it, or its path in the host's device tree.
    pub name: String,
    /// Where the guest sees it.
    pub gpa: Option<GuestPhysAddr>,
    /// The bytes of its registers.
    pub size: Option<usize>,
    /// Its interrupts as INTIDs.
    pub intids: Vec<u32>,
    /// Whether its node in the guest's device tree is known.
    pub is_resolved: bool,
}

impl GivenDevice {
    fn found(device: &HostDevice) -> Self {
        Self {
            name: device.name.clone(),
            gpa: Some(GuestPhysAddr::from_usize(device.base_gpa)),
            size: Some(device.size),
            intids: device.interrupts.iter().map(|interrupt| interrupt.intid).collect(),
            is_resolved: true,
        }
    }

    fn wanted(config: &PassThroughDeviceConfig) -> Self {
        let known = |value: usize| (value != 0 || config.path.is_none()).then_some(value);
        Self {
            name: config.path.clone().unwrap_or_else(|| config.name.clone()),
            gpa: known(config.base_gpa).map(GuestPhysAddr::from_usize),
            size: known(config.length),
            intids: u32::try_from(config.irq_id).into_iter().filter(|irq| *irq != 0).collect(),
            is_resolved: false,
        }
    }

    /// What it is, in a line.
    pub fn text(&self) -> String {
        let irqs = self.intids.iter().map(|intid| format!(", interrupt {intid}"));
        format!("host device {}{}", self.name, irqs.collect::<String>())
    }

    /// Where it is, as far as that is known.
    pub fn place(&self) -> String {
        match self.gpa {
            Some(gpa) => format!("{:#010x} and up", gpa.as_usize()),
            None => String::from("where the host has it"),
        }
    }
}

/// The devices of `config`, checked against its memory and `bus` where the host is known.
pub(super) fn devices(
    config: &AxVMCrateConfig,
    host: &KnownHost,
    bus: &Bus,
) -> Result<Vec<GivenDevice>, AxVMError> {
    if host.devices.is_empty() {
        return Ok(config.devices.passthrough_devices.iter().map(GivenDevice::wanted).collect());
    }
    for device in &host.devices {
        let pages = device.guest_pages();
        machine::check_apart(pages.start, pages.len(), bus)?;
        for region in &config.memory_regions {
            if overlap(&pages, &(region.gpa..region.gpa.saturating_add(region.size))) {
                return Err(AxVMError::Memory(AddrSpaceError::Overlap {
                    gpa: GuestPhysAddr::from_usize(pages.start),
                    size: pages.len(),
                    with: GuestPhysAddr::from_usize(region.gpa),
                    with_size: region.size,
                }));
            }
        }
        for interrupt in &device.interrupts {
            machine::link_of(config, device, interrupt.intid)?;
        }
    }
    Ok(host.devices.iter().map(GivenDevice::found).collect())
}
