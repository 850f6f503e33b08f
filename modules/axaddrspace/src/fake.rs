//! A host for tests: a stretch of heap plays physical memory, and every call is noted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

use core::cell::RefCell;
use std::{rc::Rc, thread_local, vec::Vec};

use page_table_multiarch::PagingHandler;

use crate::{
    FramePool, GuestMemoryHal, GuestPhysAddr, HostPhysAddr, HostVirtAddr,
    pte::{Kind, Level},
    raw,
};

const PAGE: usize = 0x1000;
/// More than this is not really zeroed, only its first and last page, to keep the tests light; Miri is slow.
const HUGE: usize = if cfg!(miri) { 1 << 20 } else { 64 << 20 };

/// Where the fake's physical memory begins: a multiple of 1 GiB.
pub(crate) const RAM_BASE: usize = 0x1_0000_0000;

/// What the crate asked the host to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Zero(usize, usize),
    Publish(usize, usize),
    Invalidate(usize, usize),
    Free(usize, usize),
}

/// The fake host of the thread that made it.
#[derive(Clone)]
pub(crate) struct Machine(Rc<Inner>);

struct Inner {
    /// The address of host byte `RAM_BASE`, in the middle of `_memory`.
    first_byte: usize,
    _memory: Vec<u8>,
    pool: RefCell<FramePool>,
    events: RefCell<Vec<Event>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Machine>> = const { RefCell::new(None) };
}

impl Machine {
    /// A machine with `size` bytes of RAM, used by this thread from now on.
    pub(crate) fn new(size: usize) -> Self {
        let mut memory = std::vec![0u8; size + PAGE];
        let first_byte = memory.as_mut_ptr().expose_provenance().next_multiple_of(PAGE);
        let mut pool = FramePool::new();
        pool.donate(RAM_BASE.into(), size).unwrap();
        let machine = Self(Rc::new(Inner {
            first_byte,
            _memory: memory,
            pool: RefCell::new(pool),
            events: RefCell::default(),
        }));
        CURRENT.set(Some(machine.clone()));
        machine
    }

    pub(crate) fn used_bytes(&self) -> usize {
        let pool = self.0.pool.borrow_mut();
        pool.total_bytes() - pool.free_bytes()
    }

    /// Takes memory at a place of the test's choice.
    pub(crate) fn take(&self, base: usize, size: usize) {
        self.0.pool.borrow_mut().alloc_at(base.into(), size).unwrap();
    }

    /// The calls since the last time.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.events.take()
    }

    /// Overwrites host memory behind everybody's back.
    pub(crate) fn scribble(&self, base: usize, size: usize, byte: u8) {
        raw::copy_to::<Fake>(base.into(), &std::vec![byte; size]);
    }

    /// Host memory as it is.
    pub(crate) fn peek(&self, base: usize, size: usize) -> Vec<u8> {
        let mut bytes = std::vec![0; size];
        raw::copy_from::<Fake>(base.into(), &mut bytes);
        bytes
    }

    fn note(&self, event: Event) {
        self.0.events.borrow_mut().push(event);
    }
}

/// The hypervisor as this crate sees it.
pub(crate) struct Fake;

fn current() -> Machine {
    CURRENT.with_borrow(|machine| machine.clone().expect("the test has made a machine"))
}

impl PagingHandler for Fake {
    fn alloc_frames(num: usize, align: usize) -> Option<HostPhysAddr> {
        current().0.pool.borrow_mut().alloc(num * PAGE, align)
    }

    fn dealloc_frames(paddr: HostPhysAddr, num: usize) {
        let machine = current();
        machine.note(Event::Free(paddr.as_usize(), num * PAGE));
        machine.0.pool.borrow_mut().free(paddr, num * PAGE).unwrap();
    }

    fn phys_to_virt(paddr: HostPhysAddr) -> HostVirtAddr {
        (current().0.first_byte + (paddr.as_usize() - RAM_BASE)).into()
    }
}

impl GuestMemoryHal for Fake {
    fn zero(base: HostPhysAddr, size: usize) {
        current().note(Event::Zero(base.as_usize(), size));
        let pages =
            if size > HUGE { std::vec![0, size - PAGE] } else { (0..size).step_by(PAGE).collect() };
        for page in pages {
            raw::copy_to::<Self>(base + page, &[0; PAGE]);
        }
    }

    fn publish(base: HostPhysAddr, size: usize) {
        current().note(Event::Publish(base.as_usize(), size));
    }

    fn invalidate_stage2(root: HostPhysAddr, gpa: GuestPhysAddr, size: usize) {
        current().note(Event::Invalidate(gpa.as_usize(), size));
        for at in [gpa.as_usize(), gpa.as_usize() + size - PAGE] {
            assert!(
                !is_translated(root, at),
                "the entry for {at:#x} is still valid when TLBs are invalidated"
            );
        }
    }
}

/// What the MMU would find.
fn is_translated(root: HostPhysAddr, at: usize) -> bool {
    let mut table = root;
    for level in Level::ALL {
        let entry = raw::load::<Fake>(table, (at / level.size()) % 512);
        match entry.kind(level) {
            Kind::Table => table = entry.output(),
            Kind::Leaf => return true,
            Kind::Empty | Kind::RetiredTable | Kind::RetiredLeaf => return false,
        }
    }
    false
}

/// xorshift64*: the same numbers on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % limit
    }
}
