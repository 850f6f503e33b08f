//! The runners: one host thread per physical CPU, which runs the vCPUs that are at home there.
//!
//! A runner's queue is under a spin lock that exit code takes too: held with interrupts masked, for
//! bounded work, and nothing is locked under it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arm_vcpu::{Aarch64VCpu, SliceTimer, gic, physical_counter, this_mpidr};
use axsched::{Picked, RunQueue};
use axvcpu::{AxVCpuExitReason, VCpuSlot};
use axvm::{Departure, KICK_SGI, RunOptions, StopReason, VcpuPort};
use kspin::SpinNoIrq;

use super::seats::Status;
use super::table::{self, Vm};
use super::time::{now_ns, ns_to_ticks, ticks_to_ns};
use super::{notice, passthrough, service};
use crate::host::{cpu, thread};

/// One vCPU of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VcpuKey {
    pub(crate) vm: u32,
    pub(crate) vcpu: u32,
}

/// The most physical CPUs there can be: what a 64-bit mask holds.
pub(crate) const MAX_CPUS: usize = 64;
/// The most vCPUs one physical CPU can have runnable or asleep.
const QUEUE_CAPACITY: usize = 1024;
/// No CPU has this MPIDR_EL1.
const NOT_UP: u64 = u64::MAX;

/// What a runner shares with everybody else.
#[repr(align(64))]
struct Runner {
    /// MPIDR_EL1 of its CPU, once that can run guests.
    mpidr: AtomicU64,
    /// How SGIs reach it ([`gic::SgiTarget`]); they reach nobody before it runs.
    sgi_target: AtomicU64,
    /// Something new is runnable here: the runner is to look at its queue again.
    attention: AtomicBool,
    /// Weights of the vCPUs that are at home here.
    load: AtomicU64,
    /// How many those are.
    residents: AtomicUsize,
    queue: SpinNoIrq<Option<Queue>>,
}

/// Who runs on one CPU and who sleeps there.
struct Queue {
    runnable: RunQueue<VcpuKey>,
    /// Sleeping vCPUs with the counter value at which a timer of theirs is due.
    sleepers: Vec<(u64, VcpuKey)>,
}

static RUNNERS: [Runner; MAX_CPUS] = [const {
    Runner {
        mpidr: AtomicU64::new(NOT_UP),
        sgi_target: AtomicU64::new(0),
        attention: AtomicBool::new(false),
        load: AtomicU64::new(0),
        residents: AtomicUsize::new(0),
        queue: SpinNoIrq::new(None),
    }
}; MAX_CPUS];

/// Starts a runner on every CPU and waits until each can run guests or has said why not.
pub(crate) fn start_all() {
    for cpu in 0..cpu::count().min(MAX_CPUS) {
        if let Some(runner) = RUNNERS.get(cpu) {
            *runner.queue.lock() = Some(Queue {
                runnable: RunQueue::with_capacity(QUEUE_CAPACITY),
                sleepers: Vec::with_capacity(QUEUE_CAPACITY),
            });
            thread::spawn(format!("runner-{cpu}"), thread::Rank::Guests, Some(cpu), move || {
                run(cpu, runner);
            });
        }
    }
}

/// The load of every CPU, as weights.
pub(crate) fn loads() -> Vec<u64> {
    let runners = RUNNERS.iter().take(cpu::count());
    runners.map(|runner| runner.load.load(Ordering::Relaxed)).collect()
}

/// The mask of CPUs that run guests.
pub(crate) fn able() -> u64 {
    let runners = (0u32..).zip(&RUNNERS).filter(|(_, runner)| !runner.failed());
    runners.fold(0, |mask, (cpu, _)| mask | 1 << cpu)
}

