#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
//! Emulated devices: the trait they implement, the ports they are given, the bus that finds them.

extern crate alloc;

mod access;
mod bus;
mod pl011;
mod pl061;
mod port;
mod queue;
mod watchdog;

pub use access::{Access, Device};
pub use bus::{Bus, BusBuilder, BusError, Near, Window};
pub use pl011::Pl011;
pub use pl061::Pl061;
pub use port::{ByteSink, Clock, InterruptLine};
pub use watchdog::{Due, Watchdog};
