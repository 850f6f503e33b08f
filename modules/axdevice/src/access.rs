//! What a vCPU does to a device: an access of a width at an offset.

use axaddrspace::AccessWidth;

/// One access as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Distance in bytes from the start of the device's window.
    pub offset: usize,
    /// How many bytes are moved.
    pub width: AccessWidth,
    /// Index of the vCPU that makes the access: banked registers depend on it.
    pub initiator: usize,
}

/// A device model: a register file that answers every access, whatever the guest asks.
///
/// Infallible by design: an offset or width the device does not know reads as zero and ignores
/// writes. A device knows neither its address nor its VM; what it can reach was given to it as ports.
/// Called from the exit path with interrupts masked, from several vCPUs at once.
pub trait Device: Send + Sync {
    /// The value read, zero-extended; bits above the access width are ignored by the caller.
    fn read(&self, access: Access) -> u64;

    /// Takes `value`, whose bits above the access width are zero.
    fn write(&self, access: Access, value: u64);

    /// Goes back to the state at power-on and lowers its interrupt lines. No vCPU of the VM runs meanwhile.
    fn reset(&self) {}
}
