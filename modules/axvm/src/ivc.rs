//! What guests ask about the channels they share: calls of the hypervisor's own range.
//!
//! SMC Calling Convention (Arm DEN 0028), "Function identifiers": fast 64-bit calls of owner 6, Vendor
//! Specific Hypervisor Services. A guest names a channel by its place in its own configuration, which
//! its device tree repeats: it has no way to name another VM's. docs/ivc.md is for those who write guests.

use crate::channel::Membership;

/// How many other VMs are in channel x1.
pub const IVC_STATUS: u32 = 0xc600_0000;
/// Rings the doorbells of all other VMs in channel x1; gives how many there are.
pub const IVC_NOTIFY: u32 = 0xc600_0001;

/// The caller is in no such channel, whether or not there is one. PSCI has DENIED at this number.
const NOT_PERMITTED: u64 = -3_i64 as u64;

/// Whether `function` is one of these.
#[inline(always)]
pub(crate) const fn is_call(function: u32) -> bool {
    matches!(function, IVC_STATUS | IVC_NOTIFY)
}

/// What a call of `function` about channel `number` gives a VM that is in `channels`.
pub(crate) fn call(function: u32, number: u64, channels: &[Membership]) -> u64 {
    let channel = usize::try_from(number).ok().and_then(|number| channels.get(number));
    let Some(channel) = channel else {
        return NOT_PERMITTED;
    };
    let count = if function == IVC_NOTIFY { channel.ring_others() } else { channel.others() };
    count as u64
}
