//! Running one vCPU: from its runner into the guest, through its exits, and back.

use axaddrspace::{AccessWidth, GuestPhysAddr};
use axdevice::Near;
use axerrno::{AxError, AxResult};
use axvcpu::{AxVCpuExitReason, ExitHandler, Load, Resume, SysRegAddr, VCpuSlot};
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Flow;
use crate::stats::ExitKind;
use crate::vm::Seat;
use crate::{AxVM, AxVMHal, GuestCpu};

/// How the runner wants a vCPU run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions<'a> {
    /// Something else is runnable on this CPU: WFI comes back instead of waiting.
    pub shared: bool,
    /// Set when the runner has something else to do.
    pub attention: &'a AtomicBool,
}

impl<H: AxVMHal, A: GuestCpu> AxVM<H, A> {
    /// Runs vCPU `vcpu_id` on this CPU until something the VM does not settle by itself:
    ///
    /// * `ExternalInterrupt`: one of the host's, still pending; unmasking interrupts takes it;
    /// * `AcknowledgedInterrupt`: one of the host's, which has to be given to it;
    /// * `Halt`: the guest waits for an interrupt, and there is none for it;
    /// * `CpuDown`, `SystemDown`, `SystemReset`: the guest asked for it;
    /// * `Nothing`: the vCPU was asked to leave the guest, or the runner wanted attention.
    ///
    /// # Errors
    /// `InvalidInput` for a vCPU that does not exist; `BadState` for one that is off or that somebody
    /// else runs.
    pub fn run_vcpu(
        &self,
        vcpu_id: usize,
        slot: &mut VCpuSlot<A>,
        options: RunOptions<'_>,
    ) -> AxResult<AxVCpuExitReason> {
        let seat = self.vcpus.get(vcpu_id).ok_or(AxError::InvalidInput)?;
        if !self.set_on(seat) {
            return Err(AxError::BadState);
        }
        let mut bound = slot.bind(&seat.vcpu)?;
        bound.arch().trap_wfi(options.shared);
        let doorbell = self.machine.vgic.doorbell(vcpu_id).ok_or(AxError::InvalidInput)?;
        let mut running = Running {
            vm: self,
            seat,
            vcpu: vcpu_id,
            attention: options.attention,
            doorbell,
            near: Near::default(),
            reason: None,
        };
        if running.resume() == Resume::Yes {
            bound.run(&mut running);
        }
        Ok(running.reason.unwrap_or(AxVCpuExitReason::Nothing))
    }
}

/// One vCPU's run, as its exits see it.
struct Running<'a, H: AxVMHal, A: GuestCpu> {
    vm: &'a AxVM<H, A>,
    seat: &'a Seat<A>,
    vcpu: usize,
    attention: &'a AtomicBool,
    /// Set when an interrupt of the vCPU waits to be listed.
    doorbell: &'a AtomicBool,
    near: Near,
    /// Why the runner gets the vCPU back.
    reason: Option<AxVCpuExitReason>,
}

impl<H: AxVMHal, A: GuestCpu> Running<'_, H, A> {
    /// The last look before the guest goes on: what arrives after it ends the guest's run by an interrupt.
    #[inline(always)]
    fn resume(&mut self) -> Resume {
        if self.seat.leave.load(Ordering::Relaxed) || self.attention.load(Ordering::Relaxed) {
            return self.leave(AxVCpuExitReason::Nothing);
        }
        if self.doorbell.load(Ordering::Relaxed) {
            self.vm.machine.vgic.flush(self.vcpu);
        }
        Resume::Yes
    }

    #[cold]
    fn leave(&mut self, reason: AxVCpuExitReason) -> Resume {
        self.reason = Some(reason);
        Resume::No
    }

    #[inline(always)]
    fn follow(&mut self, flow: Flow) -> Resume {
        match flow {
            ControlFlow::Continue(()) => self.resume(),
            ControlFlow::Break(reason) => self.leave(reason),
        }
    }
}

/// The frequent exits go straight to what handles them; all go through the same functions.
impl<H: AxVMHal, A: GuestCpu> ExitHandler<A> for Running<'_, H, A> {
    fn handle(&mut self, cpu: &mut A, exit: AxVCpuExitReason) -> Resume {
        self.seat.exits.count(kind_of(&exit));
        let flow = self.vm.handle(cpu, self.vcpu, exit);
        self.follow(flow)
    }

    #[inline(always)]
    fn settled(&mut self) {
        self.seat.exits.count(ExitKind::Register);
    }

    #[inline(always)]
    fn mmio_read(&mut self, cpu: &mut A, addr: GuestPhysAddr, load: Load) -> Resume {
        self.seat.exits.count(ExitKind::DeviceRead);
        self.vm.mmio_read(cpu, self.vcpu, &mut self.near, addr, load);
        self.resume()
    }

    #[inline(always)]
    fn mmio_write(
        &mut self,
        cpu: &mut A,
        addr: GuestPhysAddr,
        width: AccessWidth,
        data: u64,
    ) -> Resume {
        self.seat.exits.count(ExitKind::DeviceWrite);
        self.vm.mmio_write(cpu, self.vcpu, &mut self.near, addr, width, data);
        self.resume()
    }

    #[inline(always)]
    fn hypercall(&mut self, cpu: &mut A, nr: u64, args: [u64; 6]) -> Resume {
        self.seat.exits.count(ExitKind::Call);
        let flow = self.vm.call(cpu, self.vcpu, nr, args);
        self.follow(flow)
    }

    #[inline(always)]
    fn sys_reg_write(&mut self, cpu: &mut A, addr: SysRegAddr, value: u64) -> Resume {
        self.seat.exits.count(ExitKind::Register);
        let flow = self.vm.write_register(cpu, self.vcpu, addr, value);
        self.follow(flow)
    }

    #[inline(always)]
    fn external_interrupt(&mut self, _cpu: &mut A, vector: u64) -> Resume {
        self.seat.exits.count(ExitKind::Interrupt);
        let flow = self.vm.interrupt(vector, self.vcpu);
        self.follow(flow)
    }
}

const fn kind_of(exit: &AxVCpuExitReason) -> ExitKind {
    match exit {
        AxVCpuExitReason::Hypercall { .. } => ExitKind::Call,
        AxVCpuExitReason::MmioRead { .. } => ExitKind::DeviceRead,
        AxVCpuExitReason::MmioWrite { .. } => ExitKind::DeviceWrite,
        AxVCpuExitReason::SysRegRead { .. } | AxVCpuExitReason::SysRegWrite { .. } => {
            ExitKind::Register
        }
        AxVCpuExitReason::ExternalInterrupt { .. }
        | AxVCpuExitReason::AcknowledgedInterrupt { .. } => ExitKind::Interrupt,
        AxVCpuExitReason::Halt => ExitKind::Wait,
        AxVCpuExitReason::NestedPageFault { .. }
        | AxVCpuExitReason::Undecoded { .. }
        | AxVCpuExitReason::Fault(_) => ExitKind::Fault,
        AxVCpuExitReason::IoRead { .. }
        | AxVCpuExitReason::IoWrite { .. }
        | AxVCpuExitReason::CpuUp { .. }
        | AxVCpuExitReason::CpuDown { .. }
        | AxVCpuExitReason::SystemDown
        | AxVCpuExitReason::SystemReset
        | AxVCpuExitReason::Nothing
        | AxVCpuExitReason::FailEntry { .. }
        | AxVCpuExitReason::SendIPI { .. }
        | _ => ExitKind::Other,
    }
}
