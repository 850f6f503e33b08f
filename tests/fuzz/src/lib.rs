//! What fuzzing is done to: each target takes any bytes, and panics where Axle does something it must never do.
//!
//! A target is more than "does not crash": it compares with a model, or checks what must hold whatever the bytes are.
//! Bytes that mean nothing to a target mean the end of what it does; every loop ends with them.

mod bus;
mod config;
mod devices;
mod gic;
mod image;
mod input;
mod instruction;
mod memory;
mod shell;
mod trap;
mod tree;
mod vm;

/// A target.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its folder in `corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("bus", bus::run),
    ("config", config::run),
    ("gicv2", gic::v2),
    ("gicv3", gic::v3),
    ("gpio", devices::gpio),
    ("image", image::run),
    ("instruction", instruction::run),
    ("keys", shell::keys),
    ("lines", shell::lines),
    ("memory", memory::space),
    ("pool", memory::pool),
    ("trap", trap::run),
    ("tree-given", tree::given),
    ("tree-made", tree::made),
    ("uart", devices::uart),
    ("vm", vm::run),
    ("watchdog", devices::watchdog),
];
