//! The GICv3 (IHI 0069) or GICv2 (IHI 0048): distributor, redistributors and the CPU interface's registers.

mod interface;
mod lines;
pub(crate) mod v2;

use crate::board::MAX_CPUS;
use crate::{cpu, mmio};
use core::sync::atomic::{AtomicUsize, Ordering};
pub(crate) use interface::{
    EoiMode, acknowledge, binary_point, close_cpu_interface, deactivate, end,
    forget_active_priorities, highest_pending, open_cpu_interface, priority_mask, running_priority,
    send_sgi, set_binary_point, set_eoi_mode, set_priority_mask, sgi_to, sgi_to_others,
};
pub(crate) use lines::{
    Bank, Trigger, bank_address, disable, enable, get, priority, priority_address, route, routing,
    set, set_priority, set_trigger, trigger,
};

/// INTIDs from here on mean "none" or are reserved.
pub(crate) const SPECIAL: u32 = 1020;
/// The first shared interrupt.
pub(crate) const FIRST_SPI: u32 = 32;
/// The priority every interrupt starts with.
pub(crate) const PRIORITY: u8 = 0xa0;

static GICD: AtomicUsize = AtomicUsize::new(0x0800_0000);
static GICR: AtomicUsize = AtomicUsize::new(0x080a_0000);
/// Each CPU's redistributor, found by `init_cpu`.
static FRAMES: [AtomicUsize; MAX_CPUS] = [const { AtomicUsize::new(0) }; MAX_CPUS];

const GICD_CTLR: usize = 0x0000;
const GICD_TYPER: usize = 0x0004;
const GICD_PIDR2: usize = 0xffe8;
const ICPIDR2: usize = 0xfe8;
/// GICD_CTLR: affinity routing, group 1 on, write pending. The bits of the one-security-state view.
const ARE: u32 = 1 << 4;
const ENABLE_GROUP1: u32 = 1 << 1;
/// The group that all are of in a GICv2, as software finds them there.
const ENABLE_GROUP0: u32 = 1 << 0;
const RWP: u32 = 1 << 31;

const GICR_CTLR: usize = 0x0000;
const GICR_TYPER: usize = 0x0008;
const GICR_WAKER: usize = 0x0014;
/// The frame of SGIs and PPIs follows the control frame.
const SGI_FRAME: usize = 0x1_0000;
const FRAME_BYTES: usize = 0x2_0000;

/// Where the device tree has the two.
pub(crate) fn set_bases(distributor: usize, redistributors: usize) {
    GICD.store(distributor, Ordering::Relaxed);
    GICR.store(redistributors, Ordering::Relaxed);
}

/// Where the device tree has a GICv2.
pub(crate) fn set_v2_bases(distributor: usize, interface: usize) {
    GICD.store(distributor, Ordering::Relaxed);
    v2::set_interface(interface);
}

/// A distributor register's address.
pub(crate) fn distributor(offset: usize) -> usize {
    GICD.load(Ordering::Relaxed) + offset
}

/// The address of GICD_TYPER, for measuring one read.
pub(crate) fn typer_address() -> usize {
    distributor(GICD_TYPER)
}

/// Where the redistributors are, or the CPU interface of a GICv2.
pub(crate) fn second_frame() -> usize {
    if v2::is_here() { v2::interface_address() } else { GICR.load(Ordering::Relaxed) }
}

/// The base of the boot CPU's private interrupts, found without a driver.
pub(crate) fn first_private_frame() -> usize {
    if v2::is_here() { distributor(0) } else { GICR.load(Ordering::Relaxed) + SGI_FRAME }
}

/// How many bytes they take.
pub(crate) fn second_frame_bytes() -> usize {
    if v2::is_here() { 0x2000 } else { FRAME_BYTES * cpu::count() }
}

/// How many bytes the distributor takes.
pub(crate) fn distributor_bytes() -> usize {
    if v2::is_here() { 0x1000 } else { 0x1_0000 }
}

