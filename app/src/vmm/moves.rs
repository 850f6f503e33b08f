//! How vCPUs that wait get from one physical CPU to another: an idle one fetches, a busy one hands over. (A wake-up
//! that finds its home busy goes to an idle one: `seats.rs`.)
//!
//! Only a vCPU that waits and whose registers no CPU has is moved, so that nobody has to be asked to save it: while
//! somebody else runs on its CPU, that is every one that waits. Between two queues it is in none, and still Runnable:
//! nobody else touches it then.

use core::sync::atomic::{AtomicBool, Ordering};

use axsched::{Clock, CpuMask, Entity, MAX_CPUS, RunQueue, choose_home};

use super::pcpu::{self, Pcpu, VcpuKey};
use super::table;
use super::time::now_ns;

/// How often a runner looks whether its CPU falls behind the others, in ns.
const LOOK_NS: u64 = 5_000_000;

/// Somebody brings the virtual times of the CPUs in step.
static ALIGNING: AtomicBool = AtomicBool::new(false);

/// Fetches somebody for the idle `cpu`, on which this runs, from the CPU with the most to do.
pub(super) fn fetch(cpu: usize, own: &Pcpu) -> bool {
    let mut from: Option<(u64, &Pcpu)> = None;
    for (_, pcpu) in pcpu::all().filter(|(other, _)| *other != cpu) {
        let load = pcpu.with(|queue| {
            let queue = &queue.runnable;
            queue.surplus(cpu, pcpu.held()).map_or(0, |_| queue.load())
        });
        let load = load.unwrap_or(0);
        if load > from.map_or(0, |(most, _)| most) {
            from = Some((load, pcpu));
        }
    }
    from.is_some_and(|(_, from)| {
        hand_over(own, from, |queue, held| Some((queue.surplus(cpu, held)?.key, cpu)))
    })
}

/// When a runner has looked before it ever did: where there is no other CPU, it never does.
pub(super) fn first_look() -> u64 {
    if pcpu::of(1).is_some() { 0 } else { u64::MAX }
}

/// Lets those who wait on `cpu`, on which this runs, go where they are sooner served, if there is anywhere to go. `looked_ns`
/// is when it last did, `now` is now.
#[inline]
pub(super) fn spread(cpu: usize, own: &Pcpu, now: u64, looked_ns: &mut u64) {
    if now.saturating_sub(*looked_ns) >= LOOK_NS {
        *looked_ns = now;
        look(cpu, own, now);
    }
}

#[cold]
#[inline(never)]
fn look(cpu: usize, own: &Pcpu, now: u64) {
    if own.with(|queue| queue.runnable.len()).unwrap_or(0) < 2 {
        return;
    }
    let mut clocks = [Clock::Away; MAX_CPUS];
    for ((_, pcpu), clock) in pcpu::all().zip(&mut clocks) {
        let read = pcpu.with(|queue| match queue.runnable.is_empty() {
            true => Clock::Idle,
            false => Clock::At(queue.runnable.floor_at(now)),
        });
        *clock = read.unwrap_or(Clock::Away);
    }
    let clocks = clocks.get_mut(..pcpu::all().count()).unwrap_or_default();
    if !ALIGNING.swap(true, Ordering::Acquire) {
        align(clocks);
        ALIGNING.store(false, Ordering::Release);
    }
    hand_over(own, own, |queue, held| axsched::overdue(cpu, queue, held, clocks));
}

/// Brings the virtual times of all CPUs in step.
fn align(clocks: &mut [Clock]) {
    let raises = axsched::align(clocks);
    for (((_, pcpu), clock), by_ns) in pcpu::all().zip(clocks).zip(raises) {
        if let Clock::At(ns) = clock
            && by_ns != 0
        {
            *ns = ns.wrapping_add(by_ns);
            pcpu.with(|queue| queue.runnable.raise(by_ns));
        }
    }
}

/// Where a vCPU goes that may run on the CPUs of `affinity`, if `cpu` is none of them.
pub(super) fn refuge(affinity: CpuMask, cpu: usize) -> Option<usize> {
    if affinity.contains(cpu) {
        return None;
    }
    choose_home(CpuMask(affinity.0 & pcpu::able().0), &pcpu::loads(), None)
}

/// Asks anew where those who are queued on `own`, on which this runs, may run.
pub(super) fn renew_affinities(own: &Pcpu) {
    let vms = table::all();
    let may_run_on = |key: VcpuKey| {
        let vm = vms.iter().find(|vm| vm.vm.id() == key.vm as usize);
        let seat = vm.and_then(|vm| vm.seats.seat(key.vcpu as usize));
        seat.map_or(CpuMask::ALL, |seat| seat.affinity())
    };
    own.with(|queue| queue.runnable.renew_affinities(may_run_on));
}

/// Moves whom `choose` names from the queue of `from` to the CPU it names; false if there is nobody. The runner of `own`
/// does so.
fn hand_over(
    own: &Pcpu,
    from: &Pcpu,
    choose: impl FnOnce(&RunQueue<VcpuKey>, Option<VcpuKey>) -> Option<(VcpuKey, usize)>,
) -> bool {
    let taken = from.with(|queue| {
        let (key, to) = choose(&queue.runnable, from.held())?;
        Some((queue.runnable.remove(key)?, to))
    });
    taken.flatten().is_some_and(|(entity, to)| settle(own, &entity, to))
}

/// Queues one that is Runnable and in no queue on CPU `to`, or at home if there is no room. Gives whether it moved. For the
/// runner of `own`.
pub(super) fn settle(own: &Pcpu, entity: &Entity<VcpuKey>, to: usize) -> bool {
    let Some(vm) = table::by_id(entity.key.vm) else {
        return false;
    };
    let Some(seat) = vm.seats.seat(entity.key.vcpu as usize) else {
        return false;
    };
    let moved = seat.move_home(to);
    let home = seat.home();
    if let Some(pcpu) = pcpu::of(home) {
        let now = now_ns();
        let urgent = pcpu.with(|queue| {
            // Asked for while the queue is locked: who changes it afterwards tells this queue.
            let entity = Entity { affinity: seat.affinity(), ..*entity };
            // Full or present cannot be: `move_home` keeps to the capacity, and it was in no queue.
            let _ = queue.runnable.adopt(entity, now);
            queue.is_changed_by(entity.key)
        });
        if urgent == Some(true) {
            pcpu.attend_from(own);
        }
    }
    moved
}
