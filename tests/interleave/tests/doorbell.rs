//! The hand-over of interrupts between vCPUs: whatever is sent is taken, and what was written before it is seen then.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arm_vgic::{ListRegisters, Vgic, VgicConfig, affinity};
use axaddrspace::AccessWidth;
use axdevice::{Access, Device};
use axle_interleave::{Seats, Status, search};
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

const PENDING: u64 = 1 << 62;
const SPI: u32 = 40;
const COUNT: usize = 4;

loom::thread_local! {
    /// The CPU that this thread plays.
    static CPU: Cell<usize> = Cell::new(0);
}

/// The list registers of every CPU; each is used by the thread that plays it alone.
#[derive(Clone)]
struct Lists(Arc<[[AtomicU64; COUNT]; 3]>);

impl Lists {
    fn here(&self) -> &[AtomicU64; COUNT] {
        &self.0[CPU.with(Cell::get)]
    }
}

impl ListRegisters for Lists {
    fn count(&self) -> usize {
        COUNT
    }

    fn read(&self, n: usize) -> u64 {
        self.here()[n].load(Relaxed)
    }

    fn write(&self, n: usize, value: u64) {
        self.here()[n].store(value, Relaxed);
    }

    fn set_maintenance(&self, _: bool) {}

    fn enable_physical_ppi(&self, _: u32, _: bool) {}

    fn set_physical_ppi_active(&self, _: u32, _: bool) {}
}

/// vCPU 0 takes interrupts; others send them.
struct Bench {
    seats: Arc<Seats>,
    vgic: Arc<Vgic<Lists>>,
    gicr: Arc<dyn Device>,
    lists: Lists,
    /// What each sender writes before it sends.
    written: [AtomicBool; 2],
}

/// How the guest of vCPU 0 waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// In the hardware's WFI.
    Natively,
    /// By WFI that traps.
    Trapped,
    /// The same, and the CPU is used by another vCPU meanwhile.
    Evicted,
}

impl Bench {
    fn new() -> Arc<Self> {
        let lists = Lists(Arc::default());
        let seats = Seats::new(3);
        let config = VgicConfig { vcpus: 3, spis: 32 };
        let vgic = Vgic::new(config, lists.clone(), seats.clone()).unwrap();
        let (gicd, gicr) = (vgic.distributor(), vgic.redistributors());
        let write = |device: &Arc<dyn Device>, offset, value| {
            device.write(Access { offset, width: AccessWidth::Dword, initiator: 0 }, value);
        };
        write(&gicd, 0, 0b11);
        write(&gicd, 0x104, 0xffff_ffff);
        write(&gicr, 0x1_0100, 0xffff);
        let written = [false, false].map(AtomicBool::new);
        Arc::new(Self { seats, vgic, gicr, lists, written })
    }

    /// The guest's handler: takes and ends all that is pending here.
    fn take(&self) -> bool {
        let mut taken = false;
        for lr in &self.lists.0[0][1..] {
            if lr.load(Relaxed) & PENDING != 0 {
                lr.fetch_and(!PENDING, Relaxed);
                taken = true;
            }
        }
        taken
    }

    fn answer(&self) {
        let doorbell = self.vgic.doorbell(0).unwrap();
        if doorbell.has_rung() {
            self.vgic.flush_rung(0, doorbell);
        }
    }

    /// Runs vCPU 0 until its guest has taken an interrupt and seen then what all of `senders` wrote.
    fn receive(&self, waits: Waits, senders: usize) {
        CPU.with(|cpu| cpu.set(0));
        self.seats.wake(0, Status::Off);
        let mut is_loaded = false;
        while self.seats.next_turn(0) {
            self.seats.set_status(0, Status::Running);
            if !std::mem::replace(&mut is_loaded, true) {
                self.vgic.load(0);
            }
            self.answer();
            loop {
                if self.take()
                    && self.written.iter().take(senders).all(|one| one.load(Ordering::Relaxed))
                {
                    return;
                }
                if waits == Waits::Natively {
                    self.seats.wait_for_interrupt(0);
                } else if !self.vgic.has_deliverable(0) {
                    break;
                }
                // Who has changed the state and not yet rung does so soon.
                thread::yield_now();
                self.answer();
            }
            if waits == Waits::Evicted {
                self.vgic.save(0);
                is_loaded = false;
            }
            self.seats.set_status(0, Status::Blocked);
            if self.vgic.doorbell(0).unwrap().has_rung() {
                self.seats.wake(0, Status::Blocked);
            }
        }
    }

