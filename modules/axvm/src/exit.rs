//! The one `match` that decides every exit, and what is done about each.
//!
//! Everything here runs with interrupts masked between bind and unbind: nothing of the host is called,
//! nothing allocates, and the only locks are short spin locks. Where the guest is to blame, the guest
//! takes the fault; `Err` and the exits that are given back are the caller's.

use arm_vcpu::SliceTimer;
use arm_vcpu::gic::{GICV2, SPURIOUS};
use arm_vcpu::sysreg::names;
use arm_vgic::{Doorbell, TIMER_PPI};
use axaddrspace::{AccessWidth, GuestPhysAddr, MappingFlags};
use axdevice::Near;
use axvcpu::{AxVCpuExitReason, GuestFault, Load, SysRegAddr, extend};
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;

use crate::flow::{Flow, Leave, RESUME};
use crate::ivc;
use crate::psci::{self, PowerState, PsciAction, PsciView};
use crate::timer::PhysicalTimer;
use crate::vm::Seat;
use crate::{AxVM, AxVMHal, CpuInterface, GuestCpu};

/// The physical SGI that makes a CPU look at what its vCPU is asked. SGI 0 is the host's.
pub const KICK_SGI: u32 = 1;
/// The list register that is kept for the virtual timer.
pub(crate) const TIMER_LIST_REGISTER: usize = 0;
/// The maintenance interrupt of the virtual CPU interface.
pub const MAINTENANCE_PPI: u32 = 25;

/// The last INTID that stands for no interrupt.
const LAST_SPECIAL: u32 = 1023;
/// No timer will end a wait.
const NEVER: u64 = u64::MAX;

impl<H: AxVMHal, A: GuestCpu> AxVM<H, A> {
    #[inline]
    pub(crate) fn handle(&self, cpu: &mut A, vcpu: usize, exit: AxVCpuExitReason) -> Flow {
        match exit {
            AxVCpuExitReason::Nothing => RESUME,
            AxVCpuExitReason::MmioRead { addr, width, reg, reg_width, signed_ext } => {
                self.mmio_read(
                    cpu,
                    vcpu,
                    &mut Near::default(),
                    addr,
                    Load { width, reg, reg_width, signed_ext },
                );
                RESUME
            }
            AxVCpuExitReason::MmioWrite { addr, width, data } => {
                self.mmio_write(cpu, vcpu, &mut Near::default(), addr, width, data);
                RESUME
            }
            AxVCpuExitReason::ExternalInterrupt { vector } => self.interrupt(vector, vcpu),
            AxVCpuExitReason::Hypercall { nr, args } => self.call(cpu, vcpu, nr, args),
            AxVCpuExitReason::SysRegRead { addr, reg } => self.read_register(cpu, vcpu, addr, reg),
            AxVCpuExitReason::SysRegWrite { addr, value } => {
                self.write_register(cpu, vcpu, addr, value)
            }
            AxVCpuExitReason::Halt => {
                cpu.finish();
                self.wait(cpu, vcpu)
            }
            AxVCpuExitReason::Undecoded { addr, instruction } => {
                if self.machine.bus.find(addr).is_none() {
                    no_device(cpu);
                    return RESUME;
                }
                self.decode(cpu, vcpu, instruction)
            }
            // All memory is mapped from the start: there is none, or it may not be used so.
            AxVCpuExitReason::NestedPageFault { access_flags, .. } => {
                let fetch = access_flags.contains(MappingFlags::EXECUTE);
                let fault = if fetch { GuestFault::PrefetchAbort } else { GuestFault::DataAbort };
                cpu.inject_fault(fault);
                RESUME
            }
            AxVCpuExitReason::Fault(fault) => {
                cpu.inject_fault(fault);
                RESUME
            }
            // No aarch64 vCPU makes these.
            AxVCpuExitReason::AcknowledgedInterrupt { vector } => {
                ControlFlow::Break(Leave::AcknowledgedInterrupt(vector))
            }
            AxVCpuExitReason::FailEntry { hardware_entry_failure_reason: code } => {
                ControlFlow::Break(Leave::FailEntry(code))
            }
            AxVCpuExitReason::CpuDown { .. } => ControlFlow::Break(Leave::CpuDown),
            AxVCpuExitReason::SystemDown => ControlFlow::Break(Leave::SystemDown),
            AxVCpuExitReason::SystemReset => ControlFlow::Break(Leave::SystemReset),
            AxVCpuExitReason::IoRead { .. }
            | AxVCpuExitReason::IoWrite { .. }
            | AxVCpuExitReason::CpuUp { .. }
            | AxVCpuExitReason::SendIPI { .. }
            | _ => ControlFlow::Break(Leave::Nothing),
        }
    }

