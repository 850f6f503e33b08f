//! A fault of the hypervisor's own: say all there is to say, and stop.

use arm_vcpu::OwnFault;

// The vectors send the host's own interrupts to the host's own table: each of its slots is 0x80 long.
core::arch::global_asm!(
    ".global axle_host_irq",
    "axle_host_irq: b __ax_cpu_vector_el2 + 0x280",
    ".global axle_host_fiq",
    "axle_host_fiq: b __ax_cpu_vector_el2 + 0x300",
    ".global axle_host_serror",
    "axle_host_serror: b __ax_cpu_vector_el2 + 0x380",
);

/// Called by Axle's vectors for an exception that the hypervisor itself caused.
#[unsafe(no_mangle)]
extern "C" fn axle_host_fault(fault: &OwnFault) -> ! {
    let OwnFault { elr, spsr, esr, far, sp, .. } = fault;
    ax_runtime::emergency_console::write_fmt(format_args!(
        "\r\naxle: fault in the hypervisor: ESR {esr:#x} ELR {elr:#x} FAR {far:#x} SPSR {spsr:#x} SP {sp:#x}\r\n"
    ));
    for (index, value) in fault.gpr.iter().enumerate() {
        let end = if index % 4 == 3 { "\r\n" } else { "  " };
        ax_runtime::emergency_console::write_fmt(format_args!("x{index:<2} {value:016x}{end}"));
    }
    ax_runtime::emergency_console::write_fmt(format_args!("\r\n"));
    ax_hal::power::system_off()
}
