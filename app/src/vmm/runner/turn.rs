//! A vCPU's turn on its CPU: from its pick, through the guest, to what becomes of it.

use alloc::format;
use core::fmt::Display;

use arm_vcpu::{SliceTimer, gic, physical_counter};
use axsched::Picked;
use axvcpu::AxVCpuExitReason;
use axvm::{Departure, RunOptions, StopReason};

use super::Runner;
use crate::host::cpu;
use crate::vmm::pcpu::VcpuKey;
use crate::vmm::seats::{Seat, Status};
use crate::vmm::table::{self, Vm};
use crate::vmm::time::{ns_to_ticks, ticks_to_ns};
use crate::vmm::{moves, service};

/// A run in the guest.
#[derive(Clone, Copy)]
struct Ran {
    /// When it ended.
    left_ns: u64,
    /// How long it was.
    ran_ns: u64,
}

/// What becomes of the vCPU.
enum End {
    /// It waits for an interrupt.
    Waits,
    /// It has left the guest for another reason.
    Departs(Departure),
}

/// Whose turn it is.
pub(super) struct Turn {
    pub(super) picked: Picked<VcpuKey>,
    /// The counter value at which the first timer of a sleeping vCPU is due.
    pub(super) deadline: Option<u64>,
}

impl Runner {
    /// Gives the picked vCPU its turn, until it leaves the guest for something the runner has to see to.
    #[inline]
    pub(super) fn dispatch(&mut self, turn: &Turn) {
        let key = turn.picked.key;
        let vm = table::by_id(key.vm);
        let Some((vm, seat)) =
            vm.as_deref().and_then(|vm| Some((vm, vm.seats.seat(key.vcpu as usize)?)))
        else {
            self.pcpu.with(|queue| queue.runnable.remove(key));
            return;
        };
        if let Some(to) = moves::refuge(turn.picked.affinity, self.slot.cpu_id()) {
            return self.expel(key, to);
        }
        seat.set_status(Status::Running);
        seat.usage.waited(&turn.picked);
        let (end, ran) = self.run_guest(vm, seat, turn);
        match end {
            End::Waits => self.block(vm, seat, key, ran),
            End::Departs(Departure::Stays) => self.put_back(seat, key, ran),
            End::Departs(departure @ (Departure::Parks | Departure::Ends)) => {
                self.pcpu.with(|queue| queue.runnable.charge(key, ran.ran_ns));
                self.evict(vm, seat, key, departure);
            }
        }
    }

    /// Runs it in the guest once, and does what its exit asks of the runner.
    #[inline]
    fn run_guest(&mut self, vm: &Vm, seat: &Seat, turn: &Turn) -> (End, Ran) {
        let (picked, key) = (&turn.picked, turn.picked.key);
        let vcpu = key.vcpu as usize;
        if !self.pcpu.holds(key) {
            self.let_go();
            self.pcpu.hold(Some(key));
        }
        let start = physical_counter();
        let start_ns = ticks_to_ns(start);
        seat.usage.ran.start(start_ns);
        self.pcpu.ran.start(start_ns);
        let slice = picked.slice_ns.map(|ns| start.wrapping_add(ns_to_ticks(ns)));
        let due = earliest(turn.deadline, vm.vm.poll_timer(vcpu));
        match earliest(slice, due) {
            Some(deadline) => SliceTimer::arm(deadline),
            None => SliceTimer::disarm(),
        }
        let shared = picked.slice_ns.is_some();
        let options = RunOptions { shared, attention: self.pcpu.attention() };
        let exit = vm.vm.run_vcpu(vcpu, &mut self.slot, options);
        let left_ns = ticks_to_ns(vm.vm.left_at(vcpu)).max(start_ns);
        let ran_ns = left_ns.wrapping_sub(start_ns);
        seat.usage.ran.stop(ran_ns);
        self.pcpu.ran.stop(ran_ns);
        let end = match &exit {
            Ok(AxVCpuExitReason::Halt) => End::Waits,
            // The slice is over, or the host has had an interrupt.
            Ok(AxVCpuExitReason::Nothing | AxVCpuExitReason::ExternalInterrupt { .. })
                if !vm.vm.must_leave(vcpu) =>
            {
                End::Departs(Departure::Stays)
            }
            other => End::Departs(settle(vm, vcpu, other)),
        };
        (end, Ran { left_ns, ran_ns })
    }

