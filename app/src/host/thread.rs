//! Threads of the host: runners that everything else goes before, and services that go before runners.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use ax_task::sched::{CpuId, CpuSet, FairMode, Nice, RtPriority, SchedulePolicy};
use ax_task::sync::WaitQueue;
use ax_task::thread::ThreadHandle;
use kspin::SpinNoIrq;

/// How a thread ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Runs whenever it can: the shell, its input.
    Interactive,
    /// Runs beside the host's own services.
    Service,
    /// Runs when nothing else wants the CPU: guests.
    Guests,
}

impl Rank {
    fn policy(self) -> SchedulePolicy {
        match self {
            Self::Interactive => RtPriority::new(10)
                .map_or(fair(FairMode::Normal), |priority| SchedulePolicy::Fifo { priority }),
            Self::Service => fair(FairMode::Normal),
            Self::Guests => fair(FairMode::Idle),
        }
    }
}

const fn fair(mode: FairMode) -> SchedulePolicy {
    SchedulePolicy::Fair { nice: Nice::ZERO, mode }
}

/// The CPUs that only runners use.
static RESERVED: AtomicU64 = AtomicU64::new(0);
/// The threads that stay for ever and are no runners.
static PERMANENT: SpinNoIrq<Vec<ThreadHandle>> = SpinNoIrq::new(Vec::new());

/// Where threads go that have no CPU of their own.
fn common() -> CpuSet {
    let reserved = RESERVED.load(Ordering::SeqCst);
    let cpus = (0u32..).take(ax_hal::cpu_num());
    let mut set = CpuSet::empty(ax_hal::cpu_num());
    for cpu in cpus.filter(|cpu| reserved.checked_shr(*cpu).unwrap_or(0) & 1 == 0) {
        set.insert(CpuId::new(cpu));
    }
    set
}

/// Keeps all threads but runners off the CPUs of `mask` from now on.
pub(crate) fn keep_off(mask: u64) {
    if RESERVED.swap(mask, Ordering::SeqCst) == mask {
        return;
    }
    let permanent = PERMANENT.lock().clone();
    for thread in permanent {
        if let Err(error) = thread.request_affinity(common()) {
            log::warn!("the host cannot move a thread: {error:?}");
        }
    }
}

/// Notes that the calling thread stays for ever.
pub(crate) fn stay() {
    if let Ok(thread) = ax_task::thread::current::current_thread_handle() {
        PERMANENT.lock().push(thread);
    }
}

const STACK_BYTES: usize = 128 << 10;

/// Starts a thread; on CPU `cpu` only, if one is given. A service stays for ever. False, and a line in the log, if the host cannot.
pub(crate) fn spawn(
    name: impl Into<String>,
    rank: Rank,
    cpu: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> bool {
    let name = name.into();
    let mut builder =
        ax_runtime::thread::builder(name.clone()).stack_size(STACK_BYTES).policy(rank.policy());
    let affinity = cpu.map_or_else(common, |cpu| {
        let mut only = CpuSet::empty(ax_hal::cpu_num());
        only.insert(CpuId::new(u32::try_from(cpu).unwrap_or(0)));
        only
    });
    builder = builder.affinity(affinity);
    let permanent = cpu.is_none() && rank != Rank::Guests;
    let spawned = builder.spawn(move || {
        if permanent {
            stay();
        }
        body();
    });
    if let Err(error) = &spawned {
        log::error!("the host cannot start thread {name}: {error:?}");
    }
    spawned.is_ok()
}

/// Ranks the calling thread.
pub(crate) fn rank_current(rank: Rank) {
    let changed = ax_task::thread::current::current_thread_handle()
        .and_then(|thread| thread.set_policy(rank.policy()));
    if let Err(error) = changed {
        log::warn!("the host cannot rank this thread: {error:?}");
    }
}

/// Does long work for one VM at the rank of the others, so that it does not hold them up.
pub(crate) fn beside_guests<R>(work: impl FnOnce() -> R) -> R {
    rank_current(Rank::Guests);
    let result = work();
    rank_current(Rank::Interactive);
    result
}

/// Lets other runnable threads of this CPU run.
pub(crate) fn yield_now() {
    // Refused only where there is nothing to yield to.
    let _ = ax_task::thread::current::yield_current_cpu();
}

/// Sleeps.
pub(crate) fn sleep(duration: Duration) {
    ax_task::thread::current::sleep(duration);
}

/// Where threads wait for each other.
pub(crate) struct Bell(WaitQueue);

impl Bell {
    pub(crate) const fn new() -> Self {
        Self(WaitQueue::new())
    }

    /// Waits until `condition` holds or `timeout` is over; it is looked at again at each ring.
    pub(crate) fn wait(&self, timeout: Duration, condition: impl Fn() -> bool) {
        self.0.wait_timeout_until(timeout, condition);
    }

    /// Makes the waiting threads look again. Not from exit code.
    pub(crate) fn ring(&self) {
        self.0.notify_all();
    }
}
