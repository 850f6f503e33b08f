//! System-register accesses that trap, and exceptions the guest takes instead of going on.

use axvcpu::{AxArchVCpu, AxVCpuExitReason, ExitHandler, GuestFault, Resume, SysRegAddr};

use crate::access::Cause;
use crate::esr::{Class, Syndrome};
use crate::id_raw::raw_value;
use crate::id_regs::{GuestFeatures, GuestGic, guest_value};
use crate::inject::{self, Exception, Interrupted};
use crate::regs::{mrs, msr};
use crate::sysreg::{Direction, SysRegAction, decide, decode_iss};
use crate::vcpu::Aarch64VCpu;

/// What every guest is shown: the host's own interrupt controller is what it gets.
pub(crate) fn features() -> GuestFeatures {
    let gic = if crate::gic::is_v2() { GuestGic::V2 } else { GuestGic::V3 };
    GuestFeatures { gic, pauth: true }
}

impl Aarch64VCpu {
    /// A trapped MSR, MRS or SYS.
    pub(crate) fn system_register<H: ExitHandler<Self>>(
        &mut self,
        handler: &mut H,
        iss: u32,
    ) -> Resume {
        let (addr, rt, direction) = decode_iss(iss);
        let exit = self.other_system_register(addr, rt, direction);
        handler.handle(self, exit)
    }

    #[cold]
    #[inline(never)]
    fn other_system_register(
        &mut self,
        addr: SysRegAddr,
        rt: usize,
        direction: Direction,
    ) -> AxVCpuExitReason {
        let features = features();
        match decide(addr, direction, &features) {
            SysRegAction::ReadValue(value) => self.finish_read(rt, value),
            SysRegAction::IdRegister => {
                self.finish_read(rt, guest_value(addr, raw_value(addr), &features))
            }
            // All of the guest's memory is coherent write-back memory, so set/way maintenance has
            // nothing to do for it; HCR_EL2.TSW only keeps it away from everybody else's lines.
            SysRegAction::Ignore | SysRegAction::SetWayCacheOp => {
                self.finish();
                AxVCpuExitReason::Nothing
            }
            SysRegAction::ExitToVmm | SysRegAction::CounterTimer => match direction {
                Direction::Read => AxVCpuExitReason::SysRegRead { addr, reg: rt },
                Direction::Write => AxVCpuExitReason::SysRegWrite { addr, value: self.ctx.get(rt) },
            },
            // HCR_EL2.TVM and TID2 are off: the last two never trap.
            SysRegAction::Undefined
            | SysRegAction::VmControlRegister
            | SysRegAction::CacheSelection => AxVCpuExitReason::Fault(GuestFault::Undefined),
        }
    }

    fn finish_read(&mut self, rt: usize, value: u64) -> AxVCpuExitReason {
        self.ctx.set(rt, value);
        self.finish();
        AxVCpuExitReason::Nothing
    }

    /// Makes the guest's next instruction the first one of its EL1 vector for `fault`.
    #[cold]
    pub(crate) fn take_exception(&mut self, fault: GuestFault, cause: Cause) {
        let class = Syndrome(cause.esr).class();
        // What fails on the walk for a fetch is the fetch's.
        let fault = match fault {
            GuestFault::DataAbort if class == Class::InstructionAbort => GuestFault::PrefetchAbort,
            GuestFault::Undefined | GuestFault::DataAbort | GuestFault::PrefetchAbort => fault,
        };
        let exception = Exception::from_fault(fault, cause.esr, cause.far);
        // HVC alone leaves ELR_EL2 behind itself; an undefined HVC is taken at itself.
        let behind = if class == Class::Hvc { 4 } else { 0 };
        let entry = inject::enter(
            &Interrupted {
                pc: mrs!("ELR_EL2").wrapping_sub(behind),
                pstate: mrs!("SPSR_EL2"),
                vbar_el1: mrs!("VBAR_EL1"),
                sctlr_el1: mrs!("SCTLR_EL1"),
            },
            exception,
        );
        msr!("ELR_EL1", entry.elr_el1);
        msr!("SPSR_EL1", entry.spsr_el1);
        msr!("ESR_EL1", entry.esr_el1);
        if let Some(far) = entry.far_el1 {
            msr!("FAR_EL1", far);
        }
        msr!("ELR_EL2", entry.pc);
        msr!("SPSR_EL2", entry.pstate);
    }
}
