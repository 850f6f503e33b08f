//! What the `host` commands say.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use axshell::{Field, HostCpu};

use super::load::Load;
use crate::host::{cpu, gic, memory};
use crate::vmm::time::now_ns;
use crate::vmm::{VERSION, bundle, exclusive, passthrough, pcpu, table};

pub(super) fn info() -> Vec<Field> {
    vec![
        Field::new("hypervisor", VERSION),
        Field::new("board", bundle::board()),
        Field::new("architecture", alloc::format!("aarch64, {}", gic::name())),
        Field::new("cpus", cpu::count()),
        Field::new("vms", table::all().len()),
        Field::time("uptime", Some(now_ns())),
    ]
}

pub(super) fn mem() -> Vec<Field> {
    let pool = memory::pool_use();
    let (used, free) = memory::heap_use();
    vec![
        Field::size("guest memory", pool.total as u64),
        Field::size("free", pool.free as u64),
        Field::size("largest free block", pool.largest as u64),
        Field::new("VMIDs in use", axvm::vmids_in_use()),
        Field::new("interrupts in use", passthrough::interrupts_in_use()),
        Field::size("host heap used", used as u64),
        Field::size("host heap free", free as u64),
    ]
}

pub(super) fn cpus(load: &Load) -> Vec<HostCpu> {
    let vms = table::all();
    let cpu = |id| HostCpu {
        id,
        state: match exclusive::owner(id) {
            Some(vm) => alloc::format!("{}, {vm} alone", pcpu::state(id)),
            None => pcpu::state(id).to_string(),
        },
        vcpus: vms.iter().flat_map(|vm| vm.seats.iter()).filter(|seat| seat.home() == id).count(),
        busy_permille: load.of_cpu(id),
    };
    (0..cpu::count()).map(cpu).collect()
}
