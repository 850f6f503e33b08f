//! A whole VM: three guests' vCPUs that make any exits, an operator who does anything, and the runners between them.
//!
//! The runners are a model of the scheduler's: one thread here plays two CPUs. Every exit is answered once and as the
//! manuals say, nobody sleeps who has something to do, and every run comes to its end, from which the VM boots again.

mod calls;
mod cpu;
mod host;

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use arm_vgic::Kick;
use axdevice::ByteSink;
use axvcpu::{AxVCpuExitReason, VCpuSlot};
use axvm::{
    AxVM, AxVMRef, Boot, Channels, Departure, Images, Ports, RunOptions, State, StopReason,
    VcpuPort,
};
use axvmconfig::AxVMCrateConfig;

use self::calls::{POWER, Power, VCPUS};
use self::cpu::{Cpu, WINDOWS, draw, is_over, set_script};
use self::host::{COUNTER, CURRENT, Host, here};

type Vm = AxVM<Host, Cpu>;

/// What a vCPU is doing, as its scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Off,
    Runnable,
    Running,
    Blocked,
    Parked,
}

thread_local! {
    static STATUS: [Cell<Status>; VCPUS] = const { [const { Cell::new(Status::Off) }; VCPUS] };
    /// When a sleeper is to be woken.
    static WAKE_AT: [Cell<u64>; VCPUS] = const { [const { Cell::new(u64::MAX) }; VCPUS] };
    /// Never dropped: what it stands on may be gone by then.
    static BENCH: RefCell<Option<ManuallyDrop<Bench>>> = const { RefCell::new(None) };
    static OPERATED: RefCell<Option<ManuallyDrop<AxVMRef<Host, Cpu>>>> = const { RefCell::new(None) };
    /// The vCPU that runs has been kicked.
    static KICKED: Cell<bool> = const { Cell::new(false) };
}

fn status(vcpu: usize) -> Status {
    STATUS.with(|all| all[vcpu].get())
}

fn set_status(vcpu: usize, status: Status) {
    STATUS.with(|all| all[vcpu].set(status));
}

fn wake(vcpu: usize, from: Status) {
    if vcpu < VCPUS && status(vcpu) == from {
        set_status(vcpu, Status::Runnable);
    }
}

/// The way to the vCPUs and to the console.
struct Port;

impl Kick for Port {
    fn kick(&self, vcpu: usize) {
        if vcpu < VCPUS && status(vcpu) == Status::Running {
            KICKED.set(true);
        }
        wake(vcpu, Status::Blocked);
    }
}

impl VcpuPort for Port {
    fn start(&self, vcpu: usize) {
        assert_eq!(status(vcpu), Status::Off);
        POWER.with(|power| power[vcpu].set(Power::Pending));
        set_status(vcpu, Status::Runnable);
    }

    fn unpark(&self, vcpu: usize) {
        wake(vcpu, Status::Parked);
    }
}

impl ByteSink for Port {
    fn put(&self, _: u8) {}
}

/// The VM, which is made once and booted for every input, and the two places that vCPUs are loaded into.
struct Bench {
    vm: AxVMRef<Host, Cpu>,
    slots: [VCpuSlot<Cpu>; 2],
    attention: AtomicBool,
    free: usize,
}

impl Bench {
    fn new() -> Self {
        static CHANNELS: LazyLock<Channels> = LazyLock::new(Channels::new);
        let text = "name = \"vm\"\ncpus = 3\nmemory = \"4M\"\nkernel = \"k\"\n[[device]]\ntype = \"watchdog\"\n";
        let config = AxVMCrateConfig::from_toml("vm.toml", text).unwrap();
        let images = Images { kernel: b"flat", ramdisk: None, device_tree: None };
        let ports = Ports {
            console: Arc::new(Port),
            vcpus: Arc::new(Port),
            channels: &CHANNELS,
            devices: Vec::new(),
        };
        let vm = Vm::new(1, config, images, ports).unwrap();
        WINDOWS.set(
            vm.devices()
                .map(|one| (one.gpa.as_usize(), one.gpa.as_usize() + one.size - 1))
                .collect(),
        );
        OPERATED.set(Some(ManuallyDrop::new(vm.clone())));
        let slots = [VCpuSlot::new(0), VCpuSlot::new(1)];
        Self { vm, slots, attention: AtomicBool::new(false), free: host::free_bytes() }
    }