    #[inline(always)]
    pub(crate) fn mmio_read(
        &self,
        cpu: &mut A,
        vcpu: usize,
        near: &mut Near,
        addr: GuestPhysAddr,
        load: Load,
    ) {
        let Load { width, reg, reg_width, signed_ext } = load;
        let Some(value) = self.machine.bus.read(near, addr, width, vcpu) else {
            return no_device(cpu);
        };
        cpu.set_gpr(reg, extend(value, width, reg_width, signed_ext));
        cpu.finish();
    }

    #[inline(always)]
    pub(crate) fn mmio_write(
        &self,
        cpu: &mut A,
        vcpu: usize,
        near: &mut Near,
        addr: GuestPhysAddr,
        width: AccessWidth,
        data: u64,
    ) {
        if self.machine.bus.write(near, addr, width, data, vcpu).is_none() {
            return no_device(cpu);
        }
        cpu.finish();
    }

    /// A physical interrupt came while the guest ran. Each has one owner; the peek says whether it is
    /// worth acknowledging here.
    pub(crate) fn interrupt(&self, vector: u64, vcpu: usize) -> Flow {
        match u32::try_from(vector).unwrap_or(u32::MAX) {
            TIMER_PPI | KICK_SGI | MAINTENANCE_PPI => self.take_interrupt::<A::Gicv3>(vcpu),
            linked if self.machine.linked.contains(&linked) => {
                self.take_interrupt::<A::Gicv3>(vcpu)
            }
            SliceTimer::INTID => slice_ended(),
            _ if vector >> 32 == GICV2 >> 32 => self.interrupt_of_gicv2(vector ^ GICV2, vcpu),
            _ => ControlFlow::Break(Leave::ExternalInterrupt(vector)),
        }
    }

    /// The same where the interrupt was seen at a GICv2.
    #[cold]
    fn interrupt_of_gicv2(&self, vector: u64, vcpu: usize) -> Flow {
        match u32::try_from(vector).unwrap_or(u32::MAX) {
            TIMER_PPI | KICK_SGI | MAINTENANCE_PPI => self.take_interrupt::<A::Gicv2>(vcpu),
            linked if self.machine.linked.contains(&linked) => {
                self.take_interrupt::<A::Gicv2>(vcpu)
            }
            SliceTimer::INTID => slice_ended(),
            _ => ControlFlow::Break(Leave::ExternalInterrupt(vector)),
        }
    }

    /// Acknowledges, and settles what was acknowledged: between the peek and now another interrupt of the same priority
    /// may have come before the one that was seen.
    fn take_interrupt<C: CpuInterface>(&self, vcpu: usize) -> Flow {
        self.settle_interrupt::<C>(C::acknowledge(), vcpu)
    }

