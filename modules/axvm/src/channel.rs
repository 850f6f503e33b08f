//! Memory that VMs share, each by its own configuration, and the doorbells that go with it.
//!
//! A channel exists as long as a VM does that is in it. Whoever comes first brings the memory, zeroed;
//! when the last one is gone it is zeroed and given back. A VM is in only if it names everybody who is
//! in and everybody who is in names it, so that neither side's configuration alone opens memory.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use axaddrspace::{GuestMemoryHal, HostPhysAddr};
use axvmconfig::{ChannelConfig, MAX_PEERS};
use kspin::SpinNoIrq;

/// The most channels of one host.
pub const MAX_HOST_CHANNELS: usize = 64;
/// The most bytes that all channels of one host have together.
pub const MAX_HOST_BYTES: usize = 64 << 20;

const PAGE: usize = 0x1000;

/// Why a VM cannot join a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// Its members have it in another size.
    Size {
        /// The channel.
        channel: String,
        /// The size it has, in bytes.
        size: usize,
        /// The size it should have.
        wanted: usize,
    },
    /// One VM does not name the other among its peers.
    NotNamed {
        /// The channel.
        channel: String,
        /// Who would have to be named.
        stranger: String,
        /// Who does not.
        by: String,
    },
    /// A VM of this name is in it.
    Twice {
        /// The channel.
        channel: String,
        /// The VM.
        vm: String,
    },
    /// The host has no memory for it.
    NoMemory {
        /// The channel.
        channel: String,
        /// Its size in bytes.
        size: usize,
    },
    /// All channels together would be too many or too big.
    Quota {
        /// The channel.
        channel: String,
    },
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { channel, size, wanted } => write!(
                f,
                "channel {channel} has {size:#x} bytes, not {wanted:#x}: give it one size in all VMs"
            ),
            Self::NotNamed { channel, stranger, by } => write!(
                f,
                "channel {channel}: {by} does not share it with {stranger}; \
                 it would have to be among the peers in {by}'s configuration"
            ),
            Self::Twice { channel, vm } => {
                write!(f, "channel {channel}: a VM {vm} is still in it: wait until it is deleted")
            }
            Self::NoMemory { channel, size } => {
                write!(f, "channel {channel}: the host has no {size:#x} free bytes in one piece")
            }
            Self::Quota { channel } => write!(
                f,
                "channel {channel}: a host has {MAX_HOST_CHANNELS} channels and {} MiB for all of \
                 them at most: delete a VM first",
                MAX_HOST_BYTES >> 20
            ),
        }
    }
}

/// All channels of a host, by name.
#[derive(Default)]
pub struct Channels(SpinNoIrq<Vec<Entry>>);

/// A channel, if somebody is still in it. It is owned by its members alone.
struct Entry {
    name: String,
    size: usize,
    shared: Weak<Shared>,
}

/// One channel.
struct Shared {
    name: String,
    size: usize,
    memory: Box<dyn Memory>,
    members: SpinNoIrq<Vec<Member>>,
}

/// What is behind a channel; dropping it gives it back.
trait Memory: Send + Sync {
    fn base(&self) -> HostPhysAddr;
}

/// One VM in a channel.
struct Member {
    vm: String,
    peers: Vec<String>,
    ring: Ring,
}

/// Rings the doorbell of a VM. Called from another VM's exit: bounded work, no host calls.
pub(crate) type Ring = Box<dyn Fn() + Send + Sync>;

impl Channels {
    /// No channels.
    pub const fn new() -> Self {
        Self(SpinNoIrq::new(Vec::new()))
    }

    /// The bytes that a VM in `channels` would bring: those of the channels in which nobody is yet.
    pub fn bytes_to_bring(&self, channels: &[ChannelConfig]) -> usize {
        let new = channels.iter().filter(|channel| self.find(&channel.name).is_none());
        new.fold(0, |sum, channel| sum.saturating_add(channel.size))
    }

