//! What a VM asks of the hypervisor it runs in.

use axaddrspace::{GuestMemoryHal, HostPhysAddr};

/// The host: memory and time.
pub trait AxVMHal: Sized + Send + Sync + 'static {
    /// Where frames come from, and how the host reaches them.
    type PagingHandler: GuestMemoryHal;

    /// Takes `size` bytes of guest memory at exactly `base`; false if they are not free.
    fn alloc_memory_region_at(base: HostPhysAddr, size: usize) -> bool;

    /// Gives back what [`alloc_memory_region_at`](Self::alloc_memory_region_at) took.
    fn dealloc_memory_region_at(base: HostPhysAddr, size: usize);

    /// Nanoseconds since the host started.
    fn current_time_nanos() -> u64;
}

/// How a VM reaches its vCPUs, wherever they are: implemented by the hypervisor's scheduler.
///
/// Called from the exit path with interrupts masked: bounded work, no host calls.
pub trait VcpuPort: arm_vgic::Kick {
    /// Makes a vCPU that is off runnable.
    fn start(&self, vcpu: usize);

    /// Makes a vCPU that is parked runnable: its VM goes on, or ends.
    fn unpark(&self, vcpu: usize);
}
