//! Threads of the host: runners that everything else goes before, and services that go before runners.

use alloc::string::String;
use core::time::Duration;

use ax_task::sched::{CpuId, CpuSet, FairMode, Nice, RtPriority, SchedulePolicy};
use ax_task::sync::WaitQueue;

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

const STACK_BYTES: usize = 128 << 10;

/// Starts a thread; on CPU `cpu` only, if one is given. False, and a line in the log, if the host cannot.
pub(crate) fn spawn(
    name: impl Into<String>,
    rank: Rank,
    cpu: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> bool {
    let name = name.into();
    let mut builder =
        ax_runtime::thread::builder(name.clone()).stack_size(STACK_BYTES).policy(rank.policy());
    if let Some(cpu) = cpu {
        let mut only = CpuSet::empty(ax_hal::cpu_num());
        only.insert(CpuId::new(u32::try_from(cpu).unwrap_or(0)));
        builder = builder.affinity(only);
    }
    let spawned = builder.spawn(body);
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
