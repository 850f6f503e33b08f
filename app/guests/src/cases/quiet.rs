//! A machine without interrupts: nothing of an interrupt controller is there, and what a guest polls works.

use crate::board::Board;
use crate::pl031::{self, DR, ICR, IMSC, MR, RIS, read, write};
use crate::report::{Outcome, check, ensure};
use crate::sysreg::CNTV_CTL_EL0;
use crate::{cpu, gic, mmio, println, psci, timer, trap};

/// All of it; ends with the abort that a read of the missing distributor is.
pub(super) fn run(board: &Board) -> Outcome {
    ensure("the device tree has an interrupt controller", !board.has_gic())?;
    check("PSCI_VERSION", psci::call(psci::PSCI_VERSION, [0; 3]), 0x1_0001)?;
    cpu::unmask_irq();
    timer::arm(timer::now() + timer::micros(1_000));
    timer::delay(5_000);
    check("CNTV_CTL_EL0 when it is due", CNTV_CTL_EL0::read(), timer::ENABLE | timer::ISTATUS)?;
    timer::stop();
    ensure("the device tree has no clock", pl031::is_here())?;
    alarm()?;
    check("interrupts", trap::spurious(), 0u64)?;
    println!("reads where the distributor would be");
    trap::pass_on_abort(gic::typer_address());
    let value = mmio::read(gic::typer_address());
    check("a register of the distributor", value, 0u32)?;
    ensure("no abort", false)
}

/// A device of the host rings, and nobody hears it.
fn alarm() -> Outcome {
    write(ICR, 1);
    write(MR, read(DR) + 1);
    write(IMSC, 1);
    let rings = || read(RIS) & 1 == 1;
    ensure("the alarm does not ring", timer::wait_for(rings))?;
    timer::delay(5_000);
    write(IMSC, 0);
    write(ICR, 1);
    ensure("the alarm rings on", !rings())
}
