//! Who may have a vCPU, on which CPU it is loaded, and what failures leave behind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::vec::Vec;

use axaddrspace::{GuestPhysAddr, HostPhysAddr};
use axerrno::{AxError, AxResult};

use super::*;

/// Everything that was asked of the vCPU's architecture part, in order.
#[derive(Default)]
struct Record {
    calls: Mutex<Vec<&'static str>>,
    fails: Mutex<Option<&'static str>>,
}

impl Record {
    fn note(&self, call: &'static str) -> AxResult {
        self.calls.lock().unwrap().push(call);
        match self.fails.lock().unwrap().take_if(|fails| *fails == call) {
            Some(_) => Err(AxError::Io),
            None => Ok(()),
        }
    }

    fn fail(&self, call: &'static str) {
        *self.fails.lock().unwrap() = Some(call);
    }

    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

/// An architecture that only keeps a record, and one number that two users at once would spoil.
struct Arch {
    record: Arc<Record>,
    entries: usize,
}

impl AxArchVCpu for Arch {
    type CreateConfig = Arc<Record>;
    type SetupConfig = ();

    fn new(_: usize, _: usize, record: Arc<Record>) -> AxResult<Self> {
        record.note("new")?;
        Ok(Self { record, entries: 0 })
    }

    fn set_entry(&mut self, _: GuestPhysAddr) -> AxResult {
        self.record.note("set_entry")
    }

    fn set_ept_root(&mut self, _: HostPhysAddr) -> AxResult {
        self.record.note("set_ept_root")
    }

    fn setup(&mut self, (): ()) -> AxResult {
        self.record.note("setup")
    }

    fn run(&mut self, handler: &mut impl ExitHandler<Self>) {
        loop {
            let entries = self.entries;
            thread::yield_now();
            self.entries = entries + 1;
            let _ = self.record.note("run");
            if handler.handle(self, AxVCpuExitReason::Halt) == Resume::No {
                return;
            }
        }
    }

    fn bind(&mut self) -> AxResult {
        self.record.note("bind")
    }

    fn unbind(&mut self) -> AxResult {
        self.record.note("unbind")
    }

    fn load(&mut self) {
        let _ = self.record.note("load");
    }

    fn save(&mut self) {
        let _ = self.record.note("save");
    }

    fn set_gpr(&mut self, _: usize, _: u64) {}

    fn inject_interrupt(&mut self, _: usize) -> AxResult {
        Err(AxError::Unsupported)
    }

    fn call_arguments(&self) -> [u64; 6] {
        [0; 6]
    }

    fn set_return_value(&mut self, _: u64) {}

    fn finish(&mut self) {}

    fn inject_fault(&mut self, _: GuestFault) {}

    fn decode_access(&mut self, _: u32) -> AxVCpuExitReason {
        AxVCpuExitReason::Nothing
    }
}

type Vcpu = AxVCpu<Arch>;

/// Lets the guest go on after as many exits, and notes in which state the vCPU was at each.
struct Exits<'a> {
    resumes: usize,
    vcpu: &'a Vcpu,
    states: Vec<VCpuState>,
}

impl ExitHandler<Arch> for Exits<'_> {
    fn handle(&mut self, _: &mut Arch, exit: AxVCpuExitReason) -> Resume {
        assert_eq!(exit, AxVCpuExitReason::Halt);
        self.states.push(self.vcpu.state());
        match self.resumes.checked_sub(1) {
            Some(left) => self.resumes = left,
            None => return Resume::No,
        }
        Resume::Yes
    }
}

/// Runs a bound vCPU until its first exit but `resumes`; gives the states it was seen in.
fn run(bound: &mut Bound<'_, Arch>, vcpu: &Vcpu, resumes: usize) -> Vec<VCpuState> {
    let mut exits = Exits { resumes, vcpu, states: Vec::new() };
    bound.run(&mut exits);
    exits.states
}

fn created() -> (Arc<Vcpu>, Arc<Record>) {
    let record = Arc::new(Record::default());
    let vcpu = Vcpu::new(3, 1, 2, Some(0b100), record.clone()).unwrap();
    record.calls();
    (Arc::new(vcpu), record)
}

fn set_up(vcpu: &Vcpu) -> AxResult {
    vcpu.setup(GuestPhysAddr::from_usize(0x4000_0000), HostPhysAddr::from_usize(0x1000), ())
}

