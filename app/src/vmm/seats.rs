//! Where each vCPU of a VM sits: its home CPU, whether it runs, waits or sleeps, and how it is woken.
//!
//! A vCPU's status moves Off → Runnable → Running → (Runnable | Blocked | Parked | Off), and from Blocked
//! and Parked to Runnable. Only its home runner moves it out of Running; whoever wins the step out of
//! Blocked, Parked or Off queues it. Its home changes only while it is Runnable, by whoever queues it or has taken
//! it out of a queue, and is there before it can be Running again: who finds it Running finds where.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};

use arm_vgic::Kick;
use axsched::{CpuMask, Terms};
use axvm::VcpuPort;
use axvmconfig::AxVMCrateConfig;

use super::exclusive::{self, Exclusive};
use super::moves;
use super::runner::{self, Runner, VcpuKey};
use super::time::now_ns;
use super::usage::Usage;

/// What a vCPU is doing, as its scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// Not started, or stopped.
    Off = 0,
    /// In its home's run queue.
    Runnable = 1,
    /// Picked by its home's runner.
    Running = 2,
    /// Waits for an interrupt.
    Blocked = 3,
    /// Its VM is paused.
    Parked = 4,
}

/// One vCPU's place, on a cache line of its own.
#[repr(align(64))]
pub(crate) struct Seat {
    status: AtomicU8,
    home: AtomicUsize,
    weight: u32,
    /// Where it may run, as its VM's configuration has it.
    configured: CpuMask,
    /// Its VM has these CPUs alone.
    exclusive: bool,
    /// Its virtual run time while it is in no queue.
    vruntime_ns: AtomicU64,
    pub(crate) usage: Usage,
}

/// The places of one VM's vCPUs.
pub(crate) struct Seats {
    vm: u32,
    seats: Box<[Seat]>,
    exclusive: Option<Exclusive>,
}

impl Seats {
    /// Places for every vCPU of `config`, each at home on the least loaded CPU it may use.
    ///
    /// # Errors
    /// A text for the operator: a vCPU may use no CPU that runs guests, or too many share one.
    pub(crate) fn new(vm: u32, config: &AxVMCrateConfig) -> Result<Self, String> {
        let base = &config.base;
        let (weight, exclusive) = (base.weight, base.exclusive);
        let mut loads = runner::loads();
        let mut seats = Vec::new();
        for (vcpu, mask, _) in config.vcpu_affinities() {
            let configured = CpuMask(mask.map_or(u64::MAX, |mask| mask as u64) & runner::able());
            let seat = Seat {
                status: AtomicU8::new(Status::Off as u8),
                home: AtomicUsize::new(0),
                weight,
                configured,
                exclusive,
                vruntime_ns: AtomicU64::new(0),
                usage: Usage::default(),
            };
            let home = axsched::choose_home(seat.affinity(), &loads, None)
                .ok_or_else(|| nowhere(vcpu, configured))?;
            if let Some(load) = loads.get_mut(home) {
                *load = load.saturating_add(u64::from(weight));
            }
            seat.home.store(home, Ordering::SeqCst);
            seats.push(seat);
        }
        let cpus = seats.iter().fold(0, |mask, seat| mask | seat.configured.0);
        let exclusive = exclusive.then(|| Exclusive::take(cpus)).transpose()?;
        runner::add_load(&seats.iter().map(Seat::home).collect::<Vec<_>>(), weight)?;
        Ok(Self { vm, seats: seats.into_boxed_slice(), exclusive })
    }

    /// Whether the VM has `cpu` alone.
    pub(super) fn has_alone(&self, cpu: usize) -> bool {
        self.exclusive.as_ref().is_some_and(|exclusive| exclusive.has(cpu))
    }

    pub(crate) fn seat(&self, vcpu: usize) -> Option<&Seat> {
        self.seats.get(vcpu)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter()
    }

    /// Makes a vCPU Runnable if its status is `from`, and queues it. May be called from exit code.
    #[inline(never)]
    pub(crate) fn wake(&self, vcpu: usize, from: Status) {
        if let Some(runner) = self.queue(vcpu, from) {
            runner.attend();
        }
    }

    /// The same for the runner `own`, which this is and which looks at its queue next anyway.
    pub(super) fn wake_from(&self, own: &Runner, vcpu: usize, from: Status) {
        if let Some(runner) = self.queue(vcpu, from) {
            runner.attend_from(own);
        }
    }

