//! What `vm list`, `vm show` and `vm stats` say.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use axshell::{Field, Section, Value, VmSummary};
use axvm::{ChannelView, ExitKind, State, StopReason};

use super::load::{Load, exits_of, ran_ns_of, stolen_ns_of};
use crate::vmm::table::Vm;

/// A line of `vm list`.
pub(super) fn summary(vm: &Vm, load: &Load) -> VmSummary {
    let recent = load.of_vm(vm);
    VmSummary {
        id: vm.vm.id(),
        name: vm.vm.name().to_string(),
        state: vm.vm.state().to_string(),
        vcpus: vm.vm.vcpu_num(),
        memory_bytes: vm.vm.config().memory_total() as u64,
        uptime_ns: vm.uptime_ns(),
        cpu_share_permille: recent.cpu_permille,
        steal_permille: recent.steal_permille,
        exits_per_s: recent.exits_per_s,
    }
}

/// `vm show`
pub(super) fn show(vm: &Vm, load: &Load) -> Vec<Section> {
    let regions = vm.vm.config().memory_regions.iter().map(|region| {
        vec![
            Field::hex("start", region.gpa as u64),
            Field::hex("end", region.gpa.saturating_add(region.size) as u64),
            Field::size("size", region.size as u64),
            Field::new("access", region.flags.to_string()),
            Field::new("kind", region.map_type.to_string()),
        ]
    });
    let devices = vm.vm.devices().map(|window| {
        let start = window.gpa.as_usize();
        vec![
            Field::new("name", window.name),
            Field::hex("start", start as u64),
            Field::hex("end", start.saturating_add(window.size) as u64),
            Field::new("kind", "emulated"),
        ]
    });
    // Both are in the order of the configuration.
    let wanted = &vm.vm.config().devices.passthrough_devices;
    let devices = devices.chain(vm.given.devices().iter().zip(wanted).map(|(device, wanted)| {
        vec![
            Field::new("name", device.name.as_str()),
            Field::hex("start", device.base_gpa as u64),
            Field::hex("end", device.base_gpa.saturating_add(device.size) as u64),
            Field::new("kind", if wanted.allow_unsafe { "host, unsafe" } else { "host" }),
        ]
    }));
    let mut sections = vec![
        Section::fields("", general(vm, load)),
        Section::table("memory", regions.collect()),
        Section::table("devices", devices.collect()),
    ];
    if !vm.vm.config().devices.channels.is_empty() {
        sections.push(Section::table("channels", vm.vm.channels().map(channel).collect()));
    }
    sections.push(Section::table("vcpus", vcpus_and_places(vm)));
    sections
}

/// Memory that is shared with other VMs, and how many of these there are.
fn channel(channel: ChannelView<'_>) -> Vec<Field> {
    let config = channel.config;
    vec![
        Field::new("name", config.name.as_str()),
        Field::hex("start", config.gpa as u64),
        Field::size("size", config.size as u64),
        Field::new("access", config.access.to_string()),
        Field::new("interrupt", config.irq_id),
        Field::new("peers", config.peers.join(", ")),
        Field::new("present", channel.peers_present),
    ]
}

fn general(vm: &Vm, load: &Load) -> Vec<Field> {
    let config = vm.vm.config();
    let state = vm.vm.state();
    let mut fields = vec![
        Field::new("name", vm.vm.name()),
        Field::new("id", vm.vm.id()),
        Field::new("state", state.to_string()),
    ];
    if let State::Stopping(reason) | State::Stopped(reason) = &state {
        fields.extend(end_of(reason));
    }
    fields.extend([
        Field::time("uptime", vm.uptime_ns()),
        Field::new("cpu", Value::Share(load.of_vm(vm).cpu_permille)),
        Field::new("kernel", config.kernel.kernel_path.as_str()),
        Field::new("command line", config.kernel.cmdline.as_str()),
        Field::new("restart", format!("{:?}", config.base.restart).to_lowercase()),
        Field::new("weight", u64::from(config.base.weight)),
        Field::new("exclusive", if config.base.exclusive { "yes" } else { "no" }),
        Field::size("memory", config.memory_total() as u64),
        Field::size("tables", vm.vm.table_bytes() as u64),
        Field::size("host heap", vm.heap_bytes as u64),
    ]);
    fields
}

/// Why it stopped, and where.
fn end_of(reason: &StopReason) -> Vec<Field> {
    let mut fields = vec![Field::new("reason", reason.to_string())];
    if let StopReason::Fault { vcpu, pc, .. } = reason {
        fields.push(Field::new("failed vcpu", *vcpu));
        fields.push(Field::hex("failed pc", *pc));
    }
    fields
}

fn vcpus(vm: &Vm) -> Vec<Vec<Field>> {
    let row = |(index, seat): (usize, &crate::vmm::seats::Seat)| {
        vec![
            Field::new("vcpu", index),
            Field::new("state", format!("{:?}", seat.status()).to_lowercase()),
            Field::new("cpu", seat.home()),
            Field::time("ran", Some(seat.ran_ns())),
            Field::time("steal", Some(seat.usage.stolen_ns())),
            Field::new("moves", seat.usage.moves()),
            Field::new("exits", exits_of(vm, index)),
        ]
    };
    vm.seats.iter().enumerate().map(row).collect()
}

