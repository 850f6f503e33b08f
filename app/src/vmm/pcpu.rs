//! The physical CPUs as everybody knows them: who is runnable, asleep and at home there, and how to get a CPU's attention.
//!
//! A CPU's queue is under a spin lock that exit code takes too: held with interrupts masked, for
//! bounded work, and nothing is locked under it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arm_vcpu::{gic, this_mpidr};
use axsched::{CpuMask, MAX_CPUS, RunQueue, Sleepers};
use axvm::KICK_SGI;
use kspin::SpinNoIrq;

use super::time::now_ns;
use super::usage::RunTime;
use crate::host::cpu;

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

/// One physical CPU.
#[repr(align(64))]
pub(super) struct Pcpu {
    /// Its MPIDR_EL1, once it can run guests.
    mpidr: AtomicU64,
    /// How SGIs reach it ([`gic::SgiTarget`]); they reach nobody before it can run guests.
    sgi_target: AtomicU64,
    /// There is something new here: its runner is to look around.
    attention: AtomicBool,
    /// Where its vCPUs may run has changed since they were queued.
    affinities_changed: AtomicBool,
    /// Weights of the vCPUs that are at home here.
    load: AtomicU64,
    /// How many those are.
    residents: AtomicUsize,
    /// The vCPU whose registers this CPU has, packed. It cannot run elsewhere.
    held: AtomicU64,
    /// Time that guests had.
    pub(super) ran: RunTime,
    queue: SpinNoIrq<Option<Queue>>,
}

/// Who runs on one CPU and who sleeps there.
pub(super) struct Queue {
    pub(super) runnable: RunQueue<VcpuKey>,
    /// Sleeping vCPUs that a timer of theirs wakes.
    pub(super) sleepers: Sleepers<VcpuKey>,
}

static PCPUS: [Pcpu; MAX_CPUS] = [const {
    Pcpu {
        mpidr: AtomicU64::new(NOT_UP),
        sgi_target: AtomicU64::new(0),
        attention: AtomicBool::new(false),
        affinities_changed: AtomicBool::new(false),
        load: AtomicU64::new(0),
        residents: AtomicUsize::new(0),
        held: AtomicU64::new(NOBODY),
        ran: RunTime::new(),
        queue: SpinNoIrq::new(None),
    }
}; MAX_CPUS];

/// The CPUs with nobody to run that nobody has sent anybody to yet.
static IDLE: AtomicU64 = AtomicU64::new(0);

/// The physical CPUs of this machine, with their numbers.
pub(super) fn all() -> impl Iterator<Item = (usize, &'static Pcpu)> {
    PCPUS.iter().take(cpu::count()).enumerate()
}

/// CPU `cpu`, if there is such a one. Exit code calls this.
pub(super) fn of(cpu: usize) -> Option<&'static Pcpu> {
    PCPUS.get(cpu).filter(|_| cpu < cpu::count())
}

/// The load of every CPU, as weights.
pub(crate) fn loads() -> Vec<u64> {
    all().map(|(_, pcpu)| pcpu.load.load(Ordering::Relaxed)).collect()
}

/// The mask of CPUs that run guests.
pub(crate) fn able() -> CpuMask {
    let able = all().filter(|(_, pcpu)| pcpu.queue.lock().is_some());
    CpuMask(able.fold(0, |mask, (cpu, _)| mask | 1 << cpu))
}

