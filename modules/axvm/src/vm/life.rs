//! What brings a VM from one state of its life to the next: booting, pausing, resuming, stopping.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::Ordering;

use super::{AxVM, Boot, Departure};
use crate::lifecycle::{Event, State, StopReason};
use crate::sync::SpinNoIrqGuard;
use crate::{AxVMError, AxVMHal, GuestCpu, boot};

impl<H: AxVMHal, A: GuestCpu> AxVM<H, A> {
    /// Loads its images, resets its devices and starts its boot vCPU.
    ///
    /// # Errors
    /// `NoHardware`; `State` unless it is created or stopped; what loading gives, after which it is failed.
    pub fn boot(&self, why: Boot) -> Result<(), AxVMError> {
        if !A::has_hardware_support() {
            return Err(AxVMError::NoHardware);
        }
        let is_first = self.state() == State::Created;
        self.step(match why {
            Boot::Operator => Event::Boot,
            Boot::AfterReset => Event::BootAgain,
        })?;
        // `Starting` is ours alone: nobody else boots, stops or deletes it meanwhile.
        if !is_first {
            // What the run before left in caches must not fall over what is written now.
            self.machine.space.publish();
        }
        let loaded = self.load();
        let event = match &loaded {
            Ok(()) => Event::Loaded,
            Err(error) => Event::NotLoaded(format!("{error}")),
        };
        self.step(event)?;
        loaded?;
        self.ports.vcpus.start(0);
        Ok(())
    }

    /// Everything of a start but letting the boot vCPU go.
    fn load(&self) -> Result<(), AxVMError> {
        let start = boot::load(&self.machine, &self.config, &self.images, &self.ports.devices)?;
        self.machine.bus.reset();
        for seat in &self.vcpus {
            seat.leave.store(false, Ordering::Relaxed);
            seat.timer.reset();
            seat.exits.reset();
        }
        self.machine.clock.start();
        self.set_up_vcpu(0, start.entry, start.device_tree.as_usize() as u64)
            .map_err(AxVMError::Vcpu)?;
        self.claim_off_vcpu(0);
        Ok(())
    }

    /// Makes every vCPU leave the guest for good. It is stopped once [`state`](Self::state) says so.
    ///
    /// # Errors
    /// `State` if it does not run.
    pub fn shutdown(&self, reason: StopReason) -> Result<(), AxVMError> {
        let mut life = self.life.lock();
        *life = life.after(Event::Stop(reason))?;
        self.call_out(life);
        // A kick leaves what is parked where it is; these have to learn that they end.
        for vcpu in 0..self.vcpus.len() {
            self.ports.vcpus.unpark(vcpu);
        }
        Ok(())
    }

    /// Makes every vCPU leave the guest, to go on later. It is paused once [`state`](Self::state) says so.
    ///
    /// # Errors
    /// `State` if it does not run.
    pub fn pause(&self) -> Result<(), AxVMError> {
        let mut life = self.life.lock();
        *life = life.after(Event::Pause)?;
        self.paused_at.store(A::counter(), Ordering::Relaxed);
        self.call_out(life);
        Ok(())
    }

    /// Lets every vCPU go on, at the guest time at which it paused.
    ///
    /// # Errors
    /// `State` if it is not paused.
    pub fn resume(&self) -> Result<(), AxVMError> {
        let mut life = self.life.lock();
        let next = life.after(Event::Resume)?;
        let stood = A::counter().wrapping_sub(self.paused_at.load(Ordering::Relaxed));
        let offset = self.machine.clock.set_back(stood);
        for seat in &self.vcpus {
            // Only one that is off may be refused, and it gets its offset when it starts.
            let _ = seat.vcpu.with_arch(|arch| arch.set_counter_offset(offset));
            seat.parked.store(false, Ordering::Relaxed);
            seat.leave.store(false, Ordering::Release);
        }
        *life = next;
        drop(life);
        for vcpu in 0..self.vcpus.len() {
            self.ports.vcpus.unpark(vcpu);
        }
        Ok(())
    }

    /// Takes it out of reach for good.
    ///
    /// # Errors
    /// `State` unless it is created or stopped.
    pub fn retire(&self) -> Result<(), AxVMError> {
        self.step(Event::Delete)
    }

    fn step(&self, event: Event) -> Result<(), AxVMError> {
        let mut life = self.life.lock();
        *life = life.after(event)?;
        Ok(())
    }

    /// Asks every vCPU to leave the guest: all of them before anybody can start or resume the VM again,
    /// so that nothing of this reaches the run that follows. A late kick does no harm.
    fn call_out(&self, life: SpinNoIrqGuard<'_, State>) {
        for seat in &self.vcpus {
            seat.leave.store(true, Ordering::SeqCst);
        }
        drop(life);
        for vcpu in 0..self.vcpus.len() {
            self.ports.vcpus.kick(vcpu);
        }
    }

    /// What is to become of a vCPU that was made to leave the guest.
    pub fn departure(&self, vcpu: usize) -> Departure {
        if !self.must_leave(vcpu) {
            return Departure::Stays;
        }
        match *self.life.lock() {
            State::Pausing | State::Paused => Departure::Parks,
            State::Created
            | State::Starting
            | State::Running
            | State::Stopping(_)
            | State::Stopped(_)
            | State::Deleted => Departure::Ends,
        }
    }

    /// Notes that a vCPU is out of the guest and evicted from its CPU, to go on later. Once every one
    /// that is on has come to this, the VM is paused.
    pub fn vcpu_parked(&self, vcpu: usize) {
        let mut life = self.life.lock();
        if let Some(seat) = self.vcpus.get(vcpu) {
            seat.parked.store(true, Ordering::Relaxed);
        }
        self.pause_if_all_parked(&mut life);
    }

    pub(super) fn pause_if_all_parked(&self, life: &mut State) {
        let parked = self.vcpus.iter().filter(|seat| seat.parked.load(Ordering::Relaxed)).count();
        if parked == self.vcpus_on.load(Ordering::Acquire)
            && let Ok(next) = life.after(Event::AllParked)
        {
            *life = next;
        }
    }

    /// Whether it is on its way out.
    pub fn shutting_down(&self) -> bool {
        matches!(*self.life.lock(), State::Stopping(_))
    }

    /// Ends the VM's run because vCPU `vcpu` cannot go on.
    pub fn fail(&self, vcpu: usize, pc: u64, what: impl Into<String>) {
        // It may have stopped for another reason meanwhile, which then stands.
        let _ = self.shutdown(StopReason::Fault { vcpu, pc, what: what.into() });
    }
}
