//! What an architecture implements to be a virtual CPU, and to have virtualisation on a physical one.

use axaddrspace::{AccessWidth, GuestPhysAddr, HostPhysAddr};
use axerrno::AxResult;

use crate::{AxVCpuExitReason, GuestFault, SysRegAddr};

/// Whether the guest goes on after an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Resume {
    /// [`AxArchVCpu::run`] returns.
    No = 0,
    /// It does.
    Yes = 1,
}

/// What is done at an exit.
///
/// [`handle`](Self::handle) is all that is needed. An architecture may call the others instead, each for
/// the exit reason of its name and with that reason's fields: for these, which are frequent, a reason
/// that takes shape in memory would cost more than what is done about it.
pub trait ExitHandler<A: AxArchVCpu> {
    /// Handles one exit of `vcpu`.
    fn handle(&mut self, vcpu: &mut A, exit: AxVCpuExitReason) -> Resume;

    /// An exit that the architecture has settled by itself: there is nothing left to do but count it.
    #[inline(always)]
    fn settled(&mut self) {}

    /// Whether every exit is to be given to [`record`](Self::record), before anything is done about it. Asked at each
    /// [`AxArchVCpu::run`].
    fn records(&self) -> bool {
        false
    }

    /// An exit happens: `cause` as the architecture reports it, where the guest stood, and the address it reports.
    #[inline(always)]
    fn record(&mut self, cause: u64, pc: u64, address: u64) {
        let _ = (cause, pc, address);
    }

    /// [`AxVCpuExitReason::MmioRead`].
    #[inline(always)]
    fn mmio_read(&mut self, vcpu: &mut A, addr: GuestPhysAddr, load: Load) -> Resume {
        let Load { width, reg, reg_width, signed_ext } = load;
        self.handle(vcpu, AxVCpuExitReason::MmioRead { addr, width, reg, reg_width, signed_ext })
    }

    /// [`AxVCpuExitReason::MmioWrite`].
    #[inline(always)]
    fn mmio_write(
        &mut self,
        vcpu: &mut A,
        addr: GuestPhysAddr,
        width: AccessWidth,
        data: u64,
    ) -> Resume {
        self.handle(vcpu, AxVCpuExitReason::MmioWrite { addr, width, data })
    }

    /// [`AxVCpuExitReason::Hypercall`], whose arguments are [`AxArchVCpu::call_arguments`].
    #[inline(always)]
    fn hypercall(&mut self, vcpu: &mut A, nr: u64) -> Resume {
        let args = vcpu.call_arguments();
        self.handle(vcpu, AxVCpuExitReason::Hypercall { nr, args })
    }

    /// [`AxVCpuExitReason::SysRegWrite`].
    #[inline(always)]
    fn sys_reg_write(&mut self, vcpu: &mut A, addr: SysRegAddr, value: u64) -> Resume {
        self.handle(vcpu, AxVCpuExitReason::SysRegWrite { addr, value })
    }

    /// [`AxVCpuExitReason::ExternalInterrupt`].
    #[inline(always)]
    fn external_interrupt(&mut self, vcpu: &mut A, vector: u64) -> Resume {
        self.handle(vcpu, AxVCpuExitReason::ExternalInterrupt { vector })
    }
}

/// How a load fills its register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How much is loaded.
    pub width: AccessWidth,
    /// The general register that receives the value (31: none).
    pub reg: usize,
    /// How much of the register is written.
    pub reg_width: AccessWidth,
    /// Whether the value is sign-extended to `reg_width`.
    pub signed_ext: bool,
}

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

    /// Enters the guest and calls `handler` with the reason of every exit, until it says not to go on.
    /// The vCPU must be bound. The handler is called rather than returned to so that an exit can
    /// leave in the CPU what no called function changes.
    fn run(&mut self, handler: &mut impl ExitHandler<Self>);

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

    /// The arguments of the call that was the last exit.
    fn call_arguments(&self) -> [u64; 6];

    /// Writes the register that a call returns its result in.
    fn set_return_value(&mut self, val: u64);

    /// Moves behind the instruction that made the last exit, once: the one place where the program counter
    /// moves. An exit that is never finished is made again; a call stands behind its instruction already.
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
