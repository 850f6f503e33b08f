//! Interrupts by the handler: many at once, held back and let go, sent to another CPU.

use super::{elsewhere, here, spis};
use crate::gic::{self, Bank};
use crate::report::{Outcome, check, ensure};
use crate::{cpu, mmio, println, psci, timer};

const ROUNDS: u32 = 10;
/// Long enough for an interrupt that must not come.
const QUIET_MICROS: u64 = 1_000;

/// An SGI and a PPI that nothing else uses.
const PRIVATE: [u32; 2] = [5, 20];

/// All of it; interrupts are unmasked unless a step says otherwise.
pub(super) fn run() -> Outcome {
    cpu::unmask_irq();
    for round in 0..ROUNDS {
        all_at_once(2 * round)?;
        all_let_go(2 * round + 1)?;
    }
    println!("{} SPIs at once, {} times", spis().len(), 2 * ROUNDS);
    let Some(intid) = spis().last() else { return ensure("no SPIs", false) };
    for held in PRIVATE.into_iter().chain([intid]) {
        held_back(held)?;
    }
    sgis_coalesce()?;
    groups(intid)?;
    nobody_home(intid)?;
    if cpu::count() > 1 { other_cpu(intid) } else { Ok(()) }
}

/// Every word of `bank` gets the bits of all the SPIs in it.
fn write_all(bank: Bank) {
    for first in spis().filter(|intid| intid % 32 == 0 || *intid == spis().start) {
        let bits = spis()
            .filter(|intid| intid / 32 == first / 32)
            .fold(0, |bits, intid| bits | 1 << (intid % 32));
        mmio::write(gic::bank_address(bank, first), bits);
    }
}

/// Enabled ones made pending one by one behind a masked CPU; then the gate opens.
fn all_at_once(before: u32) -> Outcome {
    cpu::mask_irq();
    for intid in spis() {
        gic::enable(intid);
        gic::set(Bank::SetPending, intid);
    }
    for intid in spis() {
        check("SPIs enabled", gic::get(Bank::SetEnable, intid), true)?;
        check("SPIs pending", gic::get(Bank::SetPending, intid), true)?;
    }
    cpu::unmask_irq();
    each_once(before)
}

/// Pending ones, disabled: nothing comes; then they are enabled by the word.
fn all_let_go(before: u32) -> Outcome {
    write_all(Bank::ClearEnable);
    write_all(Bank::SetPending);
    timer::delay(QUIET_MICROS);
    for intid in spis() {
        check("SPIs taken while disabled", here(intid), before)?;
        check("disabled SPIs pending", gic::get(Bank::ClearPending, intid), true)?;
    }
    write_all(Bank::SetEnable);
    each_once(before)
}

/// Every SPI has been taken once more than `before`, and nothing of it is left.
fn each_once(before: u32) -> Outcome {
    timer::wait_for(|| spis().all(|intid| here(intid) > before));
    timer::delay(QUIET_MICROS);
    for intid in spis() {
        check("times an SPI was taken", here(intid), before + 1)?;
        check("SPIs pending afterwards", gic::get(Bank::SetPending, intid), false)?;
        check("SPIs active afterwards", gic::get(Bank::SetActive, intid), false)?;
    }
    Ok(())
}

/// Pending and taken back; pending and enabled late. For an SGI, a PPI and an SPI alike.
fn held_back(intid: u32) -> Outcome {
    let before = here(intid);
    gic::disable(intid);
    if always_enabled(intid) {
        return Ok(());
    }
    check("enabled after GICD_ICENABLER", gic::get(Bank::ClearEnable, intid), false)?;
    gic::set(Bank::SetPending, intid);
    check("pending while disabled", gic::get(Bank::SetPending, intid), true)?;
    gic::set(Bank::ClearPending, intid);
    check("pending after GICD_ICPENDR", gic::get(Bank::SetPending, intid), false)?;
    gic::enable(intid);
    quiet("taken although taken back", intid, before)?;
    gic::disable(intid);
    gic::set(Bank::SetPending, intid);
    quiet("taken while disabled", intid, before)?;
    gic::enable(intid);
    taken("not taken after GICD_ISENABLER", intid, before + 1)
}

/// A GICv2 may have SGIs that cannot be disabled.
fn always_enabled(intid: u32) -> bool {
    gic::v2::is_here() && intid < 16 && gic::get(Bank::ClearEnable, intid)
}

/// Two sends of an SGI that is pending already are one interrupt.
fn sgis_coalesce() -> Outcome {
    let [id, _] = PRIVATE;
    let before = here(id);
    gic::disable(id);
    if always_enabled(id) {
        return Ok(());
    }
    gic::send_sgi(gic::sgi_to(cpu::affinity(0), id));
    gic::send_sgi(gic::sgi_to(cpu::affinity(0), id));
    let pending = timer::wait_for(|| gic::get(Bank::SetPending, id));
    ensure("an SGI sent while disabled is not pending", pending)?;
    gic::enable(id);
    taken("an SGI sent twice", id, before + 1)
}

/// The group's enables, at the distributor and at the CPU.
fn groups(intid: u32) -> Outcome {
    for (off, on) in [
        (gic::stop_distributor as fn(), gic::start_distributor as fn()),
        (gic::close_cpu_interface, gic::open_cpu_interface),
    ] {
        let before = here(intid);
        off();
        gic::set(Bank::SetPending, intid);
        quiet("taken while its group is off", intid, before)?;
        on();
        taken("not taken when its group came on", intid, before + 1)?;
    }
    Ok(())
}

/// Routed to an affinity that no CPU has it waits; routed back it comes.
fn nobody_home(intid: u32) -> Outcome {
    if gic::v2::is_here() && cpu::count() == 1 {
        // There is nothing to choose.
        return Ok(());
    }
    let before = here(intid);
    gic::route(intid, 0x00ff_fe0f);
    gic::set(Bank::SetPending, intid);
    quiet("taken although routed to nobody", intid, before)?;
    if gic::v2::is_here() && !gic::get(Bank::SetPending, intid) {
        // QEMU's GICv2 forgets what is made pending without a target.
        gic::route(intid, cpu::affinity(0));
        return Ok(());
    }
    gic::route(intid, cpu::affinity(0));
    taken("not taken when routed back", intid, before + 1)
}

/// GICD_IROUTER moves an SPI to CPU 1, also while it is pending.
fn other_cpu(intid: u32) -> Outcome {
    check("CPU_ON", psci::cpu_on(1, 0), psci::SUCCESS)?;
    let (near, far) = (here(intid), elsewhere(intid));
    gic::route(intid, cpu::affinity(1));
    check("GICD_IROUTER", gic::routing(intid), cpu::affinity(1))?;
    for count in 1..=8 {
        gic::set(Bank::SetPending, intid);
        timer::wait_for(|| elsewhere(intid) >= far + count);
        timer::delay(QUIET_MICROS);
        check("times CPU 1 took its SPI", elsewhere(intid), far + count)?;
    }
    gic::disable(intid);
    gic::set(Bank::SetPending, intid);
    gic::route(intid, cpu::affinity(0));
    gic::enable(intid);
    taken("an SPI routed back while pending", intid, near + 1)?;
    check("times CPU 1 took its SPI at the end", elsewhere(intid), far + 8)
}

fn quiet(what: &'static str, intid: u32, count: u32) -> Outcome {
    timer::delay(QUIET_MICROS);
    check(what, here(intid), count)
}

fn taken(what: &'static str, intid: u32, count: u32) -> Outcome {
    timer::wait_for(|| here(intid) >= count);
    quiet(what, intid, count)
}
