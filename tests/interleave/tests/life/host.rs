//! A host and vCPUs for a VM: as little as it takes to run its life.

use std::cell::Cell;
use std::sync::{Mutex, OnceLock};

use arm_vcpu::{Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig};
use arm_vgic::ListRegisters;
use axaddrspace::{
    FramePool, GuestMemoryHal, GuestPhysAddr, HostPhysAddr, HostVirtAddr, PagingHandler,
};
use axerrno::{AxError, AxResult};
use axle_interleave::Seats;
use axvcpu::{AxArchVCpu, AxVCpuExitReason, ExitHandler, GuestFault, Resume};
use axvm::{AxVMHal, CpuInterface, GuestCpu, KICK_SGI};

const PAGE: usize = 0x1000;
const RAM: usize = 0x8000_0000;
const RAM_SIZE: usize = 1 << 20;
/// What a CPU acknowledges when nothing is pending.
const NOTHING: u32 = 1023;

loom::thread_local! {
    /// Whether the CPU that this thread plays has a kick to acknowledge.
    static KICKED: Cell<bool> = Cell::new(false);
    /// The places of the VM whose vCPU this thread runs.
    pub static SEATS: Cell<Option<std::sync::Arc<Seats>>> = Cell::new(None);
}

/// Nothing is done with it between two places where another thread may go on.
struct Memory {
    bytes: Vec<u64>,
    pool: FramePool,
}

fn memory() -> &'static Mutex<Memory> {
    static MEMORY: OnceLock<Mutex<Memory>> = OnceLock::new();
    MEMORY.get_or_init(|| {
        let mut pool = FramePool::new();
        pool.donate(RAM.into(), RAM_SIZE).unwrap();
        Mutex::new(Memory { bytes: vec![0; (RAM_SIZE + PAGE) / 8], pool })
    })
}

pub struct Host;

impl PagingHandler for Host {
    fn alloc_frames(count: usize, align: usize) -> Option<HostPhysAddr> {
        memory().lock().unwrap().pool.alloc(count * PAGE, align)
    }

    fn dealloc_frames(base: HostPhysAddr, count: usize) {
        memory().lock().unwrap().pool.free(base, count * PAGE).unwrap();
    }

    fn phys_to_virt(base: HostPhysAddr) -> HostVirtAddr {
        let mut memory = memory().lock().unwrap();
        let first = memory.bytes.as_mut_ptr().expose_provenance().next_multiple_of(PAGE);
        (first + (base.as_usize() - RAM)).into()
    }
}

impl GuestMemoryHal for Host {
    fn zero(base: HostPhysAddr, size: usize) {
        let at = Self::phys_to_virt(base).as_usize();
        let mut memory = memory().lock().unwrap();
        let first = (at - memory.bytes.as_ptr().addr()) / 8;
        memory.bytes[first..first + size / 8].fill(0);
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
        0
    }
}

/// No interrupt of a guest's is pending in these scenarios.
#[derive(Default)]
pub struct Lists;

impl ListRegisters for Lists {
    fn count(&self) -> usize {
        4
    }

    fn read(&self, _: usize) -> u64 {
        0
    }

    fn write(&self, _: usize, _: u64) {}

    fn set_maintenance(&self, _: bool) {}

    fn enable_physical_ppi(&self, _: u32, _: bool) {}

    fn set_physical_ppi_active(&self, _: u32, _: bool) {}
}

pub struct Interface;

impl CpuInterface for Interface {
    fn acknowledge() -> u32 {
        if KICKED.with(|kicked| kicked.replace(false)) { KICK_SGI } else { NOTHING }
    }

    fn intid(taken: u32) -> u32 {
        taken
    }

    fn drop_priority(_: u32) {}

    fn deactivate(_: u32) {}

    fn set_list_register(_: usize, _: u64) {}
}

/// What a guest does before it waits for interrupts.
#[derive(Clone, Copy)]
pub enum Act {
    /// It calls its firmware.
    Call(u64, [u64; 3]),
    /// It halts, and the host gets the CPU.
    Halt,
}

/// A vCPU whose guest follows a script, each time it is started.
pub struct Cpu {
    id: usize,
    script: std::slice::Iter<'static, Act>,
    arguments: [u64; 6],
}

/// What the guests of the present scenario do.
pub static SCRIPTS: Mutex<[&'static [Act]; 2]> = Mutex::new([&[], &[]]);

impl AxArchVCpu for Cpu {
    type CreateConfig = Aarch64VCpuCreateConfig;
    type SetupConfig = Aarch64VCpuSetupConfig;

    fn new(_: usize, id: usize, _: Self::CreateConfig) -> AxResult<Self> {
        Ok(Self { id, script: [].iter(), arguments: [0; 6] })
    }

    fn set_entry(&mut self, _: GuestPhysAddr) -> AxResult {
        Ok(())
    }

    fn set_ept_root(&mut self, _: HostPhysAddr) -> AxResult {
        Ok(())
    }

    fn setup(&mut self, _: Self::SetupConfig) -> AxResult {
        self.script = SCRIPTS.lock().unwrap()[self.id].iter();
        Ok(())
    }

    fn run(&mut self, handler: &mut impl ExitHandler<Self>) {
        let seats = SEATS.with(|seats| {
            let own = seats.take();
            seats.set(own.clone());
            own.expect("a runner's thread")
        });
        loop {
            let resume = match self.script.next() {
                Some(&Act::Call(nr, [first, second, third])) => {
                    self.arguments = [first, second, third, 0, 0, 0];
                    handler.hypercall(self, nr)
                }
                Some(Act::Halt) => handler.handle(self, AxVCpuExitReason::Halt),
                None => {
                    seats.wait_for_interrupt(self.id);
                    KICKED.with(|kicked| kicked.set(true));
                    handler.external_interrupt(self, KICK_SGI.into())
                }
            };
            if resume == Resume::No {
                return;
            }
        }
    }

    fn bind(&mut self) -> AxResult {
        Ok(())
    }

    fn unbind(&mut self) -> AxResult {
        Ok(())
    }

    fn load(&mut self) {}

    fn save(&mut self) {}

    fn set_gpr(&mut self, _: usize, _: u64) {}

    fn inject_interrupt(&mut self, _: usize) -> AxResult {
        Err(AxError::Unsupported)
    }

    fn call_arguments(&self) -> [u64; 6] {
        self.arguments
    }

    fn set_return_value(&mut self, _: u64) {}

    fn finish(&mut self) {}

    fn inject_fault(&mut self, _: GuestFault) {
        panic!("no guest makes mistakes here");
    }

    fn decode_access(&mut self, _: u32) -> AxVCpuExitReason {
        AxVCpuExitReason::Nothing
    }
}

impl GuestCpu for Cpu {
    type ListRegisters = Lists;
    type Gicv2 = Interface;
    type Gicv3 = Interface;

    fn gicv() -> Option<HostPhysAddr> {
        None
    }

    fn has_hardware_support() -> bool {
        true
    }

    fn pc(&self) -> u64 {
        0
    }

    fn trap_wfi(&mut self, _: bool) {}

    fn set_counter_offset(&mut self, _: u64) {}

    fn timer_deadline(&self) -> Option<u64> {
        None
    }

    fn counter() -> u64 {
        0
    }

    fn forget_local_translations() {}

    fn forget_vmid(_: u16) {}
}