    /// Does what is to be done for what was acknowledged.
    pub(crate) fn settle_interrupt<C: CpuInterface>(&self, taken: u32, vcpu: usize) -> Flow {
        let doorbell = self.machine.vgic.doorbell(vcpu);
        match C::intid(taken) {
            TIMER_PPI => {
                // Deactivated by the guest: the list register links the two.
                C::drop_priority(taken);
                let value = doorbell.map_or(0, Doorbell::timer_lr);
                C::set_list_register(TIMER_LIST_REGISTER, value);
                if value == 0 {
                    // Nobody is to deactivate it: the guest has switched it off meanwhile.
                    C::deactivate(taken);
                }
            }
            KICK_SGI => complete::<C>(taken),
            MAINTENANCE_PPI => {
                self.machine.vgic.sync(vcpu);
                self.machine.vgic.flush(vcpu);
                complete::<C>(taken);
            }
            SliceTimer::INTID => {
                let flow = slice_ended();
                complete::<C>(taken);
                return flow;
            }
            SPURIOUS..=LAST_SPECIAL => {}
            // Active until the guest ends it: the list register links the two.
            linked if self.host_interrupt(linked) => C::drop_priority(taken),
            _ => {
                return ControlFlow::Break(Leave::AcknowledgedInterrupt(u64::from(taken)));
            }
        }
        RESUME
    }

    /// An access to a device that only its instruction word describes.
    #[cold]
    #[inline(never)]
    fn decode(&self, cpu: &mut A, vcpu: usize, instruction: GuestPhysAddr) -> Flow {
        let Ok(word) = self.machine.space.read_of::<u32>(instruction) else {
            cpu.inject_fault(GuestFault::DataAbort);
            return RESUME;
        };
        let decoded = cpu.decode_access(word);
        self.handle(cpu, vcpu, decoded)
    }

    /// The guest waits for an interrupt.
    fn wait(&self, cpu: &mut A, vcpu: usize) -> Flow {
        if self.machine.vgic.has_deliverable(vcpu) {
            return RESUME;
        }
        if let Some(seat) = self.vcpus.get(vcpu) {
            let deadline = cpu.timer_deadline().unwrap_or(NEVER);
            seat.wake_at.store(deadline, Ordering::Relaxed);
        }
        ControlFlow::Break(Leave::Halt)
    }

    /// A call of the firmware or of the hypervisor. The guest stands behind it.
    pub(crate) fn call(&self, cpu: &mut A, vcpu: usize, nr: u64, args: [u64; 6]) -> Flow {
        let function = (nr & 0xffff_ffff) as u32;
        let [first, second, third, ..] = args;
        let result = if ivc::is_call(function) {
            ivc::call(function, first, &self.machine.channels)
        } else {
            match psci::call(function, [first, second, third], &View { vm: self }) {
                PsciAction::Return(value) => value,
                PsciAction::CpuOn { vcpu: target, entry, context } => {
                    self.cpu_on(target, entry, context)
                }
                PsciAction::Suspend => {
                    cpu.set_return_value(0);
                    return self.wait(cpu, vcpu);
                }
                PsciAction::CpuOff => {
                    return ControlFlow::Break(Leave::CpuDown);
                }
                PsciAction::SystemOff => return ControlFlow::Break(Leave::SystemDown),
                PsciAction::SystemReset | PsciAction::SystemReset2 { .. } => {
                    return ControlFlow::Break(Leave::SystemReset);
                }
            }
        };
        cpu.set_return_value(result);
        RESUME
    }

    /// PSCI CPU_ON of `target`: its result code.
    fn cpu_on(&self, target: usize, entry: GuestPhysAddr, context: u64) -> u64 {
        if !self.claim_off_vcpu(target) {
            return psci::cpu_on_lost(self.power(target).unwrap_or(PowerState::On));
        }
        if self.set_up_vcpu(target, entry, context).is_err() {
            // The entry was checked, and an off vCPU is free: only a bug leads here.
            self.unclaim_vcpu(target);
            return psci::INTERNAL_FAILURE;
        }
        self.ports.vcpus.start(target);
        0
    }

    fn read_register(&self, cpu: &mut A, vcpu: usize, register: SysRegAddr, reg: usize) -> Flow {
        let now = self.guest_counter();
        let value = self.vcpus.get(vcpu).and_then(|seat| seat.timer.read(register, now));
        match value {
            Some(value) => {
                cpu.set_gpr(reg, value);
                cpu.finish();
            }
            None => cpu.inject_fault(GuestFault::Undefined),
        }
        RESUME
    }