fn free() -> (Arc<Vcpu>, Arc<Record>) {
    let (vcpu, record) = created();
    set_up(&vcpu).unwrap();
    record.calls();
    (vcpu, record)
}

#[test]
fn a_vcpu_goes_through_its_states_in_order() {
    let (vcpu, record) = created();
    assert_eq!(vcpu.state(), VCpuState::Created);
    assert_eq!((vcpu.vm_id(), vcpu.id(), vcpu.is_bsp()), (3, 1, false));
    assert_eq!((vcpu.favor_phys_cpu(), vcpu.phys_cpu_set()), (2, Some(0b100)));
    set_up(&vcpu).unwrap();
    assert_eq!(vcpu.state(), VCpuState::Free);
    let mut slot = VCpuSlot::new(0);
    let mut bound = slot.bind(&vcpu).unwrap();
    assert_eq!(bound.state(), VCpuState::Ready);
    assert_eq!(run(&mut bound, &vcpu, 1), [VCpuState::Running; 2]);
    assert_eq!(bound.state(), VCpuState::Ready);
    assert_eq!(bound.arch().entries, 2);
    drop(bound);
    assert_eq!(vcpu.state(), VCpuState::Free);
    let made = ["set_entry", "set_ept_root", "setup"];
    assert_eq!(record.calls(), [&made[..], &["load", "bind", "run", "run", "unbind"]].concat());
}

#[test]
fn an_architecture_that_refuses_makes_no_vcpu() {
    let record = Arc::new(Record::default());
    record.fail("new");
    assert_eq!(Vcpu::new(0, 0, 0, None, record).err(), Some(AxError::Io));
}

#[test]
fn a_vcpu_that_is_not_set_up_cannot_be_bound_or_looked_at() {
    let (vcpu, _) = created();
    let mut slot = VCpuSlot::new(0);
    assert_eq!(slot.bind(&vcpu).err(), Some(AxError::BadState));
    assert_eq!(vcpu.with_arch(|_| ()), Err(AxError::BadState));
    assert!(slot.loaded().is_none());
}

#[test]
fn a_vcpu_whose_set_up_fails_is_not_set_up_and_can_be_set_up_again() {
    for step in ["set_entry", "set_ept_root", "setup"] {
        let (vcpu, record) = created();
        for _ in 0..2 {
            record.fail(step);
            assert_eq!(set_up(&vcpu), Err(AxError::Io));
            assert_eq!(vcpu.state(), VCpuState::Created);
            assert_eq!(VCpuSlot::new(0).bind(&vcpu).err(), Some(AxError::BadState));
            assert_eq!(set_up(&vcpu), Ok(()), "first from created, then from free");
        }
    }
}

#[test]
fn a_bound_vcpu_is_nobody_elses() {
    let (vcpu, record) = free();
    let (mut slot, mut other) = (VCpuSlot::new(0), VCpuSlot::new(1));
    let bound = slot.bind(&vcpu).unwrap();
    record.calls();
    assert_eq!(slot.bind(&vcpu).err(), Some(AxError::BadState));
    assert_eq!(other.bind(&vcpu).err(), Some(AxError::BadState));
    assert_eq!(slot.evict().err(), Some(AxError::BadState));
    assert_eq!(set_up(&vcpu), Err(AxError::BadState));
    assert_eq!(vcpu.with_arch(|_| ()), Err(AxError::BadState));
    assert_eq!(record.calls(), [""; 0]);
    drop(bound);
    assert_eq!(record.calls(), ["unbind"]);
    drop(slot.bind(&vcpu).unwrap());
}

#[test]
fn a_bound_vcpu_keeps_its_cpu_from_others() {
    let ((first, record), (second, _)) = (free(), free());
    let mut slot = VCpuSlot::new(0);
    let bound = slot.bind(&first).unwrap();
    assert_eq!(slot.bind(&second).err(), Some(AxError::BadState));
    assert_eq!(second.state(), VCpuState::Free);
    assert_eq!(record.calls(), ["load", "bind"], "it is still there");
    drop(bound);
    drop(slot.bind(&second).unwrap());
    assert_eq!(record.calls(), ["unbind", "save"]);
}

