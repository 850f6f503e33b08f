//! What the shell asks of the hypervisor.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Display, Formatter, Result as FmtResult};
use core::time::Duration;

use log::LevelFilter;

use crate::report::{Field, Section};

/// Why the hypervisor did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlError {
    /// What is wrong and what to do, in one sentence without a full stop, in the operator's words.
    ///
    /// A config error may have more lines: the place, the line and a caret.
    pub message: String,
}

impl ControlError {
    /// An error that says `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl Display for ControlError {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(&self.message)
    }
}

/// What a [`VmControl`] method gives.
pub type ControlResult<T> = Result<T, ControlError>;

/// What `vm create` may override in a config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Another name.
    pub name: Option<String>,
    /// Another memory size, in bytes.
    pub memory_bytes: Option<u64>,
    /// Another number of vCPUs.
    pub cpus: Option<usize>,
    /// Another command line for the guest.
    pub cmdline: Option<String>,
}

/// How a VM is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Ask the guest to power off; when it cannot be asked or does not within the timeout, stop it.
    Ask,
    /// Stop it at once.
    Force,
}

/// How a VM came to its stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The guest powered off when asked.
    Itself,
    /// The guest was asked and did not power off in time, so it was stopped.
    Refused,
    /// It was stopped without being asked.
    Forced,
}

/// What `vm delete` does with a VM that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteMode {
    /// Refuse.
    Stopped,
    /// Stop it first.
    Force,
}

/// A switch's two positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is done.
    On,
    /// It is not.
    Off,
}

/// One line of `vm list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmSummary {
    /// Its number, unique among those listed.
    pub id: usize,
    /// Its name, unique among those listed.
    pub name: String,
    /// Its state in one word, as shown: `running`.
    pub state: String,
    /// How many vCPUs it has.
    pub vcpus: usize,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// How long it has been running, in ns; `None` when it is not.
    pub uptime_ns: Option<u64>,
    /// Its recent use of processor time, 1000 for one whole CPU; `None` when not known.
    pub cpu_share_permille: Option<u32>,
    /// For how long its vCPUs were recently ready and did not run, on the same scale; `None` when not known.
    pub steal_permille: Option<u32>,
    /// Its recent exits per second; `None` when not known.
    pub exits_per_s: Option<u64>,
}

/// One line of `host cpus`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostCpu {
    /// Its number.
    pub id: usize,
    /// What it is doing: `idle`, `linux:0`, `offline`.
    pub state: String,
    /// How many vCPUs have their home on it.
    pub vcpus: usize,
    /// Its recent load, 1000 for always busy; `None` when not known.
    pub busy_permille: Option<u32>,
}

/// How far long work has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done: `zeroing memory`.
    pub what: &'static str,
    /// Bytes done.
    pub done: u64,
    /// Bytes there are; 0 when that is not known.
    pub total: u64,
    /// For how long it has been going on, in ns.
    pub elapsed_ns: u64,
}

/// Told of progress a few times a second, by work that takes long enough to be wondered about.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress);

/// What a VM would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The same for a person, in lines.
    pub map: String,
    /// Its memory, devices and images.
    pub sections: Vec<Section>,
    /// The guest's device tree as source, in lines.
    pub device_tree: String,
}

