//! What a guest does to a device: an access of a width at an offset.

pub use axaddrspace::AccessWidth;

/// Distance in bytes from the start of the device's window to the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset(pub usize);

/// A device model: a register file that answers every access, whatever the guest asks.
///
/// Infallible by design: an offset or width the device does not know reads as zero and ignores
/// writes. A device knows neither its address nor its VM; what it can reach was given to it as ports.
/// Called from the exit path with interrupts masked, from several vCPUs at once.
pub trait Device: Send + Sync {
    /// The value at `at`, zero-extended; bits above `width` are ignored by the caller.
    fn read(&self, at: Offset, width: AccessWidth) -> u64;

    /// Takes `value`, whose bits above `width` are zero.
    fn write(&self, at: Offset, width: AccessWidth, value: u64);
}
