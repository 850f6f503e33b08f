//! VMIDs: which tag each VM's translations carry.

use kspin::SpinNoIrq;

use crate::{AxVMError, GuestCpu};

/// VMIDs have 8 bits on every CPU; 0 is for no VM.
const VMIDS: usize = 256;
const WORDS: usize = VMIDS / 64;

static USED: SpinNoIrq<[u64; WORDS]> = SpinNoIrq::new([1, 0, 0, 0]);

/// A VMID of one's own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Vmid(u16);

impl Vmid {
    /// A VMID that no CPU has a translation of.
    ///
    /// # Errors
    /// `NoVmid` while 255 VMs exist.
    pub(crate) fn new<A: GuestCpu>() -> Result<Self, AxVMError> {
        let vmid = Self::take().ok_or(AxVMError::NoVmid)?;
        A::forget_vmid(vmid.0);
        Ok(vmid)
    }

    fn take() -> Option<Self> {
        let mut used = USED.lock();
        let (index, word) = used.iter_mut().enumerate().find(|(_, word)| **word != u64::MAX)?;
        let bit = word.trailing_ones();
        *word |= 1 << bit;
        u16::try_from(index << 6 | (bit & 63) as usize).ok().map(Self)
    }

    pub(crate) const fn get(&self) -> u16 {
        self.0
    }
}

impl Drop for Vmid {
    fn drop(&mut self) {
        if let Some(word) = USED.lock().get_mut(usize::from(self.0 / 64)) {
            *word &= !(1 << (self.0 % 64));
        }
    }
}

/// How many VMIDs are in use.
pub fn used() -> usize {
    USED.lock().iter().map(|word| word.count_ones() as usize).sum::<usize>().saturating_sub(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_vmid_is_given_once_and_comes_back() {
        let _alone = crate::tests::all_vmids();
        let before = used();
        let all: Vec<_> = core::iter::from_fn(Vmid::take).collect();
        assert_eq!(all.len() + before, VMIDS - 1);
        assert!(all.iter().all(|vmid| vmid.get() != 0));
        let mut numbers: Vec<_> = all.iter().map(Vmid::get).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all.len());
        drop(all);
        assert_eq!(used(), before);
    }
}
