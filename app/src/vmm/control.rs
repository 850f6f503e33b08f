//! The shell's hands: every command's effect on the VMs and the machine.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use axshell::{
    ControlError, ControlResult, CreateOptions, DeleteMode, Ended, Field, HostCpu, LevelFilter,
    Section, Shell, StopMode, Stopped, VmControl, VmSummary,
};
use axvm::{State, StopReason};

use super::table::{self, Vm};
use super::time::{duration_ns, now_ns};
use super::{VERSION, bundle, notice, runner};
use crate::host::console::SerialTerminal;
use crate::host::{cpu, gic, memory, power, thread};

/// How long a VM may take to leave the CPUs once it is told to.
const OUT_WITHIN: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(2);

/// Runs the shell on the serial line until the machine is switched off.
pub(crate) fn shell() {
    thread::rank_current(thread::Rank::Interactive);
    let mut terminal = match SerialTerminal::new() {
        Ok(terminal) => terminal,
        Err(why) => {
            log::error!("no shell: {why}");
            return;
        }
    };
    match Shell::new(Control).run(&mut terminal) {
        Ended::Poweroff => power::off(),
        Ended::Reboot => power::reset(),
    }
}

struct Control;

fn find(name: &str) -> ControlResult<Arc<Vm>> {
    table::by_name(name).ok_or_else(|| ControlError::new(format!("no VM {name}")))
}