    /// It goes on at its next turn.
    #[inline]
    fn put_back(&self, seat: &Seat, key: VcpuKey, ran: Ran) {
        seat.set_status(Status::Runnable);
        self.pcpu.with(|queue| {
            queue.runnable.charge(key, ran.ran_ns);
            queue.runnable.put_back(key, ran.left_ns);
        });
    }

    /// The vCPU, whose turn it is, may not run here any more: it goes to CPU `to`.
    #[cold]
    #[inline(never)]
    fn expel(&mut self, key: VcpuKey, to: usize) {
        if self.pcpu.holds(key) {
            self.let_go();
        }
        if let Some(entity) = self.pcpu.with(|queue| queue.runnable.remove(key)).flatten() {
            moves::settle(self.pcpu, &entity, to);
        }
    }

    /// The vCPU waits for an interrupt, unless one came since it looked.
    #[inline]
    fn block(&self, vm: &Vm, seat: &Seat, key: VcpuKey, ran: Ran) {
        let vcpu = key.vcpu as usize;
        let wake_at = vm.vm.wake_at(vcpu);
        self.pcpu.with(|queue| {
            queue.runnable.charge(key, ran.ran_ns);
            seat.set_vruntime_ns(queue.runnable.block(key).unwrap_or(0));
            if let Some(deadline) = wake_at {
                // There is room for as many as may be at home here.
                queue.sleepers.add(key, deadline);
            }
        });
        seat.set_status(Status::Blocked);
        if vm.vm.has_interrupt(vcpu) || vm.vm.must_leave(vcpu) {
            vm.seats.wake_from(self.pcpu, vcpu, Status::Blocked);
        }
    }

    /// The vCPU parks or ends: nothing of it stays in this CPU.
    fn evict(&mut self, vm: &Vm, seat: &Seat, key: VcpuKey, departure: Departure) {
        let vcpu = key.vcpu as usize;
        let left = self.pcpu.with(|queue| queue.runnable.remove(key)).flatten();
        seat.set_vruntime_ns(left.map_or(0, |entity| entity.vruntime_ns));
        if self.pcpu.holds(key) {
            self.let_go();
        }
        if departure == Departure::Parks {
            seat.set_status(Status::Parked);
            vm.vm.vcpu_parked(vcpu);
            // Who stops it or lets it go on since it was asked has not seen it parked.
            if vm.vm.departure(vcpu) != Departure::Parks {
                vm.seats.wake_from(self.pcpu, vcpu, Status::Parked);
            }
            return;
        }
        seat.set_status(Status::Off);
        if vm.vm.vcpu_off(vcpu) {
            service::vm_ended();
        }
    }

    /// Saves the vCPU whose registers this CPU has, on which this runs.
    fn let_go(&mut self) {
        if let Err(error) = self.slot.evict() {
            log::error!("a vCPU cannot be evicted: {error}");
            return;
        }
        self.pcpu.hold(None);
    }
}

/// The first of two deadlines, where there are any.
fn earliest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

/// Does what the exit of vCPU `vcpu`, or why it cannot run, asks of the runner. Gives what becomes of the vCPU.
#[cold]
#[inline(never)]
fn settle<E: Display>(vm: &Vm, vcpu: usize, exit: &Result<AxVCpuExitReason, E>) -> Departure {
    match exit {
        Ok(AxVCpuExitReason::AcknowledgedInterrupt { vector }) => {
            cpu::handle_acknowledged(u32::try_from(*vector).unwrap_or(gic::SPURIOUS));
            vm.vm.departure(vcpu)
        }
        Ok(AxVCpuExitReason::CpuDown { .. }) => Departure::Ends,
        Ok(AxVCpuExitReason::SystemDown) => {
            // It may be stopping already; then that reason stands.
            let _ = vm.vm.shutdown(StopReason::PowerOff);
            Departure::Ends
        }
        Ok(AxVCpuExitReason::SystemReset) => {
            let _ = vm.vm.shutdown(StopReason::Reset);
            Departure::Ends
        }
        Ok(_) => vm.vm.departure(vcpu),
        Err(why) => {
            vm.vm.fail(vcpu, 0, format!("the vCPU cannot run: {why}"));
            Departure::Ends
        }
    }
}
