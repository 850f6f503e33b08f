//! Walking the set bits of a mask.

/// The positions of the set bits of `mask`, lowest first.
#[inline]
pub(crate) fn ones(mut mask: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let n = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        Some(n)
    })
}

/// The low half of `value`.
#[inline]
pub(crate) const fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A mask of one vCPU; of none when the index is not a vCPU's.
#[inline]
pub(crate) fn vcpu_bit(vcpu: usize) -> u64 {
    u32::try_from(vcpu).ok().and_then(|n| 1u64.checked_shl(n)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn ones_are_listed_from_the_lowest() {
        assert_eq!(ones(0).count(), 0);
        assert_eq!(ones(1 << 63 | 0b101).collect::<Vec<_>>(), [0, 2, 63]);
        assert_eq!(ones(u64::MAX).count(), 64);
    }

    #[test]
    fn only_the_first_64_vcpus_have_a_bit() {
        assert_eq!(vcpu_bit(63), 1 << 63);
        assert_eq!(vcpu_bit(64), 0);
        assert_eq!(vcpu_bit(usize::MAX), 0);
    }
}