#[test]
fn a_loaded_vcpu_is_bound_again_without_loading() {
    let (vcpu, record) = free();
    let mut slot = VCpuSlot::new(0);
    for _ in 0..3 {
        drop(slot.bind(&vcpu).unwrap());
    }
    let again = ["bind", "unbind"];
    assert_eq!(record.calls(), [&["load"], &again[..], &again, &again].concat());
}

#[test]
fn a_loaded_vcpu_is_out_of_reach_until_it_is_evicted() {
    let (vcpu, record) = free();
    let (mut slot, mut other) = (VCpuSlot::new(0), VCpuSlot::new(1));
    drop(slot.bind(&vcpu).unwrap());
    assert_eq!(vcpu.state(), VCpuState::Free);
    record.calls();
    assert_eq!(vcpu.with_arch(|_| ()), Err(AxError::BadState));
    assert_eq!(
        set_up(&vcpu),
        Err(AxError::BadState),
        "the CPU would run on with the old registers"
    );
    assert_eq!(other.bind(&vcpu).err(), Some(AxError::BadState));
    assert_eq!(vcpu.state(), VCpuState::Free);
    assert_eq!(record.calls(), [""; 0]);
    let evicted = slot.evict().unwrap().unwrap();
    assert!(Arc::ptr_eq(&evicted, &vcpu));
    assert_eq!(record.calls(), ["save"]);
    assert_eq!(vcpu.with_arch(|arch| arch.entries), Ok(0));
    set_up(&vcpu).unwrap();
    drop(other.bind(&vcpu).unwrap());
    assert!(other.loaded().is_some() && slot.loaded().is_none());
    assert!(slot.evict().unwrap().is_none(), "there is nothing left");
}

#[test]
fn a_cpu_keeps_its_loaded_vcpu_alive() {
    let (vcpu, record) = free();
    let mut slot = VCpuSlot::new(0);
    drop(slot.bind(&vcpu).unwrap());
    let weak = Arc::downgrade(&vcpu);
    drop(vcpu);
    assert!(weak.upgrade().is_some());
    record.calls();
    drop(slot.evict().unwrap());
    assert!(weak.upgrade().is_none());
    assert_eq!(record.calls(), ["save"]);
}

#[test]
fn a_vcpu_that_cannot_be_bound_is_free_again() {
    let (vcpu, record) = free();
    let mut slot = VCpuSlot::new(0);
    record.fail("bind");
    assert_eq!(slot.bind(&vcpu).err(), Some(AxError::Io));
    assert_eq!(vcpu.state(), VCpuState::Free);
    assert_eq!(record.calls(), ["load", "bind"]);
    drop(slot.bind(&vcpu).unwrap());
    assert_eq!(record.calls(), ["bind", "unbind"], "it was loaded");
}

#[test]
fn a_vcpu_that_cannot_be_unbound_is_invalid_and_its_cpu_goes_on() {
    let ((vcpu, record), (second, _)) = (free(), free());
    let mut slot = VCpuSlot::new(0);
    record.fail("unbind");
    drop(slot.bind(&vcpu).unwrap());
    assert_eq!(vcpu.state(), VCpuState::Invalid);
    assert_eq!(slot.bind(&vcpu).err(), Some(AxError::BadState));
    assert_eq!(set_up(&vcpu), Err(AxError::BadState));
    drop(slot.bind(&second).unwrap());
    assert_eq!(vcpu.state(), VCpuState::Invalid, "also after its eviction");
    assert_eq!(record.calls(), ["load", "bind", "unbind", "save"]);
}

/// An attachment that notes what it is told along with the vCPU's own record.
struct Attached(Arc<Record>, AtomicUsize);

impl Attachment for Attached {
    fn load(&self, vcpu_id: usize, cpu_id: usize) {
        assert_eq!(vcpu_id, 1);
        self.1.store(cpu_id, SeqCst);
        let _ = self.0.note("attachment load");
    }

    fn save(&self, vcpu_id: usize) {
        assert_eq!(vcpu_id, 1);
        let _ = self.0.note("attachment save");
    }
}

