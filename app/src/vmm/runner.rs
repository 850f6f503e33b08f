//! The runners: one host thread per physical CPU, which runs the vCPUs that are at home there.
//!
//! A runner's queue is under a spin lock that exit code takes too: held with interrupts masked, for
//! bounded work, and nothing is locked under it.

mod turn;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arm_vcpu::{Aarch64VCpu, SliceTimer, gic, physical_counter, this_mpidr};
use axsched::{MAX_CPUS, RunQueue, Sleepers};
use axvcpu::VCpuSlot;
use axvm::KICK_SGI;
use kspin::SpinNoIrq;

use super::seats::Status;
use super::table;
use super::time::{now_ns, ticks_to_ns};
use super::usage::RunTime;
use super::{moves, notice, passthrough};
use crate::host::{cpu, thread};
use turn::Turn;

/// One vCPU of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VcpuKey {
    pub(crate) vm: u32,
    pub(crate) vcpu: u32,
}

impl VcpuKey {
    /// Both numbers in one.
    fn packed(self) -> u64 {
        u64::from(self.vm) << 32 | u64::from(self.vcpu)
    }
}

/// The most vCPUs one physical CPU can have runnable or asleep.
const QUEUE_CAPACITY: usize = 1024;
/// No CPU has this MPIDR_EL1.
const NOT_UP: u64 = u64::MAX;
/// No vCPU has this key: there are fewer in a VM.
const NOBODY: u64 = u64::MAX;

/// What a runner shares with everybody else.
#[repr(align(64))]
pub(super) struct Runner {
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
    /// The vCPU whose registers this CPU has, packed. It cannot run elsewhere.
    held: AtomicU64,
    /// Time that guests had.
    ran: RunTime,
    queue: SpinNoIrq<Option<Queue>>,
}

/// Who runs on one CPU and who sleeps there.
pub(super) struct Queue {
    pub(super) runnable: RunQueue<VcpuKey>,
    /// Sleeping vCPUs that a timer of theirs wakes.
    pub(super) sleepers: Sleepers<VcpuKey>,
}

/// The vCPU that a CPU has loaded.
type Slot = VCpuSlot<Aarch64VCpu>;

static RUNNERS: [Runner; MAX_CPUS] = [const {
    Runner {
        mpidr: AtomicU64::new(NOT_UP),
        sgi_target: AtomicU64::new(0),
        attention: AtomicBool::new(false),
        load: AtomicU64::new(0),
        residents: AtomicUsize::new(0),
        held: AtomicU64::new(NOBODY),
        ran: RunTime::new(),
        queue: SpinNoIrq::new(None),
    }
}; MAX_CPUS];

/// Starts a runner on every CPU.
pub(crate) fn start_all() {
    for (cpu, runner) in all() {
        *runner.queue.lock() = Some(Queue {
            runnable: RunQueue::with_capacity(QUEUE_CAPACITY),
            sleepers: Sleepers::with_capacity(QUEUE_CAPACITY),
        });
        thread::spawn(format!("runner-{cpu}"), thread::Rank::Guests, Some(cpu), move || {
            run(cpu, runner);
        });
    }
}

/// The runners of this machine, with their CPUs.
pub(super) fn all() -> impl Iterator<Item = (usize, &'static Runner)> {
    RUNNERS.iter().take(cpu::count()).enumerate()
}

/// The runner of `cpu`, if there is such a CPU. Exit code calls this.
pub(super) fn of(cpu: usize) -> Option<&'static Runner> {
    RUNNERS.get(cpu).filter(|_| cpu < cpu::count())
}

/// The load of every CPU, as weights.
pub(crate) fn loads() -> Vec<u64> {
    all().map(|(_, runner)| runner.load.load(Ordering::Relaxed)).collect()
}

/// The mask of CPUs that run guests.
pub(crate) fn able() -> u64 {
    let able = all().filter(|(_, runner)| !runner.failed());
    able.fold(0, |mask, (cpu, _)| mask | 1 << cpu)
}

/// Counts vCPUs of `weight` at home on `homes`.
///
/// # Errors
/// A text for the operator: a CPU would have more than its queue holds. Nothing is counted then.
pub(crate) fn add_load(homes: &[usize], weight: u32) -> Result<(), String> {
    for (count, home) in homes.iter().enumerate() {
        if of(*home).is_some_and(|runner| !runner.admit(weight)) {
            remove_load(homes.get(..count).unwrap_or_default(), weight);
            return Err(format!(
                "CPU {home} has {QUEUE_CAPACITY} vCPUs already: delete a VM first"
            ));
        }
    }
    Ok(())
}

/// Forgets them.
pub(crate) fn remove_load(homes: &[usize], weight: u32) {
    homes.iter().filter_map(|home| of(*home)).for_each(|runner| runner.dismiss(weight));
}

