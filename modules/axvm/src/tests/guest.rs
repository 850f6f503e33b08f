//! A vCPU for tests: it plays a script of exits, and keeps a record of what was done for each.

use std::boxed::Box;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec::Vec;

use arm_vcpu::{Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig};
use axaddrspace::{GuestPhysAddr, HostPhysAddr};
use axerrno::{AxError, AxResult};
use axvcpu::{AxArchVCpu, AxVCpuExitReason, ExitHandler, GuestFault, Load, Resume};

use super::host::{FakeListRegisters, gic, this_cpu, this_host};
use crate::GuestCpu;

/// The host's own interrupt, which ends every script.
pub(super) const HOST_INTERRUPT: u64 = 26;
/// How far a finished instruction moves the program counter.
pub(super) const STEP: u64 = 4;

/// What was done to the vCPU, other than moving it in and out of CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    /// A general register was written.
    Gpr(usize, u64),
    /// The result of a call was written.
    Return(u64),
    /// It was moved behind its instruction.
    Finish,
    /// It was given a fault.
    Fault(GuestFault),
    /// It was asked what an instruction accesses.
    Decode(u32),
}

/// What happens while the guest runs, and how that ends.
type Step = Box<dyn FnOnce() -> AxVCpuExitReason + Send>;

/// What a test sees of a vCPU, from outside.
#[derive(Default)]
pub(super) struct Guest(Mutex<Seen>);

/// The vCPU's script and record.
#[derive(Default)]
pub(super) struct Seen {
    script: VecDeque<Step>,
    did: Vec<Did>,
    /// What `decode_access` answers.
    pub(super) decoded: Option<AxVCpuExitReason>,
    /// When the virtual timer is due.
    pub(super) deadline: Option<u64>,
    /// The next set-up fails.
    pub(super) refuses_setup: bool,
    pub(super) runs: usize,
    loads: usize,
    saves: usize,
    pub(super) setups: usize,
    pub(super) traps_wfi: bool,
    pub(super) pc: u64,
    pub(super) root: usize,
    pub(super) argument: u64,
    pub(super) counter_offset: u64,
    pub(super) vmid: u16,
    pub(super) mpidr: u64,
    pub(super) gprs: [u64; 31],
}

impl Guest {
    pub(super) fn see(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }

    /// Goes on with `exit`.
    pub(super) fn exits(&self, exit: AxVCpuExitReason) {
        self.acts(move || exit);
    }

    /// Goes on with an exit that is made when the guest runs.
    pub(super) fn acts(&self, step: impl FnOnce() -> AxVCpuExitReason + Send + 'static) {
        self.see().script.push_back(Box::new(step));
    }

    /// What was done since the last time.
    pub(super) fn did(&self) -> Vec<Did> {
        std::mem::take(&mut self.see().did)
    }

    /// How often it was loaded into a CPU, and saved from one.
    pub(super) fn moves(&self) -> (usize, usize) {
        let seen = self.see();
        (seen.loads, seen.saves)
    }

    /// Whether the script has been played to its end.
    pub(super) fn is_through(&self) -> bool {
        self.see().script.is_empty()
    }
}

/// Where the vCPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    InMemory,
    Loaded(usize),
    Bound(usize),
}

/// A vCPU as VMs know it; it insists on the order of calls that the trait asks for.
pub(super) struct FakeCpu {
    key: (usize, usize),
    guest: Arc<Guest>,
    place: Place,
    /// The last exit's instruction can still be finished, or pay with a fault.
    open: bool,
    /// Those of the last call.
    arguments: [u64; 6],
}

impl FakeCpu {
    fn insist_bound(&self) {
        assert_eq!(self.place, Place::Bound(this_cpu().id));
        assert_eq!(*this_cpu().holds.lock().unwrap(), Some(self.key));
    }

    /// Enters the guest, which plays its script until the next exit.
    fn enter(&mut self) -> AxVCpuExitReason {
        self.insist_bound();
        let mut seen = self.guest.see();
        seen.runs += 1;
        let step = seen.script.pop_front();
        drop(seen);
        let exit = match step {
            Some(step) => step(),
            None => AxVCpuExitReason::ExternalInterrupt { vector: HOST_INTERRUPT },
        };
        // A call stands behind its instruction already.
        let is_call = matches!(exit, AxVCpuExitReason::Hypercall { .. });
        self.open = !is_call;
        if is_call {
            self.guest.see().pc += STEP;
        }
        exit
    }

    /// The instruction is done with, one way or the other.
    fn close(&mut self, did: Did) {
        self.insist_bound();
        assert!(self.open, "{did:?}, but no instruction waits for it");
        self.open = false;
        self.guest.see().did.push(did);
    }
}

impl AxArchVCpu for FakeCpu {
    type CreateConfig = Aarch64VCpuCreateConfig;
    type SetupConfig = Aarch64VCpuSetupConfig;

    fn new(vm_id: usize, vcpu_id: usize, config: Self::CreateConfig) -> AxResult<Self> {
        let host = this_host();
        if host.refuses_vcpu.load(SeqCst) == vcpu_id {
            return Err(AxError::NoMemory);
        }
        let guest = host.guest(vm_id, vcpu_id);
        guest.see().vmid = config.vmid;
        guest.see().mpidr = config.mpidr_el1;
        Ok(Self {
            key: (vm_id, vcpu_id),
            guest,
            place: Place::InMemory,
            open: false,
            arguments: [0; 6],
        })
    }

