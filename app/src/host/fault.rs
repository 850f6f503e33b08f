//! A fault of the hypervisor's own: say all there is to say, and stop.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use arm_vcpu::OwnFault;
use kspin::SpinNoIrq;

// The vectors send the host's own interrupts to the host's own table: each of its slots is 0x80 long.
core::arch::global_asm!(
    ".global axle_host_irq",
    "axle_host_irq: b __ax_cpu_vector_el2 + 0x280",
    ".global axle_host_fiq",
    "axle_host_fiq: b __ax_cpu_vector_el2 + 0x300",
    ".global axle_host_serror",
    "axle_host_serror: b __ax_cpu_vector_el2 + 0x380",
);

/// What else is to be said; it may wait for nothing.
type Report = fn(&mut dyn Write) -> fmt::Result;

static REPORT: SpinNoIrq<Option<Report>> = SpinNoIrq::new(None);
static REPORTING: AtomicBool = AtomicBool::new(false);

/// How much of the stack is searched for return addresses, in 64-bit words.
const STACK_WORDS: usize = 512;

unsafe extern "C" {
    static _stext: [u8; 0];
    static _etext: [u8; 0];
}

/// Lets a report of a fault contain what `report` writes.
pub(crate) fn report_also(report: Report) {
    *REPORT.lock() = Some(report);
}

/// Called by Axle's vectors for an exception that the hypervisor itself caused.
#[unsafe(no_mangle)]
extern "C" fn axle_host_fault(fault: &OwnFault) -> ! {
    if REPORTING.swap(true, Ordering::SeqCst) {
        let second = format_args!("axle: and another at ELR {:#x}", fault.elr);
        ax_runtime::emergency_console::write_fmt(second);
    } else {
        ax_runtime::emergency_console::write_fmt(format_args!("{}", Said(fault)));
    }
    ax_hal::power::system_off()
}

/// All there is to say, as the one record that the serial line takes past everything that could wait.
struct Said<'a>(&'a OwnFault);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say(self.0, f)
    }
}

fn say(fault: &OwnFault, out: &mut dyn Write) -> fmt::Result {
    let OwnFault { elr, spsr, esr, far, sp, .. } = fault;
    write!(
        out,
        "\naxle: fault in the hypervisor: ESR {esr:#x} ELR {elr:#x} FAR {far:#x} SPSR {spsr:#x} SP {sp:#x}\n"
    )?;
    for (index, value) in fault.gpr.iter().enumerate() {
        let end = if index % 4 == 3 { "\n" } else { "  " };
        write!(out, "x{index:<2} {value:016x}{end}")?;
    }
    out.write_str("\n")?;
    if let Some(report) = REPORT.try_lock().and_then(|report| *report) {
        report(out)?;
    }
    calls(fault, out)
}

/// The return addresses on the stack, the innermost first. Some may be left over from calls that have ended: there are no
/// frame pointers that would tell.
fn calls(fault: &OwnFault, out: &mut dyn Write) -> fmt::Result {
    let [_, .., link] = fault.gpr;
    write!(out, "calls, for a symbolizer: {:#x} {link:#x}", fault.elr)?;
    let words = (0..STACK_WORDS).map(|word| fault.sp.wrapping_add(8 * word as u64));
    // SAFETY: at and above its stack pointer lies the stack of who faulted; beyond its end may be nothing, and the
    // second fault that this makes ends the report.
    for value in words.map(|at| unsafe { load(at) }).filter(|value| follows_call(*value)) {
        write!(out, " {value:#x}")?;
    }
    out.write_str("\n")
}

/// Whether `address` is in the code, right behind a call.
fn follows_call(address: u64) -> bool {
    let (start, end) = ((&raw const _stext) as u64, (&raw const _etext) as u64);
    if !(start < address && address < end && address.is_multiple_of(4)) {
        return false;
    }
    // SAFETY: between these two lies the code, which is mapped for reading and never changes.
    arm_vcpu::insn::is_call(unsafe { load(address - 4) })
}

/// # Safety
/// What is at `address` is a `T`, or nobody minds a fault.
unsafe fn load<T>(address: u64) -> T {
    let address = core::ptr::with_exposed_provenance::<T>(usize::try_from(address).unwrap_or(0));
    // SAFETY: as above.
    unsafe { address.read_volatile() }
}
