//! A board of the kind of QEMU's `virt` machine as a device tree.

use super::{
    FdtError, channel, power,
    tree::{LEVEL_HIGH, Tree},
};
use crate::image::DEVICE_TREE_MAX;
use alloc::{format, vec::Vec};
use axaddrspace::GuestPhysAddr;
use axvmconfig::ChannelConfig;
use core::ops::Range;

/// The phandle of the interrupt controller.
const GIC: u32 = 1;
/// The phandle of the clock of UARTs and other PrimeCells.
pub(super) const CLOCK: u32 = 2;
/// That clock in Hz.
const CLOCK_HZ: u32 = 24_000_000;
/// The interrupt type of a private peripheral interrupt, counted from INTID 16.
const PPI: u32 = 1;
/// The timers' PPIs in the order of the binding: secure physical, physical, virtual, hypervisor.
const TIMER_PPIS: [u32; 4] = [13, 14, 11, 10];
/// The bytes of a GICv3 distributor (IHI 0069, 12.8).
const GICV3_GICD_SIZE: usize = 0x1_0000;
/// The bytes of a GICv2 distributor (IHI 0048, 4.1.2).
const GICV2_GICD_SIZE: usize = 0x1000;
/// The bytes of a GICv2 CPU interface, GICC_DIR included (IHI 0048, 4.1.3).
const GICV2_GICC_SIZE: usize = 0x2000;
/// The most CPUs a GICv2 can have.
const GICV2_CPUS: usize = 8;
/// The bytes of a PL011.
const PL011_SIZE: usize = 0x1000;

/// The guest's interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gic {
    /// A GICv3 with one contiguous region of redistributors.
    V3 {
        /// The distributor.
        gicd: GuestPhysAddr,
        /// The first redistributor.
        gicr: GuestPhysAddr,
        /// The bytes of all redistributors together.
        gicr_size: usize,
    },
    /// A GICv2.
    V2 {
        /// The distributor.
        gicd: GuestPhysAddr,
        /// The CPU interface.
        gicc: GuestPhysAddr,
    },
    /// None: nothing interrupts, not even the timer.
    Absent,
}

/// A device in the guest's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// The node's name before the `@`.
    pub name: &'a str,
    /// What drivers look for, the most specific first; may be empty.
    pub compatible: &'a [&'a str],
    /// Its first address.
    pub base: GuestPhysAddr,
    /// Its size in bytes.
    pub size: usize,
    /// The INTIDs of its interrupts (32 to 1019), level-sensitive; may be empty.
    pub intids: &'a [u32],
    /// What its driver calls its clocks, all of which are the board's of 24 MHz; may be empty.
    pub clock_names: &'a [&'a str],
}

/// Everything the device tree of a guest says.
#[derive(Clone, Debug)]
pub struct GuestBoard<'a> {
    /// RAM: first address, size in bytes.
    pub ram: &'a [(GuestPhysAddr, usize)],
    /// The MPIDR affinity of every vCPU (bits 39:32 and 23:0), the boot vCPU first.
    pub cpus: &'a [u64],
    /// The interrupt controller.
    pub gic: Gic,
    /// PL011s: first address, INTID or 0 for none; the first one is the console.
    pub uarts: &'a [(GuestPhysAddr, u32)],
    /// virtio-mmio transports: first address, size in bytes, INTID.
    pub virtio_mmio: &'a [(GuestPhysAddr, usize, u32)],
    /// Devices of any other kind.
    pub devices: &'a [Device<'a>],
    /// What the power key is wired to, a PL061: first address, INTID or 0 for none.
    pub power_button: Option<(GuestPhysAddr, u32)>,
    /// Arm's generic watchdog: first address of its two frames, INTID or 0 for none.
    pub watchdog: Option<(GuestPhysAddr, u32)>,
    /// The memory it shares with other VMs.
    pub channels: &'a [ChannelConfig],
    /// The kernel's command line; may be empty.
    pub bootargs: &'a str,
    /// Where the ramdisk is.
    pub initrd: Option<Range<GuestPhysAddr>>,
}

