#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
//! The virtual GIC of one VM, version 2 or 3: distributor and redistributors emulated, list registers filled.
//!
//! Arm IHI 0069 (GIC architecture, v3) and IHI 0048 (v2). The guest's CPU interface is the hardware's own; what this
//! crate decides reaches it through [`ListRegisters`]. The interrupt state (`state`, `bank`, `listing`) knows no register
//! layout, the register files (`gicd`, `gicr`, `gicv2`) hold no state. A GICv2's SGIs differ in more than layout:
//! `sourced`.
//!
//! Deliberately absent: LPIs and the ITS, extended SPIs, 1-of-N routing, a second security state, more nested active
//! interrupts than list registers, and deactivation of an interrupt by a vCPU other than the one that acknowledged it.

extern crate alloc;

mod bank;
mod bits;
mod doorbell;
mod gicd;
mod gicr;
mod gicv2;
mod listing;
mod lr;
mod outbox;
mod port;
mod quick;
mod ready;
mod registers;
mod sgi;
mod sourced;
mod state;
mod sync;
mod timer;
mod vgic;

#[cfg(test)]
mod tests;

pub use doorbell::Doorbell;
pub use gicd::DISTRIBUTOR_WINDOW;
pub use gicr::REDISTRIBUTOR_STRIDE;
pub use gicv2::GICV2_DISTRIBUTOR_WINDOW;
pub use lr::{from_gich, to_gich};
pub use port::{Kick, ListRegisters};
pub use sgi::affinity;
pub use timer::TIMER_PPI;
pub use vgic::{Vgic, VgicConfig, VgicError};
