//! Whether a guest goes on after an exit.

use core::ops::ControlFlow;

use axvcpu::AxVCpuExitReason;

/// What an exit was settled with: the guest goes on, or the runner gets the vCPU back.
pub(crate) type Flow = ControlFlow<Leave>;

/// The guest goes on.
pub(crate) const RESUME: Flow = ControlFlow::Continue(());

/// Why the runner gets the vCPU back: those exit reasons that a VM does not settle. They fit in two registers, where a
/// whole [`AxVCpuExitReason`] would be copied from place to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// [`AxVCpuExitReason::Nothing`].
    Nothing,
    /// [`AxVCpuExitReason::ExternalInterrupt`] of that vector.
    ExternalInterrupt(u64),
    /// [`AxVCpuExitReason::AcknowledgedInterrupt`] of that vector.
    AcknowledgedInterrupt(u64),
    /// [`AxVCpuExitReason::Halt`].
    Halt,
    /// [`AxVCpuExitReason::CpuDown`].
    CpuDown,
    /// [`AxVCpuExitReason::SystemDown`].
    SystemDown,
    /// [`AxVCpuExitReason::SystemReset`].
    SystemReset,
    /// [`AxVCpuExitReason::FailEntry`] with that code.
    FailEntry(u64),
}

impl From<Leave> for AxVCpuExitReason {
    #[inline(always)]
    fn from(leave: Leave) -> Self {
        match leave {
            Leave::Nothing => Self::Nothing,
            Leave::ExternalInterrupt(vector) => Self::ExternalInterrupt { vector },
            Leave::AcknowledgedInterrupt(vector) => Self::AcknowledgedInterrupt { vector },
            Leave::Halt => Self::Halt,
            Leave::CpuDown => Self::CpuDown { state: 0 },
            Leave::SystemDown => Self::SystemDown,
            Leave::SystemReset => Self::SystemReset,
            Leave::FailEntry(code) => Self::FailEntry { hardware_entry_failure_reason: code },
        }
    }
}
