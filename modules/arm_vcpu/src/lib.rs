#![no_std]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
//! aarch64 virtual CPU: world switch, exit decode, system-register traps.
//!
//! | file | holds |
//! |---|---|
//! | `world_switch.rs` | the vectors, into the guest and out of it: all of the assembly on an exit's way |
//! | `vcpu.rs` | [`Aarch64VCpu`]: what is loaded, bound, saved, and the `match` over exception classes |
//! | `esr.rs`, `insn.rs`, `sysreg.rs`, `id_regs.rs`, `inject.rs` | pure functions of the manual, tested on any host |
//! | `access.rs`, `traps.rs` | the exits that need more than the syndrome |
//! | `el1.rs`, `fp.rs`, `timer.rs`, `gic/` | the registers that stay loaded |
//! | `pcpu.rs` | [`Aarch64PerCpu`]: the traps and translation controls of one physical CPU |
//! | `regs.rs`, `id_raw.rs` | register access by name and by encoding |

#[cfg(test)]
extern crate std;

mod access;
pub mod cache;
mod cause;
mod context_frame;
mod el1;
mod esr;
mod exits;
mod features;
mod fp;
pub mod gic;
mod id_raw;
pub mod id_regs;
pub mod idle;
pub mod inject;
pub mod insn;
mod pcpu;
mod regs;
pub mod sysreg;
mod timer;
mod translation;
mod traps;
mod vcpu;
mod world_switch;

pub use cause::Cause;
pub use context_frame::TrapFrame;
pub use el1::El1Registers;
pub use exits::RECORDED_INTERRUPT;
pub use pcpu::{Aarch64PerCpu, IPA_BITS};
pub use timer::{
    SliceTimer, VirtualTimer, counter_frequency, physical_counter, physical_counter_unordered,
};
pub use translation::{forget_all_translations, forget_local_translations, forget_vmid};
pub use vcpu::{Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig};
pub use world_switch::OwnFault;

/// Whether guests can be run on this CPU: at EL2 (CurrentEL.EL), with a GICv3 or a GICv2 that was found
/// ([`gic::use_v2`]).
pub fn has_hardware_support() -> bool {
    regs::mrs!("CurrentEL") >> 2 & 3 == 2 && (gic::is_v2() || features::gicv3_in_use())
}

/// MPIDR_EL1 of the CPU this runs on: another value on each.
#[inline]
pub fn this_mpidr() -> u64 {
    regs::mrs!("MPIDR_EL1")
}

/// The affinity fields in `mpidr` (bits 39:32 and 23:0).
#[inline]
pub const fn affinity(mpidr: u64) -> u64 {
    mpidr & 0xff_00ff_ffff
}

/// The affinity of the CPU this runs on.
#[inline]
pub fn this_affinity() -> u64 {
    affinity(this_mpidr())
}
