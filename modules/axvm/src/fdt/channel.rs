//! The memory a guest shares with others, as nodes of its device tree.

use super::{FdtError, tree::Tree};
use alloc::vec::Vec;
use axaddrspace::GuestPhysAddr;
use axvmconfig::{ChannelAccess, ChannelConfig};

/// A node for each of `channels`; docs/ivc.md says what its properties mean.
pub(super) fn nodes(root: &mut Tree, channels: &[ChannelConfig]) -> Result<(), FdtError> {
    for (number, channel) in (0..).zip(channels) {
        let base = GuestPhysAddr::from_usize(channel.gpa);
        root.node_at("ivc", base, |node| {
            node.texts("compatible", &["axle,ivc"])?;
            node.reg(&[(base, channel.size)])?;
            node.edges(&[u32::try_from(channel.irq_id).unwrap_or(0)])?;
            node.cells("axle,channel", &[number])?;
            node.texts("axle,name", &[&channel.name])?;
            let peers: Vec<&str> = channel.peers.iter().map(|peer| peer.as_str()).collect();
            node.texts("axle,peers", &peers)?;
            match channel.access {
                ChannelAccess::ReadWrite => Ok(()),
                ChannelAccess::Read => node.flag("read-only"),
            }
        })?;
    }
    Ok(())
}
