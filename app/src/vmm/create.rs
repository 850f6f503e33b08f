//! How a VM comes to be: what it needs of the host, and its parts.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use axshell::CreateOptions;
use axvm::{AxVM, Channels, Images, Ports};
use axvmconfig::{AxVMCrateConfig, EmulatedDeviceType, Overrides};

use super::console::History;
use super::exclusive::Exclusive;
use super::passthrough::Given;
use super::seats::{self, Seats};
use super::table::{self, Run, Vm};
use super::{bundle, notice, watchdog};
use crate::host::memory;

/// The memory they share.
static CHANNELS: Channels = Channels::new();

/// Host heap that a VM takes beside its memory, at most: for itself and for each vCPU.
const HEAP_PER_VM: usize = 256 << 10;
const HEAP_PER_VCPU: usize = 16 << 10;
/// Host heap that is always left, for what is needed for a while only: docs/panics.md adds it up.
const HEAP_KEPT: usize = 16 << 20;

/// Whether the host's heap has room for `bytes` more beside what is always left, which has to be in one piece.
fn has_heap(bytes: usize) -> bool {
    memory::heap_use().1 >= bytes.saturating_add(HEAP_KEPT) && memory::has_heap_block(HEAP_KEPT)
}

const HEAP_USED_UP: &str = "the host's heap is almost used up: delete a VM first";

/// The configuration `file` of the bundle with the operator's changes, and its images.
///
/// # Errors
/// A text for the operator.
pub(crate) fn config(
    file: &str,
    options: &CreateOptions,
) -> Result<(AxVMCrateConfig, Images), String> {
    // To read a text takes much more than the text.
    if !has_heap(0) {
        return Err(HEAP_USED_UP.into());
    }
    let (config, images) = bundle::open(file)?;
    let config = config.with_overrides(&Overrides {
        name: options.name.clone(),
        memory: options.memory_bytes,
        cpus: options.cpus,
        cmdline: options.cmdline.clone(),
    })?;
    Ok((config, images))
}

/// Creates a VM from the configuration `file` of the bundle. Gives its name.
///
/// # Errors
/// A text for the operator.
pub(crate) fn create(file: &str, options: &CreateOptions) -> Result<String, String> {
    let (heap_before, _) = memory::heap_use();
    let (config, images) = config(file, options)?;
    let name = config.base.name.clone();
    if table::by_name(&name).is_some() {
        return Err(format!("there is a VM {name} already; choose another with --name"));
    }
    check_room(&name, &config)?;
    let mut devices = config.devices.emu_devices.iter();
    if devices.any(|device| device.emu_type == EmulatedDeviceType::Watchdog) {
        watchdog::start()?;
    }
    let id = free_id(config.base.id)?;
    let key = u32::try_from(id).map_err(|_| format!("{id} is too large for a VM's id"))?;
    let of_vm = |error| format!("{name}: {error}");
    let exclusive = exclusive_cpus(&config).map_err(of_vm)?;
    let seats = Arc::new(Seats::new(key, &config).map_err(of_vm)?);
    let console = Arc::new(History::new());
    let given = Given::new(key, &config).map_err(of_vm)?;
    let devices = given.devices().to_vec();
    let ports =
        Ports { console: console.clone(), vcpus: seats.clone(), devices, channels: &CHANNELS };
    let vm = AxVM::new(id, config, images, ports).map_err(|error| format!("{name}: {error}"))?;
    let heap_bytes = memory::heap_use().0.saturating_sub(heap_before);
    let run = Run::default();
    table::add(Vm { vm, seats, console, heap_bytes, run, given, _exclusive: exclusive });
    Ok(name)
}

/// Takes the CPUs that a VM of `config` wants alone, if it does.
fn exclusive_cpus(config: &AxVMCrateConfig) -> Result<Option<Exclusive>, String> {
    if !config.base.exclusive {
        return Ok(None);
    }
    let cpus = seats::cpus_of(config);
    // Those that have others alone are `Exclusive`'s to speak of.
    for vm in table::all().iter().filter(|vm| !vm.vm.config().base.exclusive) {
        if vm.seats.iter().any(|seat| seat.affinity().0 & !cpus.0 == 0) {
            let name = vm.vm.name();
            return Err(format!(
                "{name} may run nowhere else: give it another affinity, or delete it"
            ));
        }
    }
    Exclusive::take(&config.base.name, cpus).map(Some)
}

/// Whether the host has what the VM needs.
fn check_room(name: &str, config: &AxVMCrateConfig) -> Result<(), String> {
    const MIB: usize = 1 << 20;
    let channels = CHANNELS.bytes_to_bring(&config.devices.channels);
    let (wanted, free) = (config.memory_total().saturating_add(channels), memory::pool_use().free);
    if wanted > free {
        let (wanted, free) = (wanted.div_ceil(MIB), free / MIB);
        return Err(format!(
            "{name} needs {wanted} MiB and {free} MiB are free: give it less, or delete a VM"
        ));
    }
    let of_vcpus = config.base.cpu_num.saturating_mul(HEAP_PER_VCPU);
    if !has_heap(of_vcpus.saturating_add(HEAP_PER_VM)) {
        return Err(format!("{name}: {HEAP_USED_UP}"));
    }
    Ok(())
}

fn free_id(wanted: Option<usize>) -> Result<usize, String> {
    let vms = table::all();
    let taken = |id: usize| vms.iter().any(|vm| vm.vm.id() == id);
    match wanted {
        Some(id) if taken(id) => Err(format!("there is a VM with id {id} already")),
        Some(id) => Ok(id),
        None => {
            let last = vms.len().saturating_add(1);
            Ok((1..=last).find(|id| !taken(*id)).unwrap_or(last))
        }
    }
}

/// Starts what the board starts by itself.
pub(crate) fn start_automatic() {
    for file in bundle::automatic() {
        let started = create(&file, &CreateOptions::default())
            .and_then(|name| table::by_name(&name).ok_or(name))
            .and_then(|vm| vm.start().map_err(|error| format!("{error}")));
        if let Err(error) = started {
            notice::post(format!("{file} was not started: {error}"));
        }
    }
}
