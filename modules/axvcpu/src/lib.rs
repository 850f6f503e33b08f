#![no_std]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
//! One virtual CPU of any architecture: its states, its exits, what an architecture implements.

extern crate alloc;
#[cfg(test)]
extern crate std;

mod arch_vcpu;
mod exit;
mod hal;
mod percpu;
#[cfg(test)]
mod tests;
mod vcpu;

pub use arch_vcpu::{AxArchPerCpu, AxArchVCpu, ExitHandler, Load, Resume};
pub use exit::{AxVCpuExitReason, GuestFault, SysRegAddr, extend};
pub use hal::AxVCpuHal;
pub use percpu::{AxPerCpu, Bound, VCpuSlot};
pub use vcpu::{Attachment, AxVCpu, VCpuState};
