//! How vCPUs get from one physical CPU to another: an idle one fetches, a busy one hands over, a wake-up goes to an
//! idle one.
//!
//! Only a vCPU that waits and whose registers no CPU has is moved, so that nobody has to be asked to save it: while
//! somebody else runs on its CPU, that is every one that waits. Between two queues it is in none, and still Runnable:
//! nobody else touches it then.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axsched::{Clock, CpuMask, Entity, MAX_CPUS, RunQueue, choose_home};

use super::runner::{self, Runner, VcpuKey};
use super::seats::Seat;
use super::table;
use super::time::now_ns;

/// How often a runner looks whether its CPU falls behind the others, in ns.
const LOOK_NS: u64 = 5_000_000;

/// The CPUs with nobody to run that nobody has sent anybody to yet.
static IDLE: AtomicU64 = AtomicU64::new(0);
/// Somebody brings the virtual times of the CPUs in step.
static ALIGNING: AtomicBool = AtomicBool::new(false);

/// Notes whether `cpu`, on which this runs, has nobody to run.
pub(super) fn set_idle(cpu: usize, idle: bool) {
    let bit = 1u64 << cpu;
    if (IDLE.load(Ordering::Relaxed) & bit != 0) == idle {
        return;
    }
    if idle {
        IDLE.fetch_or(bit, Ordering::SeqCst);
    } else {
        IDLE.fetch_and(!bit, Ordering::SeqCst);
    }
}

/// An idle CPU of `mask` that is the caller's to send somebody to.
fn claim_idle(mask: u64) -> Option<usize> {
    let idle = IDLE.load(Ordering::SeqCst) & mask;
    let cpu = idle.trailing_zeros();
    let bit = 1u64.checked_shl(cpu)?;
    (IDLE.fetch_and(!bit, Ordering::SeqCst) & bit != 0).then_some(cpu as usize)
}

/// Where the vCPU of `seat`, which has just become Runnable, is to be queued: at home, or on an idle CPU if its home
/// is busy and has nothing of it. Exit code calls this.
pub(super) fn place(seat: &Seat, key: VcpuKey, affinity: CpuMask) -> usize {
    let home = seat.home();
    let others = affinity.0 & !CpuMask::only(home).0;
    if IDLE.load(Ordering::Relaxed) & others == 0 {
        return home;
    }
    let Some(runner) = runner::of(home).filter(|runner| !runner.holds(key)) else {
        return home;
    };
    let must_wait = runner.with(|queue| {
        queue.sleepers.forget(key);
        !queue.runnable.is_empty()
    });
    let idle = if must_wait == Some(true) { claim_idle(others) } else { None };
    idle.filter(|idle| seat.move_home(*idle)).unwrap_or(home)
}

/// Fetches somebody for the idle `cpu`, on which this runs, from the CPU with the most to do.
pub(super) fn fetch(cpu: usize, own: &Runner) -> bool {
    let mut from: Option<(u64, &Runner)> = None;
    for (_, runner) in runner::all().filter(|(other, _)| *other != cpu) {
        let load = runner.with(|queue| {
            let queue = &queue.runnable;
            queue.surplus(cpu, runner.held()).map_or(0, |_| queue.load())
        });
        let load = load.unwrap_or(0);
        if load > from.map_or(0, |(most, _)| most) {
            from = Some((load, runner));
        }
    }
    from.is_some_and(|(_, from)| {
        hand_over(own, from, |queue, held| Some((queue.surplus(cpu, held)?.key, cpu)))
    })
}

/// When a runner has looked before it ever did: where there is no other CPU, it never does.
pub(super) fn first_look() -> u64 {
    if runner::of(1).is_some() { 0 } else { u64::MAX }
}

/// Lets those who wait on `cpu`, on which this runs, go where they are sooner served, if there is anywhere to go. `looked_ns`
/// is when it last did, `now` is now.
#[inline]
pub(super) fn spread(cpu: usize, own: &Runner, now: u64, looked_ns: &mut u64) {
    if now.saturating_sub(*looked_ns) >= LOOK_NS {
        *looked_ns = now;
        look(cpu, own, now);
    }
}

#[cold]
#[inline(never)]
fn look(cpu: usize, own: &Runner, now: u64) {
    if own.with(|queue| queue.runnable.len()).unwrap_or(0) < 2 {
        return;
    }
    let mut clocks = [Clock::Away; MAX_CPUS];
    for ((_, runner), clock) in runner::all().zip(&mut clocks) {
        let read = runner.with(|queue| match queue.runnable.is_empty() {
            true => Clock::Idle,
            false => Clock::At(queue.runnable.floor_at(now)),
        });
        *clock = read.unwrap_or(Clock::Away);
    }
    let clocks = clocks.get_mut(..runner::all().count()).unwrap_or_default();
    if !ALIGNING.swap(true, Ordering::Acquire) {
        align(clocks);
        ALIGNING.store(false, Ordering::Release);
    }
    hand_over(own, own, |queue, held| axsched::overdue(cpu, queue, held, clocks));
}

/// Brings the virtual times of all CPUs in step.
fn align(clocks: &mut [Clock]) {
    let raises = axsched::align(clocks);
    for (((_, runner), clock), by_ns) in runner::all().zip(clocks).zip(raises) {
        if let Clock::At(ns) = clock
            && by_ns != 0
        {
            *ns = ns.wrapping_add(by_ns);
            runner.with(|queue| queue.runnable.raise(by_ns));
        }
    }
}

/// Where a vCPU goes that may run on the CPUs of `affinity`, if `cpu` is none of them.
pub(super) fn refuge(affinity: CpuMask, cpu: usize) -> Option<usize> {
    if affinity.contains(cpu) {
        return None;
    }
    choose_home(CpuMask(affinity.0 & runner::able()), &runner::loads(), None)
}

/// Moves whom `choose` names from the queue of `from` to the CPU it names; false if there is nobody. `own` is the runner
/// that does so.
fn hand_over(
    own: &Runner,
    from: &Runner,
    choose: impl FnOnce(&RunQueue<VcpuKey>, Option<VcpuKey>) -> Option<(VcpuKey, usize)>,
) -> bool {
    let taken = from.with(|queue| {
        let (key, to) = choose(&queue.runnable, from.held())?;
        Some((queue.runnable.remove(key)?, to))
    });
    taken.flatten().is_some_and(|(entity, to)| settle(own, &entity, to))
}

/// Queues one that is Runnable and in no queue on CPU `to`, or at home if there is no room. Gives whether it moved. For the
/// runner `own`.
pub(super) fn settle(own: &Runner, entity: &Entity<VcpuKey>, to: usize) -> bool {
    let Some(vm) = table::by_key(entity.key) else {
        return false;
    };
    let Some(seat) = vm.seats.seat(entity.key.vcpu as usize) else {
        return false;
    };
    let moved = seat.move_home(to);
    let home = seat.home();
    if let Some(runner) = runner::of(home) {
        let now = now_ns();
        let urgent = runner.with(|queue| {
            // Full or present cannot be: `move_home` keeps to the capacity, and it was in no queue.
            let _ = queue.runnable.adopt(*entity, now);
            Runner::must_look(queue, entity.key)
        });
        if urgent == Some(true) {
            runner.attend_from(own);
        }
    }
    moved
}
