//! The life of a VM with two vCPUs: whoever asks for what and when, every vCPU comes to where it shall, and the VM with them.

mod host;

use std::sync::Arc;

use axdevice::ByteSink;
use axle_interleave::{Seats, Status, search};
use axvcpu::{AxVCpuExitReason, VCpuSlot};
use axvm::{
    AxVM, AxVMRef, Boot, Channels, Departure, Images, Ports, RunOptions, State, StopReason,
};
use axvmconfig::AxVMCrateConfig;
use loom::sync::{Condvar, Mutex};
use loom::thread::{self, JoinHandle};

use self::host::{Act, Cpu, Host, SCRIPTS, SEATS};

const FILE: &str = "name = \"vm\"\ncpus = 2\nmemory = \"64K\"\nkernel = \"k\"\nkernel_load_addr = 0x4000_0000\n\
                    dtb_load_addr = 0x4000_8000\nconsole = false\npower_button = false\n";
const CPU_ON: Act = Act::Call(0xc400_0003, [1, 0x4000_0000, 0]);
const CPU_OFF: Act = Act::Call(0x8400_0002, [0; 3]);
const SYSTEM_OFF: Act = Act::Call(0x8400_0008, [0; 3]);
const SYSTEM_RESET: Act = Act::Call(0x8400_0009, [0; 3]);

struct Silent;

impl ByteSink for Silent {
    fn put(&self, _: u8) {}
}

/// A device tree of one empty node.
fn tree() -> &'static [u8] {
    static TREE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    TREE.get_or_init(|| {
        let words: [u32; 18] = [
            0xd00d_feed,
            72,
            56,
            72,
            40,
            17,
            16,
            0,
            0,
            16, // the header
            0,
            0,
            0,
            0, // no reservations
            1,
            0,
            2,
            9, // the root
        ];
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    })
}

/// The VM, its runners' seats, and a bell that rings when a vCPU has come to where it was sent.
struct Bench {
    vm: AxVMRef<Host, Cpu>,
    seats: Arc<Seats>,
    arrived: Mutex<()>,
    bell: Condvar,
}

impl Bench {
    fn new() -> (Arc<Self>, [JoinHandle<()>; 2]) {
        static CHANNELS: std::sync::LazyLock<Channels> = std::sync::LazyLock::new(Channels::new);
        let config = AxVMCrateConfig::from_toml("vm.toml", FILE).unwrap();
        let images = Images { kernel: b"flat", ramdisk: None, device_tree: Some(tree()) };
        let seats = Seats::new(2);
        let ports = Ports {
            console: Arc::new(Silent),
            vcpus: seats.clone(),
            channels: &CHANNELS,
            devices: Vec::new(),
        };
        let vm = AxVM::<Host, Cpu>::new(1, config, images, ports).unwrap();
        let bench = Arc::new(Self { vm, seats, arrived: Mutex::default(), bell: Condvar::new() });
        bench.vm.boot(Boot::Operator).unwrap();
        let runners = [0, 1].map(|vcpu| {
            let bench = bench.clone();
            spawn(move || bench.run(vcpu))
        });
        (bench, runners)
    }

    /// The runner of `vcpu`.
    fn run(&self, vcpu: usize) {
        SEATS.with(|seats| seats.set(Some(self.seats.clone())));
        let mut slot = VCpuSlot::new(vcpu);
        while self.seats.next_turn(vcpu) {
            self.turn(vcpu, &mut slot);
        }
    }

    fn turn(&self, vcpu: usize, slot: &mut VCpuSlot<Cpu>) {
        self.seats.set_status(vcpu, Status::Running);
        let attention = std::sync::atomic::AtomicBool::new(false);
        let options = RunOptions { shared: false, attention: &attention };
        let departure = match self.vm.run_vcpu(vcpu, slot, options).expect("it can run") {
            AxVCpuExitReason::Halt => return self.block(vcpu),
            AxVCpuExitReason::CpuDown { .. } => Departure::Ends,
            AxVCpuExitReason::SystemDown => self.end(StopReason::PowerOff),
            AxVCpuExitReason::SystemReset => self.end(StopReason::Reset),
            _ => self.vm.departure(vcpu),
        };
        if departure == Departure::Stays {
            return self.seats.put_back(vcpu);
        }
        slot.evict().unwrap();
        if departure == Departure::Parks {
            self.seats.set_status(vcpu, Status::Parked);
            self.vm.vcpu_parked(vcpu);
            if self.vm.departure(vcpu) != Departure::Parks {
                self.seats.wake(vcpu, Status::Parked);
            }
        } else {
            self.seats.set_status(vcpu, Status::Off);
            if self.vm.vcpu_off(vcpu) {
                self.seats.close();
            }
        }
        drop(self.arrived.lock().unwrap());
        self.bell.notify_all();
    }

    fn end(&self, reason: StopReason) -> Departure {
        let _ = self.vm.shutdown(reason);
        Departure::Ends
    }

