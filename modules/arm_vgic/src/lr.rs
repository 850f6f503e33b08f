//! The layout of a list register: `ICH_LR<n>_EL2`, IHI 0069 section 12.4.

/// State, pending.
pub(crate) const PENDING: u64 = 1 << 62;
/// State, active.
pub(crate) const ACTIVE: u64 = 1 << 63;
/// Both state bits; a register without them is empty.
pub(crate) const STATE: u64 = PENDING | ACTIVE;
/// The guest's deactivation also deactivates the physical interrupt in pINTID.
pub(crate) const HW: u64 = 1 << 61;
/// Group 1: an IRQ and not an FIQ.
pub(crate) const GROUP1: u64 = 1 << 60;
/// A maintenance interrupt once the guest has deactivated it; only without [`HW`].
pub(crate) const EOI: u64 = 1 << 41;

/// The bits of a priority that are implemented: 32 levels, which every CPU interface offers at least.
pub(crate) const PRIORITY_MASK: u8 = 0xf8;

/// vINTID and priority; the caller adds state, group and link.
#[inline]
pub(crate) fn interrupt(intid: u32, priority: u8) -> u64 {
    u64::from(priority) << 48 | u64::from(intid)
}

/// The link to physical interrupt `intid`.
#[inline]
pub(crate) fn linked(intid: u32) -> u64 {
    HW | u64::from(intid & 0x1fff) << 32
}
