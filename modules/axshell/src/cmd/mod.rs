//! The commands, a file each, or one for those that are alike.

pub(crate) mod console;
pub(crate) mod create;
pub(crate) mod dump;
pub(crate) mod host;
pub(crate) mod list;
pub(crate) mod machine;
pub(crate) mod power;
pub(crate) mod regs;
pub(crate) mod script;
pub(crate) mod shell;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod top;
pub(crate) mod wait;