    /// A turn of `vcpu`, which is Runnable, on its CPU.
    fn dispatch(&mut self, vcpu: usize) {
        let home = vcpu % 2;
        CURRENT.set(home);
        set_status(vcpu, Status::Running);
        KICKED.set(false);
        let departure = match self.vm.departure(vcpu) {
            Departure::Stays => {
                POWER.with(|power| power[vcpu].set(Power::On));
                self.vm.poll_timer(vcpu);
                let options =
                    RunOptions { shared: draw(|input| input.bool()), attention: &self.attention };
                let exit =
                    self.vm.run_vcpu(vcpu, &mut self.slots[home], options).expect("it can run");
                match exit {
                    AxVCpuExitReason::Halt => return self.block(vcpu),
                    AxVCpuExitReason::CpuDown { .. } => Departure::Ends,
                    AxVCpuExitReason::SystemDown => self.end(StopReason::PowerOff),
                    AxVCpuExitReason::SystemReset => self.end(StopReason::Reset),
                    _ => self.vm.departure(vcpu),
                }
            }
            out @ (Departure::Parks | Departure::Ends) => out,
        };
        if departure == Departure::Stays {
            return set_status(vcpu, Status::Runnable);
        }
        let own = self.vm.vcpu(vcpu).unwrap();
        if self.slots[home].loaded().is_some_and(|loaded| Arc::ptr_eq(loaded, own)) {
            self.slots[home].evict().unwrap();
        }
        if departure == Departure::Parks {
            set_status(vcpu, Status::Parked);
            self.vm.vcpu_parked(vcpu);
            if self.vm.departure(vcpu) != Departure::Parks {
                wake(vcpu, Status::Parked);
            }
            return;
        }
        set_status(vcpu, Status::Off);
        POWER.with(|power| power[vcpu].set(Power::Off));
        let others = (0..VCPUS).any(|other| status(other) != Status::Off);
        assert_eq!(self.vm.vcpu_off(vcpu), !others, "who is last ends it");
    }

    fn end(&self, reason: StopReason) -> Departure {
        // It may be stopping already.
        let _ = self.vm.shutdown(reason);
        Departure::Ends
    }

    fn block(&self, vcpu: usize) {
        WAKE_AT.with(|all| all[vcpu].set(self.vm.wake_at(vcpu).unwrap_or(u64::MAX)));
        set_status(vcpu, Status::Blocked);
        if self.vm.has_interrupt(vcpu) || self.vm.must_leave(vcpu) {
            wake(vcpu, Status::Blocked);
        }
    }

    /// What holds between any two steps.
    fn check(&self) {
        let all: Vec<Status> = (0..VCPUS).map(status).collect();
        let any = |wanted: Status| all.contains(&wanted);
        match self.vm.state() {
            State::Running => {
                assert!(all.iter().any(|one| *one != Status::Off), "it runs without vCPUs")
            }
            State::Pausing | State::Stopping(_) => {
                assert!(any(Status::Runnable), "nobody goes on to where it would end: {all:?}");
            }
            State::Paused => {
                assert!(
                    all.iter().all(|one| matches!(one, Status::Off | Status::Parked)),
                    "{all:?}"
                );
            }
            State::Stopped(_) | State::Created => {
                assert!(all.iter().all(|one| *one == Status::Off), "{all:?}")
            }
            other => panic!("nobody is between two states: {other}"),
        }
        assert_eq!(host::free_bytes(), self.free);
    }

