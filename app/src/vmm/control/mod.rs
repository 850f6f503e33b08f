//! The shell's hands: every command's effect on the VMs and the machine.

mod host;
mod inspect;
mod load;
mod power;
mod show;
mod trace;
mod work;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use axshell::{
    ControlError, ControlResult, CreateOptions, DeleteMode, Ended, Field, HostCpu, LevelFilter,
    OnProgress, Plan, Section, Shell, StopMode, Stopped, Switch, VmControl, VmSummary,
};
use axvm::{State, StopReason};

use self::load::Load;
use self::work::Worker;
use super::create;
use super::table::{self, Vm};
use super::time::now_ns;
use super::{VERSION, bundle, notice, passthrough};
use crate::host::console::SerialTerminal;
use crate::host::{memory, power as machine, thread};

/// Runs the shell on the serial line until the machine is switched off.
pub(crate) fn shell() {
    thread::rank_current(thread::Rank::Interactive);
    thread::stay();
    let mut terminal = match SerialTerminal::new() {
        Ok(terminal) => terminal,
        Err(why) => {
            log::error!("no shell: {why}");
            return;
        }
    };
    match Shell::new(Control { load: Load::default(), worker: Worker::default() })
        .run(&mut terminal)
    {
        Ended::Poweroff => machine::off(),
        Ended::Reboot => machine::reset(),
    }
}

struct Control {
    load: Load,
    worker: Worker,
}

fn refuse<T>(message: String) -> ControlResult<T> {
    Err(ControlError::new(message))
}

fn find(name: &str) -> ControlResult<Arc<Vm>> {
    table::by_name(name).ok_or_else(|| ControlError::new(format!("{name} is gone; see vm list")))
}

impl VmControl for Control {
    fn create(
        &mut self,
        file: &str,
        options: &CreateOptions,
        progress: OnProgress<'_>,
    ) -> ControlResult<String> {
        let config = create::config(file, options).map_err(ControlError::new)?.0;
        let (total, before) = (config.memory_total() as u64, memory::zeroed_bytes());
        let done = || (memory::zeroed_bytes().wrapping_sub(before), total);
        let (file, options) = (file.to_string(), options.clone());
        let create = move || create::create(&file, &options);
        let created = self.worker.run("zeroing memory", done, progress, create);
        created.map_err(ControlError::new)?.map_err(ControlError::new)
    }

    fn plan(&self, file: &str, options: &CreateOptions) -> ControlResult<Plan> {
        let (config, images) = create::config(file, options).map_err(ControlError::new)?;
        let name = &config.base.name;
        let refusal = |error: String| ControlError::new(format!("{name}: {error}"));
        let host = passthrough::known_host(&config).map_err(refusal)?;
        let map =
            axvm::describe(&config, &images, &host).map_err(|error| refusal(error.to_string()))?;
        show::plan(&map).map_err(ControlError::new)
    }

    fn start(&mut self, vm: &str, progress: OnProgress<'_>) -> ControlResult<()> {
        power::start(&find(vm)?, &mut self.worker, progress)
    }

    fn stop(&mut self, vm: &str, mode: StopMode, timeout: Duration) -> ControlResult<Stopped> {
        let vm = find(vm)?;
        match mode {
            StopMode::Ask => power::ask(&vm, timeout),
            StopMode::Force => power::stop(&vm).map(|()| Stopped::Forced),
        }
    }

    fn pause(&mut self, vm: &str) -> ControlResult<()> {
        power::pause(&*find(vm)?)
    }

    fn resume(&mut self, vm: &str) -> ControlResult<()> {
        power::resume(&*find(vm)?)
    }

    fn reset(&mut self, vm: &str) -> ControlResult<()> {
        power::reset(&*find(vm)?)
    }

    fn delete(&mut self, vm: &str, mode: DeleteMode) -> ControlResult<()> {
        power::delete(find(vm)?, mode)
    }

    fn list(&self) -> Vec<VmSummary> {
        table::all().iter().map(|vm| show::summary(vm, &self.load)).collect()
    }

    fn show(&self, vm: &str) -> ControlResult<Vec<Section>> {
        Ok(show::show(&*find(vm)?, &self.load))
    }

    fn stats(&self, vm: &str) -> ControlResult<Vec<Section>> {
        Ok(show::stats(&*find(vm)?, &self.load))
    }

    fn record(&mut self, vm: &str, switch: Switch) -> ControlResult<()> {
        trace::record(&*find(vm)?, switch);
        Ok(())
    }

    fn trace(&self, vm: &str, vcpu: Option<usize>) -> ControlResult<Vec<Section>> {
        trace::show(&*find(vm)?, vcpu)
    }

    fn registers(&self, vm: &str, vcpu: Option<usize>) -> ControlResult<Vec<Section>> {
        inspect::registers(&*find(vm)?, vcpu)
    }

    fn read_memory(&self, vm: &str, address: u64, buf: &mut [u8]) -> ControlResult<()> {
        inspect::read_memory(&*find(vm)?, address, buf)
    }

    fn names(&self) -> Vec<String> {
        table::all().iter().map(|vm| vm.vm.name().to_string()).collect()
    }

    fn files(&self) -> Vec<String> {
        bundle::names()
    }

    fn scripts(&self) -> Vec<String> {
        bundle::scripts()
    }

    fn script(&self, name: &str) -> ControlResult<String> {
        bundle::script(name).map_err(ControlError::new)
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

    fn console_start(&self, vm: &str) -> ControlResult<Option<u64>> {
        Ok(find(vm)?.console.start())
    }

    fn log_level(&self) -> LevelFilter {
        log::max_level()
    }

    fn set_log_level(&mut self, level: LevelFilter) {
        log::set_max_level(level);
    }

    fn host_info(&self) -> Vec<Field> {
        host::info()
    }

    fn host_mem(&self) -> Vec<Field> {
        host::mem()
    }

    fn host_cpus(&self) -> Vec<HostCpu> {
        host::cpus(&self.load)
    }

    fn uptime_ns(&self) -> u64 {
        now_ns()
    }

    fn version(&self) -> String {
        VERSION.to_string()
    }

    fn tick(&mut self) {
        self.load.tick();
    }

    fn sleep(&mut self, time: Duration) {
        thread::sleep(time);
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