/// Counts vCPUs of `weight` at home on `homes`.
///
/// # Errors
/// A text for the operator: a CPU would have more than its queue holds. Nothing is counted then.
pub(crate) fn add_load(homes: &[usize], weight: u32) -> Result<(), String> {
    for (count, home) in homes.iter().enumerate() {
        if of(*home).is_some_and(|pcpu| !pcpu.admit(weight)) {
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
    homes.iter().filter_map(|home| of(*home)).for_each(|pcpu| pcpu.dismiss(weight));
}

/// What CPU `cpu` does, in a word.
pub(crate) fn state(cpu: usize) -> &'static str {
    let Some(pcpu) = of(cpu) else {
        return "absent";
    };
    if pcpu.mpidr.load(Ordering::Acquire) == NOT_UP {
        return "off";
    }
    match pcpu.with(|queue| queue.runnable.is_empty()) {
        Some(false) => "running guests",
        Some(true) | None => "idle",
    }
}

/// For how long `cpu` has run guests, in ns.
pub(crate) fn ran_ns(cpu: usize) -> u64 {
    of(cpu).map_or(0, |pcpu| pcpu.ran.total_ns(now_ns()))
}

/// Makes the vCPU that runs on `cpu` look at what it is asked. From anywhere; on its own CPU its exit does so anyway.
pub(crate) fn interrupt(cpu: usize) {
    if let Some(pcpu) = PCPUS.get(cpu)
        && pcpu.mpidr.load(Ordering::Acquire) != this_mpidr()
    {
        pcpu.send_kick();
    }
}

/// Makes the runner of `cpu` leave its guest and look around. From anywhere.
pub(crate) fn attend(cpu: usize) {
    if let Some(pcpu) = of(cpu) {
        pcpu.attend();
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
    let is_here = |(_, pcpu): &(usize, &Pcpu)| pcpu.mpidr.load(Ordering::Acquire) == here;
    if let Some((cpu, pcpu)) = PCPUS.iter().enumerate().find(is_here) {
        prepare(cpu);
        pcpu.attention.store(true, Ordering::SeqCst);
    }
}

/// Tells every runner that vCPUs may run elsewhere than when they were queued.
pub(super) fn tell_affinities_changed() {
    for (_, pcpu) in all() {
        pcpu.affinities_changed.store(true, Ordering::SeqCst);
        pcpu.attend();
    }
}

/// Notes whether `cpu`, on which this runs, has nobody to run.
pub(super) fn set_idle(cpu: usize, idle: bool) {
    let bit = CpuMask::only(cpu).0;
    if (IDLE.load(Ordering::Relaxed) & bit != 0) == idle {
        return;
    }
    if idle {
        IDLE.fetch_or(bit, Ordering::SeqCst);
    } else {
        IDLE.fetch_and(!bit, Ordering::SeqCst);
    }
}

/// Whether a CPU of `mask` may be idle.
pub(super) fn any_idle(mask: CpuMask) -> bool {
    IDLE.load(Ordering::Relaxed) & mask.0 != 0
}

/// An idle CPU of `mask` that is the caller's to send somebody to.
pub(super) fn claim_idle(mask: CpuMask) -> Option<usize> {
    let idle = IDLE.load(Ordering::SeqCst) & mask.0;
    let cpu = idle.trailing_zeros();
    let bit = 1u64.checked_shl(cpu)?;
    (IDLE.fetch_and(!bit, Ordering::SeqCst) & bit != 0).then_some(cpu as usize)
}

impl Queue {
    /// Whether it makes a difference to what runs here that `key` has just come.
    pub(super) fn is_changed_by(&self, key: VcpuKey) -> bool {
        // Whoever ran alone has no slice timer and waits natively: it has to learn that it shares now.
        self.runnable.len() <= 2 || self.runnable.preempts(key)
    }
}

impl Pcpu {
    /// Lets vCPUs be at home here.
    pub(super) fn open(&self) {
        *self.queue.lock() = Some(Queue {
            runnable: RunQueue::with_capacity(QUEUE_CAPACITY),
            sleepers: Sleepers::with_capacity(QUEUE_CAPACITY),
        });
    }

    /// It turned out to be unable to run guests.
    pub(super) fn close(&self) {
        *self.queue.lock() = None;
    }

    /// It runs guests from now on. On the CPU itself.
    pub(super) fn come_up(&self) {
        let here = this_mpidr();
        let target = gic::SgiTarget::of(arm_vcpu::affinity(here));
        self.sgi_target.store(target.bits(), Ordering::Relaxed);
        self.mpidr.store(here, Ordering::Release);
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
    fn dismiss(&self, weight: u32) {
        self.residents.fetch_sub(1, Ordering::Relaxed);
        self.load.fetch_sub(u64::from(weight), Ordering::Relaxed);
    }

    /// Notes whose registers this CPU has.
    pub(super) fn hold(&self, key: Option<VcpuKey>) {
        self.held.store(key.map_or(NOBODY, VcpuKey::packed), Ordering::Release);
    }

    /// Whether this CPU has the registers of `key`. Of one that waits in this CPU's locked queue, or in none,
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

    /// Makes its runner leave its guest, or its sleep, and look around. From anywhere.
    pub(super) fn attend(&self) {
        self.attention.store(true, Ordering::SeqCst);
        self.send_kick();
    }

    /// The same from the runner of `own`, which looks around anyway.
    pub(super) fn attend_from(&self, own: &Self) {
        if !core::ptr::eq(self, own) {
            self.attend();
        }
    }

    /// Set when its runner is to look around.
    pub(super) fn attention(&self) -> &AtomicBool {
        &self.attention
    }

    /// Whether its runner is to ask anew where those in the queue may run; once.
    pub(super) fn take_affinities_changed(&self) -> bool {
        self.affinities_changed.swap(false, Ordering::SeqCst)
    }

    fn send_kick(&self) {
        let target = self.sgi_target.load(Ordering::Relaxed);
        gic::SgiTarget::from_bits(target).send(KICK_SGI);
    }
}
