//! VMs on a host of heap memory, with vCPUs that play scripts.
//!
//! | file | holds |
//! |---|---|
//! | `host.rs` | the host: memory, time, physical CPUs with their interrupt hardware |
//! | `guest.rs` | the vCPU: a script of exits, and a record of what was done for them |
//! | `bench.rs` | one VM on that host, and what tests do with it |
//! | the others | the tests, by subject |
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
#![allow(clippy::cast_possible_truncation, clippy::wildcard_enum_match_arm)]

mod accesses;
mod bench;
mod calls;
mod channels;
mod gicv2;
mod guest;
mod host;
mod interrupts;
mod life;
mod making;
mod passing;
mod pausing;
mod power;
mod power_key;
mod running;
mod timers;
mod watchdog;

pub(crate) use host::all_vmids;
