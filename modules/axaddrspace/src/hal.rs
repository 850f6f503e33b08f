//! What an address space asks of the hypervisor below it.

use page_table_multiarch::PagingHandler;

use crate::{GuestPhysAddr, HostPhysAddr};

/// Frames, cache maintenance and TLB maintenance, supplied by the hypervisor.
///
/// From [`PagingHandler`] come the frames. Two rules go beyond what that trait says: a block taken
/// with one `alloc_frames` may come back in several smaller pieces, each on its own `dealloc_frames`
/// (a block is split when part of it is unmapped), and `phys_to_virt` must be right for every frame
/// handed out and for every address given to [`AddrSpace::map_linear`](crate::AddrSpace::map_linear)
/// without the `DEVICE` flag.
pub trait GuestMemoryHal: PagingHandler {
    /// Fills `size` bytes of host memory at `base` with zeros.
    ///
    /// Called before a guest can see a frame and again before the frame is given back. When it
    /// returns, the zeros are what any observer reads, cacheable or not: the lines are cleaned and
    /// invalidated to the point of coherency. Both arguments are multiples of 4 KiB.
    fn zero(base: HostPhysAddr, size: usize);

    /// Makes `size` bytes at `base`, just written by the host, visible to a guest whose caches are off.
    ///
    /// Cleans the data cache to the point of coherency, then invalidates the instruction cache, so
    /// that code written there is what executes. Arguments have no alignment.
    fn publish(base: HostPhysAddr, size: usize);

    /// Forgets every cached translation of `[gpa, gpa + size)` under the tables at `root`.
    ///
    /// The middle step of break-before-make: called after entries were made invalid, and before a
    /// frame behind them is reused or a new entry is written in their place. It must cover leaf
    /// entries and cached table walks, on all physical CPUs, and have completed when it returns.
    /// For a large `size` one invalidation of the whole VMID is cheaper and as good.
    fn invalidate_stage2(root: HostPhysAddr, gpa: GuestPhysAddr, size: usize);
}