/// What CPU `cpu` does, in a word.
pub(crate) fn state(cpu: usize) -> &'static str {
    let Some(runner) = of(cpu) else {
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

/// For how long `cpu` has run guests, in ns.
pub(crate) fn ran_ns(cpu: usize) -> u64 {
    of(cpu).map_or(0, |runner| runner.ran.total_ns(now_ns()))
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
    if let Some(runner) = of(cpu) {
        runner.attend();
    }
}

/// The affinity of CPU `cpu`, if it runs guests.
pub(crate) fn affinity(cpu: usize) -> Option<u64> {
    let mpidr = of(cpu)?.mpidr.load(Ordering::Acquire);
    (mpidr != NOT_UP).then_some(arm_vcpu::affinity(mpidr))
}

/// Makes the runner of the CPU this runs on look around, after `prepare` has left it what to find.
/// Within an interrupt handler of the host.
pub(crate) fn attend_here(prepare: impl FnOnce(usize)) {
    let here = this_mpidr();
    let is_here = |(_, runner): &(usize, &Runner)| runner.mpidr.load(Ordering::Acquire) == here;
    if let Some((cpu, runner)) = RUNNERS.iter().enumerate().find(is_here) {
        prepare(cpu);
        runner.attention.store(true, Ordering::SeqCst);
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
    let mut slot = Slot::new(cpu);
    let mut looked_ns = moves::first_look();
    loop {
        if runner.attention.swap(false, Ordering::SeqCst) {
            passthrough::deliver(cpu);
        }
        let now = physical_counter();
        let now_ns = ticks_to_ns(now);
        moves::spread(cpu, runner, now_ns, &mut looked_ns);
        match runner.next(now, now_ns) {
            Next::Turn(turn) => {
                moves::set_idle(cpu, false);
                runner.dispatch(&turn, &mut slot);
            }
            Next::Wake(key) => runner.wake_sleeper(key),
            Next::Nobody(deadline) => runner.idle(cpu, deadline),
        }
    }
}

/// What a runner does next.
enum Next {
    /// It gives a vCPU its turn.
    Turn(Turn),
    /// It wakes a vCPU whose timer is due.
    Wake(VcpuKey),
    /// Nobody is runnable; when the first timer is due.
    Nobody(Option<u64>),
}

impl Runner {
    /// Whether its CPU turned out to be unable to run guests.
    fn failed(&self) -> bool {
        self.queue.lock().is_none()
    }

    /// Lets `act` at the queue, of a CPU that runs guests.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Queue) -> R) -> Option<R> {
        self.queue.lock().as_mut().map(act)
    }

    /// Counts a vCPU of `weight` that is at home here from now on; false if the queue has no room for it.
    pub(super) fn admit(&self, weight: u32) -> bool {
        if self.residents.fetch_add(1, Ordering::Relaxed) >= QUEUE_CAPACITY {
            self.residents.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.load.fetch_add(u64::from(weight), Ordering::Relaxed);
        true
    }

    /// One less.
    pub(super) fn dismiss(&self, weight: u32) {
        self.residents.fetch_sub(1, Ordering::Relaxed);
        self.load.fetch_sub(u64::from(weight), Ordering::Relaxed);
    }

    /// Whether this CPU has the registers of `key`. Of one that waits in this runner's locked queue, or in none,
    /// no is certain: only its turn here could change it.
    pub(super) fn holds(&self, key: VcpuKey) -> bool {
        self.held.load(Ordering::Acquire) == key.packed()
    }

    /// Whose registers this CPU has.
    pub(super) fn held(&self) -> Option<VcpuKey> {
        let held = self.held.load(Ordering::Acquire);
        let part = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        (held != NOBODY).then(|| VcpuKey { vm: part(held >> 32), vcpu: part(held) })
    }

    /// Makes it leave its guest, or its sleep, and look around. From anywhere.
    pub(super) fn attend(&self) {
        self.attention.store(true, Ordering::SeqCst);
        self.send_kick();
    }

    /// The same for the runner `own`, which looks around anyway.
    pub(super) fn attend_from(&self, own: &Self) {
        if !core::ptr::eq(self, own) {
            self.attend();
        }
    }

    fn send_kick(&self) {
        let target = self.sgi_target.load(Ordering::Relaxed);
        gic::SgiTarget::from_bits(target).send(KICK_SGI);
    }

    /// Whether somebody who comes now makes a difference to what runs here, and `key` has just come.
    pub(super) fn must_look(queue: &Queue, key: VcpuKey) -> bool {
        // Whoever ran alone has no slice timer and waits natively: it has to learn that it shares now.
        queue.runnable.len() <= 2 || queue.runnable.preempts(key)
    }

    /// What there is to do at counter value `now`, which is `now_ns`.
    #[inline]
    fn next(&self, now: u64, now_ns: u64) -> Next {
        let next = self.with(|queue| {
            if let Some(key) = queue.sleepers.due(now) {
                return Next::Wake(key);
            }
            let deadline = queue.sleepers.soonest();
            match queue.runnable.pick(now_ns) {
                Some(picked) => Next::Turn(Turn { picked, deadline }),
                None => Next::Nobody(deadline),
            }
        });
        next.unwrap_or(Next::Nobody(None))
    }

    #[inline(never)]
    fn wake_sleeper(&self, key: VcpuKey) {
        if let Some(vm) = table::by_key(key) {
            vm.seats.wake_from(self, key.vcpu as usize, Status::Blocked);
        }
    }

    /// Sleeps until something is runnable here or until `deadline`; the host's other threads go first.
    #[inline(never)]
    fn idle(&self, cpu: usize, deadline: Option<u64>) {
        thread::yield_now();
        moves::set_idle(cpu, true);
        if moves::fetch(cpu, self) {
            return;
        }
        match deadline {
            Some(deadline) => SliceTimer::arm(deadline),
            None => SliceTimer::disarm(),
        }
        cpu::wait_for_interrupt(|| self.attention.load(Ordering::Acquire));
    }
}
