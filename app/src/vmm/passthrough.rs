//! Which VM has which of the host's devices, and how their interrupts reach it.
//!
//! A physical interrupt is active from its acknowledgement until the guest ends it. When it comes while the VM runs,
//! the exit path makes it so. When it comes to the host, which completes what it takes, the handler only keeps it back
//! and leaves a note; the runner of that CPU, which can be nowhere within the handler, makes it active and the guest's.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use arm_vcpu::gic;
use axsched::{CpuMask, MAX_CPUS};
use axvm::{HostDevice, KnownHost};
use axvmconfig::{AxVMCrateConfig, GicVersion};
use kspin::SpinNoIrq;

use super::pcpu;
use crate::host::devices::{self, Spi};

/// One device and the VM that has it.
struct Owned {
    vm: u32,
    vm_name: String,
    device: HostDevice,
}

static OWNED: SpinNoIrq<Vec<Owned>> = SpinNoIrq::new(Vec::new());

/// The CPUs to which some came, one bit each.
static NOTED: AtomicU64 = AtomicU64::new(0);

/// How many words one bit for each INTID takes.
const WORDS: usize = 16;

/// The interrupts that came to the host, for each CPU.
static NOTES: [[AtomicU64; WORDS]; MAX_CPUS] =
    [const { [const { AtomicU64::new(0) }; WORDS] }; MAX_CPUS];

/// The host's devices of one VM. Dropping it gives them back, which must not be before the VM is gone.
pub(crate) struct Given {
    vm: u32,
    devices: Vec<HostDevice>,
    spis: Vec<Spi>,
}

impl Given {
    /// What `config` asks for, for VM `vm`.
    ///
    /// # Errors
    /// A sentence for the operator; nothing is taken then.
    pub(crate) fn new(vm: u32, config: &AxVMCrateConfig) -> Result<Self, String> {
        let mut given = Self { vm, devices: Vec::new(), spis: Vec::new() };
        if config.devices.passthrough_devices.is_empty() {
            return Ok(given);
        }
        let devices = axvm::resolve_host_devices(config, &devices::tree())
            .map_err(|error| error.to_string())?;
        own(vm, &config.base.name, &devices)?;
        given.devices = devices;
        for device in &given.devices {
            given.spis.extend(devices::take(device, arrived)?);
        }
        Ok(given)
    }

    pub(crate) fn devices(&self) -> &[HostDevice] {
        &self.devices
    }

    /// Lets their interrupts come to CPU `home`. Once the VM has started, whose interrupt controller is fresh.
    pub(crate) fn start(&self, home: usize) {
        if let Some(affinity) = pcpu::affinity(home) {
            self.spis.iter().for_each(|spi| spi.start(affinity));
        }
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.spis.clear();
        OWNED.lock().retain(|owned| owned.vm != self.vm);
    }
}

/// What a VM of `config` would find here.
///
/// # Errors
/// A sentence for the operator: a device that no VM can have.
pub(crate) fn known_host(config: &AxVMCrateConfig) -> Result<KnownHost, String> {
    let gic = if gic::is_v2() { GicVersion::V2 } else { GicVersion::V3 };
    let devices = axvm::resolve_host_devices(config, &devices::tree());
    Ok(KnownHost { gic: Some(gic), devices: devices.map_err(|error| error.to_string())? })
}

/// Notes that `devices` are the VM's, unless one is another's.
fn own(vm: u32, name: &str, devices: &[HostDevice]) -> Result<(), String> {
    let mut owned = OWNED.lock();
    for device in devices {
        let taken = owned.iter().find_map(|one| Some((one, device.shares_with(&one.device)?)));
        if let Some((one, what)) = taken {
            return Err(format!(
                "device {}: VM {} has {what}: delete it first",
                device.name, one.vm_name
            ));
        }
    }
    owned.extend(devices.iter().map(|device| Owned {
        vm,
        vm_name: name.to_string(),
        device: device.clone(),
    }));
    Ok(())
}

/// How many of the host's interrupts VMs have.
pub(crate) fn interrupts_in_use() -> usize {
    OWNED.lock().iter().map(|owned| owned.device.interrupts.len()).sum()
}

/// In the host's interrupt handler: `intid` came and is kept back.
fn arrived(intid: u32) {
    pcpu::attend_here(|cpu| note(cpu, intid));
}

fn note(cpu: usize, intid: u32) {
    let word = NOTES.get(cpu).and_then(|words| words.get(intid as usize / 64));
    if let Some(word) = word {
        word.fetch_or(1 << (intid % 64), Ordering::SeqCst);
        NOTED.fetch_or(CpuMask::only(cpu).0, Ordering::SeqCst);
    }
}

/// Gives what came to the host on CPU `cpu`, on which this runs, as the number of a VM and the INTID that is its.
pub(crate) fn deliver(cpu: usize, to: impl Fn(u32, u32)) {
    let here = CpuMask::only(cpu).0;
    if NOTED.load(Ordering::SeqCst) & here == 0 {
        return;
    }
    NOTED.fetch_and(!here, Ordering::SeqCst);
    let Some(words) = NOTES.get(cpu) else {
        return;
    };
    for (word, first) in words.iter().zip((0u32..).step_by(64)) {
        let mut came = word.swap(0, Ordering::SeqCst);
        while came != 0 {
            let intid = first.saturating_add(came.trailing_zeros());
            came &= came.wrapping_sub(1);
            if let Some(vm) = owner(intid) {
                to(vm, intid);
            }
        }
    }
}

/// Which VM has the device of `intid`.
fn owner(intid: u32) -> Option<u32> {
    let has = |owned: &&Owned| owned.device.interrupts.iter().any(|one| one.intid == intid);
    OWNED.lock().iter().find(has).map(|owned| owned.vm)
}
