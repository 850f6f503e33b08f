//! One VM on a host of heap memory, and what tests do with it.

use std::boxed::Box;
use std::format;
use std::string::String;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, RwLockReadGuard};
use std::vec::Vec;

use arm_vgic::Kick;
use axaddrspace::{AccessWidth, GuestPhysAddr};
use axdevice::ByteSink;
use axerrno::AxResult;
use axvcpu::{AxVCpuExitReason, VCpuSlot};
use axvmconfig::AxVMCrateConfig;

use super::guest::{Did, FakeCpu, Guest, HOST_INTERRUPT};
use super::host::{FakeHost, Host, PhysicalCpu, some_vmids, this_host};
use crate::{
    AxVM, AxVMError, AxVMRef, Boot, HostDevice, Images, Ports, RunOptions, StopReason, VcpuPort,
};

/// A VM with fakes below and above it.
pub(super) type Vm = AxVM<FakeHost, FakeCpu>;

/// Where the guest's memory begins, and where a flat kernel is put in it.
pub(super) const RAM: usize = 0x4000_0000;
pub(super) const ENTRY: usize = 0x4020_0000;
/// How much the guest has.
pub(super) const RAM_SIZE: usize = 4 << 20;
pub(super) const UART: usize = 0x0900_0000;
pub(super) const POWER_BUTTON: usize = 0x0903_0000;
pub(super) const GICD: usize = 0x0800_0000;
pub(super) const GICR: usize = 0x080a_0000;
/// The CPU interface of a guest with a GICv2, and where a host with one has it.
pub(super) const GICC: usize = 0x0801_0000;
pub(super) const GICV: usize = 0x0a04_0000;
/// SGI_base of a vCPU's redistributor.
pub(super) const SGI_BASE: usize = 0x1_0000;
/// From one vCPU's redistributor to the next one's.
pub(super) const GICR_STRIDE: usize = 0x2_0000;

/// The smallest kernel.
pub(super) const KERNEL: &[u8] = b"flat";
pub(super) const IMAGES: Images = Images { kernel: KERNEL, ramdisk: None, device_tree: None };

/// The way to the vCPUs and to the console, which only remembers.
#[derive(Default)]
pub(super) struct Port {
    kicks: Mutex<Vec<usize>>,
    starts: Mutex<Vec<usize>>,
    unparked: Mutex<Vec<usize>>,
    at_kick: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    output: Mutex<Vec<u8>>,
}

impl Port {
    /// Who was kicked since the last time.
    pub(super) fn kicks(&self) -> Vec<usize> {
        std::mem::take(&mut self.kicks.lock().unwrap())
    }

    /// Who was started since the last time.
    pub(super) fn starts(&self) -> Vec<usize> {
        std::mem::take(&mut self.starts.lock().unwrap())
    }

    /// Who was unparked since the last time.
    pub(super) fn unparked(&self) -> Vec<usize> {
        std::mem::take(&mut self.unparked.lock().unwrap())
    }

    /// What happens while the next kick is on its way.
    pub(super) fn at_kick(&self, act: impl FnOnce() + Send + 'static) {
        *self.at_kick.lock().unwrap() = Some(Box::new(act));
    }

    /// What the console said since the last time.
    pub(super) fn output(&self) -> Vec<u8> {
        std::mem::take(&mut self.output.lock().unwrap())
    }
}

impl Kick for Port {
    fn kick(&self, vcpu: usize) {
        self.kicks.lock().unwrap().push(vcpu);
        let act = self.at_kick.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
    }
}

impl VcpuPort for Port {
    fn start(&self, vcpu: usize) {
        self.starts.lock().unwrap().push(vcpu);
    }

    fn unpark(&self, vcpu: usize) {
        self.unparked.lock().unwrap().push(vcpu);
    }
}

impl ByteSink for Port {
    fn put(&self, byte: u8) {
        self.output.lock().unwrap().push(byte);
    }
}

/// The configuration of a VM with `vcpus` vCPUs and `more` lines.
pub(super) fn config(vcpus: usize, more: &str) -> AxVMCrateConfig {
    let memory = if more.contains("region") { "" } else { "memory = \"4M\"" };
    let text = format!("name = \"test\"\ncpus = {vcpus}\n{memory}\nkernel = \"k\"\n{more}");
    AxVMCrateConfig::from_toml("test.toml", &text).unwrap()
}

