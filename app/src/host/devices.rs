//! The host's devices as its device tree has them, and their interrupts on behalf of guests.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use arm_vcpu::gic::Distributor;
use ax_hal::irq::{
    IrqHandle, IrqRequest, IrqReturn, IrqTrigger, ShareMode, free_irq, request_irq, set_trigger,
};
use ax_runtime::console::is_active;
use ax_runtime::serial::{SerialRuntimeHandle, runtimes};
use axvm::{HostDevice, HostInterrupt, HostNode};
use fdt_parser::{Fdt, Node, Status};

/// Behind the host's interrupts, as all of the guests'.
const PRIORITY: u8 = super::cpu::OWN_PRIORITY;
/// The first INTID of an SPI.
const FIRST_SPI: u32 = 32;
/// The third cell of an interrupt: one of the edges.
const EDGES: u32 = 3;

/// Properties of a device that accesses memory by itself.
const BUS_MASTER: [&str; 5] = ["dma-coherent", "iommus", "dmas", "dma-ranges", "iommu-map"];

/// Serial ports, which the host has a driver for.
const SERIAL: [&str; 3] = ["arm,pl011", "ns16550a", "snps,dw-apb-uart"];

/// Every node with registers or memory in the host's device tree.
pub(crate) fn tree() -> Vec<HostNode> {
    let Some(fdt) = ax_hal::dtb::get_fdt() else {
        return Vec::new();
    };
    let console = console(fdt);
    let mut nodes: Vec<HostNode> = Vec::new();
    // Those that are open, with their places in `nodes`.
    let mut open: Vec<(Node<'_>, usize)> = Vec::new();
    for node in fdt.all_nodes() {
        while open.last().is_some_and(|(last, _)| last.level >= node.level) {
            open.pop();
        }
        if let Some(parent) = open.last().and_then(|(_, place)| nodes.get_mut(*place)) {
            parent.is_parent = true;
        }
        open.push((node.clone(), nodes.len()));
        let names =
            open.iter().map(|(node, _)| node.name()).filter(|name| !matches!(*name, "" | "/"));
        let path = names.fold(String::new(), |path, name| format!("{path}/{name}"));
        let mut described = describe(&node, path);
        if console.is_some() && described.windows.first().map(|window| window.start) == console {
            described.owner = Some("the host's console");
        }
        nodes.push(described);
    }
    nodes
}

/// Where the console that the host's device tree chooses has its registers: what its boot code printed to.
fn console(fdt: &'static Fdt<'static>) -> Option<usize> {
    let node = fdt.chosen()?.stdout()?.node;
    usize::try_from(node.reg()?.next()?.address).ok()
}

fn describe(node: &Node<'_>, path: String) -> HostNode {
    let bus_master = BUS_MASTER.into_iter().find(|name| node.find_property(name).is_some());
    let owner = owner(node, &path);
    HostNode {
        compatible: node.compatibles().map(ToString::to_string).collect(),
        windows: if path.starts_with("/cpus") { Vec::new() } else { windows(node) },
        interrupts: interrupts(node),
        clock_names: node
            .find_property("clock-names")
            .map(|names| names.str_list().map(ToString::to_string).collect())
            .unwrap_or_default(),
        is_parent: false,
        bus_master,
        owner,
        path,
    }
}

/// What a node is to the host that never is a guest's.
fn owner(node: &Node<'_>, path: &str) -> Option<&'static str> {
    let of_type = |kind| node.find_property("device_type").is_some_and(|word| word.str() == kind);
    let called = |part: &str| node.compatibles().any(|name| name.contains(part));
    if of_type("memory") || path.starts_with("/reserved-memory") {
        return Some("the host's memory");
    }
    if called("arm,gic") || called("-gic") {
        return Some("the host's interrupt controller");
    }
    if called("arm,armv7-timer-mem") {
        return Some("the host's timer");
    }
    if called("arm,smmu") {
        return Some("the host's SMMU");
    }
    if SERIAL.iter().any(|kind| called(kind)) {
        return serial_owner(node);
    }
    if of_type("pci") || called("pci-host") {
        return Some("the host's PCI bus");
    }
    if node.status() == Some(Status::Disabled) {
        return Some("disabled in the host's device tree");
    }
    None
}

/// The host keeps the port that it prints to, and all of them where it does not know which that is.
fn serial_owner(node: &Node<'_>) -> Option<&'static str> {
    let Some(active) = runtimes().iter().find(|port| is_active(port)) else {
        return Some("a serial port, one of which is the host's console");
    };
    let base = node.reg().and_then(|mut registers| registers.next());
    let is_console = base.is_none_or(|base| base.address == active.info().paddr as u64);
    is_console.then_some("the host's console")
}

fn windows(node: &Node<'_>) -> Vec<Range<usize>> {
    let ranges = node.reg().into_iter().flatten().filter_map(|register| {
        let start = usize::try_from(register.address).ok()?;
        Some(start..start.checked_add(register.size?)?)
    });
    ranges.filter(|range| !range.is_empty()).collect()
}

/// The SPIs of a node whose interrupts go to a GIC: type, number, trigger.
fn interrupts(node: &Node<'_>) -> Vec<HostInterrupt> {
    let Some(parent) = node.interrupt_parent() else {
        return Vec::new();
    };
    if !parent.node.compatibles().any(super::gic::is_known) {
        return Vec::new();
    }
    let cells: Vec<u32> = node
        .find_property("interrupts")
        .map(|property| property.u32_list().collect())
        .unwrap_or_default();
    let spis = cells.chunks_exact(parent.interrupt_cells().max(3)).filter_map(|cells| {
        let [0, number, trigger, ..] = *cells else { return None };
        let intid = FIRST_SPI.checked_add(number).filter(|intid| *intid < 1020)?;
        Some(HostInterrupt { intid, edge: trigger & EDGES != 0 })
    });
    spis.collect()
}

/// Takes `device` and its interrupts from the host; see [`Spi::take`].
///
/// Of a serial port the host's driver lets go for good. Its handler stays, which the host no longer calls, so that the
/// interrupt is nominally shared with it.
///
/// # Errors
/// A text for the operator; no interrupt is taken then.
pub(crate) fn take(device: &HostDevice, arrived: fn(u32)) -> Result<Vec<Spi>, String> {
    let driver = driver_of(device);
    if let Some(port) = driver {
        port.shutdown().map_err(|error| {
            format!("{}: the host's driver does not let go of it ({error:?})", device.name)
        })?;
    }
    let share = if driver.is_some() { ShareMode::Shared } else { ShareMode::Exclusive };
    device.interrupts.iter().map(|interrupt| Spi::take(*interrupt, share, arrived)).collect()
}

/// What drives `device` if it is a serial port.
fn driver_of(device: &HostDevice) -> Option<&'static SerialRuntimeHandle> {
    runtimes().iter().find(|port| device.pages().contains(&port.info().paddr))
}

/// An SPI that is a guest's. Dropping it takes it back.
pub(crate) struct Spi {
    intid: u32,
    handle: IrqHandle,
}

impl Spi {
    /// Takes `interrupt` from the host, kept back for now. Wherever it comes to the host from then on, it is
    /// kept back again, and `arrived` is told, in an interrupt handler.
    ///
    /// # Errors
    /// A text for the operator: the host has it in use.
    fn take(interrupt: HostInterrupt, share: ShareMode, arrived: fn(u32)) -> Result<Self, String> {
        let HostInterrupt { intid, edge } = interrupt;
        let distributor =
            Distributor::get().ok_or("the machine's interrupt controller has no distributor")?;
        let irq = ax_runtime::irq::resolve_percpu_irq(intid as usize);
        let request = IrqRequest::new(move |_| {
            if let Some(distributor) = Distributor::get() {
                distributor.disable(intid);
            }
            arrived(intid);
            IrqReturn::Handled
        })
        .share_mode(share);
        let handle = request_irq(irq, request)
            .map_err(|error| format!("the host uses interrupt {intid} itself ({error:?})"))?;
        distributor.disable(intid);
        let trigger = if edge { IrqTrigger::Edge } else { IrqTrigger::Level };
        if let Err(error) = set_trigger(irq, trigger) {
            log::warn!("interrupt {intid} keeps its trigger: {error:?}");
        }
        distributor.set_priority(intid, PRIORITY);
        Ok(Self { intid, handle })
    }

    /// Lets it come to the CPU of `affinity`, with nothing left of an earlier life.
    pub(crate) fn start(&self, affinity: u64) {
        if let Some(distributor) = Distributor::get() {
            distributor.disable(self.intid);
            distributor.route(self.intid, affinity);
            distributor.set_active(self.intid, false);
            distributor.enable(self.intid);
        }
    }
}

impl Drop for Spi {
    fn drop(&mut self) {
        if let Some(distributor) = Distributor::get() {
            distributor.disable(self.intid);
        }
        if let Err(error) = free_irq(self.handle) {
            log::error!("interrupt {} cannot be given back: {error:?}", self.intid);
        }
        if let Some(distributor) = Distributor::get() {
            distributor.disable(self.intid);
            distributor.set_active(self.intid, false);
            distributor.clear_pending(self.intid);
        }
    }
}

/// Lets an interrupt that came to the host, and was completed there, be the guest's: active until the guest ends it.
pub(crate) fn hand_over(intid: u32) {
    if let Some(distributor) = Distributor::get() {
        distributor.set_active(intid, true);
        distributor.enable(intid);
    }
}
