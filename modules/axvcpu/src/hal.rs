//! What a vCPU asks of the hypervisor it runs in.

/// The host as one physical CPU's vCPUs see it.
pub trait AxVCpuHal {
    /// How the host handles memory.
    type MmHal;

    /// The pending physical interrupt of this CPU, without acknowledging it.
    fn irq_fetch() -> usize;

    /// Lets the host take its pending interrupts. Called unbound, with the host's registers in place.
    fn irq_handler();
}
