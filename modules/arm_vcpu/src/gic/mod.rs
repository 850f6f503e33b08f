//! The interrupt controller of the host: which architecture it is, and what both have in common.
//!
//! Chosen once, before any CPU runs guests. What an exit does often is taken from [`v2`] or [`v3`] directly; the
//! functions here look at the choice each time.

mod private;
mod shared;
pub mod v2;
pub mod v3;

use core::sync::atomic::{AtomicBool, Ordering};

pub use private::PrivateInterrupts;
pub use shared::Distributor;

/// Acknowledged nothing: the interrupt went away between the peek and the acknowledgement.
pub const SPURIOUS: u32 = 1020;

/// Set in the vector of an external-interrupt exit that was peeked at on a GICv2.
pub const GICV2: u64 = 1 << 32;

static IS_V2: AtomicBool = AtomicBool::new(false);

/// Whether the host's interrupts come through a GICv2.
#[inline]
pub fn is_v2() -> bool {
    IS_V2.load(Ordering::Relaxed)
}

/// Makes the GICv2 at `frames` the interrupt controller. Once, before any CPU runs guests.
///
/// # Safety
/// The frames must be those of the GIC that interrupts the CPUs of this host, mapped as device memory for ever.
pub unsafe fn use_v2(frames: v2::Frames) {
    v2::set_frames(&frames);
    IS_V2.store(true, Ordering::Release);
}

/// The highest-priority pending physical interrupt, without acknowledging it.
pub fn pending() -> u32 {
    if is_v2() { v2::pending() } else { v3::pending() }
}

/// Acknowledges the highest-priority pending physical interrupt.
pub fn acknowledge() -> u32 {
    if is_v2() { v2::acknowledge() } else { v3::acknowledge() }
}

/// The INTID of what was acknowledged: a GICv2 tells the sender of an SGI with it.
pub fn intid(taken: u32) -> u32 {
    if is_v2() { v2::intid(taken) } else { taken }
}

/// Ends what was acknowledged: interrupts of the same priority may come again, and so may this one.
pub fn complete(taken: u32) {
    if is_v2() {
        v2::drop_priority(taken);
        v2::deactivate(taken);
    } else {
        v3::drop_priority(taken);
        v3::deactivate(taken);
    }
}

/// Empties the list registers of the CPU this runs on.
pub(crate) fn empty_list_registers() {
    if is_v2() {
        (0..v2::list_registers()).for_each(|index| v2::set_list_register(index, 0));
    } else {
        (0..v3::list_registers()).for_each(|index| v3::set_list_register(index, 0));
    }
}

/// A CPU as the interrupt controller names it to those who send it an SGI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SgiTarget(u64);

impl SgiTarget {
    /// The CPU of affinity `mpidr`, which is registered ([`PrivateInterrupts::register`]).
    pub fn of(mpidr: u64) -> Self {
        Self(if is_v2() { private::target_of(mpidr).into() } else { v3::sgi_target(mpidr) })
    }

    /// As bits, which [`Self::from_bits`] takes back.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// What [`Self::bits`] gave.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Sends it physical SGI `intid`.
    #[inline]
    pub fn send(self, intid: u32) {
        if is_v2() {
            v2::send_sgi(crate::regs::low_word(self.0), intid);
        } else {
            v3::send_sgi(self.0, intid);
        }
    }
}

/// The state of a vCPU's CPU interface while it is not loaded, but for its list registers: what is in
/// those is the virtual interrupt controller's.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuInterface {
    /// Of each group; of a GICv2 the first register alone.
    active_priorities: [[u64; 4]; 2],
    vmcr: u64,
}

impl CpuInterface {
    /// The power-on state: nothing active, interrupt groups disabled.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Gives the guest its interrupts; cheap, done each time the vCPU is bound.
    #[inline]
    pub(crate) fn bind(&self) {
        if is_v2() {
            v2::bind();
        } else {
            v3::bind();
        }
    }

    /// Keeps interrupts to the guest, and the maintenance interrupt, from a CPU that runs the host.
    #[inline]
    pub(crate) fn unbind(&self) {
        if is_v2() {
            v2::unbind();
        } else {
            v3::unbind();
        }
    }

    pub(crate) fn save(&mut self) {
        if is_v2() {
            v2::save(self);
        } else {
            v3::save(self);
        }
    }

    pub(crate) fn load(&self) {
        if is_v2() {
            v2::load(self);
        } else {
            v3::load(self);
        }
    }
}
