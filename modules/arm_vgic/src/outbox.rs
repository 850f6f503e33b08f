//! What a change of the interrupt state asks of others, collected under the lock and done after it.

use crate::bits::vcpu_bit;

/// Sets of vCPUs, one bit each.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Look at your list registers before you enter the guest again.
    pub(crate) attend: u64,
    /// Do so now.
    pub(crate) kick: u64,
    /// Whether and how the virtual timer is delivered has changed.
    pub(crate) timer: u64,
}

impl Outbox {
    /// `vcpu` has something to do at its next entry; nothing is lost if that takes its time.
    #[inline]
    pub(crate) fn attend(&mut self, vcpu: usize) {
        self.attend |= vcpu_bit(vcpu);
    }

    /// `vcpu` has something to do now.
    #[inline]
    pub(crate) fn kick(&mut self, vcpu: usize) {
        self.attend(vcpu);
        self.kick |= vcpu_bit(vcpu);
    }

    /// `vcpu` has just done all there is to do.
    #[inline]
    pub(crate) fn done(&mut self, vcpu: usize) {
        self.attend &= !vcpu_bit(vcpu);
        self.kick &= !vcpu_bit(vcpu);
    }
}
