//! Axle's shell: line editor, command table, parsing, help and completion, over any serial line.
//!
//! The shell knows nothing of how VMs are made. It asks a [`VmControl`], which the hypervisor implements, and talks
//! through a [`Terminal`]. One table, [`COMMANDS`], gives names, usage, options and kinds of arguments, and help,
//! parsing, completion and docs/shell.md all come from it. To add a command, write its function in `cmd/` and add its
//! entry to the table.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

extern crate alloc;

mod cmd;
mod command;
mod commands;
mod complete;
mod console;
mod control;
mod editor;
mod help;
mod history;
mod json;
mod key;
mod keyboard;
mod line;
mod meter;
mod parse;
mod report;
mod search;
mod session;
mod shell;
mod suggest;
mod table;
mod terminal;
mod units;
mod words;

#[cfg(test)]
mod tests;

pub use command::{Arity, Command, Kind, Opt, Positional};
pub use commands::COMMANDS;
pub use control::{
    ControlError, ControlResult, CreateOptions, DeleteMode, HostCpu, OnProgress, Plan, Progress,
    StopMode, Stopped, Switch, VmControl, VmSummary,
};
pub use log::LevelFilter;
pub use report::{Body, Field, Section, Value};
pub use session::{Ended, Status};
pub use shell::Shell;
pub use terminal::{Capture, Terminal};
