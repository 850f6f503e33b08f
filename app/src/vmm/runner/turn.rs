//! A vCPU's turn on its CPU: from its pick, through the guest, to what becomes of it.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::Ordering;

use arm_vcpu::{SliceTimer, gic, physical_counter};
use axsched::Picked;
use axvcpu::AxVCpuExitReason;
use axvm::{Departure, RunOptions, StopReason};

use super::{NOBODY, Runner, Slot, VcpuKey};
use crate::host::cpu;
use crate::vmm::seats::{Seat, Status};
use crate::vmm::table::{self, Vm};
use crate::vmm::time::{ns_to_ticks, ticks_to_ns};
use crate::vmm::{moves, service};

impl Runner {
    /// Gives the picked vCPU its turn, until it leaves the guest for something the runner has to see to.
    pub(super) fn dispatch(&self, picked: &Picked<VcpuKey>, slot: &mut Slot) {
        let key = picked.key;
        let vcpu = key.vcpu as usize;
        let vm = table::by_key(key);
        let Some((vm, seat)) = vm.as_deref().and_then(|vm| Some((vm, vm.seats.seat(vcpu)?))) else {
            self.with(|queue| queue.runnable.remove(key));
            return;
        };
        if let Some(to) = moves::refuge(picked.affinity, slot.cpu_id()) {
            return self.expel(key, to, slot);
        }
        seat.set_status(Status::Running);
        seat.usage.waited(picked);
        let departure = match vm.vm.departure(vcpu) {
            Departure::Stays => match self.run_guest(vm, seat, picked, slot) {
                Ok(AxVCpuExitReason::Halt) => return self.block(vm, seat, key),
                exit => settle(vm, vcpu, exit),
            },
            // It was asked to leave while it waited.
            out @ (Departure::Parks | Departure::Ends) => out,
        };
        match departure {
            Departure::Stays => {
                seat.set_status(Status::Runnable);
                let left_ns = ticks_to_ns(vm.vm.left_at(vcpu));
                self.with(|queue| queue.runnable.put_back(key, left_ns));
            }
            Departure::Parks | Departure::Ends => self.evict(vm, seat, key, slot, departure),
        }
    }

    /// Runs it in the guest once.
    ///
    /// # Errors
    /// Why it cannot run.
    fn run_guest(
        &self,
        vm: &Vm,
        seat: &Seat,
        picked: &Picked<VcpuKey>,
        slot: &mut Slot,
    ) -> Result<AxVCpuExitReason, String> {
        let (key, vcpu) = (picked.key, picked.key.vcpu as usize);
        if !self.holds(key) {
            self.let_go(slot);
            self.held.store(key.packed(), Ordering::Release);
        }
        let start = physical_counter();
        let start_ns = ticks_to_ns(start);
        seat.usage.ran.start(start_ns);
        self.ran.start(start_ns);
        let slice = picked.slice_ns.map(|ns| start.wrapping_add(ns_to_ticks(ns)));
        let due = earliest(self.first_deadline(), vm.vm.poll_timer(vcpu));
        match earliest(slice, due) {
            Some(deadline) => SliceTimer::arm(deadline),
            None => SliceTimer::disarm(),
        }
        let shared = picked.slice_ns.is_some();
        let options = RunOptions { shared, attention: &self.attention };
        let exit = vm.vm.run_vcpu(vcpu, slot, options);
        let ran_ns = ticks_to_ns(vm.vm.left_at(vcpu).saturating_sub(start));
        seat.usage.ran.stop(ran_ns);
        self.ran.stop(ran_ns);
        self.with(|queue| queue.runnable.charge(key, ran_ns));
        exit.map_err(|error| format!("the vCPU cannot run: {error}"))
    }

    /// The vCPU, whose turn it is, may not run here any more: it goes to CPU `to`.
    fn expel(&self, key: VcpuKey, to: usize, slot: &mut Slot) {
        if self.holds(key) {
            self.let_go(slot);
        }
        if let Some(entity) = self.with(|queue| queue.runnable.remove(key)).flatten() {
            moves::settle(&entity, to);
        }
    }

    /// The vCPU waits for an interrupt, unless one came since it looked.
    fn block(&self, vm: &Vm, seat: &Seat, key: VcpuKey) {
        let vcpu = key.vcpu as usize;
        let wake_at = vm.vm.wake_at(vcpu);
        self.with(|queue| {
            seat.set_vruntime_ns(queue.runnable.block(key).unwrap_or(0));
            if let Some(deadline) = wake_at {
                queue.sleepers.push((deadline, key));
            }
        });
        seat.set_status(Status::Blocked);
        if vm.vm.has_interrupt(vcpu) || vm.vm.must_leave(vcpu) {
            vm.seats.wake(vcpu, Status::Blocked);
        }
    }

    /// The vCPU parks or ends: nothing of it stays in this CPU.
    fn evict(&self, vm: &Vm, seat: &Seat, key: VcpuKey, slot: &mut Slot, departure: Departure) {
        let vcpu = key.vcpu as usize;
        let left = self.with(|queue| queue.runnable.remove(key)).flatten();
        seat.set_vruntime_ns(left.map_or(0, |entity| entity.vruntime_ns));
        if self.holds(key) {
            self.let_go(slot);
        }
        if departure == Departure::Parks {
            seat.set_status(Status::Parked);
            vm.vm.vcpu_parked(vcpu);
            // Who stops it or lets it go on since it was asked has not seen it parked.
            if vm.vm.departure(vcpu) != Departure::Parks {
                vm.seats.wake(vcpu, Status::Parked);
            }
            return;
        }
        seat.set_status(Status::Off);
        if vm.vm.vcpu_off(vcpu) {
            service::vm_ended();
        }
    }

    /// Saves the vCPU whose registers this CPU has, on which this runs.
    fn let_go(&self, slot: &mut Slot) {
        if let Err(error) = slot.evict() {
            log::error!("a vCPU cannot be evicted: {error}");
            return;
        }
        self.held.store(NOBODY, Ordering::Release);
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

/// Does what the exit of vCPU `vcpu` asks of the runner. Gives what becomes of the vCPU.
fn settle(vm: &Vm, vcpu: usize, exit: Result<AxVCpuExitReason, String>) -> Departure {
    match exit {
        Ok(AxVCpuExitReason::AcknowledgedInterrupt { vector }) => {
            cpu::handle_acknowledged(u32::try_from(vector).unwrap_or(gic::SPURIOUS));
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
        Err(what) => {
            vm.vm.fail(vcpu, 0, what);
            Departure::Ends
        }
    }
}
