#![no_std]
#![forbid(unsafe_code)]
//! Emulated devices: the trait they implement, the ports they are given, the bus that finds them.

mod access;
mod port;

pub use access::{Access, Device};
pub use port::{ByteSink, InterruptLine};