/// The device tree of `board`.
///
/// # Errors
/// A text, name or interrupt that a device tree cannot hold, a machine without RAM or CPU, more than 2 MiB.
pub fn build(board: &GuestBoard<'_>) -> Result<Vec<u8>, FdtError> {
    if board.cpus.is_empty() || board.ram.is_empty() {
        return Err(FdtError::NoMachine);
    }
    let mut tree = Tree::new()?;
    tree.node("", |root| {
        root.texts("model", &["axle,virt"])?;
        root.texts("compatible", &["axle,virt", "linux,dummy-virt"])?;
        root.cells("#address-cells", &[2])?;
        root.cells("#size-cells", &[2])?;
        if board.gic != Gic::Absent {
            root.cells("interrupt-parent", &[GIC])?;
        }
        chosen(root, board)?;
        aliases(root, board)?;
        memory(root, board)?;
        cpus(root, board)?;
        psci(root)?;
        timer(root, board)?;
        gic(root, board)?;
        clock(root, board)?;
        uarts(root, board)?;
        power::key(root, board.power_button)?;
        power::watchdog(root, board.watchdog)?;
        virtio(root, board)?;
        devices(root, board)?;
        channel::nodes(root, board.channels)
    })?;
    let blob = tree.finish()?;
    if blob.len() > DEVICE_TREE_MAX {
        return Err(FdtError::TooBig { size: blob.len(), limit: DEVICE_TREE_MAX });
    }
    Ok(blob)
}

/// What the boot loader tells the kernel. No rng-seed and no kaslr-seed: there is no entropy to give yet.
fn chosen(root: &mut Tree, board: &GuestBoard<'_>) -> Result<(), FdtError> {
    if board.bootargs.contains('\0') {
        return Err(FdtError::BadCommandLine);
    }
    root.node("chosen", |chosen| {
        if !board.bootargs.is_empty() {
            chosen.texts("bootargs", &[board.bootargs])?;
        }
        if let Some(&(base, _)) = board.uarts.first() {
            chosen.texts("stdout-path", &[&uart_path(base)])?;
        }
        if let Some(initrd) = &board.initrd {
            chosen.wide("linux,initrd-start", initrd.start.as_usize() as u64)?;
            chosen.wide("linux,initrd-end", initrd.end.as_usize() as u64)?;
        }
        Ok(())
    })
}

/// Fixed numbers for the serial ports.
fn aliases(root: &mut Tree, board: &GuestBoard<'_>) -> Result<(), FdtError> {
    root.node("aliases", |aliases| {
        for (number, &(base, _)) in board.uarts.iter().enumerate() {
            aliases.texts(&format!("serial{number}"), &[&uart_path(base)])?;
        }
        Ok(())
    })
}

fn memory(root: &mut Tree, board: &GuestBoard<'_>) -> Result<(), FdtError> {
    for &(base, size) in board.ram {
        root.node_at("memory", base, |node| {
            node.texts("device_type", &["memory"])?;
            node.reg(&[(base, size)])
        })?;
    }
    Ok(())
}

/// One cell holds Aff2 to Aff0, as every reader expects; Aff3 takes a second one, for all of them.
fn cpus(root: &mut Tree, board: &GuestBoard<'_>) -> Result<(), FdtError> {
    let wide = board.cpus.iter().any(|affinity| affinity >> 32 != 0);
    root.node("cpus", |cpus| {
        cpus.cells("#address-cells", &[if wide { 2 } else { 1 }])?;
        cpus.cells("#size-cells", &[0])?;
        for &affinity in board.cpus {
            cpus.node(&format!("cpu@{affinity:x}"), |cpu| {
                cpu.texts("device_type", &["cpu"])?;
                cpu.texts("compatible", &["arm,armv8"])?;
                if wide {
                    cpu.wide("reg", affinity)?;
                } else {
                    cpu.cells("reg", &[low_half(affinity)])?;
                }
                cpu.texts("enable-method", &["psci"])
            })?;
        }
        Ok(())
    })
}