/// The hypervisor as the shell sees it.
///
/// `vm` is always the exact name of a VM that existed a moment ago; the shell has resolved ids and typos. Methods
/// are called from the shell's thread and return within a bounded time.
pub trait VmControl {
    /// Checks the config `file` of the bundle and creates a VM from it; gives its name.
    fn create(
        &mut self,
        file: &str,
        options: &CreateOptions,
        progress: OnProgress<'_>,
    ) -> ControlResult<String>;
    /// Checks the config `file` of the bundle; gives what the VM would be.
    fn plan(&self, file: &str, options: &CreateOptions) -> ControlResult<Plan>;
    /// Boots `vm`; on return [`is_running`](Self::is_running) is true, unless it has already ended.
    fn start(&mut self, vm: &str, progress: OnProgress<'_>) -> ControlResult<()>;
    /// Stops `vm`, and returns when it has stopped: `timeout` bounds only how long the guest is given.
    fn stop(&mut self, vm: &str, mode: StopMode, timeout: Duration) -> ControlResult<Stopped>;
    /// Takes `vm` off the CPUs; returns when it is paused.
    fn pause(&mut self, vm: &str) -> ControlResult<()>;
    /// Lets the paused `vm` go on.
    fn resume(&mut self, vm: &str) -> ControlResult<()>;
    /// Ends what `vm` does and boots it again; returns when it runs.
    fn reset(&mut self, vm: &str) -> ControlResult<()>;
    /// Deletes `vm` and gives back all it held.
    fn delete(&mut self, vm: &str, mode: DeleteMode) -> ControlResult<()>;

    /// All VMs, by id.
    fn list(&self) -> Vec<VmSummary>;
    /// All there is to say about `vm`.
    fn show(&self, vm: &str) -> ControlResult<Vec<Section>>;
    /// What `vm` has done: run time, exits by reason, interrupts.
    fn stats(&self, vm: &str) -> ControlResult<Vec<Section>>;
    /// Switches the recording of the exits of `vm` on or off.
    fn record(&mut self, vm: &str, switch: Switch) -> ControlResult<()>;
    /// The last recorded exits of a vCPU of `vm`, or of all of them, the newest last.
    fn trace(&self, vm: &str, vcpu: Option<usize>) -> ControlResult<Vec<Section>>;
    /// The registers of a vCPU of `vm`, or of all of them; refused while it runs.
    fn registers(&self, vm: &str, vcpu: Option<usize>) -> ControlResult<Vec<Section>>;
    /// Fills `buf` with the memory of `vm` from the guest-physical `address` on.
    fn read_memory(&self, vm: &str, address: u64, buf: &mut [u8]) -> ControlResult<()>;
    /// The names of all VMs.
    fn names(&self) -> Vec<String>;
    /// The VM configs in the bundle.
    fn files(&self) -> Vec<String>;
    /// The scripts in the bundle.
    fn scripts(&self) -> Vec<String>;
    /// The text of the script `name`.
    fn script(&self, name: &str) -> ControlResult<String>;
    /// Whether `vm` exists and may still run guest code or write to its console.
    fn is_running(&self, vm: &str) -> bool;

    /// Types `bytes` on the console of `vm`; gives how many it took, 0 when its input is full.
    fn console_write(&mut self, vm: &str, bytes: &[u8]) -> ControlResult<usize>;
    /// Reads what `vm` wrote from `cursor` on into `buf`, and moves `cursor` behind it; gives the number of bytes.
    ///
    /// The cursor counts the bytes the VM has ever written. One that points to what is no longer kept, such as 0,
    /// reads from the oldest byte kept.
    fn console_read(&self, vm: &str, cursor: &mut u64, buf: &mut [u8]) -> ControlResult<usize>;
    /// Where what `vm` wrote since its last start begins, as a cursor; `None` if it was never started.
    fn console_start(&self, vm: &str) -> ControlResult<Option<u64>>;

    /// The level from which the host's log is shown.
    fn log_level(&self) -> LevelFilter;
    /// Sets the level from which the host's log is shown.
    fn set_log_level(&mut self, level: LevelFilter);
    /// The machine: board, CPUs, firmware, interrupt controller.
    fn host_info(&self) -> Vec<Field>;
    /// The machine's memory and who has it.
    fn host_mem(&self) -> Vec<Field>;
    /// The machine's CPUs, by number.
    fn host_cpus(&self) -> Vec<HostCpu>;
    /// Time since the hypervisor started, in ns.
    fn uptime_ns(&self) -> u64;
    /// Name, version and build in one line.
    fn version(&self) -> String;

    /// Called many times a second while the shell waits; keeps what shows recent load.
    fn tick(&mut self) {}
    /// Does nothing for `time`.
    fn sleep(&mut self, time: Duration);
    /// The oldest notice not yet taken, one line: a VM died.
    fn take_notice(&mut self) -> Option<String>;
    /// Turns the machine off; may not return.
    fn poweroff(&mut self) -> ControlResult<()>;
    /// Restarts the machine; may not return.
    fn reboot(&mut self) -> ControlResult<()>;
}
