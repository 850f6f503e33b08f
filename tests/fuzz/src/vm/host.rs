//! The host under the VM: memory, time, and two physical CPUs with their interrupt hardware, all of one thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use arm_vgic::ListRegisters;
use axaddrspace::{
    FramePool, GuestMemoryHal, GuestPhysAddr, HostPhysAddr, HostVirtAddr, PagingHandler,
};
use axvm::{AxVMHal, CpuInterface};

const PAGE: usize = 0x1000;
const RAM: usize = 0x8000_0000;
const RAM_SIZE: usize = 8 << 20;
/// What a CPU acknowledges when nothing is pending.
const NOTHING: u32 = 1023;

/// One physical CPU.
#[derive(Default)]
pub(super) struct PhysicalCpu {
    pub(super) lrs: [Cell<u64>; 4],
    pub(super) no_pending: Cell<bool>,
    pub(super) timer_enabled: Cell<bool>,
    pub(super) timer_active: Cell<bool>,
    pub(super) pending: RefCell<VecDeque<u32>>,
    /// What was acknowledged and neither dropped nor left to the guest.
    pub(super) taken: Cell<Option<u32>>,
}

struct Memory {
    bytes: Vec<u64>,
    pool: FramePool,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::new());
    pub(super) static CPUS: [PhysicalCpu; 2] = Default::default();
    /// The CPU that executes.
    pub(super) static CURRENT: Cell<usize> = const { Cell::new(0) };
    pub(super) static COUNTER: Cell<u64> = const { Cell::new(1_000_000) };
}

impl Memory {
    fn new() -> Self {
        let mut pool = FramePool::new();
        pool.donate(RAM.into(), RAM_SIZE).unwrap();
        Self { bytes: vec![0; (RAM_SIZE + PAGE) / 8], pool }
    }
}

pub(super) fn free_bytes() -> usize {
    MEMORY.with_borrow(|memory| memory.pool.free_bytes())
}

/// What is done with the CPU that executes.
pub(super) fn here<R>(act: impl FnOnce(&PhysicalCpu) -> R) -> R {
    CPUS.with(|cpus| act(&cpus[CURRENT.get()]))
}

/// The host as the VM knows it.
pub(super) struct Host;

impl PagingHandler for Host {
    fn alloc_frames(count: usize, align: usize) -> Option<HostPhysAddr> {
        MEMORY.with_borrow_mut(|memory| memory.pool.alloc(count * PAGE, align))
    }

    fn dealloc_frames(base: HostPhysAddr, count: usize) {
        MEMORY.with_borrow_mut(|memory| memory.pool.free(base, count * PAGE).unwrap());
    }

    fn phys_to_virt(base: HostPhysAddr) -> HostVirtAddr {
        let offset = base.as_usize().checked_sub(RAM).filter(|offset| *offset < RAM_SIZE);
        MEMORY.with_borrow_mut(|memory| {
            let first = memory.bytes.as_mut_ptr().expose_provenance().next_multiple_of(PAGE);
            (first + offset.expect("an address of host memory")).into()
        })
    }
}

impl GuestMemoryHal for Host {
    fn zero(base: HostPhysAddr, size: usize) {
        let at = Self::phys_to_virt(base).as_usize();
        MEMORY.with_borrow_mut(|memory| {
            let first = (at - memory.bytes.as_ptr().addr()) / 8;
            memory.bytes[first..first + size / 8].fill(0);
        });
    }

    fn publish(_: HostPhysAddr, _: usize) {}

    fn invalidate_stage2(_: HostPhysAddr, _: GuestPhysAddr, _: usize) {}
}

impl AxVMHal for Host {
    type PagingHandler = Self;

    fn alloc_memory_region_at(_: HostPhysAddr, _: usize) -> bool {
        false
    }

    fn dealloc_memory_region_at(_: HostPhysAddr, _: usize) {}

    fn current_time_nanos() -> u64 {
        COUNTER.get()
    }
}

#[derive(Default)]
pub(super) struct Lists;

impl ListRegisters for Lists {
    fn count(&self) -> usize {
        4
    }

    fn read(&self, n: usize) -> u64 {
        here(|cpu| cpu.lrs[n].get())
    }

    fn write(&self, n: usize, value: u64) {
        here(|cpu| cpu.lrs[n].set(value));
    }

    fn set_maintenance(&self, no_pending: bool) {
        here(|cpu| cpu.no_pending.set(no_pending));
    }

    fn enable_physical_ppi(&self, _: u32, on: bool) {
        here(|cpu| cpu.timer_enabled.set(on));
    }

    fn set_physical_ppi_active(&self, _: u32, active: bool) {
        here(|cpu| cpu.timer_active.set(active));
    }
}

/// The physical CPU interface, which insists that what is taken is given back.
pub(super) struct Interface;

impl CpuInterface for Interface {
    fn acknowledge() -> u32 {
        here(|cpu| {
            let taken = cpu.pending.borrow_mut().pop_front().unwrap_or(NOTHING);
            if taken < 1020 {
                assert_eq!(cpu.taken.replace(Some(taken)), None, "taken while another is");
            }
            taken
        })
    }

    fn intid(taken: u32) -> u32 {
        taken
    }

    fn drop_priority(taken: u32) {
        here(|cpu| {
            assert_eq!(cpu.taken.take(), Some(taken), "dropped and not taken");
            if taken == 27 {
                cpu.timer_active.set(true);
            }
        });
    }

    fn deactivate(taken: u32) {
        here(|cpu| {
            if taken == 27 {
                cpu.timer_active.set(false);
            }
        });
    }

    fn set_list_register(n: usize, value: u64) {
        here(|cpu| cpu.lrs[n].set(value));
    }
}
