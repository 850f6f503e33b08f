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

/// The sender of an SGI of a GICv2.
#[inline]
pub(crate) fn sent_by(vcpu: u32) -> u64 {
    u64::from(vcpu & 7) << 32
}

/// The vCPU in [`sent_by`].
#[inline]
pub(crate) fn sender(value: u64) -> u32 {
    (value >> 32 & 7) as u32
}

/// What a GICv2's `GICH_LR<n>` (IHI 0048 section 5.3.10) holds where this crate means `value`.
///
/// The fields are the same, closer together: physical interrupt, sender and end-of-interrupt request share ten bits.
#[inline]
pub const fn to_gich(value: u64) -> u32 {
    let [intid_low, intid_high, ..] = value.to_le_bytes();
    let upper = ((value >> 32) & 0xffff_ffff) as u32;
    (intid_low as u32)
        | (intid_high as u32 & 3) << 8
        | (upper & 0x3ff) << 10
        | (upper >> 19 & 0x1f) << 23
        | (upper >> 30) << 28
        | (upper >> 28 & 1) << 30
        | (upper >> 29 & 1) << 31
}

/// The other way.
#[inline]
pub const fn from_gich(value: u32) -> u64 {
    let upper = (value >> 10 & 0x3ff)
        | (value >> 23 & 0x1f) << 19
        | (value >> 28 & 3) << 30
        | (value >> 30 & 1) << 28
        | (value >> 31) << 29;
    (upper as u64) << 32 | (value & 0x3ff) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_list_register_has_its_place_in_gich() {
        assert_eq!(to_gich(interrupt(0x3ff, 0)), 0x3ff);
        assert_eq!(to_gich(interrupt(0, 0xf8)), 0x1f << 23);
        assert_eq!(to_gich(PENDING), 1 << 28);
        assert_eq!(to_gich(ACTIVE), 1 << 29);
        assert_eq!(to_gich(GROUP1), 1 << 30);
        assert_eq!(to_gich(linked(27)), 1 << 31 | 27 << 10);
        assert_eq!(to_gich(EOI), 1 << 19);
        assert_eq!(to_gich(sent_by(7)), 7 << 10);
    }

    #[test]
    fn every_bit_comes_back() {
        // Bits 22 to 20 are reserved.
        for bit in (0..20).chain(23..32) {
            assert_eq!(to_gich(from_gich(1 << bit)), 1 << bit, "bit {bit}");
        }
        for value in
            [PENDING | GROUP1 | linked(1019), ACTIVE | sent_by(5) | EOI | interrupt(3, 0xa8)]
        {
            assert_eq!(from_gich(to_gich(value)), value, "{value:#x}");
        }
    }
}