/// Bits 31:0.
fn low_half(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// The function numbers are those of the standard, so that none are listed.
fn psci(root: &mut Tree) -> Result<(), FdtError> {
    root.node("psci", |psci| {
        psci.texts("compatible", &["arm,psci-1.0", "arm,psci-0.2"])?;
        psci.texts("method", &["hvc"])
    })
}

fn timer(root: &mut Tree, board: &GuestBoard<'_>) -> Result<(), FdtError> {
    // Bits 15:8 say which CPUs of a GICv2 have the interrupt.
    let cpu_mask = match board.gic {
        Gic::V2 { .. } => 0xff00 & !(0xff00 << board.cpus.len().min(GICV2_CPUS)),
        Gic::V3 { .. } => 0,
        Gic::Absent => return Ok(()),
    };
    let cells: Vec<u32> =
        TIMER_PPIS.iter().flat_map(|&ppi| [PPI, ppi, cpu_mask | LEVEL_HIGH]).collect();
    root.node("timer", |timer| {
        timer.texts("compatible", &["arm,armv8-timer"])?;
        timer.cells("interrupts", &cells)?;
        timer.flag("always-on")
    })
}

fn gic(root: &mut Tree, board: &GuestBoard<'_>) -> Result<(), FdtError> {
    let (compatible, gicd, gicd_size, second) = match board.gic {
        Gic::V3 { gicd, gicr, gicr_size } => {
            ("arm,gic-v3", gicd, GICV3_GICD_SIZE, (gicr, gicr_size))
        }
        Gic::V2 { gicd, gicc } => {
            ("arm,cortex-a15-gic", gicd, GICV2_GICD_SIZE, (gicc, GICV2_GICC_SIZE))
        }
        Gic::Absent => return Ok(()),
    };
    root.node_at("intc", gicd, |gic| {
        gic.texts("compatible", &[compatible])?;
        gic.flag("interrupt-controller")?;
        gic.cells("#interrupt-cells", &[3])?;
        gic.cells("#address-cells", &[2])?;
        gic.cells("#size-cells", &[2])?;
        gic.flag("ranges")?;
        gic.reg(&[(gicd, gicd_size), second])?;
        gic.phandle(GIC)
    })
}

fn uart_path(base: GuestPhysAddr) -> alloc::string::String {
    format!("/pl011@{:x}", base.as_usize())
}

/// The one clock, where something has it.
fn clock(root: &mut Tree, board: &GuestBoard<'_>) -> Result<(), FdtError> {
    let no_primecell = board.uarts.is_empty() && board.power_button.is_none();
    if no_primecell && board.devices.iter().all(|device| device.clock_names.is_empty()) {
        return Ok(());
    }
    root.node("apb-pclk", |clock| {
        clock.texts("compatible", &["fixed-clock"])?;
        clock.cells("#clock-cells", &[0])?;
        clock.cells("clock-frequency", &[CLOCK_HZ])?;
        clock.texts("clock-output-names", &["clk24mhz"])?;
        clock.phandle(CLOCK)
    })
}

fn uarts(root: &mut Tree, board: &GuestBoard<'_>) -> Result<(), FdtError> {
    for &(base, intid) in board.uarts {
        root.node_at("pl011", base, |uart| {
            uart.texts("compatible", &["arm,pl011", "arm,primecell"])?;
            uart.reg(&[(base, PL011_SIZE)])?;
            if intid != 0 {
                uart.interrupts(&[intid])?;
            }
            uart.cells("clocks", &[CLOCK, CLOCK])?;
            uart.texts("clock-names", &["uartclk", "apb_pclk"])
        })?;
    }
    Ok(())
}

fn virtio(root: &mut Tree, board: &GuestBoard<'_>) -> Result<(), FdtError> {
    for &(base, size, intid) in board.virtio_mmio {
        root.node_at("virtio_mmio", base, |slot| {
            slot.texts("compatible", &["virtio,mmio"])?;
            slot.reg(&[(base, size)])?;
            slot.interrupts(&[intid])?;
            slot.flag("dma-coherent")
        })?;
    }
    Ok(())
}

fn devices(root: &mut Tree, board: &GuestBoard<'_>) -> Result<(), FdtError> {
    for device in board.devices {
        root.node_at(device.name, device.base, |node| {
            if !device.compatible.is_empty() {
                node.texts("compatible", device.compatible)?;
            }
            node.reg(&[(device.base, device.size)])?;
            if !device.intids.is_empty() {
                node.interrupts(device.intids)?;
            }
            if device.clock_names.is_empty() {
                return Ok(());
            }
            let clocks: Vec<u32> = device.clock_names.iter().map(|_| CLOCK).collect();
            node.cells("clocks", &clocks)?;
            node.texts("clock-names", device.clock_names)
        })?;
    }
    Ok(())
}
