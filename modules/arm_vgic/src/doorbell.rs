//! What a vCPU's exits look at without the lock: who rang, and what its timer's list register shall be.

use core::sync::atomic::Ordering;

use crate::{
    sgi,
    state::Architecture,
    sync::{AtomicU32, AtomicU64},
};

/// What the exit path of one vCPU reads without the lock. On cache lines of its own, because other CPUs write it.
#[repr(align(128))]
pub struct Doorbell {
    /// [`ATTEND`], and the SGIs 0 to 15 that were sent to the vCPU and that the state does not know yet, one bit each.
    calls: AtomicU32,
    timer_lr: AtomicU64,
    /// What the vCPU writes to ICC_SGI1R_EL1 to send itself SGI 0.
    to_self: u64,
}

/// The state has something for the vCPU.
pub(crate) const ATTEND: u32 = 1 << 31;

impl Doorbell {
    /// One that rings, of a vCPU whose virtual GIC is an `architecture`.
    pub(crate) fn new(vcpu: usize, architecture: Architecture) -> Self {
        Self {
            calls: AtomicU32::new(ATTEND),
            timer_lr: AtomicU64::new(0),
            to_self: match architecture {
                // It has no such register.
                Architecture::V2 => u64::MAX,
                Architecture::V3 => sgi::to_self(vcpu),
            },
        }
    }

    /// Stops ringing, and gives why it rang. Before the lock is taken: what changes after this rings anew.
    pub(crate) fn answer(&self) -> u32 {
        self.calls.swap(0, Ordering::AcqRel)
    }

    /// Takes the SGIs that the state does not know, and goes on ringing.
    pub(crate) fn take_sgis(&self) -> u32 {
        match self.calls.load(Ordering::Acquire) & !ATTEND {
            0 => 0,
            sgis => self.calls.fetch_and(!sgis, Ordering::AcqRel) & sgis,
        }
    }

    /// Whether [`Vgic::flush`](crate::Vgic::flush) has anything to do for the vCPU. One load.
    ///
    /// Who publishes that the vCPU is about to run, for [`Kick`](crate::Kick) to see, does so first and puts a sequentially
    /// consistent fence between: either the kick finds it running or this finds the change.
    #[inline(always)]
    pub fn has_rung(&self) -> bool {
        self.calls.load(Ordering::Relaxed) != 0
    }

    /// What to write to list register 0 when the physical timer interrupt of the vCPU was acknowledged; 0 when it must
    /// not be delivered. One load.
    #[inline(always)]
    pub fn timer_lr(&self) -> u64 {
        self.timer_lr.load(Ordering::Relaxed)
    }

    /// The state has something for the vCPU.
    pub(crate) fn ring(&self) {
        self.calls.fetch_or(ATTEND, Ordering::AcqRel);
    }

    /// Another vCPU has sent SGI number `sgi`, a mask of one bit; whether it was sent already.
    pub(crate) fn call(&self, sgi: u32) -> bool {
        self.calls.fetch_or(sgi, Ordering::AcqRel) & sgi != 0
    }

    /// As after power-on.
    pub(crate) fn reset(&self) {
        self.set_timer_lr(0);
        self.calls.store(ATTEND, Ordering::Release);
    }

    /// What [`Self::timer_lr`] gives from now on.
    pub(crate) fn set_timer_lr(&self, value: u64) {
        self.timer_lr.store(value, Ordering::Relaxed);
    }

    /// Whether a write of `icc_sgi1r` to ICC_SGI1R_EL1 by the vCPU sends an SGI to itself and nobody else.
    #[inline(always)]
    pub(crate) fn is_to_self(&self, icc_sgi1r: u64) -> bool {
        self.to_self == icc_sgi1r & !sgi::INTID
    }
}
