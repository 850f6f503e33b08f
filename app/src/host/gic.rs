//! The machine's interrupt controller: found in the device tree, mapped, and given to the world switch.

use core::sync::atomic::{AtomicUsize, Ordering};

use arm_vcpu::gic::{self, v2};
use ax_hal::mem::phys_to_virt;
use ax_hal::paging::MappingFlags;
use ax_runtime::kernel_mapping::query_kernel_mapping;
use axaddrspace::HostPhysAddr;

/// What a GICv3 is called in a device tree.
const GICV3: [&str; 1] = ["arm,gic-v3"];
/// What a GICv2 is called there.
const GICV2: [&str; 2] = ["arm,cortex-a15-gic", "arm,gic-400"];

/// Whether a node of the device tree with that name is an interrupt controller this hypervisor knows.
pub(super) fn is_known(name: &str) -> bool {
    GICV3.contains(&name) || GICV2.contains(&name)
}

/// GICR_TYPER: affinity in bits 63:32.
const GICR_TYPER: usize = 8;
const SGI_FRAME: usize = 0x1_0000;
const STRIDE: usize = 0x2_0000;

/// Where the redistributors are mapped, and the bytes of all of them; zero until then, and on a GICv2.
static REDISTRIBUTORS: (AtomicUsize, AtomicUsize) = (AtomicUsize::new(0), AtomicUsize::new(0));

/// Finds the interrupt controller. Once, before the runners start: the host's mapping calls wait for all other CPUs with
/// interrupts masked, so that two at a time never end.
///
/// # Errors
/// A sentence for the operator.
pub(crate) fn find() -> Result<(), &'static str> {
    if map_redistributors().is_some() {
        return Ok(());
    }
    let frames = map_gicv2()?;
    // SAFETY: the device tree names them as those of the machine's GIC, and they stay mapped.
    unsafe { gic::use_v2(frames) };
    // SAFETY: as above; the version is set.
    unsafe { gic::Distributor::register(frames.gicd) };
    Ok(())
}

/// What it is called.
pub(crate) fn name() -> &'static str {
    if gic::is_v2() { "GICv2" } else { "GICv3" }
}

fn map_redistributors() -> Option<()> {
    let fdt = ax_hal::dtb::get_fdt()?;
    let node = fdt.find_compatible(&GICV3).next()?;
    let distributor = map(node.reg()?.next()?.address, gic::Distributor::SIZE)?;
    // SAFETY: the device tree says that the distributor is there, and it is never unmapped.
    unsafe { gic::Distributor::register(distributor) };
    let region = node.reg()?.nth(1)?;
    // The region may have room for many more CPUs than there are, and mapping takes its time.
    let size = region.size?.min(super::cpu::count() * STRIDE);
    let mapped = map(region.address, size)?;
    REDISTRIBUTORS.1.store(size, Ordering::Relaxed);
    REDISTRIBUTORS.0.store(mapped, Ordering::Release);
    Some(())
}

/// The frames of a GICv2: distributor, CPU interface, and with virtualisation the virtual interface's control and itself.
fn map_gicv2() -> Result<v2::Frames, &'static str> {
    const NONE: &str = "the machine has neither a GICv3 nor a GICv2";
    const NO_VIRTUALISATION: &str = "the machine's GICv2 has no virtual CPU interface";
    let fdt = ax_hal::dtb::get_fdt().ok_or(NONE)?;
    let node = fdt.find_compatible(&GICV2).next().ok_or(NONE)?;
    let mut frames = [(0, 0); 4];
    let regions = node.reg().ok_or(NONE)?;
    for (frame, region) in frames.iter_mut().zip(regions) {
        *frame = (region.address, region.size.unwrap_or(0));
    }
    let [gicd, gicc, gich, (gicv, gicv_size)] = frames;
    // A guest gets whole pages of it, and nothing else may lie in them.
    let gicv = usize::try_from(gicv).map_err(|_| NONE)?;
    if gicv_size < v2::CPU_INTERFACE_BYTES || !gicv.is_multiple_of(0x1000) {
        return Err(NO_VIRTUALISATION);
    }
    let map = |(address, size): (u64, usize)| map(address, size).ok_or(NO_VIRTUALISATION);
    Ok(v2::Frames {
        gicd: map(gicd)?,
        gicc: map(gicc)?,
        gich: map(gich)?,
        gicv: HostPhysAddr::from_usize(gicv),
    })
}

/// Maps `size` bytes of device memory for ever; gives their address.
///
/// What the host's driver has mapped is left as it is: mapping it again would take it away for a moment, and with a GICv2
/// the interrupt by which the other CPUs are told so needs it.
fn map(physical: u64, size: usize) -> Option<usize> {
    let physical = usize::try_from(physical).ok()?;
    let driver_s = phys_to_virt(physical.into()).as_usize();
    let end = driver_s.checked_add(size)?;
    let mut at = driver_s;
    while at < end {
        let Ok((flags, page)) = query_kernel_mapping(at.into()) else { break };
        if !flags.contains(MappingFlags::DEVICE | MappingFlags::READ | MappingFlags::WRITE) {
            break;
        }
        at = (at & !page.wrapping_sub(1)).checked_add(page.max(1))?;
    }
    if at >= end {
        return Some(driver_s);
    }
    Some(axklib::mem::iomap(physical.into(), size).ok()?.as_usize())
}

/// Where the registers of this CPU's private interrupts are.
pub(crate) fn private_frame() -> Option<usize> {
    if gic::is_v2() {
        return Some(v2::distributor());
    }
    let mapped = REDISTRIBUTORS.0.load(Ordering::Acquire);
    if mapped == 0 {
        return None;
    }
    let size = REDISTRIBUTORS.1.load(Ordering::Relaxed);
    let affinity = arm_vcpu::this_affinity();
    let packed = affinity & 0xff_ffff | (affinity >> 32 & 0xff) << 24;
    (0..size / STRIDE).map(|index| mapped + index * STRIDE).find_map(|frame| {
        let typer = core::ptr::with_exposed_provenance::<u64>(frame + GICR_TYPER);
        // SAFETY: within the region that the device tree names as redistributors, mapped above.
        let typer = unsafe { typer.read_volatile() };
        (typer >> 32 == packed).then_some(frame + SGI_FRAME)
    })
}
