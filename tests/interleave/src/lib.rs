//! What the hypervisor is between VMs and CPUs, as a model: who sleeps, who runs, how they are woken and interrupted.
//!
//! `app/src/vmm/seats.rs` and `runner/turn.rs` do the same on a machine; each CPU has one vCPU here. Whoever waits for what
//! never comes makes a deadlock, which the search reports.

use std::sync::Arc;

use arm_vgic::Kick;
use axvm::VcpuPort;
use loom::sync::atomic::{AtomicU8, Ordering, fence};
use loom::sync::{Condvar, Mutex};

/// What a vCPU is doing, as its scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Not started, or stopped.
    Off,
    /// It waits for its turn.
    Runnable,
    /// It has its turn.
    Running,
    /// It waits for an interrupt.
    Blocked,
    /// Its VM is paused.
    Parked,
}

/// One vCPU and the CPU it has alone.
struct Seat {
    status: AtomicU8,
    cpu: Mutex<Cpu>,
    changed: Condvar,
}

/// What reaches a CPU.
#[derive(Default)]
struct Cpu {
    /// Its vCPU is in its queue.
    queued: bool,
    /// A physical interrupt is pending.
    interrupted: bool,
    /// No vCPU will ever be queued again.
    closed: bool,
}

/// The places of one VM's vCPUs.
pub struct Seats(Vec<Seat>);

impl Seats {
    /// Places for `count` vCPUs, all off.
    pub fn new(count: usize) -> Arc<Self> {
        let seat = |_| Seat {
            status: AtomicU8::new(Status::Off as u8),
            cpu: Mutex::default(),
            changed: Condvar::new(),
        };
        Arc::new(Self((0..count).map(seat).collect()))
    }

    /// Publishes a status.
    pub fn set_status(&self, vcpu: usize, status: Status) {
        self.0[vcpu].status.store(status as u8, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// What `vcpu` is doing.
    pub fn is(&self, vcpu: usize, status: Status) -> bool {
        self.0[vcpu].status.load(Ordering::SeqCst) == status as u8
    }

    /// Makes a vCPU Runnable if its status is `from`, and queues it.
    pub fn wake(&self, vcpu: usize, from: Status) {
        let (from, to) = (from as u8, Status::Runnable as u8);
        let seat = &self.0[vcpu];
        if seat.status.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.tell(vcpu, |cpu| cpu.queued = true);
        }
    }

    fn tell(&self, vcpu: usize, what: impl FnOnce(&mut Cpu)) {
        let seat = &self.0[vcpu];
        what(&mut seat.cpu.lock().unwrap());
        seat.changed.notify_all();
    }

    /// Puts a vCPU whose turn is over, and that goes on, back into the queue.
    pub fn put_back(&self, vcpu: usize) {
        self.set_status(vcpu, Status::Runnable);
        self.tell(vcpu, |cpu| cpu.queued = true);
    }

    /// Lets every runner end that waits for a turn of its vCPU.
    pub fn close(&self) {
        (0..self.0.len()).for_each(|vcpu| self.tell(vcpu, |cpu| cpu.closed = true));
    }

    /// Waits for the turn of `vcpu`; false if there will be none.
    pub fn next_turn(&self, vcpu: usize) -> bool {
        let seat = &self.0[vcpu];
        let mut cpu = seat.cpu.lock().unwrap();
        while !cpu.queued && !cpu.closed {
            cpu = seat.changed.wait(cpu).unwrap();
        }
        std::mem::take(&mut cpu.queued)
    }

    /// The guest on `vcpu` waits in the hardware's WFI until a physical interrupt comes.
    pub fn wait_for_interrupt(&self, vcpu: usize) {
        let seat = &self.0[vcpu];
        let mut cpu = seat.cpu.lock().unwrap();
        while !cpu.interrupted {
            cpu = seat.changed.wait(cpu).unwrap();
        }
        cpu.interrupted = false;
    }

    /// Whether a physical interrupt has come; it is taken.
    pub fn take_interrupt(&self, vcpu: usize) -> bool {
        std::mem::take(&mut self.0[vcpu].cpu.lock().unwrap().interrupted)
    }
}

impl Kick for Seats {
    fn kick(&self, vcpu: usize) {
        fence(Ordering::SeqCst);
        if self.0[vcpu].status.load(Ordering::Relaxed) == Status::Running as u8 {
            self.tell(vcpu, |cpu| cpu.interrupted = true);
        } else {
            self.wake(vcpu, Status::Blocked);
        }
    }
}

impl VcpuPort for Seats {
    fn start(&self, vcpu: usize) {
        self.wake(vcpu, Status::Off);
    }

    fn unpark(&self, vcpu: usize) {
        self.wake(vcpu, Status::Parked);
    }
}

/// Tries every interleaving in which threads are interrupted at most `preemptions` times, and says how many there were.
pub fn search(name: &str, preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    let count = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    let counted = count.clone();
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        scenario();
    });
    println!("{name}: {} interleavings", count.load(Relaxed));
}