#[test]
fn what_is_attached_comes_after_the_vcpu_and_goes_before_it() {
    let record = Arc::new(Record::default());
    let attached = Arc::new(Attached(record.clone(), AtomicUsize::new(0)));
    let vcpu = Vcpu::new(0, 1, 0, None, record.clone()).unwrap();
    let vcpu = Arc::new(vcpu.with_attachment(attached.clone()));
    set_up(&vcpu).unwrap();
    record.calls();
    let mut slot = VCpuSlot::new(5);
    drop(slot.bind(&vcpu).unwrap());
    drop(slot.bind(&vcpu).unwrap());
    slot.evict().unwrap();
    let (loaded, saved) = (["load", "attachment load"], ["attachment save", "save"]);
    let bound = ["bind", "unbind", "bind", "unbind"];
    assert_eq!(record.calls(), [&loaded[..], &bound, &saved].concat());
    assert_eq!(attached.1.load(SeqCst), 5);
}

#[test]
fn of_all_cpus_that_want_a_vcpu_one_has_it_at_a_time() {
    const ROUNDS: usize = 300;
    let (vcpu, _) = free();
    let (won, barrier) = (AtomicUsize::new(0), Barrier::new(3));
    thread::scope(|scope| {
        for cpu in 0..3 {
            let (vcpu, won, barrier) = (&vcpu, &won, &barrier);
            scope.spawn(move || {
                let mut slot = VCpuSlot::new(cpu);
                barrier.wait();
                for _ in 0..ROUNDS {
                    if let Ok(mut bound) = slot.bind(vcpu) {
                        run(&mut bound, vcpu, 0);
                        won.fetch_add(1, SeqCst);
                    }
                    while slot.evict().is_err() {
                        thread::yield_now();
                    }
                }
            });
        }
    });
    assert!(won.load(SeqCst) > 0);
    assert_eq!(vcpu.with_arch(|arch| arch.entries), Ok(won.into_inner()));
}

#[test]
fn looking_at_a_loaded_vcpu_never_takes_it_from_its_cpu() {
    let (vcpu, _) = free();
    let mut slot = VCpuSlot::new(0);
    drop(slot.bind(&vcpu).unwrap());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(SeqCst) {
                assert_eq!(vcpu.with_arch(|_| ()), Err(AxError::BadState));
                assert_eq!(set_up(&vcpu), Err(AxError::BadState));
            }
        });
        for _ in 0..10_000 {
            let bound = slot.bind(&vcpu);
            if bound.is_err() {
                done.store(true, SeqCst);
            }
            run(&mut bound.unwrap(), &vcpu, 0);
        }
        done.store(true, SeqCst);
    });
}

/// A physical CPU that counts how often it is switched.
struct PerCpu {
    on: bool,
}

static SWITCHES: AtomicUsize = AtomicUsize::new(0);

impl AxArchPerCpu for PerCpu {
    fn new(cpu_id: usize) -> AxResult<Self> {
        if cpu_id == 9 { Err(AxError::Unsupported) } else { Ok(Self { on: false }) }
    }

    fn is_enabled(&self) -> bool {
        self.on
    }

    fn hardware_enable(&mut self) -> AxResult {
        self.on = true;
        SWITCHES.fetch_add(1, SeqCst);
        Ok(())
    }

    fn hardware_disable(&mut self) -> AxResult {
        self.on = false;
        SWITCHES.fetch_add(1, SeqCst);
        Ok(())
    }
}

#[test]
fn a_cpu_is_initialised_once_enabled_and_disabled_when_dropped() {
    let mut cpu = AxPerCpu::<PerCpu>::new_uninit();
    assert!(!cpu.is_enabled());
    assert_eq!(cpu.hardware_enable(), Err(AxError::BadState));
    assert_eq!(cpu.hardware_disable(), Err(AxError::BadState));
    assert_eq!(cpu.init(9), Err(AxError::Unsupported));
    cpu.init(0).unwrap();
    assert_eq!(cpu.init(0), Err(AxError::BadState));
    assert!(!cpu.is_enabled());
    cpu.hardware_enable().unwrap();
    assert!(cpu.is_enabled());
    drop(cpu);
    assert_eq!(SWITCHES.load(SeqCst), 2);
    let mut idle = AxPerCpu::<PerCpu>::new_uninit();
    idle.init(0).unwrap();
    drop(idle);
    assert_eq!(SWITCHES.load(SeqCst), 2, "one that is off is left alone");
}