/// A VM made on the host this thread stands on.
pub(super) fn make(
    id: usize,
    config: AxVMCrateConfig,
    images: Images,
) -> Result<AxVMRef<FakeHost, FakeCpu>, AxVMError> {
    let port = Arc::new(Port::default());
    Vm::new(
        id,
        config,
        images,
        Ports {
            console: port.clone(),
            vcpus: port,
            channels: this_host().channels,
            devices: Vec::new(),
        },
    )
}

/// The same with devices of the host.
pub(super) fn make_given(
    config: AxVMCrateConfig,
    devices: Vec<HostDevice>,
) -> Result<AxVMRef<FakeHost, FakeCpu>, AxVMError> {
    let port = Arc::new(Port::default());
    Vm::new(
        1,
        config,
        IMAGES,
        Ports { console: port.clone(), vcpus: port, channels: this_host().channels, devices },
    )
}

/// The error of a VM that cannot be made; it has kept nothing.
pub(super) fn refused(host: &Host, config: AxVMCrateConfig, images: Images) -> AxVMError {
    let free = host.free_bytes();
    let error = make(1, config, images).err().expect("the VM cannot be made");
    assert_eq!(host.free_bytes(), free, "memory is lost");
    error
}

/// A VM, and CPU 0 of the host, on which the test runs its vCPUs.
pub(super) struct Bench {
    pub(super) vm: AxVMRef<FakeHost, FakeCpu>,
    pub(super) slot: VCpuSlot<FakeCpu>,
    pub(super) cpu: Arc<PhysicalCpu>,
    pub(super) host: Arc<Host>,
    pub(super) port: Arc<Port>,
    pub(super) attention: AtomicBool,
    _vmids: RwLockReadGuard<'static, ()>,
}

impl Bench {
    /// A VM in state `Created`.
    pub(super) fn created(config: AxVMCrateConfig, images: Images) -> Self {
        Self::created_on(Host::new(), config, images, Vec::new())
    }

    /// A booted VM that is given devices of the host.
    pub(super) fn given(config: AxVMCrateConfig, devices: Vec<HostDevice>) -> Self {
        let bench = Self::created_on(Host::new(), config, IMAGES, devices);
        bench.boot();
        bench
    }

    fn created_on(
        host: Arc<Host>,
        config: AxVMCrateConfig,
        images: Images,
        devices: Vec<HostDevice>,
    ) -> Self {
        let vmids = some_vmids();
        let cpu = super::host::this_cpu();
        let port = Arc::new(Port::default());
        let ports =
            Ports { console: port.clone(), vcpus: port.clone(), channels: host.channels, devices };
        let vm = Vm::new(1, config, images, ports).unwrap();
        let slot = VCpuSlot::new(0);
        let attention = AtomicBool::new(false);
        Self { vm, slot, cpu, host, port, attention, _vmids: vmids }
    }

    /// A booted VM with `vcpus` vCPUs.
    pub(super) fn new(vcpus: usize) -> Self {
        Self::with(vcpus, "")
    }

    /// The same with more lines in its configuration.
    pub(super) fn with(vcpus: usize, more: &str) -> Self {
        let bench = Self::created(config(vcpus, more), IMAGES);
        bench.boot();
        bench
    }

    /// A booted VM on a host with a GICv2.
    pub(super) fn gicv2(vcpus: usize) -> Self {
        Self::given_on_gicv2(config(vcpus, ""), Vec::new())
    }

    /// The same for one that is given devices of the host.
    pub(super) fn given_on_gicv2(config: AxVMCrateConfig, devices: Vec<HostDevice>) -> Self {
        let host = Host::new();
        *host.gicv.lock().unwrap() = Some(GICV.into());
        let bench = Self::created_on(host, config, IMAGES, devices);
        bench.boot();
        bench
    }

    pub(super) fn boot(&self) {
        self.vm.boot(Boot::Operator).unwrap();
        assert_eq!(self.port.starts(), [0]);
    }

    pub(super) fn guest(&self, vcpu: usize) -> Arc<Guest> {
        self.host.guest(1, vcpu)
    }

    /// Runs `vcpu` on CPU 0.
    pub(super) fn run(&mut self, vcpu: usize) -> AxResult<AxVCpuExitReason> {
        let options = RunOptions { shared: false, attention: &self.attention };
        self.vm.run_vcpu(vcpu, &mut self.slot, options)
    }