/// The first INTID past the distributor's last one.
pub(crate) fn line_count() -> u32 {
    (((mmio::read(distributor(GICD_TYPER)) & 0x1f) + 1) * 32).min(SPECIAL)
}

/// The architecture version that GICD_PIDR2 tells: 2, 3 or 4.
pub(crate) fn architecture() -> u32 {
    let register = if v2::is_here() { ICPIDR2 } else { GICD_PIDR2 };
    mmio::read(distributor(register)) >> 4 & 0xf
}

/// No interrupt leaves the distributor.
pub(crate) fn stop_distributor() {
    mmio::write(distributor(GICD_CTLR), if v2::is_here() { 0 } else { ARE });
    lines::settle(FIRST_SPI);
}

/// Interrupts leave the distributor.
pub(crate) fn start_distributor() {
    let on = if v2::is_here() { ENABLE_GROUP0 } else { ARE | ENABLE_GROUP1 };
    mmio::write(distributor(GICD_CTLR), on);
    lines::settle(FIRST_SPI);
}

/// Every shared interrupt: of the group that is used, disabled, level, one priority, to CPU 0. Then the distributor is on.
pub(crate) fn init_distributor() {
    stop_distributor();
    if v2::is_here() {
        v2::learn_target(0);
    }
    for word in 1..line_count().div_ceil(32) {
        reset_word(distributor(0), word as usize);
    }
    for intid in FIRST_SPI..line_count() {
        route(intid, cpu::affinity(0));
    }
    start_distributor();
}

/// The group that is used, disabled, not pending, not active, the usual priority for the 32 interrupts of `word`.
fn reset_word(base: usize, word: usize) {
    let group = if v2::is_here() { 0 } else { u32::MAX };
    mmio::write(base + Bank::Group as usize + word * 4, group);
    for bank in [Bank::ClearEnable, Bank::ClearPending, Bank::ClearActive] {
        mmio::write(base + bank as usize + word * 4, u32::MAX);
    }
    for index in 0..8 {
        mmio::write(
            base + lines::PRIORITIES + word * 32 + index * 4,
            u32::from(PRIORITY) * 0x0101_0101,
        );
    }
    if word > 0 {
        mmio::write(base + lines::CONFIGURATIONS + word * 8, 0);
        mmio::write(base + lines::CONFIGURATIONS + word * 8 + 4, 0);
    }
}

/// Finds and wakes the redistributor of this CPU, whose number is `number`; opens its CPU interface. A GICv2 only has that.
///
/// # Panics
/// When no redistributor has this CPU's affinity.
pub(crate) fn init_cpu(number: usize) {
    if v2::is_here() {
        v2::learn_target(number);
        v2::forget_sgis();
        reset_word(distributor(0), 0);
        return interface::init();
    }
    let Some(frame) = find_frame(cpu::affinity(number)) else {
        panic!("CPU {number} has no redistributor")
    };
    FRAMES[number].store(frame, Ordering::Relaxed);
    mmio::write(frame + GICR_WAKER, mmio::read(frame + GICR_WAKER) & !2);
    for _ in 0..100_000 {
        if mmio::read(frame + GICR_WAKER) & 4 == 0 {
            break;
        }
    }
    reset_word(frame + SGI_FRAME, 0);
    interface::init();
}

fn find_frame(affinity: u64) -> Option<usize> {
    let packed = (affinity >> 8 & 0xff00_0000) | (affinity & 0x00ff_ffff);
    let mut frame = GICR.load(Ordering::Relaxed);
    for _ in 0..512 {
        let kind = mmio::read64(frame + GICR_TYPER);
        if kind >> 32 == packed {
            return Some(frame);
        }
        let (last, virtual_lpis) = (kind & 16 != 0, kind & 2 != 0);
        if last {
            return None;
        }
        frame += if virtual_lpis { 2 * FRAME_BYTES } else { FRAME_BYTES };
    }
    None
}