    /// Makes `vm` a member of the channel that `config` names, and the channel if there is none.
    ///
    /// # Errors
    /// As [`ChannelError`] has it; nothing is kept then.
    pub(crate) fn join<P: GuestMemoryHal + 'static>(
        &self,
        vm: &str,
        config: &ChannelConfig,
        ring: Ring,
    ) -> Result<Membership, ChannelError> {
        let shared = match self.find(&config.name) {
            Some(shared) => shared,
            // Made before the lock is taken: zeroing takes its time.
            None => self.enter(Arc::new(Shared::new::<P>(config)?))?,
        };
        shared.admit(config, Member { vm: vm.to_string(), peers: config.peers.clone(), ring })?;
        Ok(Membership { shared, vm: vm.to_string() })
    }

    fn find(&self, name: &str) -> Option<Arc<Shared>> {
        let list = self.0.lock();
        list.iter().filter(|entry| entry.name == name).find_map(|entry| entry.shared.upgrade())
    }

    /// Enters `made`, or gives the one of the same name that somebody else has entered meanwhile.
    fn enter(&self, made: Arc<Shared>) -> Result<Arc<Shared>, ChannelError> {
        let mut list = self.0.lock();
        list.retain(|entry| entry.shared.strong_count() > 0);
        let mut same = list.iter().filter(|entry| entry.name == made.name);
        if let Some(shared) = same.find_map(|entry| entry.shared.upgrade()) {
            return Ok(shared);
        }
        let bytes = list.iter().fold(made.size, |sum, entry| sum.saturating_add(entry.size));
        if list.len() >= MAX_HOST_CHANNELS || bytes > MAX_HOST_BYTES {
            return Err(ChannelError::Quota { channel: made.name.clone() });
        }
        let (name, size, shared) = (made.name.clone(), made.size, Arc::downgrade(&made));
        list.push(Entry { name, size, shared });
        Ok(made)
    }
}

impl Shared {
    fn new<P: GuestMemoryHal + 'static>(config: &ChannelConfig) -> Result<Self, ChannelError> {
        let (name, size) = (config.name.clone(), config.size);
        let frames = Frames::<P>::new(size)
            .ok_or_else(|| ChannelError::NoMemory { channel: name.clone(), size })?;
        // Each member has at most so many others, and all of them name each other.
        let members = SpinNoIrq::new(Vec::with_capacity(MAX_PEERS.saturating_add(1)));
        Ok(Self { name, size, memory: Box::new(frames), members })
    }

    fn admit(&self, config: &ChannelConfig, new: Member) -> Result<(), ChannelError> {
        let channel = || self.name.clone();
        if self.size != config.size {
            let (size, wanted) = (self.size, config.size);
            return Err(ChannelError::Size { channel: channel(), size, wanted });
        }
        let mut members = self.members.lock();
        for member in members.iter() {
            if member.vm == new.vm {
                return Err(ChannelError::Twice { channel: channel(), vm: new.vm });
            }
            for (one, other) in [(member, &new), (&new, member)] {
                if !one.peers.contains(&other.vm) {
                    let (stranger, by) = (other.vm.clone(), one.vm.clone());
                    return Err(ChannelError::NotNamed { channel: channel(), stranger, by });
                }
            }
        }
        members.push(new);
        Ok(())
    }
}

/// A VM's place in a channel; dropping it leaves the channel. The VM's mapping has to be gone by then.
pub(crate) struct Membership {
    shared: Arc<Shared>,
    vm: String,
}

impl Membership {
    /// The memory of the channel.
    pub(crate) fn base(&self) -> HostPhysAddr {
        self.shared.memory.base()
    }

    /// How many others are in it.
    pub(crate) fn others(&self) -> usize {
        self.shared.members.lock().iter().filter(|member| member.vm != self.vm).count()
    }

    /// Rings the doorbells of all others; gives how many there are.
    pub(crate) fn ring_others(&self) -> usize {
        let members = self.shared.members.lock();
        let others = members.iter().filter(|member| member.vm != self.vm);
        others.map(|member| (member.ring)()).count()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut members = self.shared.members.lock();
        let place = members.iter().position(|member| member.vm == self.vm);
        let own = place.map(|place| members.swap_remove(place));
        drop(members);
        // What it rings may be the last that holds an interrupt controller.
        drop(own);
    }
}

/// Contiguous memory of the host, zero when it comes and when it goes.
struct Frames<P: GuestMemoryHal> {
    base: HostPhysAddr,
    size: usize,
    host: PhantomData<fn(P)>,
}

impl<P: GuestMemoryHal> Frames<P> {
    fn new(size: usize) -> Option<Self> {
        let base = P::alloc_frames(size / PAGE, PAGE)?;
        P::zero(base, size);
        // Members may look at it with their caches off.
        P::publish(base, size);
        Some(Self { base, size, host: PhantomData })
    }
}

impl<P: GuestMemoryHal> Memory for Frames<P> {
    fn base(&self) -> HostPhysAddr {
        self.base
    }
}

impl<P: GuestMemoryHal> Drop for Frames<P> {
    fn drop(&mut self) {
        P::zero(self.base, self.size);
        P::dealloc_frames(self.base, self.size / PAGE);
    }
}
