//! How often each kind of exit happened, counted by the vCPU's own runner.

use core::sync::atomic::{AtomicU64, Ordering};

/// The kinds of exit that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// A load from a device.
    DeviceRead,
    /// A store to a device.
    DeviceWrite,
    /// A call by HVC or SMC.
    Call,
    /// A trapped system register.
    Register,
    /// A physical interrupt, the guest's or the host's.
    Interrupt,
    /// The guest waits for an interrupt.
    Wait,
    /// A fault that the guest takes.
    Fault,
    /// Anything else.
    Other,
}

impl ExitKind {
    /// All kinds, in the order of their counts.
    pub const ALL: [Self; 8] = [
        Self::DeviceRead,
        Self::DeviceWrite,
        Self::Call,
        Self::Register,
        Self::Interrupt,
        Self::Wait,
        Self::Fault,
        Self::Other,
    ];

    /// What the operator calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceRead => "device read",
            Self::DeviceWrite => "device write",
            Self::Call => "call",
            Self::Register => "register",
            Self::Interrupt => "interrupt",
            Self::Wait => "wait",
            Self::Fault => "fault",
            Self::Other => "other",
        }
    }
}

/// Counts of one vCPU. Only its runner writes, so that counting needs no atomic step.
#[derive(Debug, Default)]
pub(crate) struct ExitCounts([AtomicU64; ExitKind::ALL.len()]);

impl ExitCounts {
    #[inline(always)]
    pub(crate) fn count(&self, kind: ExitKind) {
        if let Some(count) = self.0.get(kind as usize) {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self, kind: ExitKind) -> u64 {
        self.0.get(kind as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn reset(&self) {
        for count in &self.0 {
            count.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_count() {
        let counts = ExitCounts::default();
        for (times, kind) in ExitKind::ALL.into_iter().enumerate() {
            for _ in 0..times {
                counts.count(kind);
            }
        }
        for (times, kind) in ExitKind::ALL.into_iter().enumerate() {
            assert_eq!(counts.get(kind), times as u64, "{}", kind.name());
        }
        counts.reset();
        assert!(ExitKind::ALL.into_iter().all(|kind| counts.get(kind) == 0));
    }
}