/// Counts vCPUs of `weight` at home on `homes`.
///
/// # Errors
/// A text for the operator: a CPU would have more than its queue holds. Nothing is counted then.
pub(crate) fn add_load(homes: &[usize], weight: u32) -> Result<(), String> {
    for (count, home) in homes.iter().enumerate() {
        let Some(runner) = RUNNERS.get(*home) else {
            continue;
        };
        if runner.residents.fetch_add(1, Ordering::Relaxed) >= QUEUE_CAPACITY {
            runner.residents.fetch_sub(1, Ordering::Relaxed);
            remove_load(homes.get(..count).unwrap_or_default(), weight);
            return Err(format!(
                "CPU {home} has {QUEUE_CAPACITY} vCPUs already: delete a VM first"
            ));
        }
        runner.load.fetch_add(u64::from(weight), Ordering::Relaxed);
    }
    Ok(())
}

/// Forgets them.
pub(crate) fn remove_load(homes: &[usize], weight: u32) {
    for runner in homes.iter().filter_map(|home| RUNNERS.get(*home)) {
        runner.residents.fetch_sub(1, Ordering::Relaxed);
        runner.load.fetch_sub(u64::from(weight), Ordering::Relaxed);
    }
}

/// What CPU `cpu` does, in a word.
pub(crate) fn state(cpu: usize) -> &'static str {
    let Some(runner) = RUNNERS.get(cpu) else {
        return "absent";
    };
    if runner.mpidr.load(Ordering::Acquire) == NOT_UP {
        return "off";
    }
    match runner.with(|queue| queue.runnable.is_empty()) {
        Some(false) => "running guests",
        Some(true) | None => "idle",
    }
}

/// Makes the vCPU that runs on `cpu` look at what it is asked. From anywhere; on its own CPU its exit does so anyway.
pub(crate) fn interrupt(cpu: usize) {
    if let Some(runner) = RUNNERS.get(cpu)
        && runner.mpidr.load(Ordering::Acquire) != this_mpidr()
    {
        runner.send_kick();
    }
}

/// Makes the runner of `cpu` leave its guest and look around. From anywhere.
pub(crate) fn attend(cpu: usize) {
    if let Some(runner) = RUNNERS.get(cpu) {
        runner.attention.store(true, Ordering::SeqCst);
        runner.send_kick();
    }
}

/// The affinity of CPU `cpu`, if it runs guests.
pub(crate) fn affinity(cpu: usize) -> Option<u64> {
    let mpidr = RUNNERS.get(cpu)?.mpidr.load(Ordering::Acquire);
    (mpidr != NOT_UP).then_some(arm_vcpu::affinity(mpidr))
}

/// Makes the runner of the CPU this runs on look around, after `prepare` has left it what to find.
/// Within an interrupt handler of the host. Gives the CPU.
pub(crate) fn attend_here(prepare: impl FnOnce(usize)) -> Option<usize> {
    let here = this_mpidr();
    let runners = RUNNERS.iter().take(cpu::count());
    let mut runners = runners.enumerate();
    let is_here = |(_, runner): &(usize, &Runner)| runner.mpidr.load(Ordering::Acquire) == here;
    let (cpu, runner) = runners.find(is_here)?;
    prepare(cpu);
    runner.attention.store(true, Ordering::SeqCst);
    Some(cpu)
}

/// Queues a vCPU on its home `cpu`. From anywhere, exit code included.
pub(crate) fn wake(cpu: usize, key: VcpuKey, weight: u32, vruntime_ns: Option<u64>) {
    let Some(runner) = RUNNERS.get(cpu) else {
        return;
    };
    let now = now_ns();
    let urgent = runner.with(|queue| {
        queue.sleepers.retain(|(_, sleeper)| *sleeper != key);
        let was_alone = queue.runnable.len() <= 1;
        // Full or present cannot be: `add_load` keeps to the capacity, and a step of status is won once.
        let _ = queue.runnable.wake(key, weight, vruntime_ns, now);
        // Whoever ran alone has no slice timer and waits natively: it has to learn that it shares now.
        was_alone || queue.runnable.preempts(key)
    });
    if urgent == Some(true) {
        attend(cpu);
    }
}

