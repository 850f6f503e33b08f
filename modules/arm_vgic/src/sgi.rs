//! Affinities, and the decoding of ICC_SGI1R_EL1 (IHI 0069 section 12.2).

use crate::bits::{low, vcpu_bit};

/// The affinity of vCPU `index` as MPIDR_EL1 shows it: Aff0 counts to 15, because a target list has 16 bits, then Aff1.
pub const fn affinity(index: usize) -> u64 {
    let index = index as u64;
    (index >> 4 & 0xff) << 8 | index & 0xf
}

/// The vCPU whose affinity is Aff2.Aff1.Aff0 in bits 23 to 0, of `vcpus`.
pub(crate) fn vcpu_at(affinity: u32, vcpus: usize) -> Option<usize> {
    let [aff0, aff1, aff2, _] = affinity.to_le_bytes();
    let index = usize::from(aff1) << 4 | usize::from(aff0);
    (aff2 == 0 && aff0 < 16 && index < vcpus).then_some(index)
}

/// A write of ICC_SGI1R_EL1, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sgi {
    pub(crate) intid: u32,
    /// One bit per vCPU that is there.
    pub(crate) targets: u64,
}

impl Sgi {
    /// What the write of `value` by vCPU `from` means where the vCPUs in the mask `all` are; absent targets are left out.
    #[inline]
    pub(crate) fn decode(value: u64, from: usize, all: u64) -> Self {
        let intid = low(value >> 24) & 0xf;
        let targets = if value & (0xff << 48 | 0xf << 44 | 1 << 40 | 0xff << 32) == 0 {
            let first = low(value >> 16 & 0xff) << 4;
            (value & 0xffff).checked_shl(first).unwrap_or(0) & all
        } else if value >> 40 & 1 == 1 {
            all & !vcpu_bit(from)
        } else {
            // Aff3, RS, Aff2: no vCPU is there.
            0
        };
        Self { intid, targets }
    }
}

/// The INTID field of ICC_SGI1R_EL1.
pub(crate) const INTID: u64 = 0xf << 24;

/// What vCPU `index` writes to ICC_SGI1R_EL1 to send itself SGI 0.
pub(crate) const fn to_self(index: usize) -> u64 {
    let affinity = affinity(index);
    (affinity >> 8) << 16 | 1 << (affinity & 0xf)
}

/// A mask of `vcpus` vCPUs, 1 to 64.
pub(crate) fn all_of(vcpus: usize) -> u64 {
    u64::MAX >> 64_usize.wrapping_sub(vcpus.clamp(1, 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vcpu_is_found_by_its_own_affinity_only() {
        for index in 0..64 {
            assert_eq!(vcpu_at(low(affinity(index)), 64), Some(index));
            assert_eq!(vcpu_at(low(affinity(index)), index), None);
        }
        for absent in [16, 0xff, 0x01_0000, 0x0410, 0xff00] {
            assert_eq!(vcpu_at(absent, 64), None, "{absent:#x}");
        }
    }

    #[test]
    fn what_a_vcpu_writes_for_itself_means_itself() {
        for index in 0..64 {
            let sgi = Sgi::decode(to_self(index) | 9 << 24, index, all_of(64));
            assert_eq!(sgi, Sgi { intid: 9, targets: 1 << index });
        }
    }

    #[test]
    fn a_target_list_names_vcpus_of_one_cluster() {
        let value = 5 << 24 | 2 << 16 | 0b1001;
        assert_eq!(Sgi::decode(value, 0, all_of(64)), Sgi { intid: 5, targets: 0b1001 << 32 });
        assert_eq!(Sgi::decode(value, 0, all_of(35)).targets, 1 << 32);
        assert_eq!(Sgi::decode(value, 0, all_of(4)).targets, 0);
    }

    #[test]
    fn all_but_self_ignores_the_target_list() {
        let value = 1 << 40 | 0xff << 32 | 0xffff;
        assert_eq!(Sgi::decode(value, 2, all_of(4)).targets, 0b1011);
        assert_eq!(Sgi::decode(value, 63, all_of(64)).targets, u64::MAX >> 1);
        assert_eq!(Sgi::decode(value, 0, all_of(1)).targets, 0);
    }

    #[test]
    fn every_affinity_that_does_not_exist_is_ignored() {
        for byte in 1..=0xff {
            assert_eq!(Sgi::decode(byte << 48 | 0xffff, 0, all_of(64)).targets, 0);
            assert_eq!(Sgi::decode(byte << 32 | 0xffff, 0, all_of(64)).targets, 0);
            if byte > 3 {
                assert_eq!(Sgi::decode(byte << 16 | 0xffff, 0, all_of(64)).targets, 0);
            }
        }
        for range in 1..16 {
            assert_eq!(Sgi::decode(range << 44 | 0xffff, 0, all_of(64)).targets, 0);
        }
    }
}
