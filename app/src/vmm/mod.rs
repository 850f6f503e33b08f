//! The VMs of this machine: their table, the physical CPUs and the runners that run vCPUs there, their consoles, the
//! shell's hands.
#![deny(clippy::arithmetic_side_effects)]

mod bundle;
mod console;
pub(crate) mod control;
pub(crate) mod create;
mod exclusive;
mod moves;
mod notice;
mod passthrough;
mod pcpu;
pub(crate) mod runner;
mod seats;
pub(crate) mod service;
pub(crate) mod table;
pub(crate) mod time;
mod usage;
mod watchdog;

use crate::host::{cpu, memory};

/// What this hypervisor calls itself.
pub(crate) const VERSION: &str = concat!("Axle ", env!("CARGO_PKG_VERSION"));

/// The first lines on the console.
pub(crate) fn boot_message() {
    const MIB: usize = 1 << 20;
    let pool = memory::pool_use();
    notice::post(alloc::format!(
        "{VERSION}, {} CPUs, {} MiB for guests",
        cpu::count(),
        pool.total / MIB
    ));
}
