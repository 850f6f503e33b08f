//! Who claims which guest-physical addresses, and that no two do.

use alloc::{format, string::String, vec::Vec};
use core::ops::Range;

use crate::{
    choice::{EmulatedDeviceType, GicVersion, InterruptMode},
    device::EmulatedDeviceConfig,
    error::ConfigError,
    node::Node,
    region::PAGE,
    source::Source,
};

/// The end of the guest-physical space: what stage 2 translates.
pub const GUEST_SPACE_END: usize = 1 << 39;
/// The end of the host's physical space.
pub(crate) const HOST_SPACE_END: usize = 1 << 48;

const GICD_BASE: usize = 0x0800_0000;
const GICD_SIZE: usize = 0x1_0000;
const GICC_BASE: usize = 0x0801_0000;
const GICC_SIZE: usize = 0x1_0000;
const GICR_BASE: usize = 0x080a_0000;
const GICR_SIZE_PER_VCPU: usize = 0x2_0000;

/// What claims the addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Guest memory.
    Memory,
    /// Memory shared with other VMs.
    Channel,
    /// A device the hypervisor emulates.
    Emulated,
    /// A device of the host; `offset` leads from guest-physical to host-physical, wrapping.
    Passthrough { offset: usize },
}

/// A range of guest-physical addresses and the place in the file that claims it.
pub(crate) struct Claim {
    what: String,
    owner: Owner,
    range: Range<usize>,
    key: String,
    /// Nothing for what the board has without being asked.
    span: Option<Range<usize>>,
}

impl Claim {
    /// The claim of `node` on `size` bytes from `base`, which have to lie within the guest-physical space.
    pub(crate) fn at(
        node: &Node<'_>,
        owner: Owner,
        base: usize,
        size: usize,
    ) -> Result<Self, ConfigError> {
        let end = base.checked_add(size).filter(|end| *end <= GUEST_SPACE_END);
        let Some(end) = end else {
            let message =
                format!("{} ends beyond the guest-physical space: {base:#x} + {size:#x}", node.key);
            return Err(node.error(message, "allowed: an end of 0x80_0000_0000 at most"));
        };
        Ok(Self {
            what: node.key.clone(),
            owner,
            range: base..end,
            key: node.key.clone(),
            span: Some(node.span.clone()),
        })
    }

    /// The claim of a device that the board has without being asked, and the `key` that switches it off if there is one.
    pub(crate) fn of_board(what: &str, key: &str, owner: Owner, base: usize, size: usize) -> Self {
        Self {
            what: what.into(),
            owner,
            range: base..base.saturating_add(size),
            key: key.into(),
            span: None,
        }
    }

    /// The addresses that cannot be told apart from this claim's: whole pages, where the guest reaches memory.
    fn footprint(&self) -> Range<usize> {
        match self.owner {
            Owner::Emulated => self.range.clone(),
            Owner::Memory | Owner::Channel | Owner::Passthrough { .. } => {
                let start = self.range.start & !(PAGE - 1);
                start..self.range.end.next_multiple_of(PAGE)
            }
        }
    }

    fn clashes(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.footprint(), other.footprint());
        let overlap = ours.start < theirs.end && theirs.start < ours.end;
        // Devices that are passed through may share a page, as long as they agree on which.
        let one_page = matches!(self.owner, Owner::Passthrough { .. }) && self.owner == other.owner;
        overlap && !one_page
    }
}

/// The windows of the interrupt controller, save for the parts that the file places itself.
///
/// Without a version both are kept free, since the host decides.
pub(crate) fn gic(
    mode: InterruptMode,
    version: Option<GicVersion>,
    vcpus: usize,
    devices: &[EmulatedDeviceConfig],
) -> Vec<Claim> {
    use EmulatedDeviceType::{GicDistributor, GicRedistributor, InterruptController, Plic};
    let placed = |kind| devices.iter().any(|device| device.emu_type == kind);
    if mode == InterruptMode::None || placed(InterruptController) || placed(Plic) {
        return Vec::new();
    }
    let mut claims = Vec::new();
    let mut claim =
        |what, base, size| claims.push(Claim::of_board(what, "", Owner::Emulated, base, size));
    if !placed(GicDistributor) {
        claim("the GIC distributor", GICD_BASE, GICD_SIZE);
    }
    if version != Some(GicVersion::V3) {
        claim("the GICv2 CPU interface", GICC_BASE, GICC_SIZE);
    }
    if version != Some(GicVersion::V2) && !placed(GicRedistributor) {
        let size = vcpus.saturating_mul(GICR_SIZE_PER_VCPU);
        claim("the GICv3 redistributors", GICR_BASE, size);
    }
    claims
}

/// Refuses two claims on the same addresses; the later one in the file is to blame.
pub(crate) fn check(source: &Source<'_>, mut claims: Vec<Claim>) -> Result<(), ConfigError> {
    // The board comes first: it is never to blame.
    claims.sort_by_key(|claim| claim.span.as_ref().map(|span| span.start));
    for (index, claim) in claims.iter().enumerate() {
        let mut earlier = claims.iter().take(index);
        let (Some(other), Some(span)) = (earlier.find(|other| claim.clashes(other)), &claim.span)
        else {
            continue;
        };
        let message = format!(
            "{} overlaps {}: {} and {}",
            claim.what,
            other.what,
            shown(&claim.range),
            shown(&other.range)
        );
        let hint = match &other.span {
            Some(place) => format!("{} is on line {}", other.what, source.line_of(place.start)),
            None if other.key.is_empty() => format!("{} cannot be moved", other.what),
            None => format!("{} = false takes {} away", other.key, other.what),
        };
        return Err(source.error(span.clone(), &claim.key, message, hint));
    }
    Ok(())
}

/// Refuses the address of `node` unless it lies in guest memory.
pub(crate) fn check_in_memory(node: &Node<'_>, claims: &[Claim]) -> Result<(), ConfigError> {
    let address = node.integer()?;
    let memory = || claims.iter().filter(|claim| claim.owner == Owner::Memory);
    if memory().any(|claim| claim.range.contains(&address)) {
        return Ok(());
    }
    let regions: Vec<String> = memory().map(|claim| shown(&claim.range)).collect();
    let message = format!("{} is {address:#x}, where the guest has no memory", node.key);
    Err(node.error(message, format!("allowed: {}", regions.join(", "))))
}

/// A range as an error shows it: from the first to the last address.
fn shown(range: &Range<usize>) -> String {
    format!("{:#x}-{:#x}", range.start, range.end.saturating_sub(1))
}
