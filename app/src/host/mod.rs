//! The only folder that names ArceOS: memory, CPUs, interrupt controller, threads, time, the serial line and power from it.

pub(crate) mod console;
pub(crate) mod cpu;
pub(crate) mod devices;
pub(crate) mod fault;
pub(crate) mod gic;
pub(crate) mod memory;
pub(crate) mod power;
pub(crate) mod thread;
