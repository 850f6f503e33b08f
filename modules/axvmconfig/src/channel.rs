//! The memory a VM shares with others: `[[channel]]` or `channels`.
//!
//! Where a channel appears and which interrupt it rings follow from its place in the file, so that a guest
//! whose device tree is its own can know them too.

use alloc::{format, string::String, vec::Vec};

use crate::{
    choice::ChannelAccess,
    claims::{Claim, Owner},
    error::ConfigError,
    fields::{Fields, Key, key},
    kind::{Kind, Shape, words},
    node::Node,
    region::{PAGE, page_multiple},
    source::quoted,
    taken::Taken,
};

/// Memory that a VM shares with others, and the doorbell that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelConfig {
    /// What all its members call it.
    pub name: String,
    /// Its size in bytes, which all its members agree on; a multiple of 4 KiB, not zero.
    pub size: usize,
    /// The names of the VMs it is shared with: 1 to [`MAX_PEERS`], all different.
    pub peers: Vec<String>,
    /// What this VM may do with it.
    pub access: ChannelAccess,
    /// Where this VM sees it: the first at 0x0b00_0000, each further one behind the one before.
    pub gpa: usize,
    /// The INTID of its doorbell: 240 for the first, one more for each further one.
    pub irq_id: usize,
}

/// The most channels of one VM: what their interrupts have room for.
pub const MAX_CHANNELS: usize = 16;
/// The most VMs that one VM shares a channel with.
pub const MAX_PEERS: usize = 8;

/// Where channels appear in the guest-physical space.
const WINDOW: usize = 0x0b00_0000;
/// How many bytes there are for all channels of a VM.
const WINDOW_SIZE: usize = 16 << 20;
/// The INTID of the first channel's doorbell.
const FIRST_IRQ: usize = 240;

const KEYS: &[Key] = &[
    key("name", &[], Kind::Name, "What all VMs that share it call it."),
    key("size", &[], Kind::Size, "Its size, the same in all VMs; a multiple of 4 KiB."),
    key(
        "peers",
        &[],
        Kind::List(&Kind::Name),
        "The VMs it is shared with, by name, 1 to 8; each has to name this one too.",
    ),
    key("access", &[], Kind::Choice(words::<ChannelAccess>), "What this VM may do with it.")
        .or("\"rw\""),
];
const ROW: &[&str] = &["name", "size", "peers", "access"];
/// Without the last: the access.
const OPTIONAL: usize = 1;
const SHAPE: Shape = Shape { keys: KEYS, required: &[&["name"], &["size"], &["peers"]] };

/// What `channels` is.
pub(crate) const CHANNELS: Kind =
    Kind::List(&Kind::Record { shape: &SHAPE, row: ROW, optional: OPTIONAL });

/// The channels of the VM `vm_name`, and the addresses and interrupts they claim.
pub(crate) fn read(
    fields: &Fields<'_>,
    vm_name: &str,
    claims: &mut Vec<Claim>,
    taken: &mut Taken,
) -> Result<Vec<ChannelConfig>, ConfigError> {
    let mut channels: Vec<ChannelConfig> = Vec::new();
    for item in fields.read("channels", Node::items)?.unwrap_or_default() {
        if channels.len() == MAX_CHANNELS {
            let message = format!("{} is one channel too many", item.key);
            return Err(item.error(message, format!("allowed: {MAX_CHANNELS} at most")));
        }
        let record = Fields::of_record(&item, KEYS, ROW, OPTIONAL)?;
        let channel = read_channel(&record, vm_name, &channels)?;
        claims.push(Claim::at(&item, Owner::Channel, channel.gpa, channel.size)?);
        taken.doorbell(&record, channel.irq_id)?;
        channels.push(channel);
    }
    Ok(channels)
}

fn read_channel(
    record: &Fields<'_>,
    vm_name: &str,
    others: &[ChannelConfig],
) -> Result<ChannelConfig, ConfigError> {
    let name = record.require("name", "name = \"c0\"")?;
    let size = record.require("size", "size = \"64K\"")?;
    let gpa = others.last().map_or(WINDOW, |last| last.gpa.saturating_add(last.size));
    Ok(ChannelConfig {
        name: new_name(name, others)?,
        size: fitting(size, WINDOW.saturating_add(WINDOW_SIZE).saturating_sub(gpa))?,
        peers: read_peers(record.require("peers", "peers = [\"linux\"]")?, vm_name)?,
        access: record.read("access", Node::choice)?.unwrap_or_default(),
        gpa,
        irq_id: FIRST_IRQ.saturating_add(others.len()),
    })
}

fn new_name(node: &Node<'_>, others: &[ChannelConfig]) -> Result<String, ConfigError> {
    let name = node.name()?;
    if others.iter().any(|other| other.name == name) {
        let message = format!("two channels are called {}", quoted(&name));
        return Err(node.error(message, "allowed: a name of its own for each"));
    }
    Ok(name)
}

fn fitting(node: &Node<'_>, room: usize) -> Result<usize, ConfigError> {
    let size = page_multiple(node, node.size()?)?;
    if size > room {
        let message = format!("{} is {size:#x}, more than channels have room for", node.key);
        let hint = format!("allowed: 16 MiB for all of them, of which {room:#x} bytes are left");
        return Err(node.error(message, hint));
    }
    Ok(size)
}

fn read_peers(node: &Node<'_>, vm_name: &str) -> Result<Vec<String>, ConfigError> {
    let mut peers = Vec::new();
    let items = node.items()?;
    if items.is_empty() || items.len() > MAX_PEERS {
        let message = format!("{} has {} items", node.key, items.len());
        return Err(node.error(message, format!("allowed: 1 to {MAX_PEERS} names of VMs")));
    }
    for item in items {
        let peer = item.name()?;
        if peer == vm_name {
            let message = format!("{} is the VM itself", item.key);
            return Err(item.error(message, "allowed: the names of other VMs"));
        }
        if peers.contains(&peer) {
            let message = format!("{} is named twice", quoted(&peer));
            return Err(item.error(message, "allowed: each VM once"));
        }
        peers.push(peer);
    }
    Ok(peers)
}

const _: () = assert!(WINDOW.is_multiple_of(PAGE));
