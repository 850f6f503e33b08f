//! What an exit saves of the guest: its general registers, and where it stood.

/// The guest's registers that host code would overwrite.
///
/// `gpr` is valid after every exit, but for X20 and up only where a handler may look at them, and once the guest is left;
/// `sp_el0`, `elr` and `spsr` stay in their registers while the vCPU
/// is bound and are valid here only when it is not. The world switch relies on `gpr` being first.
#[repr(C)]
#[derive(Clone, Debug, Default)]
pub struct TrapFrame {
    /// X0 to X30.
    pub gpr: [u64; 31],
    /// SP_EL0.
    pub sp_el0: u64,
    /// Where the guest goes on (ELR_EL2).
    pub elr: u64,
    /// Its PSTATE (SPSR_EL2).
    pub spsr: u64,
    /// What going back has to see to: nothing (0) most of the time.
    pub(crate) unusual: u8,
}

/// The first of the registers that functions keep (AAPCS64, IHI 0055: X19 to X28, and X29).
const FIRST_KEPT: usize = 19;

/// A register was written here that an exit leaves in the CPU: it has to be loaded again.
pub(crate) const NEWER: u8 = 1;
/// The instruction makes more accesses than the one that is being handled.
pub(crate) const DEFERRED: u8 = 2;

impl TrapFrame {
    /// Register `index`; 31 and above read as zero.
    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        self.gpr.get(index).copied().unwrap_or(0)
    }

    /// Writes register `index`; 31 and above are discarded.
    #[inline]
    pub fn set(&mut self, index: usize, value: u64) {
        self.unusual |= if self.put(index, value) { NEWER } else { 0 };
    }

    /// The same for who sees to the rest: whether the register is one that an exit leaves in the CPU.
    #[inline(always)]
    pub(crate) fn put(&mut self, index: usize, value: u64) -> bool {
        if let Some(register) = self.gpr.get_mut(index) {
            *register = value;
        }
        // Loading them again does no harm where 31 was discarded.
        index >= FIRST_KEPT
    }
}
