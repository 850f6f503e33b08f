//! The device tree a guest is given.
//!
//! Devicetree Specification 0.4; the nodes are those of Linux, Documentation/devicetree/bindings.

mod board;
mod channel;
mod error;
mod given;
mod power;
mod text;
mod tree;

pub use self::{
    board::{Device, Gic, GuestBoard, build},
    error::FdtError,
    given::check_given,
    text::to_dts,
};

pub(crate) use self::power::POWER_KEY_INPUT;

#[cfg(test)]
mod tests;
