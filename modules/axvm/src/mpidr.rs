//! Which vCPU has which MPIDR affinity.
//!
//! Arm ARM DDI 0487, MPIDR_EL1. Sixteen vCPUs share an Aff1, because the target list of
//! ICC_SGI1R_EL1 has 16 bits for Aff0.

/// How many bits of the index make up Aff0.
const AFF0_BITS: u32 = 4;
/// The most vCPUs that have an affinity of this form: Aff1 has 8 bits.
pub const VCPUS_MAX: usize = 256 << AFF0_BITS;

/// The affinity fields (bits 39:32 and 23:0) of vCPU `index`, which is less than [`VCPUS_MAX`].
pub const fn mpidr_of(index: usize) -> u64 {
    let index = index as u64;
    ((index >> AFF0_BITS) & 0xff) << 8 | (index & ((1 << AFF0_BITS) - 1))
}

/// The vCPU with exactly the affinity `mpidr`; `None` if no vCPU ever has it, or if a bit outside of
/// the affinity fields is set.
pub const fn index_of(mpidr: u64) -> Option<usize> {
    if mpidr > 0xffff || mpidr & 0xff >= 1 << AFF0_BITS {
        return None;
    }
    // At most 12 bits, so that the cast loses none.
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    Some(((mpidr >> 8) << AFF0_BITS | (mpidr & 0xff)) as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_vcpu_has_its_own_affinity_and_is_found_by_it() {
        for index in 0..VCPUS_MAX {
            assert_eq!(index_of(mpidr_of(index)), Some(index));
        }
        assert_eq!(mpidr_of(15), 0xf);
        assert_eq!(mpidr_of(16), 0x100);
        assert_eq!(mpidr_of(VCPUS_MAX - 1), 0xff0f);
    }

    #[test]
    fn an_affinity_no_vcpu_has_finds_none() {
        for mpidr in (0..=0xffff_u64).filter(|mpidr| mpidr & 0xf0 != 0) {
            assert_eq!(index_of(mpidr), None, "{mpidr:#x}");
        }
        for bit in 16..64 {
            assert_eq!(index_of(1 << bit), None, "bit {bit}");
        }
    }
}