    fn block(&self, vcpu: usize) {
        self.seats.set_status(vcpu, Status::Blocked);
        if self.vm.has_interrupt(vcpu) || self.vm.must_leave(vcpu) {
            self.seats.wake(vcpu, Status::Blocked);
        }
    }

    /// Waits until the VM is in no state between two others.
    fn settle(&self) -> State {
        let mut arrived = self.arrived.lock().unwrap();
        loop {
            match self.vm.state() {
                State::Pausing | State::Stopping(_) => {}
                state => return state,
            }
            arrived = self.bell.wait(arrived).unwrap();
        }
    }

    /// Stops it, and waits until all is over. Gives why it stopped.
    fn finish(&self, runners: [JoinHandle<()>; 2]) -> StopReason {
        // It may have stopped by itself.
        let _ = self.vm.shutdown(StopReason::Operator);
        for runner in runners {
            runner.join().unwrap();
        }
        assert!(self.seats.is(0, Status::Off) && self.seats.is(1, Status::Off));
        match self.vm.state() {
            State::Stopped(reason) => reason,
            other => panic!("it is {other}"),
        }
    }
}

/// The guests do what `scripts` say and then wait; the operator does `operate`, and what `meanwhile` is at the same time.
fn scenario(
    name: &str,
    preemptions: usize,
    scripts: [&'static [Act]; 2],
    operate: impl Fn(&Bench) + Send + Sync + Copy + 'static,
    check: impl Fn(StopReason) + Send + Sync + 'static,
) {
    // One scenario at a time: what the guests do is the process's.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *SCRIPTS.lock().unwrap() = scripts;
    let check = Arc::new(check);
    search(name, preemptions, move || {
        let check = check.clone();
        let operator = spawn(move || {
            let (bench, runners) = Bench::new();
            operate(&bench);
            check(bench.finish(runners));
        });
        operator.join().unwrap();
    });
}

/// A thread with more stack than the search gives one by itself.
fn spawn(act: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    const WORDS: usize = 64 << 10;
    thread::Builder::new().stack_size(WORDS).spawn(act).unwrap()
}

fn by_operator(reason: StopReason) {
    assert_eq!(reason, StopReason::Operator);
}

#[test]
fn a_stop_reaches_vcpus_that_run_sleep_or_are_just_started() {
    scenario("stop, a vCPU runs", 3, [&[], &[]], |_| (), by_operator);
    scenario("stop, a vCPU sleeps", 3, [&[Act::Halt], &[]], |_| (), by_operator);
    scenario("stop, a vCPU is started", 2, [&[CPU_ON], &[]], |_| (), by_operator);
}

#[test]
fn a_pause_ends_where_everybody_is_parked_and_a_resume_takes_them_on() {
    let pause = |bench: &Bench| {
        bench.vm.pause().unwrap();
        assert_eq!(bench.settle(), State::Paused);
        bench.vm.resume().unwrap();
    };
    scenario("pause, a vCPU runs", 3, [&[], &[]], pause, by_operator);
    scenario("pause, a vCPU sleeps", 3, [&[Act::Halt], &[]], pause, by_operator);
    scenario("pause, two vCPUs", 2, [&[CPU_ON], &[]], pause, by_operator);
    scenario("pause, one ends", 2, [&[CPU_ON], &[CPU_OFF]], pause, by_operator);
}

#[test]
fn a_stop_of_what_is_being_paused_ends_it() {
    let pause = |bench: &Bench| bench.vm.pause().unwrap();
    scenario("pause and stop, a vCPU runs", 3, [&[], &[]], pause, by_operator);
    scenario("pause and stop, a vCPU sleeps", 3, [&[Act::Halt], &[]], pause, by_operator);
    scenario("pause and stop, two vCPUs", 2, [&[CPU_ON], &[]], pause, by_operator);
    let paused = |bench: &Bench| {
        bench.vm.pause().unwrap();
        bench.settle();
    };
    scenario("stop of what is paused", 3, [&[], &[]], paused, by_operator);
}

#[test]
fn a_guest_that_powers_off_does_so_whatever_the_operator_does() {
    let pause = |bench: &Bench| {
        // It may have powered off before.
        let paused = bench.vm.pause().is_ok();
        if bench.settle() == State::Paused {
            assert!(paused);
            bench.vm.resume().unwrap();
        }
    };
    let one_of_them =
        |reason| assert!(matches!(reason, StopReason::PowerOff | StopReason::Operator));
    scenario("power off and pause", 3, [&[SYSTEM_OFF], &[]], pause, one_of_them);
    scenario("power off and stop", 3, [&[CPU_ON, SYSTEM_OFF], &[]], |_| (), one_of_them);
    scenario("the last vCPU ends, and stop", 3, [&[CPU_OFF], &[]], |_| (), one_of_them);
    scenario("reset and stop", 3, [&[SYSTEM_RESET], &[]], |_| (), by_operator);
}
