//! One virtual CPU of any architecture: its identity, its state, and who may touch it when.

use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use axaddrspace::{GuestPhysAddr, HostPhysAddr};
use axerrno::{AxError, AxResult};

use crate::AxArchVCpu;

/// Where a vCPU stands. A step that does not start where it must is `BadState`.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VCpuState {
    /// Not usable: an operation on it failed half-way.
    Invalid = 0,
    /// Made, not set up.
    Created = 1,
    /// Set up; nobody has it.
    Free = 2,
    /// Bound to the physical CPU that runs its runner.
    Ready = 3,
    /// In guest code.
    Running = 4,
    /// Waits for an interrupt.
    Blocked = 5,
}

impl VCpuState {
    const fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::Created,
            2 => Self::Free,
            3 => Self::Ready,
            4 => Self::Running,
            5 => Self::Blocked,
            _ => Self::Invalid,
        }
    }
}

/// What has state in the physical CPU that comes and goes with a vCPU's own: an interrupt controller.
pub trait Attachment: Send + Sync {
    /// The vCPU has just been loaded into physical CPU `cpu_id`, which this runs on.
    fn load(&self, vcpu_id: usize, cpu_id: usize);

    /// The vCPU is about to be saved from the physical CPU this runs on.
    fn save(&self, vcpu_id: usize);
}

/// No physical CPU has the vCPU loaded.
const NOWHERE: usize = usize::MAX;

/// One virtual CPU.
///
/// The architecture's part is reached only by whoever won the step out of `Created` or `Free`: the
/// state is the lock. The step `Free` to `Ready` also needs that no *other* physical CPU still has
/// the vCPU loaded.
pub struct AxVCpu<A: AxArchVCpu> {
    vm_id: usize,
    vcpu_id: usize,
    favor_phys_cpu: usize,
    phys_cpu_set: Option<usize>,
    state: AtomicU8,
    loaded_on: AtomicUsize,
    attachment: Option<Arc<dyn Attachment>>,
    arch: UnsafeCell<A>,
}

// SAFETY: `arch` is only reached through `Exclusive`, of which the state's compare-and-swap lets one exist.
unsafe impl<A: AxArchVCpu> Sync for AxVCpu<A> {}

impl<A: AxArchVCpu> AxVCpu<A> {
    /// A vCPU in state `Created`; `phys_cpu_set` is the mask of physical CPUs it may run on, all if none.
    ///
    /// # Errors
    /// What the architecture's `new` gives.
    pub fn new(
        vm_id: usize,
        vcpu_id: usize,
        favor_phys_cpu: usize,
        phys_cpu_set: Option<usize>,
        config: A::CreateConfig,
    ) -> AxResult<Self> {
        Ok(Self {
            vm_id,
            vcpu_id,
            favor_phys_cpu,
            phys_cpu_set,
            state: AtomicU8::new(VCpuState::Created as u8),
            loaded_on: AtomicUsize::new(NOWHERE),
            attachment: None,
            arch: UnsafeCell::new(A::new(vm_id, vcpu_id, config)?),
        })
    }

    /// The same vCPU with something loaded and saved along with it.
    pub fn with_attachment(mut self, attachment: Arc<dyn Attachment>) -> Self {
        self.attachment = Some(attachment);
        self
    }

    /// Gives it its entry, its second-stage root and its start state: `Created` or `Free` to `Free`.
    ///
    /// # Errors
    /// `BadState` while someone has it or it is still loaded somewhere; what the architecture gives,
    /// after which it is `Created`.
    pub fn setup(
        &self,
        entry: GuestPhysAddr,
        ept_root: HostPhysAddr,
        config: A::SetupConfig,
    ) -> AxResult {
        let mut exclusive = match self.state() {
            VCpuState::Created => self.take(VCpuState::Created)?,
            VCpuState::Invalid
            | VCpuState::Free
            | VCpuState::Ready
            | VCpuState::Running
            | VCpuState::Blocked => self.take_saved()?,
        };
        exclusive.leave_as(VCpuState::Created);
        let arch = exclusive.arch();
        arch.set_entry(entry)?;
        arch.set_ept_root(ept_root)?;
        arch.setup(config)?;
        exclusive.leave_as(VCpuState::Free);
        Ok(())
    }

