//! Devices of the host for a guest: what the host's device tree says of them, and which may be given away.
//!
//! What is mapped are whole pages of registers, so everything in them must belong to the one device. A device that
//! can write to memory by itself reaches all of the host's: without an SMMU only devices that are known not to
//! are given away without the operator's word.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use axvmconfig::{AxVMCrateConfig, PassThroughDeviceConfig};

use crate::AxVMError;

const PAGE: usize = 0x1000;

/// Devices that never access memory, by the names their nodes go by: UARTs, clocks, timers, watchdogs, GPIO.
const WITHOUT_DMA: [&str; 8] = [
    "arm,pl011",
    "arm,pl031",
    "arm,pl061",
    "arm,sp804",
    "arm,sp805",
    "ns16550a",
    "snps,dw-apb-uart",
    "snps,dw-apb-gpio",
];

/// An interrupt of a device, the same number for host and guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostInterrupt {
    /// The SPI's INTID.
    pub intid: u32,
    /// Edge-triggered, as opposed to level-sensitive.
    pub edge: bool,
}

/// A node of the host's device tree that has registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNode {
    /// Its path.
    pub path: String,
    /// What drivers look for, the most specific first.
    pub compatible: Vec<String>,
    /// Its registers or memory, as the CPU sees them.
    pub windows: Vec<Range<usize>>,
    /// Its SPIs.
    pub interrupts: Vec<HostInterrupt>,
    /// What it calls its clocks.
    pub clock_names: Vec<String>,
    /// Whether devices hang below it.
    pub is_parent: bool,
    /// What it says itself makes it access memory: the name of that property.
    pub bus_master: Option<&'static str>,
    /// What it is to the host, if the host needs it: "the host's console".
    pub owner: Option<&'static str>,
}

/// A device of the host that a guest may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDevice {
    /// What the configuration calls it.
    pub name: String,
    /// Its node's name before the `@`.
    pub node: String,
    /// Its node's compatible strings.
    pub compatible: Vec<String>,
    /// What its node calls its clocks.
    pub clock_names: Vec<String>,
    /// Where the guest sees it.
    pub base_gpa: usize,
    /// Where the host has it: the same low 12 bits.
    pub base_hpa: usize,
    /// The bytes of its registers.
    pub size: usize,
    /// Its interrupts.
    pub interrupts: Vec<HostInterrupt>,
}

impl HostDevice {
    /// The whole pages of the host that the guest reaches.
    pub fn pages(&self) -> Range<usize> {
        pages(&(self.base_hpa..self.base_hpa.saturating_add(self.size)))
    }

    /// The pages at which the guest reaches them.
    pub(crate) fn guest_pages(&self) -> Range<usize> {
        pages(&(self.base_gpa..self.base_gpa.saturating_add(self.size)))
    }

    /// What of the host's both devices would have: a page, or an interrupt.
    pub fn shares_with(&self, other: &Self) -> Option<String> {
        let (ours, theirs) = (self.pages(), other.pages());
        if overlap(&ours, &theirs) {
            return Some(format!("the page at {:#x}", ours.start.max(theirs.start)));
        }
        let common = self
            .interrupts
            .iter()
            .find(|one| other.interrupts.iter().any(|two| one.intid == two.intid))?;
        Some(format!("interrupt {}", common.intid))
    }
}

/// The host's devices that `config` asks for, found in the host's device tree.
///
/// # Errors
/// A sentence for a device that is not there, is the host's, cannot be told from another, or may write to memory.
pub fn resolve(config: &AxVMCrateConfig, tree: &[HostNode]) -> Result<Vec<HostDevice>, AxVMError> {
    let mut found: Vec<HostDevice> = Vec::new();
    for wanted in &config.devices.passthrough_devices {
        let device = match &wanted.path {
            Some(path) => by_path(wanted, path, tree),
            None => by_address(wanted, tree),
        };
        let device = device.map_err(AxVMError::Unsupported)?;
        for other in &found {
            if let Some(what) = device.shares_with(other) {
                return Err(AxVMError::Unsupported(format!(
                    "passthrough devices {} and {} both have {what}",
                    other.name, device.name
                )));
            }
        }
        found.push(device);
    }
    Ok(found)
}

fn by_path(
    wanted: &PassThroughDeviceConfig,
    path: &str,
    tree: &[HostNode],
) -> Result<HostDevice, String> {
    let node = tree
        .iter()
        .find(|node| node.path == path)
        .ok_or_else(|| format!("the host's device tree has no device {path}"))?;
    check_node(node, wanted.allow_unsafe)?;
    let [window] = node.windows.as_slice() else {
        return Err(format!("{path} has several ranges of registers: give them by address"));
    };
    check_alone(node, &pages(window), tree)?;
    let base_gpa = if wanted.base_gpa == 0 { window.start } else { wanted.base_gpa };
    if base_gpa % PAGE != window.start % PAGE {
        return Err(format!(
            "{path} is at {:#x}: base must have the same low 12 bits",
            window.start
        ));
    }
    Ok(device_of(wanted, node, base_gpa, window.clone(), node.interrupts.clone()))
}

