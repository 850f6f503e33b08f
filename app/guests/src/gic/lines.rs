//! One interrupt's bits and fields in the distributor or in its CPU's redistributor. A GICv2 has no redistributors.

use super::{FIRST_SPI, FRAMES, GICD_CTLR, GICR_CTLR, RWP, SGI_FRAME, distributor, v2};
use crate::{cpu, mmio};
use core::sync::atomic::Ordering;

/// A register with one bit for each interrupt, at the same offset in the distributor and in the SGI frame.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(crate) enum Bank {
    /// GICD_IGROUPR.
    Group = 0x080,
    /// GICD_ISENABLER.
    SetEnable = 0x100,
    /// GICD_ICENABLER.
    ClearEnable = 0x180,
    /// GICD_ISPENDR.
    SetPending = 0x200,
    /// GICD_ICPENDR.
    ClearPending = 0x280,
    /// GICD_ISACTIVER.
    SetActive = 0x300,
    /// GICD_ICACTIVER.
    ClearActive = 0x380,
}

/// GICD_IPRIORITYR, GICD_ICFGR, GICD_IROUTER.
pub(super) const PRIORITIES: usize = 0x400;
pub(super) const CONFIGURATIONS: usize = 0xc00;
const IROUTERS: usize = 0x6000;
/// INTIDs below are SGIs.
const FIRST_PPI: u32 = 16;

/// What makes an interrupt pending: GICD_ICFGR.
#[derive(Clone, Copy, PartialEq)]
#[repr(u32)]
pub(crate) enum Trigger {
    /// As long as the line is up.
    Level = 0,
    /// When the line goes up.
    Edge = 2,
}

/// The base that holds `intid`'s registers: private ones in this CPU's redistributor, which a GICv2 shows each CPU in the
/// distributor.
fn base_of(intid: u32) -> usize {
    match intid {
        0..FIRST_SPI if !v2::is_here() => FRAMES[cpu::number()].load(Ordering::Relaxed) + SGI_FRAME,
        _ => distributor(0),
    }
}

/// The address of `intid`'s word in `bank`.
pub(crate) fn bank_address(bank: Bank, intid: u32) -> usize {
    base_of(intid) + bank as usize + (intid / 32 * 4) as usize
}

/// Writes the one bit of `intid` to `bank`, zeros elsewhere; no bank but Group reads a zero as anything.
pub(crate) fn set(bank: Bank, intid: u32) {
    if v2::is_here() && intid < FIRST_PPI && matches!(bank, Bank::SetPending | Bank::ClearPending) {
        return v2::set_pending(intid, v2::own_target(), matches!(bank, Bank::SetPending));
    }
    mmio::write(bank_address(bank, intid), 1 << (intid % 32));
    if matches!(bank, Bank::ClearEnable) {
        settle(intid);
    }
}

/// The bit of `intid` in `bank`.
pub(crate) fn get(bank: Bank, intid: u32) -> bool {
    mmio::read(bank_address(bank, intid)) >> (intid % 32) & 1 != 0
}

/// Waits until a disable has taken effect (RWP); a GICv2 does not tell.
pub(super) fn settle(intid: u32) {
    if v2::is_here() {
        return;
    }
    let (control, bit) = match intid {
        0..FIRST_SPI => (base_of(intid) - SGI_FRAME + GICR_CTLR, 1 << 3),
        _ => (distributor(GICD_CTLR), RWP),
    };
    for _ in 0..100_000 {
        if mmio::read(control) & bit == 0 {
            return;
        }
    }
}

/// GICD_IPRIORITYR of `intid`.
pub(crate) fn priority(intid: u32) -> u8 {
    let word = mmio::read(base_of(intid) + PRIORITIES + (intid & !3) as usize);
    (word >> (intid % 4 * 8)) as u8
}

/// The address of GICD_IPRIORITYR's byte of `intid`.
pub(crate) fn priority_address(intid: u32) -> usize {
    base_of(intid) + PRIORITIES + intid as usize
}

/// Sets the priority; a smaller number is more urgent.
pub(crate) fn set_priority(intid: u32, priority: u8) {
    mmio::write_byte(priority_address(intid), priority);
}

/// GICD_ICFGR of `intid`.
pub(crate) fn trigger(intid: u32) -> Trigger {
    let word = mmio::read(base_of(intid) + CONFIGURATIONS + (intid / 16 * 4) as usize);
    if word >> (intid % 16 * 2) & 2 != 0 { Trigger::Edge } else { Trigger::Level }
}

/// Sets the trigger; the interrupt should be disabled.
pub(crate) fn set_trigger(intid: u32, trigger: Trigger) {
    let address = base_of(intid) + CONFIGURATIONS + (intid / 16 * 4) as usize;
    let shift = intid % 16 * 2;
    let others = mmio::read(address) & !(3 << shift);
    mmio::write(address, others | (trigger as u32) << shift);
}

/// Sends a shared interrupt to the CPU with this affinity.
pub(crate) fn route(intid: u32, affinity: u64) {
    if v2::is_here() {
        return v2::route(intid, affinity);
    }
    mmio::write64(distributor(IROUTERS + intid as usize * 8), affinity);
}

/// Where a shared interrupt goes.
pub(crate) fn routing(intid: u32) -> u64 {
    if v2::is_here() {
        return v2::routing(intid).unwrap_or(u64::MAX);
    }
    mmio::read64(distributor(IROUTERS + intid as usize * 8))
}

/// Enables `intid`.
pub(crate) fn enable(intid: u32) {
    set(Bank::SetEnable, intid);
}

/// Disables `intid`, and waits until that holds.
pub(crate) fn disable(intid: u32) {
    set(Bank::ClearEnable, intid);
}
