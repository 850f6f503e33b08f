//! A host for tests: heap memory plays physical memory, threads play physical CPUs.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread_local;
use std::vec::Vec;

use arm_vgic::ListRegisters;
use axaddrspace::{
    FramePool, GuestMemoryHal, GuestPhysAddr, HostPhysAddr, HostVirtAddr, PagingHandler,
};

use super::guest::Guest;
use crate::{AxVMHal, Channels};

const PAGE: usize = 0x1000;
/// Where the host's memory begins: within what stage 2 translates, so that it can be mapped as it is.
pub(super) const HOST_RAM: usize = 0x8000_0000;
/// How much there is.
pub(super) const HOST_RAM_SIZE: usize = 16 << 20;
/// What a physical CPU acknowledges when nothing is pending.
const NO_INTERRUPT: u32 = 1023;

/// VMIDs are the process's: those who count them exclude those who make VMs.
static VMIDS: RwLock<()> = RwLock::new(());

/// While this is held, no test has a VM.
pub(crate) fn all_vmids() -> RwLockWriteGuard<'static, ()> {
    VMIDS.write().unwrap_or_else(PoisonError::into_inner)
}

/// While this is held, nobody takes all VMIDs.
pub(super) fn some_vmids() -> RwLockReadGuard<'static, ()> {
    VMIDS.read().unwrap_or_else(PoisonError::into_inner)
}

/// What was done to the interrupt controller of a physical CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Irq {
    Acknowledged(u32),
    Dropped(u32),
    Deactivated(u32),
}

/// One physical CPU.
pub(super) struct PhysicalCpu {
    pub(super) id: usize,
    pub(super) lrs: [AtomicU64; 4],
    pub(super) maintenance: AtomicBool,
    pub(super) timer_enabled: AtomicBool,
    pub(super) timer_active: AtomicBool,
    pub(super) forgotten: AtomicUsize,
    /// What it acknowledges next, and next.
    pub(super) pending: Mutex<VecDeque<u32>>,
    irqs: Mutex<Vec<Irq>>,
    released: Mutex<Vec<u32>>,
    /// Which vCPU's registers it holds.
    pub(super) holds: Mutex<Option<(usize, usize)>>,
}

impl PhysicalCpu {
    fn new(id: usize) -> Self {
        Self {
            id,
            lrs: [const { AtomicU64::new(0) }; 4],
            maintenance: AtomicBool::new(false),
            timer_enabled: AtomicBool::new(false),
            timer_active: AtomicBool::new(false),
            forgotten: AtomicUsize::new(0),
            pending: Mutex::default(),
            irqs: Mutex::default(),
            released: Mutex::default(),
            holds: Mutex::default(),
        }
    }

    /// What was done to its interrupt controller since the last time.
    pub(super) fn irqs(&self) -> Vec<Irq> {
        std::mem::take(&mut self.irqs.lock().unwrap())
    }

    /// The shared interrupts that were made inactive for it since the last time.
    pub(super) fn released(&self) -> Vec<u32> {
        std::mem::take(&mut self.released.lock().unwrap())
    }

    /// The interrupts in list registers that the guest can take or has taken, with their state bits.
    pub(super) fn listed(&self) -> Vec<(u32, u64)> {
        let values = self.lrs.iter().map(|lr| lr.load(SeqCst));
        values.filter(|lr| lr >> 62 != 0).map(|lr| (lr as u32, lr >> 62)).collect()
    }
}

/// The host of the threads that stand on it.
pub(super) struct Host {
    memory: Vec<AtomicU64>,
    /// The address of host byte `HOST_RAM`, in `memory`.
    first_byte: usize,
    first_word: usize,
    pool: Mutex<FramePool>,
    pub(super) counter: AtomicU64,
    pub(super) vmids_forgotten: Mutex<Vec<u16>>,
    guests: Mutex<BTreeMap<(usize, usize), Arc<Guest>>>,
    pub(super) channels: &'static Channels,
    /// The vCPU that cannot be made.
    pub(super) refuses_vcpu: AtomicUsize,
    /// Whether CPUs are where guests can be run from.
    pub(super) at_el2: AtomicBool,
    /// Its virtual CPU interface, if it has a GICv2.
    pub(super) gicv: Mutex<Option<HostPhysAddr>>,
}

