//! Axle's shell: line editor, command table, parsing, help and completion, over any serial line.
//!
//! The shell knows nothing of how VMs are made. It asks a [`VmControl`], which the hypervisor implements, and talks
//! through a [`Terminal`]. One table, [`COMMANDS`], gives names, usage, options and kinds of arguments, and help,
//! parsing and completion all come from it. To add a command, write its function in the file of its group and add
//! its entry to the table.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cmd_host;
mod cmd_machine;
mod cmd_shell;
mod cmd_vm;
mod commands;
mod complete;
mod console;
mod control;
mod editor;
mod help;
mod history;
mod key;
mod line;
mod parse;
mod session;
mod shell;
mod suggest;
mod table;
mod terminal;
mod units;
mod words;

#[cfg(test)]
mod tests;

pub use commands::{Arity, COMMANDS, Command, Kind, Opt, Positional};
pub use control::{
    ControlError, ControlResult, CreateOptions, DeleteMode, Field, HostCpu, Section, StopMode,
    Stopped, VmControl, VmSummary,
};
pub use log::LevelFilter;
pub use session::{Ended, Status};
pub use shell::Shell;
pub use terminal::{Capture, Terminal};