fn by_address(wanted: &PassThroughDeviceConfig, tree: &[HostNode]) -> Result<HostDevice, String> {
    let window = wanted.base_hpa..wanted.base_hpa.saturating_add(wanted.length);
    let taken = pages(&window);
    let meets = |node: &&HostNode| node.windows.iter().any(|other| overlap(&pages(other), &taken));
    if let Some((node, what)) =
        tree.iter().filter(meets).find_map(|node| node.owner.map(|owner| (node, owner)))
    {
        return Err(format!("{:#x} is {what} ({}): no VM can have it", window.start, node.path));
    }
    let Some(node) = tree.iter().find(meets) else {
        return undescribed(wanted, window, tree);
    };
    check_node(node, wanted.allow_unsafe)?;
    check_alone(node, &taken, tree)?;
    if !node.windows.iter().any(|own| own.start <= window.start && window.end <= own.end) {
        return Err(format!("{:#x} and up is more than {} has", window.start, node.path));
    }
    let interrupts = match u32::try_from(wanted.irq_id).unwrap_or(u32::MAX) {
        0 => Vec::new(),
        intid => {
            let own = node.interrupts.iter().find(|own| own.intid == intid);
            let own = own.ok_or_else(|| format!("{} has no interrupt {intid}", node.path))?;
            Vec::from([*own])
        }
    };
    Ok(device_of(wanted, node, wanted.base_gpa, window, interrupts))
}

/// Registers that the host's device tree does not name: only on the operator's word.
fn undescribed(
    wanted: &PassThroughDeviceConfig,
    window: Range<usize>,
    tree: &[HostNode],
) -> Result<HostDevice, String> {
    if !wanted.allow_unsafe {
        return Err(format!(
            "the host's device tree has no device at {:#x}: write unsafe = true if there is one all the same",
            window.start
        ));
    }
    let intid = u32::try_from(wanted.irq_id).unwrap_or(u32::MAX);
    let user = tree.iter().find(|node| node.interrupts.iter().any(|one| one.intid == intid));
    if let Some(node) = user {
        return Err(format!("interrupt {intid} is that of {}", node.path));
    }
    let interrupts =
        if intid == 0 { Vec::new() } else { Vec::from([HostInterrupt { intid, edge: false }]) };
    let nameless = HostNode { path: format!("/{}", wanted.name), ..HostNode::default() };
    Ok(device_of(wanted, &nameless, wanted.base_gpa, window, interrupts))
}

fn device_of(
    wanted: &PassThroughDeviceConfig,
    node: &HostNode,
    base_gpa: usize,
    window: Range<usize>,
    interrupts: Vec<HostInterrupt>,
) -> HostDevice {
    let last = node.path.rsplit('/').next().unwrap_or_default();
    HostDevice {
        name: wanted.name.clone(),
        node: last.split('@').next().unwrap_or_default().to_string(),
        compatible: node.compatible.clone(),
        clock_names: node.clock_names.clone(),
        base_gpa,
        base_hpa: window.start,
        size: window.len(),
        interrupts,
    }
}

/// Whether what `node` says of itself lets it be given away.
fn check_node(node: &HostNode, allow_unsafe: bool) -> Result<(), String> {
    let path = &node.path;
    if let Some(owner) = node.owner {
        return Err(format!("{path} is {owner}: no VM can have it"));
    }
    if node.is_parent {
        return Err(format!("{path} has devices below it: name one of those"));
    }
    if node.windows.is_empty() {
        return Err(format!("{path} has no registers"));
    }
    if allow_unsafe {
        return Ok(());
    }
    if let Some(property) = node.bus_master {
        return Err(format!(
            "{path} accesses memory by itself ({property}), and no SMMU keeps it to the VM's: \
             write unsafe = true if the guest may reach all of the host's"
        ));
    }
    if !node.compatible.iter().any(|name| WITHOUT_DMA.contains(&name.as_str())) {
        return Err(format!(
            "{path} may access memory by itself, and no SMMU keeps it to the VM's: \
             write unsafe = true if it does not, or the guest may reach all of the host's"
        ));
    }
    Ok(())
}

/// Whether nothing but `node` is in `taken`.
fn check_alone(node: &HostNode, taken: &Range<usize>, tree: &[HostNode]) -> Result<(), String> {
    let others = tree.iter().filter(|other| other.path != node.path);
    for other in others {
        if other.windows.iter().any(|window| overlap(&pages(window), taken)) {
            return Err(format!(
                "{} shares a page of registers with {}: a VM cannot have one without the other",
                node.path, other.path
            ));
        }
        let common = |one: &&HostInterrupt| node.interrupts.contains(one);
        if let Some(shared) = other.interrupts.iter().find(common) {
            return Err(format!(
                "{} shares interrupt {} with {}",
                node.path, shared.intid, other.path
            ));
        }
    }
    Ok(())
}

fn pages(range: &Range<usize>) -> Range<usize> {
    let end = range.end.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX);
    range.start & !(PAGE - 1)..end
}

pub(crate) fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}
