//! Running one vCPU: from its runner into the guest, through its exits, and back.

use arm_vcpu::SliceTimer;
use arm_vcpu::sysreg::names;
use arm_vgic::{Doorbell, TIMER_PPI};
use axaddrspace::{AccessWidth, GuestPhysAddr};
use axdevice::Near;
use axerrno::{AxError, AxResult};
use axvcpu::{AxVCpuExitReason, ExitHandler, Load, Resume, SysRegAddr, VCpuSlot};
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::exit::{KICK_SGI, TIMER_LIST_REGISTER, slice_ended};
use crate::flow::{Flow, Leave};
use crate::record::Recorded;
use crate::stats::ExitKind;
use crate::vm::Seat;
use crate::{AxVM, AxVMHal, CpuInterface, GuestCpu, psci};

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
            recorded: seat.record.is_on(),
            reason: Leave::Nothing,
        };
        if running.look_around() == Resume::Yes {
            bound.run(&mut running);
        }
        let reason = running.reason;
        // Before the host takes an interrupt that waits.
        seat.left_at.store(A::counter(), Ordering::Relaxed);
        Ok(reason.into())
    }
}

/// One vCPU's run, as its exits see it.
///
/// Whoever wants the vCPU out of the guest, or its runner's attention, says so in memory and then sends [`KICK_SGI`]: that
/// interrupt's exit looks at all of it. Other exits look only at what they may have caused themselves, an interrupt for
/// the vCPU they are of.
struct Running<'a, H: AxVMHal, A: GuestCpu> {
    vm: &'a AxVM<H, A>,
    seat: &'a Seat<A>,
    vcpu: usize,
    attention: &'a AtomicBool,
    doorbell: &'a Doorbell,
    near: Near,
    /// Whether exits were recorded when the run began.
    recorded: bool,
    /// Why the runner gets the vCPU back.
    reason: Leave,
}

impl<H: AxVMHal, A: GuestCpu> Running<'_, H, A> {
    /// Whether the guest may go on: what arrives after this look interrupts it.
    #[inline(always)]
    fn look_around(&mut self) -> Resume {
        if self.seat.leave.load(Ordering::Relaxed) || self.attention.load(Ordering::Relaxed) {
            return self.leave(Leave::Nothing);
        }
        self.answer_doorbell()
    }

    /// Lists what has become pending for the vCPU.
    #[inline(always)]
    fn answer_doorbell(&self) -> Resume {
        if self.doorbell.has_rung() {
            self.flush();
        }
        Resume::Yes
    }

    #[inline(never)]
    fn flush(&self) {
        self.vm.machine.vgic.flush_rung(self.vcpu, self.doorbell);
    }

    #[cold]
    fn leave(&mut self, reason: Leave) -> Resume {
        self.reason = reason;
        Resume::No
    }

    fn follow(&mut self, flow: Flow) -> Resume {
        match flow {
            ControlFlow::Continue(()) => self.look_around(),
            ControlFlow::Break(reason) => self.leave(reason),
        }
    }

    #[cold]
    #[inline(never)]
    fn firmware_call(&mut self, cpu: &mut A, nr: u64) -> Resume {
        let flow = self.vm.call(cpu, self.vcpu, nr, cpu.call_arguments());
        self.follow(flow)
    }

    #[inline(never)]
    fn send_sgi(&mut self, icc_sgi1r: u64) -> Resume {
        self.vm.machine.vgic.send_sgi(self.vcpu, icc_sgi1r);
        self.answer_doorbell()
    }

    #[cold]
    #[inline(never)]
    fn other_write(&mut self, cpu: &mut A, addr: SysRegAddr, value: u64) -> Resume {
        let flow = self.vm.write_register(cpu, self.vcpu, addr, value);
        self.follow(flow)
    }

    /// Somebody wants something.
    #[inline(never)]
    fn kicked(&mut self) -> Resume {
        let taken = A::Gicv3::acknowledge();
        if A::Gicv3::intid(taken) != KICK_SGI {
            return self.acknowledged(taken);
        }
        A::Gicv3::drop_priority(taken);
        A::Gicv3::deactivate(taken);
        self.look_around()
    }

    #[inline(never)]
    fn other_interrupt(&mut self, vector: u64) -> Resume {
        let flow = if vector == u64::from(SliceTimer::INTID) {
            slice_ended()
        } else {
            self.vm.interrupt(vector, self.vcpu)
        };
        self.follow(flow)
    }

    /// After an acknowledgement that was to be the timer's.
    #[cold]
    #[inline(never)]
    fn acknowledged(&mut self, taken: u32) -> Resume {
        let flow = self.vm.settle_interrupt::<A::Gicv3>(taken, self.vcpu);
        self.follow(flow)
    }
}

