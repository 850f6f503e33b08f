//! The only folder that names ArceOS: memory, CPUs, threads, time, the serial line and power from it.

pub(crate) mod console;
pub(crate) mod cpu;
mod fault;
pub(crate) mod memory;
pub(crate) mod power;
pub(crate) mod thread;
