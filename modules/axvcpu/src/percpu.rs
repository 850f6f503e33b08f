//! One physical CPU: whether it can run guests, which vCPU it has loaded, which one is bound to it.

use alloc::sync::Arc;
use core::ops::Deref;

use axerrno::{AxError, AxResult, ax_err};

use crate::vcpu::Exclusive;
use crate::{AxArchPerCpu, AxArchVCpu, AxVCpu, ExitHandler, VCpuState};

/// Virtualisation on one physical CPU; dropping it disables it.
pub struct AxPerCpu<P: AxArchPerCpu> {
    arch: Option<P>,
}

impl<P: AxArchPerCpu> AxPerCpu<P> {
    /// A CPU not looked at yet.
    pub const fn new_uninit() -> Self {
        Self { arch: None }
    }

    /// Learns the CPU it runs on.
    ///
    /// # Errors
    /// `BadState` the second time; what the architecture gives.
    pub fn init(&mut self, cpu_id: usize) -> AxResult {
        if self.arch.is_some() {
            return ax_err!(BadState, "initialised already");
        }
        self.arch = Some(P::new(cpu_id)?);
        Ok(())
    }

    /// Whether this CPU can run guests now.
    pub fn is_enabled(&self) -> bool {
        self.arch.as_ref().is_some_and(P::is_enabled)
    }

    /// Makes this CPU able to run guests.
    ///
    /// # Errors
    /// `BadState` before `init`; what the architecture gives.
    pub fn hardware_enable(&mut self) -> AxResult {
        self.arch.as_mut().ok_or(AxError::BadState)?.hardware_enable()
    }

    /// Undoes it.
    ///
    /// # Errors
    /// `BadState` before `init`; what the architecture gives.
    pub fn hardware_disable(&mut self) -> AxResult {
        self.arch.as_mut().ok_or(AxError::BadState)?.hardware_disable()
    }
}

impl<P: AxArchPerCpu> Drop for AxPerCpu<P> {
    fn drop(&mut self) {
        if let Some(arch) = self.arch.as_mut().filter(|arch| arch.is_enabled()) {
            // A CPU that cannot leave virtualisation keeps it: nothing can be done about it here.
            let _ = arch.hardware_disable();
        }
    }
}

/// The place of one physical CPU that vCPUs are loaded into: one at a time, kept until the next.
///
/// It owns the vCPU it has loaded, so that one can be deleted only after it was evicted.
pub struct VCpuSlot<A: AxArchVCpu> {
    cpu_id: usize,
    loaded: Option<Arc<AxVCpu<A>>>,
}

impl<A: AxArchVCpu> VCpuSlot<A> {
    /// The empty place of physical CPU `cpu_id`. Only code running on that CPU may use it.
    pub const fn new(cpu_id: usize) -> Self {
        Self { cpu_id, loaded: None }
    }

    /// The CPU whose place it is.
    pub fn cpu_id(&self) -> usize {
        self.cpu_id
    }

    /// The vCPU whose registers this CPU holds.
    pub fn loaded(&self) -> Option<&Arc<AxVCpu<A>>> {
        self.loaded.as_ref()
    }

    /// Binds `vcpu` to this CPU, loading it first unless it still is. Until the result is dropped,
    /// interrupts are masked and nothing of the host may be called.
    ///
    /// # Errors
    /// `BadState` if someone else has the vCPU, or another CPU still has it loaded.
    #[inline]
    pub fn bind<'a>(&mut self, vcpu: &'a Arc<AxVCpu<A>>) -> AxResult<Bound<'a, A>> {
        let mut exclusive = vcpu.take(VCpuState::Free)?;
        if !self.loaded.as_ref().is_some_and(|loaded| Arc::ptr_eq(loaded, vcpu)) {
            self.load(vcpu, &mut exclusive)?;
        }
        exclusive.arch().bind()?;
        Ok(Bound { exclusive })
    }

    #[cold]
    fn load(&mut self, vcpu: &Arc<AxVCpu<A>>, exclusive: &mut Exclusive<'_, A>) -> AxResult {
        if !vcpu.may_load_on(self.cpu_id) {
            return Err(AxError::BadState);
        }
        self.evict()?;
        exclusive.load_on(self.cpu_id);
        self.loaded = Some(vcpu.clone());
        Ok(())
    }

    /// Takes the loaded vCPU's registers back into memory, so that it can run, be looked at or be
    /// deleted elsewhere. Gives back what was loaded.
    ///
    /// # Errors
    /// `BadState` if the loaded vCPU is bound.
    pub fn evict(&mut self) -> AxResult<Option<Arc<AxVCpu<A>>>> {
        let Some(vcpu) = self.loaded.as_ref() else {
            return Ok(None);
        };
        // One that became invalid here is taken out all the same, and stays invalid.
        let state = match vcpu.state() {
            VCpuState::Invalid => VCpuState::Invalid,
            VCpuState::Created
            | VCpuState::Free
            | VCpuState::Ready
            | VCpuState::Running
            | VCpuState::Blocked => VCpuState::Free,
        };
        let mut exclusive = vcpu.take(state)?;
        exclusive.leave_as(state);
        exclusive.save();
        drop(exclusive);
        Ok(self.loaded.take())
    }
}

/// A vCPU bound to the physical CPU this code runs on; dropping it unbinds.
pub struct Bound<'a, A: AxArchVCpu> {
    exclusive: Exclusive<'a, A>,
}

impl<A: AxArchVCpu> Bound<'_, A> {
    /// Runs the guest, calling `handler` at every exit, until it says not to go on: `Ready` to `Running`
    /// to `Ready`.
    #[inline]
    pub fn run(&mut self, handler: &mut impl ExitHandler<A>) {
        self.exclusive.vcpu().set_state(VCpuState::Running);
        self.exclusive.arch().run(handler);
        self.exclusive.vcpu().set_state(VCpuState::Ready);
    }
}

impl<A: AxArchVCpu> Deref for Bound<'_, A> {
    type Target = AxVCpu<A>;
    fn deref(&self) -> &AxVCpu<A> {
        self.exclusive.vcpu()
    }
}

impl<A: AxArchVCpu> Bound<'_, A> {
    /// The architecture's part of the bound vCPU.
    #[inline]
    pub fn arch(&mut self) -> &mut A {
        self.exclusive.arch()
    }
}

impl<A: AxArchVCpu> Drop for Bound<'_, A> {
    fn drop(&mut self) {
        if self.exclusive.arch().unbind().is_err() {
            self.exclusive.leave_as(VCpuState::Invalid);
        }
    }
}