    /// Looks at or changes the architecture's state while nobody runs the vCPU and no CPU has it loaded.
    ///
    /// # Errors
    /// `BadState` while someone has it or it is still loaded somewhere.
    pub fn with_arch<R>(&self, look: impl FnOnce(&mut A) -> R) -> AxResult<R> {
        let mut exclusive = self.take_saved()?;
        Ok(look(exclusive.arch()))
    }

    /// Wins a free vCPU whose registers no CPU holds: otherwise what is in memory does not count.
    fn take_saved(&self) -> AxResult<Exclusive<'_, A>> {
        let is_loaded = || self.loaded_on.load(Ordering::Acquire) != NOWHERE;
        // Asked first as well, so that the CPU that has it does not find it taken.
        if is_loaded() {
            return Err(AxError::BadState);
        }
        let exclusive = self.take(VCpuState::Free)?;
        if is_loaded() {
            return Err(AxError::BadState);
        }
        Ok(exclusive)
    }

    /// The vCPU's number in its VM.
    pub fn id(&self) -> usize {
        self.vcpu_id
    }

    /// The VM it belongs to.
    pub fn vm_id(&self) -> usize {
        self.vm_id
    }

    /// Whether it is the one that boots the VM.
    pub fn is_bsp(&self) -> bool {
        self.vcpu_id == 0
    }

    /// The physical CPU it should run on first.
    pub fn favor_phys_cpu(&self) -> usize {
        self.favor_phys_cpu
    }

    /// The mask of physical CPUs it may run on; none means all.
    pub fn phys_cpu_set(&self) -> Option<usize> {
        self.phys_cpu_set
    }

    /// Its state at this moment.
    pub fn state(&self) -> VCpuState {
        VCpuState::from_u8(self.state.load(Ordering::Acquire))
    }

    /// Wins the step `from` to `Ready`, and with it the architecture's part.
    pub(crate) fn take(&self, from: VCpuState) -> AxResult<Exclusive<'_, A>> {
        let ready = VCpuState::Ready as u8;
        self.state
            .compare_exchange(from as u8, ready, Ordering::Acquire, Ordering::Relaxed)
            .map_err(|_| AxError::BadState)?;
        Ok(Exclusive { vcpu: self, after: VCpuState::Free })
    }

    pub(crate) fn set_state(&self, state: VCpuState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Whether no CPU but `cpu` has it loaded.
    pub(crate) fn may_load_on(&self, cpu: usize) -> bool {
        let at = self.loaded_on.load(Ordering::Acquire);
        at == NOWHERE || at == cpu
    }

    fn set_loaded_on(&self, cpu: usize) {
        self.loaded_on.store(cpu, Ordering::Release);
    }
}

/// The right to touch a vCPU's architecture part; dropping it frees the vCPU, unless it is to be left
/// in another state.
pub(crate) struct Exclusive<'a, A: AxArchVCpu> {
    vcpu: &'a AxVCpu<A>,
    after: VCpuState,
}

impl<A: AxArchVCpu> Exclusive<'_, A> {
    #[inline]
    pub(crate) fn arch(&mut self) -> &mut A {
        // SAFETY: the compare-and-swap in `take` made this the only `Exclusive` of the vCPU.
        unsafe { &mut *self.vcpu.arch.get() }
    }

    #[inline]
    pub(crate) fn vcpu(&self) -> &AxVCpu<A> {
        self.vcpu
    }

    /// Decides the state that dropping this leaves the vCPU in.
    pub(crate) fn leave_as(&mut self, state: VCpuState) {
        self.after = state;
    }

    /// Puts the vCPU into physical CPU `cpu`, which is the one this runs on.
    pub(crate) fn load_on(&mut self, cpu: usize) {
        self.arch().load();
        if let Some(attachment) = &self.vcpu.attachment {
            attachment.load(self.vcpu.vcpu_id, cpu);
        }
        self.vcpu.set_loaded_on(cpu);
    }

    /// Takes the vCPU back out of the physical CPU this runs on.
    pub(crate) fn save(&mut self) {
        if let Some(attachment) = &self.vcpu.attachment {
            attachment.save(self.vcpu.vcpu_id);
        }
        self.arch().save();
        self.vcpu.set_loaded_on(NOWHERE);
    }
}

impl<A: AxArchVCpu> Drop for Exclusive<'_, A> {
    fn drop(&mut self) {
        self.vcpu.set_state(self.after);
    }
}