    /// vCPU `from` reads which private interrupts of vCPU 0 are pending, GICR_ISPENDR0.
    fn look(&self, from: usize) {
        CPU.with(|cpu| cpu.set(from));
        self.gicr.read(Access { offset: 0x1_0200, width: AccessWidth::Dword, initiator: from });
    }

    fn send(&self, from: usize, what: impl FnOnce(&Vgic<Lists>)) {
        CPU.with(|cpu| cpu.set(from));
        self.written[from - 1].store(true, Ordering::Relaxed);
        what(&self.vgic);
    }
}

fn sgi(from: usize, intid: u64) -> impl FnOnce(&Vgic<Lists>) + Send + Copy {
    move |vgic| vgic.send_sgi(from, 1 << affinity(0) | intid << 24)
}

fn spi(_: usize, _: u64) -> impl FnOnce(&Vgic<Lists>) + Send + Copy {
    |vgic| vgic.pulse_spi(SPI)
}

/// One sender.
fn one<F: FnOnce(&Vgic<Lists>) + Send + Copy + Sync + 'static>(
    name: &str,
    waits: Waits,
    bound: usize,
    send: F,
) {
    search(name, bound, move || {
        let bench = Bench::new();
        let sender = {
            let bench = bench.clone();
            thread::spawn(move || bench.send(1, send))
        };
        bench.receive(waits, 1);
        sender.join().unwrap();
    });
}

/// Two at once.
fn two<F, G>(name: &str, waits: Waits, bound: usize, first: F, second: G)
where
    F: FnOnce(&Vgic<Lists>) + Send + Copy + Sync + 'static,
    G: FnOnce(&Vgic<Lists>) + Send + Copy + Sync + 'static,
{
    search(name, bound, move || {
        let bench = Bench::new();
        let one = {
            let bench = bench.clone();
            thread::spawn(move || bench.send(1, first))
        };
        let two = {
            let bench = bench.clone();
            thread::spawn(move || bench.send(2, second))
        };
        bench.receive(waits, 2);
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn an_sgi_reaches_who_runs() {
    one("an SGI to who runs", Waits::Natively, 6, sgi(1, 3));
}

#[test]
fn an_sgi_wakes_who_falls_asleep() {
    one("an SGI to who sleeps", Waits::Trapped, 6, sgi(1, 3));
    one("an SGI to who is evicted", Waits::Evicted, 6, sgi(1, 3));
}

#[test]
fn a_shared_interrupt_reaches_who_runs() {
    one("an SPI to who runs", Waits::Natively, 6, spi(1, 0));
}

#[test]
fn a_shared_interrupt_wakes_who_falls_asleep() {
    one("an SPI to who sleeps", Waits::Trapped, 6, spi(1, 0));
    one("an SPI to who is evicted", Waits::Evicted, 6, spi(1, 0));
}

#[test]
fn the_same_sgi_from_two_tells_of_both() {
    two("one SGI from two, to who runs", Waits::Natively, 3, sgi(1, 3), sgi(2, 3));
    two("one SGI from two, to who sleeps", Waits::Trapped, 3, sgi(1, 3), sgi(2, 3));
}

#[test]
fn an_sgi_and_a_shared_interrupt_at_once_are_both_taken() {
    two("an SGI and an SPI, to who runs", Waits::Natively, 3, sgi(1, 3), spi(2, 0));
    two("an SGI and an SPI, to who sleeps", Waits::Trapped, 3, sgi(1, 3), spi(2, 0));
}

#[test]
fn an_sgi_is_taken_though_another_vcpu_looks_for_it() {
    for (waits, name) in [
        (Waits::Natively, "an SGI that another looks for, to who runs"),
        (Waits::Trapped, "an SGI that another looks for, to who sleeps"),
    ] {
        search(name, 3, move || {
            let bench = Bench::new();
            let sender = {
                let bench = bench.clone();
                thread::spawn(move || bench.send(1, sgi(1, 3)))
            };
            let reader = {
                let bench = bench.clone();
                thread::spawn(move || bench.look(2))
            };
            bench.receive(waits, 1);
            sender.join().unwrap();
            reader.join().unwrap();
        });
    }
}
