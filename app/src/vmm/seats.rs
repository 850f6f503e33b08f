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

use super::exclusive;
use super::pcpu::{self, Pcpu, VcpuKey};
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
}

impl Seats {
    /// Places for every vCPU of `config`, each at home on the least loaded CPU it may use.
    ///
    /// # Errors
    /// A text for the operator: a vCPU may use no CPU that runs guests, or too many share one.
    pub(crate) fn new(vm: u32, config: &AxVMCrateConfig) -> Result<Self, String> {
        let base = &config.base;
        let (weight, exclusive) = (base.weight, base.exclusive);
        let mut loads = pcpu::loads();
        let mut seats = Vec::new();
        for (vcpu, configured) in configured(config) {
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
        pcpu::add_load(&seats.iter().map(Seat::home).collect::<Vec<_>>(), weight)?;
        Ok(Self { vm, seats: seats.into_boxed_slice() })
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
        if let Some(pcpu) = self.queue(vcpu, from) {
            pcpu.attend();
        }
    }

    /// The same from the runner of `own`, which looks at its queue next anyway.
    pub(super) fn wake_from(&self, own: &Pcpu, vcpu: usize, from: Status) {
        if let Some(pcpu) = self.queue(vcpu, from) {
            pcpu.attend_from(own);
        }
    }

    /// Gives the CPU whose runner has to look at its queue now, if one has to.
    fn queue(&self, vcpu: usize, from: Status) -> Option<&'static Pcpu> {
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
            pcpu::remove_load(&[seat.home()], seat.weight);
        }
    }
}

/// The vCPUs of a VM, with the CPUs that they may run on.
fn configured(config: &AxVMCrateConfig) -> impl Iterator<Item = (usize, CpuMask)> {
    let able = pcpu::able().0;
    let affinities = config.vcpu_affinities().into_iter();
    affinities.map(move |(vcpu, mask, _)| {
        (vcpu, CpuMask(mask.map_or(u64::MAX, |mask| mask as u64) & able))
    })
}

/// The CPUs that the vCPUs of a VM may run on.
pub(super) fn cpus_of(config: &AxVMCrateConfig) -> CpuMask {
    CpuMask(configured(config).fold(0, |cpus, (_, mask)| cpus | mask.0))
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
        let closed = if self.exclusive { 0 } else { exclusive::taken().0 };
        CpuMask(self.configured.0 & !closed)
    }

    /// Makes `cpu` its home, if that has room. For who has it Runnable in no queue.
    pub(super) fn move_home(&self, cpu: usize) -> bool {
        let weight = self.weight;
        if !pcpu::of(cpu).is_some_and(|pcpu| pcpu.admit(weight)) {
            return false;
        }
        let before = self.home.swap(cpu, Ordering::SeqCst);
        pcpu::remove_load(&[before], weight);
        self.usage.moved();
        true
    }

    /// Queues it: it has just become Runnable. Gives the CPU whose runner has to look at its queue now, if one has to.
    fn enqueue(&self, key: VcpuKey) -> Option<&'static Pcpu> {
        let pcpu = pcpu::of(self.place(key))?;
        let saved_ns = Some(self.vruntime_ns.load(Ordering::Relaxed)).filter(|saved| *saved != 0);
        let now = now_ns();
        let urgent = pcpu.with(|queue| {
            queue.sleepers.forget(key);
            // Asked for while the queue is locked: who changes it afterwards tells this queue.
            let terms = Terms { weight: self.weight, affinity: self.affinity() };
            // Full or present cannot be: a CPU admits no more than the capacity, and a step of status is won once.
            let _ = queue.runnable.wake(key, terms, saved_ns, now);
            queue.is_changed_by(key)
        });
        (urgent == Some(true)).then_some(pcpu)
    }

    /// Where it is to be queued: at home, or on an idle CPU if its home is busy and has nothing of it.
    fn place(&self, key: VcpuKey) -> usize {
        let home = self.home();
        let others = CpuMask(self.affinity().0 & !CpuMask::only(home).0);
        if !pcpu::any_idle(others) {
            return home;
        }
        let Some(pcpu) = pcpu::of(home).filter(|pcpu| !pcpu.holds(key)) else {
            return home;
        };
        let must_wait = pcpu.with(|queue| {
            queue.sleepers.forget(key);
            !queue.runnable.is_empty()
        });
        let idle = if must_wait == Some(true) { pcpu::claim_idle(others) } else { None };
        idle.filter(|idle| self.move_home(*idle)).unwrap_or(home)
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
            pcpu::interrupt(seat.home());
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
