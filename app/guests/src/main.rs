//! The test guests of the hypervisor: one bare-metal image, the boot arguments choose the case.
#![no_std]
#![no_main]

mod board;
mod boot;
mod cases;
mod cpu;
mod gic;
mod ivc;
mod mmio;
mod pl031;
mod psci;
mod ram;
mod registers;
mod report;
mod stopwatch;
mod sysreg;
mod timer;
mod trap;
mod uart;

use board::Board;
use cases::Case;
use core::panic::PanicInfo;

/// Runs the case that the device tree at `tree` names, on the boot CPU, and powers the machine off.
///
/// Called by `boot.s` with the MMU and the caches on.
#[unsafe(no_mangle)]
extern "C" fn main(tree: usize) -> ! {
    let board = Board::from_tree(tree);
    let name = board.argument("case").unwrap_or("hello");
    let Some(case) = Case::select(name) else {
        report::verdict(name, report::fail("no such case"));
    };
    case.at_boot();
    uart::init(uart::FIFOS);
    if board.has_gic() {
        gic::init_distributor();
        gic::init_cpu(0);
    }
    report::verdict(name, case.run(&board))
}

/// A panic here is a defect of the guest itself, and a failed verdict.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("panic: {info}");
    report::verdict(Case::current().name(), report::fail("panic"))
}
