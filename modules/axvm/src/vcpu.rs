//! What a VM needs of an aarch64 vCPU and of the CPU under it, beyond what every architecture has.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use arm_vcpu::{Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig, gic};
use arm_vgic::{ListRegisters, Vgic, from_gich, to_gich};
use axaddrspace::HostPhysAddr;
use axvcpu::{Attachment, AxArchVCpu};

/// An aarch64 vCPU with its interrupt hardware; a fake of it makes exits testable without any.
///
/// Everything here is called from the exit path, with interrupts masked and the vCPU bound.
pub trait GuestCpu:
    AxArchVCpu<CreateConfig = Aarch64VCpuCreateConfig, SetupConfig = Aarch64VCpuSetupConfig> + 'static
{
    /// The list registers of the CPU this runs on.
    type ListRegisters: ListRegisters + Default + 'static;
    /// The interrupt hardware of a host with a GICv2.
    type Gicv2: CpuInterface;
    /// That of a host with a GICv3.
    type Gicv3: CpuInterface;

    /// The virtual CPU interface that guests of a host with a GICv2 are given; none on a host with a GICv3.
    fn gicv() -> Option<HostPhysAddr>;

    /// Whether the CPU this runs on can run guests.
    fn has_hardware_support() -> bool;

    /// The program counter of the bound vCPU.
    fn pc(&self) -> u64;

    /// Makes WFI trap, or not.
    fn trap_wfi(&mut self, on: bool);

    /// Moves the guest's time. Not while loaded.
    fn set_counter_offset(&mut self, offset: u64);

    /// The physical counter value at which the virtual timer of the bound vCPU is due.
    fn timer_deadline(&self) -> Option<u64>;

    /// The physical counter, in ticks.
    fn counter() -> u64;

    /// The same, read wherever the CPU pleases among the instructions around it.
    fn counter_unordered() -> u64 {
        Self::counter()
    }

    /// Forgets what this CPU remembers of the loaded VM's translations.
    fn forget_local_translations();

    /// Forgets every translation tagged with `vmid`, everywhere.
    fn forget_vmid(vmid: u16);
}

/// The physical CPU interface of one GIC architecture, as the exit path uses it.
pub trait CpuInterface {
    /// Acknowledges the physical interrupt that is pending.
    fn acknowledge() -> u32;

    /// The INTID of what was acknowledged; 1020 to 1023: nothing was.
    fn intid(taken: u32) -> u32;

    /// Lets physical interrupts in again; what was `taken` stays active.
    fn drop_priority(taken: u32);

    /// Makes what was `taken` inactive.
    fn deactivate(taken: u32);

    /// Writes list register `n` in the format of the virtual GIC.
    fn set_list_register(n: usize, value: u64);
}

/// The system registers of a GICv3.
pub struct SystemRegisters;

impl CpuInterface for SystemRegisters {
    #[inline]
    fn acknowledge() -> u32 {
        gic::v3::acknowledge()
    }

    #[inline]
    fn intid(taken: u32) -> u32 {
        taken
    }

    #[inline]
    fn drop_priority(taken: u32) {
        gic::v3::drop_priority(taken);
    }

    #[inline]
    fn deactivate(taken: u32) {
        gic::v3::deactivate(taken);
    }

    #[inline]
    fn set_list_register(n: usize, value: u64) {
        gic::v3::set_list_register(n, value);
    }
}

/// The frames of a GICv2.
pub struct Frames;

impl CpuInterface for Frames {
    fn acknowledge() -> u32 {
        gic::v2::acknowledge()
    }

    fn intid(taken: u32) -> u32 {
        gic::v2::intid(taken)
    }

    fn drop_priority(taken: u32) {
        gic::v2::drop_priority(taken);
    }

    fn deactivate(taken: u32) {
        gic::v2::deactivate(taken);
    }

    fn set_list_register(n: usize, value: u64) {
        gic::v2::set_list_register(n, to_gich(value));
    }
}

/// The hardware's list registers, which hold the loaded vCPU's interrupts.
#[derive(Clone, Copy, Debug)]
pub struct HardwareListRegisters {
    is_v2: bool,
}

impl Default for HardwareListRegisters {
    fn default() -> Self {
        Self { is_v2: gic::is_v2() }
    }
}

