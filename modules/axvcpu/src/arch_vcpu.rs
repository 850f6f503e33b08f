//! What an architecture implements to be a virtual CPU, and to have virtualisation on a physical one.

use axaddrspace::{GuestPhysAddr, HostPhysAddr};
use axerrno::AxResult;

use crate::{AxVCpuExitReason, GuestFault};

/// The architecture's half of one virtual CPU.
///
/// Three depths of presence on a physical CPU, from cheap to dear:
/// *running* guest code ([`run`](Self::run)), *bound* (between [`bind`](Self::bind) and
/// [`unbind`](Self::unbind): interrupts are masked, the host's own per-thread registers are lent to
/// the guest, and nothing of the host may be called), and *loaded* (between [`load`](Self::load) and
/// [`save`](Self::save): the registers that the host never touches hold this vCPU's values).
pub trait AxArchVCpu: Sized + Send {
    /// What [`new`](Self::new) needs.
    type CreateConfig;
    /// What [`setup`](Self::setup) needs.
    type SetupConfig;

    /// A vCPU in its power-on state.
    ///
    /// # Errors
    /// `InvalidInput` for a configuration the architecture cannot give.
    fn new(vm_id: usize, vcpu_id: usize, config: Self::CreateConfig) -> AxResult<Self>;

    /// Sets the guest-physical address of the first instruction.
    ///
    /// # Errors
    /// `InvalidInput` for an address at which no instruction can stand.
    fn set_entry(&mut self, entry: GuestPhysAddr) -> AxResult;

    /// Sets the root of the second stage of translation.
    ///
    /// # Errors
    /// `InvalidInput` for a misaligned root.
    fn set_ept_root(&mut self, root: HostPhysAddr) -> AxResult;

    /// Brings the vCPU to the state in which the architecture starts a CPU.
    ///
    /// # Errors
    /// `InvalidInput` for a configuration the architecture cannot give.
    fn setup(&mut self, config: Self::SetupConfig) -> AxResult;

    /// Enters the guest, and gives the reason of the next exit. The vCPU must be bound.
    ///
    /// # Errors
    /// Never for anything the guest does; only for a vCPU the hardware cannot enter.
    fn run(&mut self) -> AxResult<AxVCpuExitReason>;

    /// Lends the physical CPU to this loaded vCPU: masks interrupts, swaps what host and guest share.
    ///
    /// # Errors
    /// As the architecture says.
    fn bind(&mut self) -> AxResult;

    /// Gives the physical CPU back to the host, as [`bind`](Self::bind) found it.
    ///
    /// # Errors
    /// As the architecture says.
    fn unbind(&mut self) -> AxResult;

    /// Puts into the physical CPU what it keeps for the vCPU across exits and host work.
    fn load(&mut self);

    /// Takes back into memory what [`load`](Self::load) put into the physical CPU.
    fn save(&mut self);

    /// Writes a general register; the register that cannot be written (31 on aarch64) ignores it.
    fn set_gpr(&mut self, reg: usize, val: u64);

    /// Makes an interrupt pending where the vCPU itself keeps them (not on aarch64, where the
    /// interrupt controller does).
    ///
    /// # Errors
    /// `Unsupported` where another part keeps interrupts.
    fn inject_interrupt(&mut self, vector: usize) -> AxResult;

    /// Writes the register that a call returns its result in.
    fn set_return_value(&mut self, val: u64);

    /// Moves behind the instruction that made the last exit: the one place where the program counter
    /// moves. An exit that is never finished is made again.
    fn finish(&mut self);

    /// Makes the guest take the architecture's exception for `fault` instead of going on.
    fn inject_fault(&mut self, fault: GuestFault);

    /// The access that the instruction word of an [`AxVCpuExitReason::Undecoded`] exit stands for.
    fn decode_access(&mut self, instruction: u32) -> AxVCpuExitReason;
}

/// The architecture's half of one physical CPU.
pub trait AxArchPerCpu: Sized {
    /// Learns what it needs of the CPU it runs on.
    ///
    /// # Errors
    /// `Unsupported` where the CPU cannot virtualise.
    fn new(cpu_id: usize) -> AxResult<Self>;

    /// Whether this CPU can run guests now.
    fn is_enabled(&self) -> bool;

    /// Makes this CPU able to run guests.
    ///
    /// # Errors
    /// `Unsupported` where the CPU cannot virtualise.
    fn hardware_enable(&mut self) -> AxResult;

    /// Undoes [`hardware_enable`](Self::hardware_enable).
    ///
    /// # Errors
    /// As the architecture says.
    fn hardware_disable(&mut self) -> AxResult;
}
