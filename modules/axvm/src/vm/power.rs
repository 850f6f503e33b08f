//! Which vCPUs are on: one claims another that is off, sets it up, and it starts; the last to go off ends the run.

use core::sync::atomic::Ordering;

use arm_vcpu::Aarch64VCpuSetupConfig;
use axaddrspace::GuestPhysAddr;
use axerrno::{AxError, AxResult};

use super::{AxVM, Seat};
use crate::lifecycle::Event;
use crate::psci::PowerState;
use crate::{AxVMHal, GuestCpu};

impl<H: AxVMHal, A: GuestCpu> AxVM<H, A> {
    /// Whether vCPU `vcpu` is on.
    pub(crate) fn power(&self, vcpu: usize) -> Option<PowerState> {
        self.vcpus.get(vcpu).map(Seat::power)
    }

    /// Moves an off vCPU to on-pending in one step; false if somebody else was first.
    pub(crate) fn claim_off_vcpu(&self, vcpu: usize) -> bool {
        let claimed = self.vcpus.get(vcpu).is_some_and(|seat| {
            let (off, pending) = (PowerState::Off as u8, PowerState::OnPending as u8);
            seat.power.compare_exchange(off, pending, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        if claimed {
            self.vcpus_on.fetch_add(1, Ordering::AcqRel);
        }
        claimed
    }

    /// Takes back a claim on a vCPU that then could not be set up. For a vCPU of the VM in its exit: as long as that is on,
    /// neither the end of the VM's run nor a pause waits for this one alone, so the life cycle has no step to make.
    pub(crate) fn unclaim_vcpu(&self, vcpu: usize) {
        if let Some(seat) = self.vcpus.get(vcpu) {
            self.vcpus_on.fetch_sub(1, Ordering::AcqRel);
            seat.power.store(PowerState::Off as u8, Ordering::Release);
        }
    }

    /// Marks a started vCPU as on: it is about to run its first instruction. False if nobody started it.
    pub(crate) fn set_on(&self, seat: &Seat<A>) -> bool {
        let (pending, on) = (PowerState::OnPending as u8, PowerState::On as u8);
        seat.power.load(Ordering::Relaxed) == on
            || seat.power.compare_exchange(pending, on, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes a vCPU that is out of the guest and evicted from its CPU off; the last one ends the run.
    /// Gives whether it was the last.
    pub fn vcpu_off(&self, vcpu: usize) -> bool {
        let Some(seat) = self.vcpus.get(vcpu) else {
            return false;
        };
        if seat.power.swap(PowerState::Off as u8, Ordering::AcqRel) == PowerState::Off as u8 {
            return false;
        }
        let mut life = self.life.lock();
        seat.parked.store(false, Ordering::Relaxed);
        let last = self.vcpus_on.fetch_sub(1, Ordering::AcqRel) == 1;
        if last && let Ok(next) = life.after(Event::AllOff) {
            *life = next;
        }
        if !last {
            self.pause_if_all_parked(&mut life);
        }
        last
    }

    /// Brings a vCPU that nobody runs to its start state.
    pub(crate) fn set_up_vcpu(&self, vcpu: usize, entry: GuestPhysAddr, argument: u64) -> AxResult {
        let config =
            Aarch64VCpuSetupConfig { argument, counter_offset: self.machine.clock.offset() };
        let Some(seat) = self.vcpus.get(vcpu) else {
            return Err(AxError::InvalidInput);
        };
        seat.vcpu.setup(entry, self.ept_root(), config)
    }
}