    fn set_entry(&mut self, entry: GuestPhysAddr) -> AxResult {
        assert_eq!(self.place, Place::InMemory, "set up while loaded");
        self.guest.see().pc = entry.as_usize() as u64;
        Ok(())
    }

    fn set_ept_root(&mut self, root: HostPhysAddr) -> AxResult {
        self.guest.see().root = root.as_usize();
        Ok(())
    }

    fn setup(&mut self, config: Self::SetupConfig) -> AxResult {
        let mut seen = self.guest.see();
        if std::mem::take(&mut seen.refuses_setup) {
            return Err(AxError::InvalidInput);
        }
        seen.setups += 1;
        seen.argument = config.argument;
        seen.counter_offset = config.counter_offset;
        seen.gprs = [0; 31];
        self.open = false;
        Ok(())
    }

    fn run(&mut self, handler: &mut impl ExitHandler<Self>) {
        loop {
            let resume = match self.enter() {
                AxVCpuExitReason::MmioRead { addr, width, reg, reg_width, signed_ext } => {
                    handler.mmio_read(self, addr, Load { width, reg, reg_width, signed_ext })
                }
                AxVCpuExitReason::MmioWrite { addr, width, data } => {
                    handler.mmio_write(self, addr, width, data)
                }
                AxVCpuExitReason::Hypercall { nr, args } => {
                    self.arguments = args;
                    handler.hypercall(self, nr)
                }
                AxVCpuExitReason::SysRegWrite { addr, value } => {
                    handler.sys_reg_write(self, addr, value)
                }
                AxVCpuExitReason::ExternalInterrupt { vector } => {
                    handler.external_interrupt(self, vector)
                }
                exit => handler.handle(self, exit),
            };
            if resume == Resume::No {
                return;
            }
        }
    }

    fn bind(&mut self) -> AxResult {
        assert_eq!(self.place, Place::Loaded(this_cpu().id));
        self.place = Place::Bound(this_cpu().id);
        Ok(())
    }

    fn unbind(&mut self) -> AxResult {
        self.insist_bound();
        self.place = Place::Loaded(this_cpu().id);
        Ok(())
    }

    fn load(&mut self) {
        assert_eq!(self.place, Place::InMemory);
        let before = this_cpu().holds.lock().unwrap().replace(self.key);
        assert_eq!(before, None, "the CPU holds another vCPU");
        self.place = Place::Loaded(this_cpu().id);
        self.guest.see().loads += 1;
    }

    fn save(&mut self) {
        assert_eq!(self.place, Place::Loaded(this_cpu().id));
        assert_eq!(this_cpu().holds.lock().unwrap().take(), Some(self.key));
        self.place = Place::InMemory;
        self.guest.see().saves += 1;
    }

    fn set_gpr(&mut self, reg: usize, val: u64) {
        self.insist_bound();
        let mut seen = self.guest.see();
        seen.did.push(Did::Gpr(reg, val));
        if let Some(gpr) = seen.gprs.get_mut(reg) {
            *gpr = val;
        }
    }

    fn inject_interrupt(&mut self, _: usize) -> AxResult {
        Err(AxError::Unsupported)
    }

    fn call_arguments(&self) -> [u64; 6] {
        self.arguments
    }

    fn set_return_value(&mut self, val: u64) {
        self.insist_bound();
        let mut seen = self.guest.see();
        seen.did.push(Did::Return(val));
        seen.gprs[0] = val;
    }

    fn finish(&mut self) {
        self.close(Did::Finish);
        self.guest.see().pc += STEP;
    }

    fn inject_fault(&mut self, fault: GuestFault) {
        self.close(Did::Fault(fault));
    }

    fn decode_access(&mut self, instruction: u32) -> AxVCpuExitReason {
        self.insist_bound();
        let mut seen = self.guest.see();
        seen.did.push(Did::Decode(instruction));
        seen.decoded.unwrap_or(AxVCpuExitReason::Nothing)
    }
}

impl GuestCpu for FakeCpu {
    type ListRegisters = FakeListRegisters;
    type Gicv2 = gic::Gicv2;
    type Gicv3 = gic::Gicv3;

    fn gicv() -> Option<HostPhysAddr> {
        *this_host().gicv.lock().unwrap()
    }

    fn has_hardware_support() -> bool {
        this_host().at_el2.load(SeqCst)
    }

    fn pc(&self) -> u64 {
        self.guest.see().pc
    }

    fn trap_wfi(&mut self, on: bool) {
        self.insist_bound();
        self.guest.see().traps_wfi = on;
    }

    fn set_counter_offset(&mut self, offset: u64) {
        self.guest.see().counter_offset = offset;
    }

    fn timer_deadline(&self) -> Option<u64> {
        self.insist_bound();
        self.guest.see().deadline
    }

    fn counter() -> u64 {
        this_host().counter.load(SeqCst)
    }

    fn forget_local_translations() {
        this_cpu().forgotten.fetch_add(1, SeqCst);
    }

    fn forget_vmid(vmid: u16) {
        this_host().vmids_forgotten.lock().unwrap().push(vmid);
    }
}
