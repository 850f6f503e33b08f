//! Physical CPUs: how many, which interrupts on them are Axle's, how one becomes able to run guests.

use core::sync::atomic::{AtomicUsize, Ordering};

use arm_vcpu::{Aarch64PerCpu, SliceTimer, gic};
use arm_vgic::TIMER_PPI;
use ax_hal::irq::{CpuMask, IrqReturn, request_percpu_irq};
use axvcpu::AxPerCpu;
use axvm::{KICK_SGI, MAINTENANCE_PPI};

use super::gic::{find, private_frame};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Asks the host how many CPUs there are. Before anything else.
pub(crate) fn learn_count() {
    COUNT.store(ax_hal::cpu_num(), Ordering::Relaxed);
}

/// How many CPUs there are. From anywhere.
pub(crate) fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// Tells the host that Axle's private interrupts exist. Exit code takes them before the host sees
/// them; what comes while the host runs is only to be silenced: whoever sent it left a note in memory.
pub(crate) fn prepare_interrupts() {
    if let Err(why) = find() {
        log::error!("{why}: it cannot run guests");
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
    let frame = private_frame().ok_or("its interrupt controller is not one guests can use")?;
    // SAFETY: the frame is that of the CPU this runs on, mapped for ever.
    unsafe { gic::PrivateInterrupts::register(cpu, frame) };
    let here = gic::PrivateInterrupts::this_cpu().ok_or("the CPU has no private interrupts")?;
    for intid in [KICK_SGI, MAINTENANCE_PPI, TIMER_PPI, SliceTimer::INTID] {
        here.set_priority(intid, OWN_PRIORITY);
    }
    let mut percpu = AxPerCpu::new_uninit();
    percpu
        .init(cpu)
        .and_then(|()| percpu.hardware_enable())
        .map_err(|_| "the CPU cannot run guests: it is not at EL2")?;
    for intid in [KICK_SGI, MAINTENANCE_PPI, TIMER_PPI, SliceTimer::INTID] {
        here.enable(intid);
    }
    Ok(percpu)
}

/// Behind the host's interrupts, which all have 0xa0: whatever guests do to theirs, the host's come first.
pub(super) const OWN_PRIORITY: u8 = 0xb0;

/// Gives the host an interrupt of its own that was `taken` on its behalf.
pub(crate) fn handle_acknowledged(taken: u32) {
    let irq = ax_runtime::irq::resolve_percpu_irq(gic::intid(taken) as usize);
    ax_hal::irq::handle_acknowledged_irq(irq, || gic::complete(taken));
}

/// Waits for an interrupt unless `busy`, which is looked at with interrupts masked; then the host
/// takes what is its own.
pub(crate) fn wait_for_interrupt(busy: impl FnOnce() -> bool) {
    if let Some(intid) = arm_vcpu::idle::wait(KICK_SGI, busy) {
        handle_acknowledged(intid);
    }
}