/// The thread of one runner.
fn run(cpu: usize, runner: &'static Runner) {
    let _percpu = match cpu::enable(cpu) {
        Ok(percpu) => percpu,
        Err(why) => {
            notice::post(format!("CPU {cpu}: {why}"));
            *runner.queue.lock() = None;
            return;
        }
    };
    let here = this_mpidr();
    let target = gic::SgiTarget::of(arm_vcpu::affinity(here));
    runner.sgi_target.store(target.bits(), Ordering::Relaxed);
    runner.mpidr.store(here, Ordering::Release);
    let mut slot = VCpuSlot::<Aarch64VCpu>::new(cpu);
    loop {
        if runner.attention.swap(false, Ordering::SeqCst) {
            passthrough::deliver(cpu);
        }
        runner.wake_sleepers();
        match runner.pick() {
            Some(picked) => runner.dispatch(&picked, &mut slot),
            None => runner.idle(),
        }
    }
}

impl Runner {
    /// Makes it leave its guest, or its sleep, and look around.
    fn send_kick(&self) {
        let target = self.sgi_target.load(Ordering::Relaxed);
        gic::SgiTarget::from_bits(target).send(KICK_SGI);
    }

    /// Whether its CPU turned out to be unable to run guests, or does not exist.
    fn failed(&self) -> bool {
        self.queue.lock().is_none()
    }

    fn with<R>(&self, act: impl FnOnce(&mut Queue) -> R) -> Option<R> {
        self.queue.lock().as_mut().map(act)
    }

    fn pick(&self) -> Option<Picked<VcpuKey>> {
        let now = now_ns();
        self.with(|queue| queue.runnable.pick(now)).flatten()
    }

    /// Queues every sleeper whose timer is due.
    fn wake_sleepers(&self) {
        let now = physical_counter();
        while let Some(key) = self
            .with(|queue| {
                let due = queue.sleepers.iter().position(|(deadline, _)| *deadline <= now)?;
                Some(queue.sleepers.swap_remove(due).1)
            })
            .flatten()
        {
            let Some(vm) = table::by_key(key) else {
                continue;
            };
            let vcpu = key.vcpu as usize;
            let woken = vm
                .seats
                .seat(vcpu)
                .is_some_and(|seat| seat.step(Status::Blocked, Status::Runnable));
            if woken {
                vm.seats.enqueue(vcpu);
            }
        }
    }

    /// Sleeps until something is runnable here; the host's other threads go first.
    fn idle(&self) {
        thread::yield_now();
        match self.first_deadline() {
            Some(deadline) => SliceTimer::arm(deadline),
            None => SliceTimer::disarm(),
        }
        cpu::wait_for_interrupt(|| self.attention.load(Ordering::Acquire));
    }

    fn first_deadline(&self) -> Option<u64> {
        self.with(|queue| queue.sleepers.iter().map(|(deadline, _)| *deadline).min()).flatten()
    }