impl ListRegisters for HardwareListRegisters {
    fn count(&self) -> usize {
        if self.is_v2 { gic::v2::list_registers() } else { gic::v3::list_registers() }
    }

    #[inline]
    fn read(&self, n: usize) -> u64 {
        if self.is_v2 { from_gich(gic::v2::list_register(n)) } else { gic::v3::list_register(n) }
    }

    #[inline]
    fn write(&self, n: usize, value: u64) {
        if self.is_v2 {
            Frames::set_list_register(n, value);
        } else {
            gic::v3::set_list_register(n, value);
        }
    }

    #[inline(always)]
    fn pend_if_empty(&self, n: usize) -> bool {
        // SGIs of a GICv2 differ by their senders, and take the long way.
        !self.is_v2 && gic::v3::pend_if_empty(n)
    }

    fn set_maintenance(&self, no_pending: bool) {
        if self.is_v2 {
            gic::v2::set_no_pending_maintenance(no_pending);
        } else {
            gic::v3::set_no_pending_maintenance(no_pending);
        }
    }

    fn enable_physical_ppi(&self, intid: u32, on: bool) {
        let Some(here) = gic::PrivateInterrupts::this_cpu() else {
            return;
        };
        if on {
            here.enable(intid);
        } else {
            here.disable(intid);
        }
    }

    fn set_physical_ppi_active(&self, intid: u32, active: bool) {
        if let Some(here) = gic::PrivateInterrupts::this_cpu() {
            here.set_active(intid, active);
        }
    }

    fn release_physical_spi(&self, intid: u32) {
        if let Some(distributor) = gic::Distributor::get() {
            distributor.set_active(intid, false);
        }
    }
}

/// What is loaded and saved with the vCPUs of one VM: their interrupts, and which of their
/// translations a CPU may still remember.
pub(crate) struct LoadedWith<A: GuestCpu> {
    pub(crate) vgic: Arc<Vgic<A::ListRegisters>>,
    /// For each physical CPU, the vCPU that was last loaded there.
    last: [AtomicUsize; PHYSICAL_CPUS],
}

const PHYSICAL_CPUS: usize = 64;
const NONE: usize = usize::MAX;

impl<A: GuestCpu> LoadedWith<A> {
    pub(crate) fn new(vgic: Arc<Vgic<A::ListRegisters>>) -> Self {
        Self { vgic, last: [const { AtomicUsize::new(NONE) }; PHYSICAL_CPUS] }
    }
}

impl<A: GuestCpu> Attachment for LoadedWith<A> {
    fn load(&self, vcpu_id: usize, cpu_id: usize) {
        let last = self.last.get(cpu_id).map_or(NONE, |last| last.swap(vcpu_id, Ordering::Relaxed));
        if last != vcpu_id {
            // Every vCPU of a VM has the same VMID, but each may use an ASID for something else.
            A::forget_local_translations();
        }
        self.vgic.load(vcpu_id);
    }

    fn save(&self, vcpu_id: usize) {
        self.vgic.save(vcpu_id);
    }
}

impl GuestCpu for Aarch64VCpu {
    type ListRegisters = HardwareListRegisters;
    type Gicv2 = Frames;
    type Gicv3 = SystemRegisters;

    fn gicv() -> Option<HostPhysAddr> {
        gic::is_v2().then(gic::v2::gicv)
    }

    fn has_hardware_support() -> bool {
        arm_vcpu::has_hardware_support()
    }

    fn pc(&self) -> u64 {
        self.current_pc()
    }

    #[inline]
    fn trap_wfi(&mut self, on: bool) {
        Self::trap_wfi(self, on);
    }

    fn set_counter_offset(&mut self, offset: u64) {
        Self::set_counter_offset(self, offset);
    }

    fn timer_deadline(&self) -> Option<u64> {
        self.current_timer_deadline()
    }

    #[inline]
    fn counter() -> u64 {
        arm_vcpu::physical_counter()
    }

    #[inline]
    fn counter_unordered() -> u64 {
        arm_vcpu::physical_counter_unordered()
    }

    fn forget_local_translations() {
        arm_vcpu::forget_local_translations();
    }

    fn forget_vmid(vmid: u16) {
        arm_vcpu::forget_vmid(vmid);
    }
}