    /// Nobody sleeps who has something to do.
    fn check_sleepers(&self) {
        for vcpu in (0..VCPUS).filter(|vcpu| status(*vcpu) == Status::Blocked) {
            CURRENT.set(vcpu % 2);
            assert!(
                !self.is_loaded_elsewhere(vcpu) && !self.vm.has_interrupt(vcpu),
                "{vcpu} sleeps"
            );
            assert!(!self.vm.must_leave(vcpu), "{vcpu} sleeps and was asked to leave");
        }
    }

    fn is_loaded_elsewhere(&self, vcpu: usize) -> bool {
        let own = self.vm.vcpu(vcpu).unwrap();
        self.slots[1 - vcpu % 2].loaded().is_some_and(|loaded| Arc::ptr_eq(loaded, own))
    }

    fn play(&mut self) {
        self.vm.boot(Boot::Operator).expect("it boots after whatever was done");
        for _ in 0..500 {
            if is_over() {
                break;
            }
            let what = draw(|input| input.u8());
            let vcpu = usize::from(what) % VCPUS;
            match status(vcpu) {
                Status::Runnable if what >= 60 => self.dispatch(vcpu),
                _ => operate(&self.vm),
            }
            self.check();
            if what % 16 == 0 {
                self.check_sleepers();
            }
        }
        self.check_sleepers();
    }

    /// Stops it from wherever it is.
    fn finish(&mut self) {
        set_script(&[]);
        let _ = self.vm.shutdown(StopReason::Operator);
        for _ in 0..100 {
            for vcpu in 0..VCPUS {
                if status(vcpu) == Status::Runnable {
                    self.dispatch(vcpu);
                }
            }
        }
        self.check();
        assert!(self.vm.state().is_out(), "it is {} and does not stop", self.vm.state());
        self.vm.record_exits(false);
        for cpu in 0..2 {
            CURRENT.set(cpu);
            here(|cpu| cpu.pending.take());
        }
    }
}

/// Time goes on, and wakes whom it should.
fn pass(ticks: u64) {
    COUNTER.set(COUNTER.get().saturating_add(ticks));
    for vcpu in 0..VCPUS {
        if WAKE_AT.with(|all| all[vcpu].get()) <= COUNTER.get() {
            wake(vcpu, Status::Blocked);
        }
    }
}

/// Something the operator or the world does, at any moment.
fn operate(vm: &Vm) {
    match draw(|input| input.u8()) {
        0..30 => drop(vm.pause()),
        30..80 => drop(vm.resume()),
        80..90 => {
            let reasons = [StopReason::Operator, StopReason::Reset, StopReason::Watchdog];
            let _ = vm.shutdown(reasons[draw(|input| input.below(3))].clone());
        }
        90..110 => {
            let boot = if draw(|input| input.bool()) { Boot::Operator } else { Boot::AfterReset };
            let was_out = vm.state().is_out();
            assert!(vm.boot(boot).is_err() || was_out, "it was not out");
        }
        110..130 => {
            let typed = draw(|input| {
                let count = input.below(40);
                input.bytes(count).to_vec()
            });
            assert!(vm.console_input(&typed) <= typed.len());
        }
        130..150 => drop(vm.poll_watchdog()),
        150..160 => drop(vm.press_power_key()),
        160..170 => vm.release_power_key(),
        170..190 => vm.inject_interrupt(draw(|input| u32::from(input.u16()))),
        190..230 => pass(draw(|input| input.number())),
        230..240 => vm.record_exits(draw(|input| input.bool())),
        _ => {
            let vcpu = draw(|input| input.below(VCPUS));
            assert!(vm.recorded(vcpu).len() < 128);
            let _ = vm.exits(vcpu).map(|(_, count)| count).sum::<u64>();
        }
    }
}

/// The same while a vCPU is in the guest.
fn meanwhile() {
    let vm = OPERATED.with_borrow(|vm| vm.as_ref().map(|vm| (**vm).clone()));
    operate(&vm.expect("it is there"));
}

pub(crate) fn run(data: &[u8]) {
    set_script(data);
    COUNTER.set(1_000_000);
    let mut bench = BENCH.take().unwrap_or_else(|| ManuallyDrop::new(Bench::new()));
    bench.play();
    bench.finish();
    BENCH.set(Some(bench));
}
