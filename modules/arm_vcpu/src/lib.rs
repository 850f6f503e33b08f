#![no_std]
//! aarch64 virtual CPU: world switch, exit decode, system-register traps.
