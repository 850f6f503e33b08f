//! What only a GICv2 (IHI 0048) has: a CPU interface in memory, SGIs with senders, targets by mask.

use super::distributor;
use crate::board::MAX_CPUS;
use crate::{cpu, mmio, timer};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};

static IS_HERE: AtomicBool = AtomicBool::new(false);
static GICC: AtomicUsize = AtomicUsize::new(0x0801_0000);
/// Each CPU as a bit of target masks, learnt by each.
static TARGETS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
/// Who sent the SGI that a CPU took last, for each CPU and SGI.
static SENDERS: [[AtomicU32; SGIS]; MAX_CPUS] =
    [const { [const { AtomicU32::new(0) }; SGIS] }; MAX_CPUS];

const SGIS: usize = 16;

const GICC_CTLR: usize = 0x0000;
const GICC_PMR: usize = 0x0004;
const GICC_BPR: usize = 0x0008;
const GICC_IAR: usize = 0x000c;
const GICC_EOIR: usize = 0x0010;
const GICC_RPR: usize = 0x0014;
const GICC_HPPIR: usize = 0x0018;
const GICC_APRS: usize = 0x00d0;
const GICC_DIR: usize = 0x1000;
/// GICC_CTLR: group 0 on, EOIR and DIR apart.
const ENABLE: u32 = 1;
const EOI_APART: u32 = 1 << 9;

const ITARGETSRS: usize = 0x800;
const SGIR: usize = 0xf00;
const CPENDSGIRS: usize = 0xf10;
const SPENDSGIRS: usize = 0xf20;

/// Whether the machine has one.
pub(crate) fn is_here() -> bool {
    IS_HERE.load(Relaxed)
}

/// It has, with its CPU interface there.
pub(super) fn set_interface(address: usize) {
    GICC.store(address, Relaxed);
    IS_HERE.store(true, Relaxed);
}

/// Its first register.
pub(super) fn interface_address() -> usize {
    interface(0)
}

fn interface(offset: usize) -> usize {
    GICC.load(Relaxed) + offset
}

/// Learns which bit of target masks this CPU, whose number is `number`, is.
pub(super) fn learn_target(number: usize) {
    let own =
        mmio::read(distributor(ITARGETSRS)).to_le_bytes().iter().fold(0, |all, &one| all | one);
    // A machine with one CPU shows no targets.
    TARGETS[number].store(u32::from(own.max(1)), Relaxed);
}

/// Takes back the SGIs that are pending at this CPU.
pub(super) fn forget_sgis() {
    for word in 0..4 {
        mmio::write(distributor(CPENDSGIRS + 4 * word), u32::MAX);
    }
}

/// GICC_APR0 to GICC_APR3.
pub(super) fn forget_active_priorities() {
    for register in 0..4 {
        mmio::write(interface(GICC_APRS + 4 * register), 0);
    }
}

/// Open to every priority, finest preemption, EOIR does it all.
pub(super) fn init_interface() {
    mmio::write(interface(GICC_PMR), 0xff);
    mmio::write(interface(GICC_BPR), 0);
    mmio::write(interface(GICC_CTLR), ENABLE);
}

/// GICC_CTLR.EnableGrp0.
pub(super) fn enable_interface(on: bool) {
    let others = mmio::read(interface(GICC_CTLR)) & !ENABLE;
    mmio::write(interface(GICC_CTLR), others | u32::from(on));
}

/// GICC_CTLR.EOImode.
pub(super) fn set_eoi_apart(on: bool) {
    let others = mmio::read(interface(GICC_CTLR)) & !EOI_APART;
    mmio::write(interface(GICC_CTLR), if on { others | EOI_APART } else { others });
}

/// GICC_IAR; the sender of an SGI is kept for its end.
pub(super) fn acknowledge() -> u32 {
    let taken = mmio::read(interface(GICC_IAR));
    let intid = taken & 0x3ff;
    if let Some(sender) = SENDERS[cpu::number()].get(intid as usize) {
        sender.store(taken >> 10 & 7, Relaxed);
    }
    intid
}

