//! Guest memory: a frame pool of Axle's own, claimed from ArceOS once, and the upkeep of caches and TLBs.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ax_alloc::{UsageKind, global_allocator};
use ax_hal::mem::virt_to_phys;
use axaddrspace::{
    FramePool, GuestMemoryHal, GuestPhysAddr, HostPhysAddr, HostVirtAddr, PagingHandler,
};
use axvm::AxVMHal;
use kspin::SpinNoIrq;

const PAGE: usize = 0x1000;
const SMALLEST_CLAIM: usize = 2 << 20;
const LARGEST_CLAIM: usize = 1 << 30;
/// What ArceOS keeps for itself: its heap, thread stacks, Axle's own structures.
const HOST_HEAP: usize = 64 << 20;

static POOL: SpinNoIrq<FramePool> = SpinNoIrq::new(FramePool::new());

/// By how much the address of RAM in the host is above the physical one: the same for all of it.
static DISTANCE: AtomicUsize = AtomicUsize::new(0);

/// Takes all memory but the host's own heap into the pool. ArceOS's allocator gives powers of two, so
/// it is asked for smaller and smaller ones.
pub(crate) fn claim_guest_memory() {
    let allocator = global_allocator();
    let mut size = LARGEST_CLAIM;
    while size >= SMALLEST_CLAIM {
        let fits = allocator.available_bytes() >= HOST_HEAP + size;
        let claimed = fits
            .then(|| {
                allocator.alloc_pages(size / PAGE, SMALLEST_CLAIM.min(size), UsageKind::VirtMem)
            })
            .and_then(Result::ok);
        let Some(address) = claimed else {
            size /= 2;
            continue;
        };
        let base = HostPhysAddr::from_usize(virt_to_phys(address.into()).as_usize());
        DISTANCE.store(address.wrapping_sub(base.as_usize()), Ordering::Relaxed);
        if let Err(error) = POOL.lock().donate(base, size) {
            log::error!("{error}");
        }
    }
}

/// What the pool holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolUse {
    pub(crate) free: usize,
    pub(crate) total: usize,
    pub(crate) largest: usize,
}

pub(crate) fn pool_use() -> PoolUse {
    let pool = POOL.lock();
    PoolUse {
        free: pool.free_bytes(),
        total: pool.total_bytes(),
        largest: pool.largest_free_block(),
    }
}

/// ArceOS's own heap: bytes used and bytes free.
pub(crate) fn heap_use() -> (usize, usize) {
    let allocator = global_allocator();
    let used = allocator.used_bytes().saturating_sub(pool_use().total);
    (used, allocator.available_bytes())
}

/// Whether ArceOS's heap has `bytes` free in one piece.
pub(crate) fn has_heap_block(bytes: usize) -> bool {
    let mut trial: Vec<u8> = Vec::new();
    // Without this the compiler may leave out what is only taken and given back.
    core::hint::black_box(&mut trial).try_reserve_exact(bytes).is_ok()
}

/// After how many bytes of zeros somebody may be told.
const ZERO_STEP: usize = 4 << 20;

static ZEROED: AtomicU64 = AtomicU64::new(0);

/// How many bytes were ever zeroed for guests.
pub(crate) fn zeroed_bytes() -> u64 {
    ZEROED.load(Ordering::Relaxed)
}

/// Guest frames, as the address spaces of VMs ask for them.
pub(crate) struct GuestFrames;

impl PagingHandler for GuestFrames {
    fn alloc_frames(num: usize, align: usize) -> Option<HostPhysAddr> {
        POOL.lock().alloc(num.checked_mul(PAGE)?, align)
    }

    fn dealloc_frames(base: HostPhysAddr, num: usize) {
        if let Err(error) = POOL.lock().free(base, num * PAGE) {
            log::error!("{error}");
        }
    }

    fn phys_to_virt(base: HostPhysAddr) -> HostVirtAddr {
        // An exit may come here: nothing of the host is asked.
        let distance = DISTANCE.load(Ordering::Relaxed);
        HostVirtAddr::from_usize(base.as_usize().wrapping_add(distance))
    }
}

impl GuestMemoryHal for GuestFrames {
    fn zero(base: HostPhysAddr, size: usize) {
        let start = Self::phys_to_virt(base).as_usize();
        let mut done = 0;
        while done < size {
            let bytes = ZERO_STEP.min(size - done);
            // SAFETY: frames come from the pool, which claimed them for guests alone, and ArceOS maps all RAM.
            unsafe { arm_vcpu::cache::zero(start + done, bytes) };
            done += bytes;
            ZEROED.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    fn publish(base: HostPhysAddr, size: usize) {
        let start = Self::phys_to_virt(base).as_usize();
        arm_vcpu::cache::publish(start, size);
    }

    fn invalidate_stage2(_root: HostPhysAddr, _gpa: GuestPhysAddr, _size: usize) {
        arm_vcpu::forget_all_translations();
    }
}

/// The host as VMs see it.
pub(crate) struct Host;

impl AxVMHal for Host {
    type PagingHandler = GuestFrames;

    fn alloc_memory_region_at(base: HostPhysAddr, size: usize) -> bool {
        POOL.lock().alloc_at(base, size).is_ok()
    }

    fn dealloc_memory_region_at(base: HostPhysAddr, size: usize) {
        GuestFrames::dealloc_frames(base, size / PAGE);
    }

    fn current_time_nanos() -> u64 {
        ax_hal::time::monotonic_time_nanos()
    }
}