    /// Runs the picked vCPU once, until it leaves the guest for something the runner has to see to.
    fn dispatch(&self, picked: &Picked<VcpuKey>, slot: &mut VCpuSlot<Aarch64VCpu>) {
        let key = picked.key;
        let vcpu = key.vcpu as usize;
        let Some(vm) = table::by_key(key) else {
            self.with(|queue| queue.runnable.remove(key));
            return;
        };
        let Some(seat) = vm.seats.seat(vcpu) else {
            self.with(|queue| queue.runnable.remove(key));
            return;
        };
        seat.set_status(Status::Running);
        let asked = vm.vm.departure(vcpu);
        if asked != Departure::Stays {
            // To leave, while it waited: nothing of it comes into this CPU.
            self.evict(&vm, key, slot, asked);
            return;
        }
        let start = physical_counter();
        seat.set_runs_since_ns(ticks_to_ns(start));
        let slice = picked.slice_ns.map(|ns| start.wrapping_add(ns_to_ticks(ns)));
        let timers = [slice, self.first_deadline(), vm.vm.poll_timer(vcpu)];
        match timers.into_iter().flatten().min() {
            Some(deadline) => SliceTimer::arm(deadline),
            None => SliceTimer::disarm(),
        }
        let shared = picked.slice_ns.is_some();
        let options = RunOptions { shared, attention: &self.attention };
        let exit = vm.vm.run_vcpu(vcpu, slot, options);
        let ran_ns = ticks_to_ns(physical_counter().wrapping_sub(start));
        seat.add_ran_ns(ran_ns);
        self.with(|queue| queue.runnable.charge(key, ran_ns));
        let departure = match exit {
            Ok(AxVCpuExitReason::Halt) => {
                self.block(&vm, key);
                return;
            }
            Ok(AxVCpuExitReason::AcknowledgedInterrupt { vector }) => {
                cpu::handle_acknowledged(u32::try_from(vector).unwrap_or(gic::SPURIOUS));
                vm.vm.departure(vcpu)
            }
            Ok(AxVCpuExitReason::CpuDown { .. }) => Departure::Ends,
            Ok(AxVCpuExitReason::SystemDown) => {
                // It may be stopping already; then that reason stands.
                let _ = vm.vm.shutdown(StopReason::PowerOff);
                Departure::Ends
            }
            Ok(AxVCpuExitReason::SystemReset) => {
                let _ = vm.vm.shutdown(StopReason::Reset);
                Departure::Ends
            }
            Ok(_) => vm.vm.departure(vcpu),
            Err(error) => {
                vm.vm.fail(vcpu, 0, format!("the vCPU cannot run: {error}"));
                Departure::Ends
            }
        };
        match departure {
            Departure::Stays => {
                seat.set_status(Status::Runnable);
                self.with(|queue| queue.runnable.put_back(key, now_ns()));
            }
            Departure::Parks | Departure::Ends => self.evict(&vm, key, slot, departure),
        }
    }

    /// The vCPU waits for an interrupt, unless one came since it looked.
    fn block(&self, vm: &Vm, key: VcpuKey) {
        let vcpu = key.vcpu as usize;
        let Some(seat) = vm.seats.seat(vcpu) else {
            return;
        };
        let wake_at = vm.vm.wake_at(vcpu);
        self.with(|queue| {
            seat.set_vruntime_ns(queue.runnable.block(key).unwrap_or(0));
            if let Some(deadline) = wake_at {
                queue.sleepers.push((deadline, key));
            }
        });
        seat.set_status(Status::Blocked);
        let awake = vm.vm.has_interrupt(vcpu) || vm.vm.must_leave(vcpu);
        if awake && seat.step(Status::Blocked, Status::Runnable) {
            vm.seats.enqueue(vcpu);
        }
    }

    /// The vCPU parks or ends: nothing of it stays in this CPU.
    fn evict(&self, vm: &Vm, key: VcpuKey, slot: &mut VCpuSlot<Aarch64VCpu>, departure: Departure) {
        let vcpu = key.vcpu as usize;
        let Some(seat) = vm.seats.seat(vcpu) else {
            return;
        };
        let left = self.with(|queue| queue.runnable.remove(key)).flatten();
        seat.set_vruntime_ns(left.map_or(0, |entity| entity.vruntime_ns));
        let loaded = vm.vm.vcpu(vcpu).zip(slot.loaded());
        if loaded.is_some_and(|(own, loaded)| Arc::ptr_eq(own, loaded))
            && let Err(error) = slot.evict()
        {
            log::error!("a vCPU cannot be evicted: {error}");
        }
        if departure == Departure::Parks {
            seat.set_status(Status::Parked);
            vm.vm.vcpu_parked(vcpu);
            // Who stops it or lets it go on since it was asked has not seen it parked.
            if vm.vm.departure(vcpu) != Departure::Parks {
                vm.seats.unpark(vcpu);
            }
            return;
        }
        seat.set_status(Status::Off);
        if vm.vm.vcpu_off(vcpu) {
            service::vm_ended();
        }
    }
}