/// The same, with where each stands.
fn vcpus_and_places(vm: &Vm) -> Vec<Vec<Field>> {
    let mut rows = vcpus(vm);
    for (index, row) in rows.iter_mut().enumerate() {
        let names = ["pc", "syndrome", "fault address"];
        row.extend(names.into_iter().zip(stands_at(vm, index)).map(|(n, v)| Field::new(n, v)));
    }
    rows
}

/// Where vCPU `index` of a VM that does not run stands, and ESR_EL1 and FAR_EL1, which tell of the last
/// exception it took: a guest is told of every fault that it makes.
fn stands_at(vm: &Vm, index: usize) -> [Value; 3] {
    const UNKNOWN: [Value; 3] = [const { Value::Number(None) }; 3];
    if !matches!(vm.vm.state(), State::Paused | State::Stopped(_)) {
        return UNKNOWN;
    }
    let looked = vm.vm.vcpu(index).and_then(|vcpu| {
        vcpu.with_arch(|arch| (arch.frame().elr, arch.el1().esr, arch.el1().far)).ok()
    });
    match looked {
        Some((pc, esr, far)) => [Value::Hex(pc), Value::Hex(esr), Value::Hex(far)],
        None => UNKNOWN,
    }
}

/// `vm stats`
pub(super) fn stats(vm: &Vm, load: &Load) -> Vec<Section> {
    let recent = load.of_vm(vm);
    let counts = exits_by_kind(vm);
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let fields = vec![
        Field::new("name", vm.vm.name()),
        Field::new("state", vm.vm.state().to_string()),
        Field::time("uptime", vm.uptime_ns()),
        Field::time("ran", Some(ran_ns_of(vm))),
        Field::time("steal", Some(stolen_ns_of(vm))),
        Field::new("cpu", Value::Share(recent.cpu_permille)),
        Field::new("exits", total),
        Field::new("exits/s", Value::Number(recent.exits_per_s)),
    ];
    let share = |count: u64| {
        let share = u128::from(count).saturating_mul(1000).checked_div(u128::from(total));
        Value::Share(share.and_then(|share| u32::try_from(share).ok()))
    };
    let row = |(kind, count): &(ExitKind, u64)| {
        let (name, count) = (kind.name(), *count);
        let share = Field::new("share", share(count));
        vec![Field::new("exit", name), Field::new("count", count), share]
    };
    vec![
        Section::fields("", fields),
        Section::table("exits by kind", counts.iter().map(row).collect()),
        Section::table("vcpus", vcpus(vm)),
        Section::table("wakeups", wakeups(vm)),
    ]
}

/// How soon each vCPU ran when it was woken: below how many microseconds, how often.
fn wakeups(vm: &Vm) -> Vec<Vec<Field>> {
    let of_vcpu = |(index, seat): (usize, &crate::vmm::seats::Seat)| {
        let counts = seat.usage.wakeups.counts().filter(|(_, count)| *count > 0);
        let row = move |(below, count): (Option<u64>, u64)| {
            let below = Field::new("below us", Value::Number(below));
            vec![Field::new("vcpu", index), below, Field::new("count", count)]
        };
        counts.map(row).collect::<Vec<_>>()
    };
    vm.seats.iter().enumerate().flat_map(of_vcpu).collect()
}

/// The exits of all vCPUs, by kind.
fn exits_by_kind(vm: &Vm) -> Vec<(ExitKind, u64)> {
    let of_kind = |(at, kind): (usize, ExitKind)| {
        let counts = (0..vm.vm.vcpu_num()).filter_map(|vcpu| vm.vm.exits(vcpu).nth(at));
        (kind, counts.map(|(_, count)| count).sum())
    };
    ExitKind::ALL.into_iter().enumerate().map(of_kind).collect()
}

/// What a VM would be.
pub(super) fn plan(map: &axvm::BoardMap) -> Result<axshell::Plan, String> {
    let part = |name: &str, kind: &str, start: usize, size: usize| {
        vec![
            Field::new("name", name),
            Field::new("kind", kind),
            Field::hex("start", start as u64),
            Field::hex("end", start.saturating_add(size) as u64),
        ]
    };
    let mut parts = Vec::new();
    for region in &map.regions {
        parts.push(part("memory", &region.map_type.to_string(), region.gpa, region.size));
    }
    for window in &map.windows {
        parts.push(part(&window.name, "device", window.gpa.as_usize(), window.size));
    }
    for device in &map.given {
        if let (Some(gpa), Some(size)) = (device.gpa, device.size) {
            parts.push(part(&device.name, "host device", gpa.as_usize(), size));
        }
    }
    for channel in &map.channels {
        parts.push(part(&channel.name, "channel", channel.gpa, channel.size));
    }
    let images = [("kernel", Some(&map.kernel)), ("ramdisk", map.ramdisk.as_ref())];
    let tree = [("device tree", map.device_tree.as_ref())];
    for (name, range) in images.into_iter().chain(tree) {
        if let Some(range) = range {
            let (start, end) = (range.start.as_usize(), range.end.as_usize());
            parts.push(part(name, "image", start, end.saturating_sub(start)));
        }
    }
    let fields = vec![
        Field::new("name", map.name.as_str()),
        Field::new("vcpus", map.vcpus),
        Field::hex("entry", map.entry.as_usize() as u64),
    ];
    let device_tree = if map.tree.is_empty() {
        String::new()
    } else {
        axvm::fdt::to_dts(&map.tree).map_err(|error| format!("{error}"))?
    };
    let sections = vec![Section::fields("", fields), Section::table("map", parts)];
    Ok(axshell::Plan { map: format!("{map}"), sections, device_tree })
}