/// The frequent exits go straight to what handles them; all go through the same functions.
impl<H: AxVMHal, A: GuestCpu> ExitHandler<A> for Running<'_, H, A> {
    #[inline(never)]
    fn handle(&mut self, cpu: &mut A, exit: AxVCpuExitReason) -> Resume {
        self.seat.exits.count(kind_of(&exit));
        let flow = self.vm.handle(cpu, self.vcpu, exit);
        self.follow(flow)
    }

    fn records(&self) -> bool {
        self.recorded
    }

    #[inline(always)]
    fn record(&mut self, cause: u64, pc: u64, address: u64) {
        self.seat.record.put(Recorded { time: A::counter_unordered(), cause, pc, address });
    }

    #[inline(always)]
    fn settled(&mut self) {
        self.seat.exits.count(ExitKind::Register);
    }

    #[inline(always)]
    fn mmio_read(&mut self, cpu: &mut A, addr: GuestPhysAddr, load: Load) -> Resume {
        self.seat.exits.count(ExitKind::DeviceRead);
        self.vm.mmio_read(cpu, self.vcpu, &mut self.near, addr, load);
        self.answer_doorbell()
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
        self.answer_doorbell()
    }

    #[inline(always)]
    fn hypercall(&mut self, cpu: &mut A, nr: u64) -> Resume {
        self.seat.exits.count(ExitKind::Call);
        if let Some(value) = psci::constant_answer(low_half(nr)) {
            cpu.set_return_value(value);
            return Resume::Yes;
        }
        self.firmware_call(cpu, nr)
    }

    #[inline(always)]
    fn sys_reg_write(&mut self, cpu: &mut A, addr: SysRegAddr, value: u64) -> Resume {
        self.seat.exits.count(ExitKind::Register);
        if addr != names::ICC_SGI1R_EL1 {
            return self.other_write(cpu, addr, value);
        }
        cpu.finish();
        if self.vm.machine.vgic.send_to_self(self.vcpu, self.doorbell, value) {
            return Resume::Yes;
        }
        self.send_sgi(value)
    }

    #[inline(always)]
    fn external_interrupt(&mut self, _cpu: &mut A, vector: u64) -> Resume {
        self.seat.exits.count(ExitKind::Interrupt);
        if vector != u64::from(TIMER_PPI) {
            return if vector == u64::from(KICK_SGI) {
                self.kicked()
            } else {
                self.other_interrupt(vector)
            };
        }
        let taken = A::Gicv3::acknowledge();
        let timer_lr = self.doorbell.timer_lr();
        if A::Gicv3::intid(taken) != TIMER_PPI || timer_lr == 0 {
            return self.acknowledged(taken);
        }
        // Deactivated by the guest: the list register links the two.
        A::Gicv3::drop_priority(taken);
        A::Gicv3::set_list_register(TIMER_LIST_REGISTER, timer_lr);
        Resume::Yes
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a function's id is in the lower half of its register"
)]
const fn low_half(register: u64) -> u32 {
    register as u32
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