/// Where a thread stands.
#[derive(Clone)]
struct Standing {
    host: Arc<Host>,
    cpu: Arc<PhysicalCpu>,
}

thread_local! {
    static HERE: RefCell<Option<Standing>> = const { RefCell::new(None) };
}

fn standing() -> Standing {
    HERE.with_borrow(|here| here.clone().expect("the thread stands on a host's CPU"))
}

/// The CPU that this thread plays.
pub(super) fn this_cpu() -> Arc<PhysicalCpu> {
    standing().cpu
}

impl Host {
    /// A host, of which this thread is CPU 0.
    pub(super) fn new() -> Arc<Self> {
        let words = (HOST_RAM_SIZE + PAGE) / size_of::<u64>();
        let mut memory = Vec::with_capacity(words);
        memory.resize_with(words, || AtomicU64::new(0xdead_dead_dead_dead));
        let start = memory.as_ptr().expose_provenance();
        let first_byte = start.next_multiple_of(PAGE);
        let mut pool = FramePool::new();
        pool.donate(HOST_RAM.into(), HOST_RAM_SIZE).unwrap();
        let host = Arc::new(Self {
            memory,
            first_byte,
            first_word: (first_byte - start) / size_of::<u64>(),
            pool: Mutex::new(pool),
            counter: AtomicU64::new(1_000_000),
            vmids_forgotten: Mutex::default(),
            guests: Mutex::default(),
            channels: std::boxed::Box::leak(std::boxed::Box::default()),
            refuses_vcpu: AtomicUsize::new(usize::MAX),
            at_el2: AtomicBool::new(true),
            gicv: Mutex::default(),
        });
        host.stand_on(0);
        host
    }

    /// This thread plays CPU `id` from now on, a fresh one.
    pub(super) fn stand_on(self: &Arc<Self>, id: usize) -> Arc<PhysicalCpu> {
        let cpu = Arc::new(PhysicalCpu::new(id));
        self.switch_to(&cpu);
        cpu
    }

    /// This thread plays `cpu` from now on.
    pub(super) fn switch_to(self: &Arc<Self>, cpu: &Arc<PhysicalCpu>) {
        HERE.set(Some(Standing { host: self.clone(), cpu: cpu.clone() }));
    }

    pub(super) fn free_bytes(&self) -> usize {
        self.pool.lock().unwrap().free_bytes()
    }

    /// Takes memory at a place of the test's choice.
    pub(super) fn take(&self, base: usize, size: usize) {
        self.pool.lock().unwrap().alloc_at(base.into(), size).unwrap();
    }

    /// Takes all memory that is left.
    pub(super) fn exhaust(&self) {
        let mut pool = self.pool.lock().unwrap();
        while pool.alloc(PAGE, PAGE).is_some() {}
    }

    /// The word of host memory at `at`.
    pub(super) fn word(&self, at: usize) -> &AtomicU64 {
        &self.memory[self.first_word + (at - HOST_RAM) / size_of::<u64>()]
    }

    /// The script of a vCPU, which may not have been made yet.
    pub(super) fn guest(&self, vm: usize, vcpu: usize) -> Arc<Guest> {
        self.guests.lock().unwrap().entry((vm, vcpu)).or_default().clone()
    }
}

/// The host as VMs know it.
pub(super) struct FakeHost;

/// The host of this thread.
pub(super) fn this_host() -> Arc<Host> {
    standing().host
}

impl PagingHandler for FakeHost {
    fn alloc_frames(num: usize, align: usize) -> Option<HostPhysAddr> {
        this_host().pool.lock().unwrap().alloc(num * PAGE, align)
    }

    fn dealloc_frames(paddr: HostPhysAddr, num: usize) {
        this_host().pool.lock().unwrap().free(paddr, num * PAGE).unwrap();
    }