/// Waits until `vm` is out of every CPU; false if it is not within `limit`.
fn wait_out(vm: &Vm, limit: Duration) -> bool {
    let end = now_ns().saturating_add(duration_ns(limit));
    while !vm.is_out() {
        if now_ns() >= end {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

fn stop_now(vm: &Vm) -> ControlResult<()> {
    vm.request_stop().map_err(ControlError::new)?;
    if wait_out(vm, OUT_WITHIN) {
        return Ok(());
    }
    Err(ControlError::new(format!("{} has not left its CPUs; try again", vm.vm.name())))
}

impl VmControl for Control {
    fn create(&mut self, file: &str, options: &CreateOptions) -> ControlResult<String> {
        thread::beside_guests(|| table::create(file, options)).map_err(ControlError::new)
    }

    fn start(&mut self, vm: &str) -> ControlResult<()> {
        let vm = find(vm)?;
        thread::beside_guests(|| vm.start()).map_err(ControlError::new)
    }

    fn stop(&mut self, vm: &str, _mode: StopMode, _limit: Duration) -> ControlResult<Stopped> {
        // No guest can be asked yet: there is no power button in its machine.
        stop_now(&*find(vm)?)?;
        Ok(Stopped::Forced)
    }

    fn delete(&mut self, vm: &str, mode: DeleteMode) -> ControlResult<()> {
        let vm = find(vm)?;
        if mode == DeleteMode::Force && !vm.is_out() {
            stop_now(&vm)?;
        }
        table::delete(vm).map_err(ControlError::new)
    }

    fn list(&self) -> Vec<VmSummary> {
        table::all().iter().map(|vm| summary(vm)).collect()
    }

    fn show(&self, vm: &str) -> ControlResult<Vec<Section>> {
        Ok(show(&*find(vm)?))
    }

    fn names(&self) -> Vec<String> {
        table::all().iter().map(|vm| vm.vm.name().to_string()).collect()
    }

    fn files(&self) -> Vec<String> {
        bundle::names()
    }

    fn is_running(&self, vm: &str) -> bool {
        table::by_name(vm).is_some_and(|vm| match vm.vm.state() {
            State::Starting
            | State::Running
            | State::Pausing
            | State::Paused
            | State::Stopping(_) => true,
            State::Stopped(reason) => reason == StopReason::Reset,
            State::Created | State::Deleted => false,
        })
    }

    fn console_write(&mut self, vm: &str, bytes: &[u8]) -> ControlResult<usize> {
        Ok(find(vm)?.vm.console_input(bytes))
    }

    fn console_read(&self, vm: &str, cursor: &mut u64, buf: &mut [u8]) -> ControlResult<usize> {
        Ok(find(vm)?.console.read(cursor, buf))
    }

    fn log_level(&self) -> LevelFilter {
        log::max_level()
    }

    fn set_log_level(&mut self, level: LevelFilter) {
        log::set_max_level(level);
    }

    fn host_info(&self) -> Vec<Field> {
        vec![
            Field::new("hypervisor", VERSION),
            Field::new("architecture", format!("aarch64, {}", gic::name())),
            Field::new("cpus", cpu::count().to_string()),
            Field::new("vms", table::all().len().to_string()),
        ]
    }

    fn host_mem(&self) -> Vec<Field> {
        let pool = memory::pool_use();
        let (used, free) = memory::heap_use();
        vec![
            Field::new("guest memory", bytes(pool.total)),
            Field::new("free", bytes(pool.free)),
            Field::new("largest free block", bytes(pool.largest)),
            Field::new("VMIDs in use", axvm::vmids_in_use().to_string()),
            Field::new("host heap used", bytes(used)),
            Field::new("host heap free", bytes(free)),
        ]
    }

    fn host_cpus(&self) -> Vec<HostCpu> {
        let vms = table::all();
        (0..cpu::count())
            .map(|id| HostCpu {
                id,
                state: runner::state(id).to_string(),
                vcpus: vms.iter().flat_map(|vm| vm.seats.iter()).filter(|s| s.home() == id).count(),
                busy_permille: None,
            })
            .collect()
    }

    fn uptime_ns(&self) -> u64 {
        now_ns()
    }

    fn version(&self) -> String {
        VERSION.to_string()
    }

    fn take_notice(&mut self) -> Option<String> {
        notice::take()
    }

    fn poweroff(&mut self) -> ControlResult<()> {
        Ok(())
    }

    fn reboot(&mut self) -> ControlResult<()> {
        Ok(())
    }
}

fn bytes(count: usize) -> String {
    if count >= 1 << 20 && count.is_multiple_of(1 << 20) {
        return format!("{} MiB", count >> 20);
    }
    format!("{} KiB", count >> 10)
}

fn summary(vm: &Vm) -> VmSummary {
    let uptime_ns = vm.uptime_ns();
    let ran_ns: u64 = vm.seats.iter().map(super::seats::Seat::ran_ns).sum();
    let share = uptime_ns
        .filter(|up| *up > 0)
        .and_then(|up| u32::try_from(u128::from(ran_ns) * 1000 / u128::from(up)).ok());
    VmSummary {
        id: vm.vm.id(),
        name: vm.vm.name().to_string(),
        state: vm.vm.state().to_string(),
        vcpus: vm.vm.vcpu_num(),
        memory_bytes: vm.vm.config().memory_total() as u64,
        uptime_ns,
        cpu_share_permille: share,
        exits_per_s: None,
    }
}

fn show(vm: &Vm) -> Vec<Section> {
    let config = vm.vm.config();
    let state = vm.vm.state();
    let mut general = vec![
        Field::new("name", vm.vm.name()),
        Field::new("id", vm.vm.id().to_string()),
        Field::new("state", state.to_string()),
        Field::new("kernel", config.kernel.kernel_path.as_str()),
        Field::new("command line", config.kernel.cmdline.as_str()),
        Field::new("table memory", bytes(vm.vm.table_bytes())),
    ];
    if let State::Stopping(reason) | State::Stopped(reason) = &state {
        general.push(Field::new("reason", reason.to_string()));
    }
    let memory = config.memory_regions.iter().map(|region| {
        let range = format!("{:#x}..{:#x}", region.gpa, region.gpa + region.size);
        Field::new(range, format!("{}, {}", bytes(region.size), region.map_type))
    });
    let devices = vm.vm.devices().map(|window| {
        let start = window.gpa.as_usize();
        Field::new(window.name, format!("{start:#x}..{:#x}", start + window.size))
    });
    let vcpus = vm.seats.iter().enumerate().map(|(index, seat)| {
        let status = format!("{:?} on CPU {}", seat.status(), seat.home()).to_lowercase();
        Field::new(index.to_string(), status)
    });
    vec![
        Section { title: "general".to_string(), fields: general },
        Section { title: "memory".to_string(), fields: memory.collect() },
        Section { title: "devices".to_string(), fields: devices.collect() },
        Section { title: "vcpus".to_string(), fields: vcpus.collect() },
    ]
}
