#![no_std]
//! One virtual CPU of any architecture: its states, its exits, what an architecture implements.

mod exit;

pub use exit::{AxVCpuExitReason, GuestFault, SysRegAddr};
