//! Where each vCPU of a VM sits: its home CPU, whether it runs, waits or sleeps, and how it is woken.
//!
//! A vCPU's status moves Off → Runnable → Running → (Runnable | Blocked | Parked | Off), and from Blocked
//! and Parked to Runnable. Only its home runner moves it out of Running; whoever wins the step out of
//! Blocked, Parked or Off queues it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};

use arm_vgic::Kick;
use axsched::CpuMask;
use axvm::VcpuPort;
use axvmconfig::AxVMCrateConfig;

use super::runner::{self, VcpuKey};
use super::time::now_ns;

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
    /// Its virtual run time while it is in no queue.
    vruntime_ns: AtomicU64,
    /// Time it has run, in nanoseconds, but for the present run.
    ran_ns: AtomicU64,
    /// Since when it runs, in nanoseconds of the counter; 0 when it does not.
    runs_since_ns: AtomicU64,
}

/// The places of one VM's vCPUs.
pub(crate) struct Seats {
    vm: u32,
    weight: u32,
    seats: Box<[Seat]>,
}

impl Seats {
    /// Places for every vCPU of `config`, each at home on the least loaded CPU it may use.
    ///
    /// # Errors
    /// A text for the operator: a vCPU may use no CPU that runs guests, or too many share one.
    pub(crate) fn new(vm: u32, config: &AxVMCrateConfig) -> Result<Self, String> {
        let mut loads = runner::loads();
        let weight = config.base.weight;
        let mut seats = Vec::new();
        for (vcpu, mask, _) in config.vcpu_affinities() {
            let affinity = CpuMask(mask.map_or(u64::MAX, |mask| mask as u64) & runner::able());
            let home = axsched::choose_home(affinity, &loads, None)
                .ok_or_else(|| format!("vCPU {vcpu} may use no CPU that runs guests"))?;
            if let Some(load) = loads.get_mut(home) {
                *load += u64::from(weight);
            }
            seats.push(Seat {
                status: AtomicU8::new(Status::Off as u8),
                home: AtomicUsize::new(home),
                vruntime_ns: AtomicU64::new(0),
                ran_ns: AtomicU64::new(0),
                runs_since_ns: AtomicU64::new(0),
            });
        }
        runner::add_load(&seats.iter().map(Seat::home).collect::<Vec<_>>(), weight)?;
        Ok(Self { vm, weight, seats: seats.into_boxed_slice() })
    }

    pub(crate) fn seat(&self, vcpu: usize) -> Option<&Seat> {
        self.seats.get(vcpu)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter()
    }

    /// Queues a vCPU that this call has just made Runnable. May be called from exit code.
    pub(crate) fn enqueue(&self, vcpu: usize) {
        let (Some(seat), Ok(index)) = (self.seats.get(vcpu), u32::try_from(vcpu)) else {
            return;
        };
        let key = VcpuKey { vm: self.vm, vcpu: index };
        let saved_ns = seat.vruntime_ns.load(Ordering::Relaxed);
        runner::wake(seat.home(), key, self.weight, (saved_ns != 0).then_some(saved_ns));
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        let homes: Vec<usize> = self.seats.iter().map(Seat::home).collect();
        runner::remove_load(&homes, self.weight);
    }
}

impl Seat {
    pub(crate) fn home(&self) -> usize {
        self.home.load(Ordering::Relaxed)
    }

    /// Time it has run, in nanoseconds. While it comes back, it may miss the run that ends.
    pub(crate) fn ran_ns(&self) -> u64 {
        let since = self.runs_since_ns.load(Ordering::Relaxed);
        let now = if since == 0 { 0 } else { now_ns().saturating_sub(since) };
        self.ran_ns.load(Ordering::Relaxed).saturating_add(now)
    }

    pub(crate) fn reset_ran_ns(&self) {
        self.ran_ns.store(0, Ordering::Relaxed);
    }

    pub(crate) fn set_runs_since_ns(&self, ns: u64) {
        self.runs_since_ns.store(ns, Ordering::Relaxed);
    }

    pub(crate) fn add_ran_ns(&self, ns: u64) {
        self.runs_since_ns.store(0, Ordering::Relaxed);
        self.ran_ns.fetch_add(ns, Ordering::Relaxed);
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
        } else if seat.step(Status::Blocked, Status::Runnable) {
            // One that is parked goes on, or ends, by `unpark`: interrupts leave it in peace.
            self.enqueue(vcpu);
        }
    }
}

impl VcpuPort for Seats {
    fn start(&self, vcpu: usize) {
        let Some(seat) = self.seats.get(vcpu) else {
            return;
        };
        seat.set_vruntime_ns(0);
        if seat.step(Status::Off, Status::Runnable) {
            self.enqueue(vcpu);
        }
    }

    fn unpark(&self, vcpu: usize) {
        let parked =
            self.seats.get(vcpu).is_some_and(|seat| seat.step(Status::Parked, Status::Runnable));
        if parked {
            self.enqueue(vcpu);
        }
    }
}
