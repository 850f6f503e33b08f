//! The runners: one host thread per physical CPU, which runs the vCPUs that are at home there.

mod turn;

use alloc::format;
use core::sync::atomic::Ordering;

use arm_vcpu::{Aarch64VCpu, SliceTimer, physical_counter};
use axvcpu::VCpuSlot;

use super::pcpu::{self, Pcpu, VcpuKey};
use super::seats::Status;
use super::time::ticks_to_ns;
use super::{moves, notice, passthrough, table};
use crate::host::{cpu, thread};
use turn::Turn;

/// What the runner of a CPU knows and nobody else does.
struct Runner {
    pcpu: &'static Pcpu,
    /// The vCPU that the CPU has loaded.
    slot: VCpuSlot<Aarch64VCpu>,
    /// When it last looked whether its CPU falls behind the others.
    looked_ns: u64,
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

/// Starts a runner on every CPU.
pub(crate) fn start_all() {
    for (cpu, pcpu) in pcpu::all() {
        pcpu.open();
        thread::spawn(format!("runner-{cpu}"), thread::Rank::Guests, Some(cpu), move || {
            // What it gives belongs to the CPU for good.
            let _percpu = match cpu::enable(cpu) {
                Ok(percpu) => percpu,
                Err(why) => {
                    notice::post(format!("CPU {cpu}: {why}"));
                    return pcpu.close();
                }
            };
            pcpu.come_up();
            let (slot, looked_ns) = (VCpuSlot::new(cpu), moves::first_look());
            Runner { pcpu, slot, looked_ns }.run();
        });
    }
}

impl Runner {
    fn run(mut self) -> ! {
        loop {
            if self.pcpu.attention().swap(false, Ordering::SeqCst) {
                self.look_around();
            }
            let now = physical_counter();
            let now_ns = ticks_to_ns(now);
            moves::spread(self.slot.cpu_id(), self.pcpu, now_ns, &mut self.looked_ns);
            match self.next(now, now_ns) {
                Next::Turn(turn) => {
                    pcpu::set_idle(self.slot.cpu_id(), false);
                    self.dispatch(&turn);
                }
                Next::Wake(key) => self.wake_sleeper(key),
                Next::Nobody(deadline) => self.idle(deadline),
            }
        }
    }

    /// Does what others have left for it.
    fn look_around(&self) {
        passthrough::deliver(self.slot.cpu_id(), |vm, intid| {
            if let Some(vm) = table::by_id(vm) {
                vm.host_interrupt(intid);
            }
        });
        if self.pcpu.take_affinities_changed() {
            moves::renew_affinities(self.pcpu);
        }
    }

    /// What there is to do at counter value `now`, which is `now_ns`.
    #[inline]
    fn next(&self, now: u64, now_ns: u64) -> Next {
        let next = self.pcpu.with(|queue| {
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
        if let Some(vm) = table::by_id(key.vm) {
            vm.seats.wake_from(self.pcpu, key.vcpu as usize, Status::Blocked);
        }
    }

    /// Sleeps until something is runnable here or until `deadline`; the host's other threads go first.
    #[inline(never)]
    fn idle(&self, deadline: Option<u64>) {
        thread::yield_now();
        pcpu::set_idle(self.slot.cpu_id(), true);
        if moves::fetch(self.slot.cpu_id(), self.pcpu) {
            return;
        }
        match deadline {
            Some(deadline) => SliceTimer::arm(deadline),
            None => SliceTimer::disarm(),
        }
        cpu::wait_for_interrupt(|| self.pcpu.attention().load(Ordering::Acquire));
    }
}
