#![no_std]
#![no_main]
//! Axle: the hypervisor as an ArceOS application, from boot to the shell.

extern crate alloc;

mod host;
mod vmm;

/// The host calls this once it is up: on the boot CPU, at EL2, in a thread, with interrupts on.
#[unsafe(no_mangle)]
fn main() {
    host::fault::report_also(vmm::table::report);
    host::cpu::learn_count();
    host::memory::claim_guest_memory();
    host::cpu::prepare_interrupts();
    vmm::runner::start_all();
    vmm::boot_message();
    vmm::create::start_automatic();
    vmm::service::start();
    vmm::control::shell();
}