    pub(crate) fn write_register(
        &self,
        cpu: &mut A,
        vcpu: usize,
        register: SysRegAddr,
        value: u64,
    ) -> Flow {
        if register == names::ICC_SGI1R_EL1 {
            self.machine.vgic.send_sgi(vcpu, value);
            cpu.finish();
            return RESUME;
        }
        if matches!(register, names::ICC_ASGI1R_EL1 | names::ICC_SGI0R_EL1 | names::ICC_DIR_EL1) {
            // Groups the guest's single security state does not have; DIR traps only when asked to.
            cpu.finish();
            return RESUME;
        }
        let Some(seat) = self.vcpus.get(vcpu) else {
            return RESUME;
        };
        let now = self.guest_counter();
        if !seat.timer.write(register, value, now) {
            cpu.inject_fault(GuestFault::Undefined);
            return RESUME;
        }
        cpu.finish();
        self.drive_timer_line(vcpu, seat, now);
        // The runner's timer has a new deadline.
        ControlFlow::Break(Leave::Nothing)
    }

    fn drive_timer_line(&self, vcpu: usize, seat: &Seat<A>, now: u64) {
        self.machine.vgic.set_ppi_level(vcpu, PhysicalTimer::PPI, seat.timer.line(now));
    }

    /// The emulated physical timer of `vcpu`: raises its line if it is due, else gives the physical
    /// counter value at which it will be. For the runner, before it enters the guest or sleeps.
    pub fn poll_timer(&self, vcpu: usize) -> Option<u64> {
        let seat = self.vcpus.get(vcpu)?;
        if !seat.timer.is_on() {
            return None;
        }
        let now = self.guest_counter();
        if seat.timer.line(now) {
            self.drive_timer_line(vcpu, seat, now);
        }
        seat.timer.deadline(now).map(|at| self.physical_counter_at(at))
    }

    /// The physical counter value at which a timer of `vcpu`, which has just halted, ends its wait.
    pub fn wake_at(&self, vcpu: usize) -> Option<u64> {
        let seat = self.vcpus.get(vcpu)?;
        let at = seat.wake_at.load(Ordering::Relaxed);
        let emulated = self.poll_timer(vcpu);
        emulated.into_iter().chain((at != NEVER).then_some(at)).min()
    }

    /// Whether an interrupt may have come for `vcpu` since it halted, so that it must not sleep. Asked after it can be
    /// seen to sleep: what comes later wakes it.
    pub fn has_interrupt(&self, vcpu: usize) -> bool {
        self.machine.vgic.doorbell(vcpu).is_some_and(Doorbell::has_rung)
    }

    /// Whether `vcpu` was asked to leave the guest.
    pub fn must_leave(&self, vcpu: usize) -> bool {
        self.vcpus.get(vcpu).is_some_and(|seat| seat.leave.load(Ordering::Acquire))
    }
}

/// Nobody's address: an external abort, as on a board.
#[cold]
#[inline(never)]
fn no_device<A: GuestCpu>(cpu: &mut A) {
    cpu.inject_fault(GuestFault::DataAbort);
}

/// The runner's timer, level-sensitive: it is turned off here, before interrupts are unmasked, or the host would take the
/// interrupt once more just to complete it. The runner sets it anew.
pub(crate) fn slice_ended() -> Flow {
    SliceTimer::disarm();
    ControlFlow::Break(Leave::Nothing)
}

fn complete<C: CpuInterface>(taken: u32) {
    C::drop_priority(taken);
    C::deactivate(taken);
}

/// What PSCI may know of the VM.
struct View<'a, H: AxVMHal, A: GuestCpu> {
    vm: &'a AxVM<H, A>,
}

impl<H: AxVMHal, A: GuestCpu> PsciView for View<'_, H, A> {
    fn power(&self, vcpu: usize) -> Option<PowerState> {
        self.vm.power(vcpu)
    }

    fn is_ram(&self, gpa: GuestPhysAddr) -> bool {
        let mapped = self.vm.machine.space.translate(gpa);
        mapped.is_some_and(|(_, flags, _)| flags.contains(MappingFlags::EXECUTE))
    }
}