    /// Gives the runner that has to look at its queue now, if one has to.
    fn queue(&self, vcpu: usize, from: Status) -> Option<&'static Runner> {
        let (seat, index) = (self.seats.get(vcpu)?, u32::try_from(vcpu).ok()?);
        if !seat.step(from, Status::Runnable) {
            return None;
        }
        seat.enqueue(VcpuKey { vm: self.vm, vcpu: index })
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        for seat in &self.seats {
            runner::remove_load(&[seat.home()], seat.weight);
        }
    }
}

/// Why vCPU `vcpu` can have no home.
fn nowhere(vcpu: usize, configured: CpuMask) -> String {
    let alone = (0..u64::BITS as usize).filter(|cpu| configured.contains(*cpu));
    match alone.filter_map(exclusive::owner).next() {
        Some(owner) => format!("vCPU {vcpu} may use only CPUs that {owner} has alone"),
        None => format!("vCPU {vcpu} may use no CPU that runs guests"),
    }
}

impl Seat {
    /// The CPU it runs on, or will.
    pub(crate) fn home(&self) -> usize {
        self.home.load(Ordering::SeqCst)
    }

    /// Where it may run, now that some CPUs are other VMs' alone.
    pub(super) fn affinity(&self) -> CpuMask {
        let closed = if self.exclusive { 0 } else { exclusive::taken() };
        CpuMask(self.configured.0 & !closed)
    }

    /// Makes `cpu` its home, if that has room. For who has it Runnable in no queue.
    pub(super) fn move_home(&self, cpu: usize) -> bool {
        let weight = self.weight;
        if !runner::of(cpu).is_some_and(|runner| runner.admit(weight)) {
            return false;
        }
        let before = self.home.swap(cpu, Ordering::SeqCst);
        runner::remove_load(&[before], weight);
        self.usage.moved();
        true
    }

    /// Queues it: it has just become Runnable. Gives the runner that has to look at its queue now, if one has to.
    fn enqueue(&self, key: VcpuKey) -> Option<&'static Runner> {
        let terms = Terms { weight: self.weight, affinity: self.affinity() };
        let cpu = moves::place(self, key, terms.affinity);
        let runner = runner::of(cpu)?;
        let saved_ns = Some(self.vruntime_ns.load(Ordering::Relaxed)).filter(|saved| *saved != 0);
        let now = now_ns();
        let urgent = runner.with(|queue| {
            queue.sleepers.forget(key);
            // Full or present cannot be: a CPU admits no more than the capacity, and a step of status is won once.
            let _ = queue.runnable.wake(key, terms, saved_ns, now);
            Runner::must_look(queue, key)
        });
        (urgent == Some(true)).then_some(runner)
    }

    /// Time it has run, in nanoseconds. While it comes back, it may miss the run that ends.
    pub(crate) fn ran_ns(&self) -> u64 {
        self.usage.ran.total_ns(now_ns())
    }

    pub(crate) fn set_vruntime_ns(&self, ns: u64) {
        self.vruntime_ns.store(ns, Ordering::Relaxed);
    }

    pub(crate) fn status(&self) -> Status {
        match self.status.load(Ordering::SeqCst) {
            1 => Status::Runnable,
            2 => Status::Running,
            3 => Status::Blocked,
            4 => Status::Parked,
            _ => Status::Off,
        }
    }

    /// Publishes a status; what is looked at afterwards is newer than what anyone who missed it saw.
    pub(crate) fn set_status(&self, status: Status) {
        self.status.store(status as u8, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Moves from one status to another, if it is there.
    pub(crate) fn step(&self, from: Status, to: Status) -> bool {
        self.status
            .compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl Kick for Seats {
    fn kick(&self, vcpu: usize) {
        let Some(seat) = self.seats.get(vcpu) else {
            return;
        };
        fence(Ordering::SeqCst);
        if seat.status.load(Ordering::Relaxed) == Status::Running as u8 {
            runner::interrupt(seat.home());
        } else {
            // One that is parked goes on, or ends, by `unpark`: interrupts leave it in peace.
            self.wake(vcpu, Status::Blocked);
        }
    }
}

impl VcpuPort for Seats {
    fn start(&self, vcpu: usize) {
        let off = |seat: &&Seat| seat.status() == Status::Off;
        if let Some(seat) = self.seats.get(vcpu).filter(off) {
            seat.set_vruntime_ns(0);
        }
        self.wake(vcpu, Status::Off);
    }

    fn unpark(&self, vcpu: usize) {
        self.wake(vcpu, Status::Parked);
    }
}
