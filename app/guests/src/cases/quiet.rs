//! A machine without interrupts: nothing of an interrupt controller is there, and what a guest polls works.

use crate::board::Board;
use crate::report::{Outcome, check, ensure};
use crate::sysreg::CNTV_CTL_EL0;
use crate::{cpu, gic, mmio, println, psci, timer, trap};

/// Of the clock (PL031): the time, the alarm, whether it rings.
const DR: usize = 0x00;
const MR: usize = 0x04;
const IMSC: usize = 0x10;
const RIS: usize = 0x14;
const ICR: usize = 0x1c;

/// All of it; ends with the abort that a read of the missing distributor is.
pub(super) fn run(board: &Board) -> Outcome {
    ensure("the device tree has an interrupt controller", !board.has_gic())?;
    check("PSCI_VERSION", psci::call(psci::PSCI_VERSION, [0; 3]), 0x1_0001)?;
    cpu::unmask_irq();
    timer::arm(timer::now() + timer::micros(1_000));
    timer::delay(5_000);
    check("CNTV_CTL_EL0 when it is due", CNTV_CTL_EL0::read(), timer::ENABLE | timer::ISTATUS)?;
    timer::stop();
    let clock = board.rtc();
    ensure("the device tree has no clock", clock.is_some())?;
    alarm(clock.unwrap_or(0))?;
    check("interrupts", trap::spurious(), 0u64)?;
    println!("reads where the distributor would be");
    trap::pass_on_abort(gic::typer_address());
    let value = mmio::read(gic::typer_address());
    check("a register of the distributor", value, 0u32)?;
    ensure("no abort", false)
}

/// A device of the host rings, and nobody hears it.
fn alarm(clock: usize) -> Outcome {
    mmio::write(clock + ICR, 1);
    mmio::write(clock + MR, mmio::read(clock + DR) + 1);
    mmio::write(clock + IMSC, 1);
    let rings = || mmio::read(clock + RIS) & 1 == 1;
    ensure("the alarm does not ring", timer::wait_for(rings))?;
    timer::delay(5_000);
    mmio::write(clock + IMSC, 0);
    mmio::write(clock + ICR, 1);
    ensure("the alarm rings on", !rings())
}