/// The sender of SGI `intid` that this CPU took last; 0 of anything else.
pub(crate) fn sender(intid: u32) -> u32 {
    SENDERS[cpu::number()].get(intid as usize).map_or(0, |sender| sender.load(Relaxed))
}

/// GICC_EOIR.
pub(super) fn end(intid: u32) {
    mmio::write(end_register(), end_word(intid));
}

/// The address of GICC_EOIR.
pub(crate) fn end_register() -> usize {
    interface(GICC_EOIR)
}

/// What ends or deactivates `intid`, which this CPU took last.
pub(crate) fn end_word(intid: u32) -> u32 {
    intid | sender(intid) << 10
}

/// GICC_DIR.
pub(super) fn deactivate(intid: u32) {
    mmio::write(interface(GICC_DIR), end_word(intid));
}

/// GICC_HPPIR.
pub(super) fn highest_pending() -> u32 {
    mmio::read(interface(GICC_HPPIR)) & 0x3ff
}

/// GICC_RPR.
pub(super) fn running_priority() -> u32 {
    mmio::read(interface(GICC_RPR)) & 0xff
}

/// GICC_PMR.
pub(super) fn priority_mask() -> u32 {
    mmio::read(interface(GICC_PMR))
}

/// Writes GICC_PMR.
pub(super) fn set_priority_mask(mask: u32) {
    mmio::write(interface(GICC_PMR), mask);
}

/// GICC_BPR.
pub(super) fn binary_point() -> u32 {
    mmio::read(interface(GICC_BPR))
}

/// Writes GICC_BPR.
pub(super) fn set_binary_point(value: u32) {
    mmio::write(interface(GICC_BPR), value);
}

/// The CPU with this affinity in target masks; none if there is no such CPU. One that is just starting is waited for:
/// only it can tell.
fn target_of(affinity: u64) -> u32 {
    let number = (0..cpu::count()).find(|&number| cpu::affinity(number) == affinity);
    number.map_or(0, |number| {
        timer::wait_for(|| TARGETS[number].load(Relaxed) != 0);
        TARGETS[number].load(Relaxed)
    })
}

/// GICD_SGIR for SGI `id` to the CPU with this affinity.
pub(super) fn sgi_to(affinity: u64, id: u32) -> u64 {
    u64::from(target_of(affinity) << 16 | id)
}

/// GICD_SGIR for SGI `id` to every CPU but the sender.
pub(super) fn sgi_to_others(id: u32) -> u64 {
    u64::from(1 << 24 | id)
}

/// The address of GICD_SGIR.
pub(crate) fn sgir() -> usize {
    distributor(SGIR)
}

/// The CPUs from which SGI `id` is pending at this one.
pub(crate) fn pending_senders(id: u32) -> u32 {
    mmio::read(distributor(SPENDSGIRS + (id & !3) as usize)) >> (id % 4 * 8) & 0xff
}

/// Makes SGI `id` pending at this CPU from the CPUs in the mask `senders`, or takes it back.
pub(crate) fn set_pending(id: u32, senders: u32, pending: bool) {
    let registers = if pending { SPENDSGIRS } else { CPENDSGIRS };
    mmio::write(distributor(registers + (id & !3) as usize), senders << (id % 4 * 8));
}

/// This CPU in target masks.
pub(crate) fn own_target() -> u32 {
    TARGETS[cpu::number()].load(Relaxed)
}

/// Sends a shared interrupt to the CPU with this affinity, or to nobody.
pub(super) fn route(intid: u32, affinity: u64) {
    mmio::write_byte(distributor(ITARGETSRS + intid as usize), target_of(affinity) as u8);
}

/// The affinity of the CPU that gets a shared interrupt.
pub(super) fn routing(intid: u32) -> Option<u64> {
    let word = mmio::read(distributor(ITARGETSRS + (intid & !3) as usize));
    let targets = word >> (intid % 4 * 8) & 0xff;
    let number = (0..cpu::count()).find(|&number| TARGETS[number].load(Relaxed) == targets)?;
    Some(cpu::affinity(number))
}
