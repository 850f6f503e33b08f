//! Registers full of a pattern keep it, while other guests with other patterns run on the same CPU.

pub(in crate::cases) mod contents;

use super::Completion;
use crate::board::Board;
use crate::gic::{self, Bank};
use crate::report::{Outcome, check, ensure};
use crate::sysreg::{CNTV_CTL_EL0, CNTV_CVAL_EL0};
use crate::{cpu, println, timer, trap};
use contents::Contents;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

const RUN_MICROS: u64 = 3_000_000;
const SPIN_MICROS: u64 = 5_000;
/// Long enough for the hypervisor to run everybody else in between.
const ACTIVE_MICROS: u64 = 30_000;

static FIRED: AtomicU64 = AtomicU64::new(0);
/// Whether the handler shall leave the interrupt active.
static HOLD: AtomicBool = AtomicBool::new(false);

/// Counts, and masks the timer in the timer, unless the interrupt stays active and so masks itself.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid == timer::INTID {
        FIRED.fetch_add(1, Relaxed);
    }
    if HOLD.load(Relaxed) {
        return Completion::Held;
    }
    CNTV_CTL_EL0::write(timer::ENABLE | timer::IMASK);
    Completion::Done
}

/// The boot argument `pattern=WORD` makes this guest's values its own.
pub(super) fn run(board: &Board) -> Outcome {
    let word = board.argument("pattern").unwrap_or("a");
    let contents = Contents::load(word);
    gic::set_priority(timer::INTID, contents.timer_priority());
    gic::enable(timer::INTID);
    contents.verify()?;
    cpu::unmask_irq();
    let end = timer::now() + timer::micros(RUN_MICROS);
    let mut rounds = 0u64;
    while timer::now() < end {
        undisturbed(&contents)?;
        interrupted(&contents)?;
        asleep(&contents)?;
        active(&contents)?;
        rounds += 1;
    }
    println!("pattern {word}: {rounds} rounds, {} timer interrupts", FIRED.load(Relaxed));
    check("interrupts without a number", trap::spurious(), 0u64)?;
    check("timer interrupts", FIRED.load(Relaxed), 3 * rounds)
}

/// Spins with the timer off and the deadline register full of the pattern.
fn undisturbed(contents: &Contents) -> Outcome {
    timer::stop();
    CNTV_CVAL_EL0::write(contents.deadline());
    contents.spin(timer::now() + timer::micros(SPIN_MICROS))?;
    check("CNTV_CTL_EL0 while off", CNTV_CTL_EL0::read() & timer::ENABLE, 0u64)?;
    check("CNTV_CVAL_EL0 while off", CNTV_CVAL_EL0::read(), contents.deadline())?;
    contents.verify()
}

/// Spins with a timer interrupt in the middle.
fn interrupted(contents: &Contents) -> Outcome {
    let (before, deadline) = (FIRED.load(Relaxed), timer::now() + timer::micros(SPIN_MICROS / 2));
    timer::arm(deadline);
    contents.spin(deadline + timer::micros(SPIN_MICROS / 2))?;
    ensure("the timer did not fire in a spin", timer::wait_for(|| FIRED.load(Relaxed) > before))?;
    fired(deadline, before + 1)?;
    contents.verify()
}

/// Sleeps in WFI until the timer fires.
fn asleep(contents: &Contents) -> Outcome {
    let (before, deadline) = (FIRED.load(Relaxed), timer::now() + timer::micros(SPIN_MICROS));
    timer::arm(deadline);
    cpu::sleep_until(|| FIRED.load(Relaxed) > before);
    ensure("woken before the deadline", timer::now() >= deadline)?;
    fired(deadline, before + 1)?;
    contents.verify()
}

/// Leaves the timer's interrupt active, its line still up, over a spin: it must stay so and come no second time.
fn active(contents: &Contents) -> Outcome {
    let (before, deadline) = (FIRED.load(Relaxed), timer::now());
    HOLD.store(true, Relaxed);
    timer::arm(deadline);
    ensure("the timer did not fire", timer::wait_for(|| FIRED.load(Relaxed) > before))?;
    contents.spin(timer::now() + timer::micros(ACTIVE_MICROS))?;
    check("timer interrupts while active", FIRED.load(Relaxed), before + 1)?;
    check("GICR_ISACTIVER0 of the timer", gic::get(Bank::SetActive, timer::INTID), true)?;
    check("RPR while active", gic::running_priority(), u64::from(contents.timer_priority()))?;
    check("CNTV_CVAL_EL0 while active", CNTV_CVAL_EL0::read(), deadline)?;
    let condition = timer::ENABLE | timer::ISTATUS;
    check("CNTV_CTL_EL0 while active", CNTV_CTL_EL0::read(), condition)?;
    CNTV_CTL_EL0::write(timer::ENABLE | timer::IMASK);
    HOLD.store(false, Relaxed);
    gic::end(timer::INTID);
    contents.spin(timer::now() + timer::micros(SPIN_MICROS))?;
    fired(deadline, before + 1)?;
    contents.verify()
}

/// The handler ran so often in all, and the timer is as it left it.
fn fired(deadline: u64, count: u64) -> Outcome {
    check("timer interrupts so far", FIRED.load(Relaxed), count)?;
    check("CNTV_CVAL_EL0 after its interrupt", CNTV_CVAL_EL0::read(), deadline)?;
    let masked = timer::ENABLE | timer::IMASK | timer::ISTATUS;
    check("CNTV_CTL_EL0 after its interrupt", CNTV_CTL_EL0::read(), masked)
}
