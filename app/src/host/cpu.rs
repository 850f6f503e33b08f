//! Physical CPUs: how many, which interrupts on them are Axle's, how one becomes able to run guests.

use core::sync::atomic::{AtomicUsize, Ordering};

use arm_vcpu::{Aarch64PerCpu, SliceTimer, gic};
use arm_vgic::TIMER_PPI;
use ax_hal::irq::{CpuMask, IrqReturn, request_percpu_irq};
use axvcpu::AxPerCpu;
use axvm::{KICK_SGI, MAINTENANCE_PPI};

/// How many CPUs there are.
pub(crate) fn count() -> usize {
    ax_hal::cpu_num()
}

/// Tells the host that Axle's private interrupts exist. Exit code takes them before the host sees
/// them; what comes while the host runs is only to be silenced: whoever sent it left a note in memory.
pub(crate) fn prepare_interrupts() {
    if map_redistributors().is_none() {
        log::error!("the machine has no GICv3: guests cannot have interrupts");
    }
    for intid in [KICK_SGI, MAINTENANCE_PPI, TIMER_PPI, SliceTimer::INTID] {
        let irq = ax_runtime::irq::resolve_percpu_irq(intid as usize);
        let registered = request_percpu_irq(irq, CpuMask::first_n(count()), move |_| {
            if intid == SliceTimer::INTID {
                SliceTimer::disarm();
            }
            IrqReturn::Handled
        });
        if let Err(error) = registered {
            log::error!("interrupt {intid} cannot be had: {error:?}");
        }
    }
}

/// Makes the CPU this runs on, which is `cpu`, able to run guests. The result keeps it so.
///
/// # Errors
/// A sentence for the operator.
pub(crate) fn enable(cpu: usize) -> Result<AxPerCpu<Aarch64PerCpu>, &'static str> {
    let sgi_frame =
        this_sgi_frame().ok_or("the machine has no GICv3 redistributor for this CPU")?;
    // SAFETY: `this_sgi_frame` mapped the frame of the CPU this runs on, for ever.
    unsafe { gic::Redistributor::register(cpu, sgi_frame) };
    let here = gic::Redistributor::this_cpu().ok_or("the CPU has no redistributor")?;
    for intid in [KICK_SGI, MAINTENANCE_PPI, TIMER_PPI, SliceTimer::INTID] {
        here.set_priority(intid, OWN_PRIORITY);
    }
    for intid in [KICK_SGI, MAINTENANCE_PPI, SliceTimer::INTID] {
        here.enable(intid);
    }
    let mut percpu = AxPerCpu::new_uninit();
    percpu
        .init(cpu)
        .and_then(|()| percpu.hardware_enable())
        .map_err(|_| "the CPU cannot run guests: it is not at EL2")?;
    Ok(percpu)
}

/// Behind the host's interrupts, which all have 0xa0: whatever guests do to theirs, the host's come first.
const OWN_PRIORITY: u8 = 0xb0;

/// GICR_TYPER: affinity in bits 63:32, Last in bit 4.
const GICR_TYPER: usize = 8;
const SGI_FRAME: usize = 0x1_0000;
const STRIDE: usize = 0x2_0000;

/// Gives the host an interrupt of its own that was acknowledged on its behalf.
pub(crate) fn handle_acknowledged(intid: u32) {
    let irq = ax_runtime::irq::resolve_percpu_irq(intid as usize);
    ax_hal::irq::handle_acknowledged_irq(irq, || {
        gic::drop_priority(intid);
        gic::deactivate(intid);
    });
}

/// Where the redistributors are mapped, and the bytes of all of them; zero until then.
static REDISTRIBUTORS: (AtomicUsize, AtomicUsize) = (AtomicUsize::new(0), AtomicUsize::new(0));

/// Maps the redistributors that the device tree names. Once, before the runners start: the host's
/// mapping calls wait for all other CPUs with interrupts masked, so that two at a time never end.
fn map_redistributors() -> Option<()> {
    let fdt = ax_hal::dtb::get_fdt()?;
    let gic = fdt.find_compatible(&["arm,gic-v3"]).next()?;
    let region = gic.reg()?.nth(1)?;
    let physical = usize::try_from(region.address).ok()?;
    // The region may have room for many more CPUs than there are, and mapping takes its time.
    let size = region.size?.min(count() * STRIDE);
    let mapped = axklib::mem::iomap(physical.into(), size).ok()?.as_usize();
    REDISTRIBUTORS.1.store(size, Ordering::Relaxed);
    REDISTRIBUTORS.0.store(mapped, Ordering::Release);
    Some(())
}

/// The SGI frame of this CPU's redistributor, found by affinity.
fn this_sgi_frame() -> Option<usize> {
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

/// Waits for an interrupt unless `busy`, which is looked at with interrupts masked; then the host
/// takes what is its own.
pub(crate) fn wait_for_interrupt(busy: impl FnOnce() -> bool) {
    if let Some(intid) = arm_vcpu::idle::wait(KICK_SGI, busy) {
        handle_acknowledged(intid);
    }
}
