//! The frames of a GICv2: its distributor, the physical CPU interface, and the control of the virtual one.
//!
//! Generic Interrupt Controller Architecture Specification IHI 0048: GICC in section 4.4, GICH in section 5.3. Each CPU
//! sees its own interfaces at the same addresses.

use core::sync::atomic::{AtomicUsize, Ordering};

use axaddrspace::HostPhysAddr;

use super::CpuInterface;
use crate::regs::{barrier, low_word};

/// Where the parts of a GICv2 are.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    /// The distributor, mapped.
    pub gicd: usize,
    /// The physical CPU interface, mapped.
    pub gicc: usize,
    /// The control of the virtual CPU interface, mapped.
    pub gich: usize,
    /// The virtual CPU interface, which guests are given.
    pub gicv: HostPhysAddr,
}

/// The bytes of a CPU interface, GICC_DIR and GICV_DIR included.
pub const CPU_INTERFACE_BYTES: usize = 0x2000;

static GICD: AtomicUsize = AtomicUsize::new(0);
static GICC: AtomicUsize = AtomicUsize::new(0);
static GICH: AtomicUsize = AtomicUsize::new(0);
static GICV: AtomicUsize = AtomicUsize::new(0);

const GICD_ITARGETSR0: usize = 0x800;
const GICD_SGIR: usize = 0xf00;

const GICC_IAR: usize = 0x000c;
const GICC_EOIR: usize = 0x0010;
const GICC_HPPIR: usize = 0x0018;
const GICC_DIR: usize = 0x1000;

const GICH_HCR: usize = 0x000;
const GICH_VTR: usize = 0x004;
const GICH_VMCR: usize = 0x008;
const GICH_APR: usize = 0x0f0;
const GICH_LR0: usize = 0x100;

/// GICH_HCR.En.
const HCR_EN: u32 = 1;
/// GICH_HCR.NPIE: a maintenance interrupt when no list register is pending.
const HCR_NPIE: u32 = 1 << 3;

/// The bits of an INTID in GICC_IAR and GICC_HPPIR; the sender of an SGI is above them.
const INTID: u32 = 0x3ff;

pub(super) fn set_frames(frames: &Frames) {
    GICD.store(frames.gicd, Ordering::Relaxed);
    GICC.store(frames.gicc, Ordering::Relaxed);
    GICH.store(frames.gich, Ordering::Relaxed);
    GICV.store(frames.gicv.as_usize(), Ordering::Relaxed);
}

fn read(frame: &AtomicUsize, offset: usize) -> u32 {
    let address = frame.load(Ordering::Relaxed).wrapping_add(offset);
    // SAFETY: `use_v2`'s caller promised mapped frames, and `offset` is that of a register in `frame`.
    unsafe { core::ptr::with_exposed_provenance::<u32>(address).read_volatile() }
}

fn write(frame: &AtomicUsize, offset: usize, value: u32) {
    let address = frame.load(Ordering::Relaxed).wrapping_add(offset);
    // SAFETY: as in `read`; what is written configures interrupts, and changes no memory.
    unsafe { core::ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(value) };
}

/// The virtual CPU interface, which guests are given.
pub fn gicv() -> HostPhysAddr {
    HostPhysAddr::from_usize(GICV.load(Ordering::Relaxed))
}

/// The distributor, whose registers of INTIDs 0 to 31 are this CPU's.
pub fn distributor() -> usize {
    GICD.load(Ordering::Relaxed)
}

/// The highest-priority pending physical interrupt, without acknowledging it (GICC_HPPIR).
pub fn pending() -> u32 {
    intid(read(&GICC, GICC_HPPIR))
}

/// Acknowledges the highest-priority pending physical interrupt (GICC_IAR): INTID, and the sender of an SGI.
pub fn acknowledge() -> u32 {
    let taken = read(&GICC, GICC_IAR);
    barrier!("dsb sy");
    taken
}

/// The INTID in what [`acknowledge`] gave; 1020 and above: none.
pub const fn intid(taken: u32) -> u32 {
    taken & INTID
}

/// Lets interrupts of the same priority in again; what was `taken` stays active (GICC_EOIR, EOImode 1).
pub fn drop_priority(taken: u32) {
    write(&GICC, GICC_EOIR, taken);
}

/// Makes what was `taken` inactive (GICC_DIR).
pub fn deactivate(taken: u32) {
    write(&GICC, GICC_DIR, taken);
}

/// This CPU as a bit of target masks: the private part of GICD_ITARGETSR holds nothing else. Zero where there is one
/// CPU and nothing to choose.
pub(super) fn own_target() -> u32 {
    let bytes = read(&GICD, GICD_ITARGETSR0).to_le_bytes();
    u32::from(bytes.into_iter().fold(0, |all, byte| all | byte))
}

/// Sends physical SGI `intid` to the CPUs in the mask `targets` (GICD_SGIR).
pub(super) fn send_sgi(targets: u32, intid: u32) {
    barrier!("dsb ishst");
    write(&GICD, GICD_SGIR, (targets & 0xff) << 16 | intid & 15);
}

/// How many list registers this CPU has (GICH_VTR.ListRegs).
pub fn list_registers() -> usize {
    (read(&GICH, GICH_VTR) & 0x3f).wrapping_add(1) as usize
}

/// Reads `GICH_LR<index>`; `index` is below [`list_registers`].
pub fn list_register(index: usize) -> u32 {
    read(&GICH, GICH_LR0.wrapping_add((index & 0x3f) << 2))
}

/// Writes `GICH_LR<index>`; `index` is below [`list_registers`].
pub fn set_list_register(index: usize, value: u32) {
    write(&GICH, GICH_LR0.wrapping_add((index & 0x3f) << 2), value);
}

/// Turns the maintenance interrupt for "no list register is pending" on or off. It is signalled only while a vCPU is
/// bound.
pub fn set_no_pending_maintenance(on: bool) {
    let enable = read(&GICH, GICH_HCR) & HCR_EN;
    write(&GICH, GICH_HCR, enable | if on { HCR_NPIE } else { 0 });
}

pub(super) fn bind() {
    write(&GICH, GICH_HCR, read(&GICH, GICH_HCR) | HCR_EN);
}

pub(super) fn unbind() {
    write(&GICH, GICH_HCR, read(&GICH, GICH_HCR) & !HCR_EN);
    // The maintenance line is low before the host can be interrupted by it.
    barrier!("dsb sy");
}

pub(super) fn save(interface: &mut CpuInterface) {
    if let Some(active) = interface.active_priorities.first_mut().and_then(|it| it.first_mut()) {
        *active = u64::from(read(&GICH, GICH_APR));
    }
    interface.vmcr = u64::from(read(&GICH, GICH_VMCR));
}

pub(super) fn load(interface: &CpuInterface) {
    let active = interface.active_priorities.first().and_then(|it| it.first());
    write(&GICH, GICH_APR, low_word(active.copied().unwrap_or(0)));
    write(&GICH, GICH_VMCR, low_word(interface.vmcr));
    write(&GICH, GICH_HCR, 0);
}