    fn phys_to_virt(paddr: HostPhysAddr) -> HostVirtAddr {
        assert!((HOST_RAM..HOST_RAM + HOST_RAM_SIZE).contains(&paddr.as_usize()));
        (this_host().first_byte + (paddr.as_usize() - HOST_RAM)).into()
    }
}

impl GuestMemoryHal for FakeHost {
    fn zero(base: HostPhysAddr, size: usize) {
        let host = this_host();
        let first = host.first_word + (base.as_usize() - HOST_RAM) / size_of::<u64>();
        for word in &host.memory[first..first + size / size_of::<u64>()] {
            word.store(0, Relaxed);
        }
    }

    fn publish(_: HostPhysAddr, _: usize) {}

    fn invalidate_stage2(_: HostPhysAddr, _: GuestPhysAddr, _: usize) {}
}

impl AxVMHal for FakeHost {
    type PagingHandler = Self;

    fn alloc_memory_region_at(base: HostPhysAddr, size: usize) -> bool {
        this_host().pool.lock().unwrap().alloc_at(base, size).is_ok()
    }

    fn dealloc_memory_region_at(base: HostPhysAddr, size: usize) {
        this_host().pool.lock().unwrap().free(base, size).unwrap();
    }

    fn current_time_nanos() -> u64 {
        this_host().counter.load(SeqCst)
    }
}

/// The list registers of the CPU that this thread plays.
#[derive(Default)]
pub(super) struct FakeListRegisters;

impl ListRegisters for FakeListRegisters {
    fn count(&self) -> usize {
        4
    }

    fn read(&self, n: usize) -> u64 {
        this_cpu().lrs[n].load(SeqCst)
    }

    fn write(&self, n: usize, value: u64) {
        this_cpu().lrs[n].store(value, SeqCst);
    }

    fn set_maintenance(&self, no_pending: bool) {
        this_cpu().maintenance.store(no_pending, SeqCst);
    }

    fn enable_physical_ppi(&self, intid: u32, on: bool) {
        assert_eq!(intid, 27);
        this_cpu().timer_enabled.store(on, SeqCst);
    }

    fn set_physical_ppi_active(&self, intid: u32, active: bool) {
        assert_eq!(intid, 27);
        this_cpu().timer_active.store(active, SeqCst);
    }

    fn release_physical_spi(&self, intid: u32) {
        this_cpu().released.lock().unwrap().push(intid);
    }
}

/// The physical CPU interfaces, as [`GuestCpu`](crate::GuestCpu) has them.
pub(super) mod gic {
    use super::{Irq, NO_INTERRUPT, SeqCst, this_cpu};
    use crate::CpuInterface;

    fn note(irq: Irq) {
        this_cpu().irqs.lock().unwrap().push(irq);
    }

    /// A GICv3.
    pub(in super::super) struct Gicv3;

    impl CpuInterface for Gicv3 {
        fn acknowledge() -> u32 {
            let taken = this_cpu().pending.lock().unwrap().pop_front().unwrap_or(NO_INTERRUPT);
            if !(1020..1024).contains(&taken) {
                note(Irq::Acknowledged(taken));
            }
            taken
        }

        fn intid(taken: u32) -> u32 {
            taken
        }

        fn drop_priority(taken: u32) {
            note(Irq::Dropped(taken));
        }

        fn deactivate(taken: u32) {
            note(Irq::Deactivated(taken));
        }

        fn set_list_register(n: usize, value: u64) {
            this_cpu().lrs[n].store(value, SeqCst);
        }
    }

    /// A GICv2: what is taken has the sender of an SGI above the INTID.
    pub(in super::super) struct Gicv2;

    impl CpuInterface for Gicv2 {
        fn acknowledge() -> u32 {
            Gicv3::acknowledge()
        }

        fn intid(taken: u32) -> u32 {
            taken & 0x3ff
        }

        fn drop_priority(taken: u32) {
            Gicv3::drop_priority(taken);
        }

        fn deactivate(taken: u32) {
            Gicv3::deactivate(taken);
        }

        fn set_list_register(n: usize, value: u64) {
            Gicv3::set_list_register(n, value);
        }
    }
}