    /// Lets `vcpu` make `exit` and what follows from it; gives why the runner got it back.
    pub(super) fn leaves(&mut self, vcpu: usize, exit: AxVCpuExitReason) -> AxVCpuExitReason {
        self.guest(vcpu).exits(exit);
        let reason = self.run(vcpu).unwrap();
        assert!(self.guest(vcpu).is_through());
        reason
    }

    /// The same for an exit that the VM settles by itself; gives what was done to the vCPU.
    pub(super) fn settles(&mut self, vcpu: usize, exit: AxVCpuExitReason) -> Vec<Did> {
        self.guest(vcpu).did();
        let reason = self.leaves(vcpu, exit);
        assert_eq!(reason, host_interrupt());
        self.guest(vcpu).did()
    }

    /// What vCPU `vcpu` reads at `addr`.
    pub(super) fn load(&mut self, vcpu: usize, addr: usize) -> u64 {
        match self.settles(vcpu, read(addr, AccessWidth::Dword, 1))[..] {
            [Did::Gpr(1, value), Did::Finish] => value,
            ref other => panic!("{other:?}"),
        }
    }

    /// Lets `vcpu` write the word at `addr`.
    pub(super) fn store(&mut self, vcpu: usize, addr: usize, data: u64) {
        assert_eq!(self.settles(vcpu, write(addr, AccessWidth::Dword, data)), [Did::Finish]);
    }

    /// The result of the call that `vcpu` makes.
    pub(super) fn calls(&mut self, vcpu: usize, nr: u64, args: [u64; 3]) -> u64 {
        match self.settles(vcpu, call(nr, args))[..] {
            [Did::Return(value)] => value,
            ref other => panic!("{other:?}"),
        }
    }

    /// Makes the guest take its interrupts, each private one enabled.
    pub(super) fn enable_interrupts(&mut self) {
        self.store(0, GICD, 0b11);
        for vcpu in 0..self.vm.vcpu_num() {
            self.store(0, GICR + vcpu * GICR_STRIDE + SGI_BASE + 0x100, 0xffff_ffff);
        }
    }

    /// What a runner does with a vCPU that is to leave for good.
    pub(super) fn retire(&mut self, vcpu: usize) -> bool {
        let own = self.vm.vcpu(vcpu).unwrap().clone();
        if self.slot.loaded().is_some_and(|loaded| Arc::ptr_eq(loaded, &own)) {
            self.slot.evict().unwrap();
        }
        self.vm.vcpu_off(vcpu)
    }

    /// What a runner does when it finds all its vCPUs asked to leave.
    pub(super) fn retire_all(&mut self) {
        let vcpus = 0..self.vm.vcpu_num();
        let last: Vec<bool> = vcpus.map(|vcpu| self.retire(vcpu)).collect();
        assert_eq!(last.iter().filter(|last| **last).count(), 1, "one was the last");
    }

    pub(super) fn stop(&mut self, reason: StopReason) {
        self.vm.shutdown(reason).unwrap();
        self.retire_all();
    }

    pub(super) fn want_attention(&self) {
        self.attention.store(true, SeqCst);
    }
}

pub(super) fn host_interrupt() -> AxVCpuExitReason {
    AxVCpuExitReason::ExternalInterrupt { vector: HOST_INTERRUPT }
}

pub(super) fn gpa(addr: usize) -> GuestPhysAddr {
    GuestPhysAddr::from_usize(addr)
}

/// A load into the whole of register `reg`, zero-extended.
pub(super) fn read(addr: usize, width: AccessWidth, reg: usize) -> AxVCpuExitReason {
    let reg_width = AccessWidth::Qword;
    AxVCpuExitReason::MmioRead { addr: gpa(addr), width, reg, reg_width, signed_ext: false }
}

pub(super) fn write(addr: usize, width: AccessWidth, data: u64) -> AxVCpuExitReason {
    AxVCpuExitReason::MmioWrite { addr: gpa(addr), width, data }
}

pub(super) fn call(nr: u64, args: [u64; 3]) -> AxVCpuExitReason {
    let [first, second, third] = args;
    AxVCpuExitReason::Hypercall { nr, args: [first, second, third, 0, 0, 0] }
}

/// `text` as bytes that live as long as images must.
pub(super) fn forever(bytes: Vec<u8>) -> &'static [u8] {
    bytes.leak()
}

/// The sentence an error is shown as.
pub(super) fn sentence(error: &AxVMError) -> String {
    format!("{error}")
}
