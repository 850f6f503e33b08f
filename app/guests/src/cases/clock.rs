//! The guest's time runs on without a jump, and its timers with it, whatever becomes of the guest meanwhile.

use super::Completion;
use crate::board::Board;
use crate::report::{Outcome, check, ensure};
use crate::sysreg::{CNTP_CTL_EL0, CNTP_CVAL_EL0, CNTPCT_EL0};
use crate::{cpu, gic, println, timer, trap};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// PPI 14: the physical timer.
const PHYSICAL_TIMER: u32 = 30;
const PERIOD_MICROS: u64 = 10_000;
const SECOND_MICROS: u64 = 1_000_000;
/// More than a busy machine takes from one tick to the next, and less than anybody pauses a guest for.
const JUMP_MICROS: u64 = 1_500_000;

static VIRTUAL: AtomicUsize = AtomicUsize::new(0);
static PHYSICAL: AtomicUsize = AtomicUsize::new(0);

/// Counts, and switches the timer off.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid == timer::INTID {
        timer::stop();
        VIRTUAL.fetch_add(1, Relaxed);
    } else if intid == PHYSICAL_TIMER {
        CNTP_CTL_EL0::write(0);
        PHYSICAL.fetch_add(1, Relaxed);
    }
    Completion::Done
}

/// Ticks by both timers, awake and asleep by turns, for the seconds that the boot argument `seconds=` says.
pub(super) fn run(board: &Board) -> Outcome {
    let seconds = board.argument("seconds").and_then(|count| count.parse().ok()).unwrap_or(4);
    gic::enable(timer::INTID);
    gic::enable(PHYSICAL_TIMER);
    cpu::unmask_irq();
    let (start, mut longest, mut ticks) = (timer::now(), 0, 0);
    for second in 1..=seconds {
        while timer::now() < start + timer::micros(second * SECOND_MICROS) {
            ticks += 1;
            longest = tick(ticks)?.max(longest);
        }
        println!("clock second {second}");
    }
    println!("{ticks} ticks, {} ns from one to the next at most", timer::nanos(longest));
    check("interrupts without a number", trap::spurious(), 0u64)
}

/// One period of both timers, of which `count` were with this one; gives how long it took by the guest's own clock.
fn tick(count: usize) -> Result<u64, crate::report::Failure> {
    let start = timer::now();
    let end = start + timer::micros(PERIOD_MICROS);
    CNTP_CVAL_EL0::write(end);
    CNTP_CTL_EL0::write(timer::ENABLE);
    timer::arm(end);
    let rang = || VIRTUAL.load(Relaxed) >= count && PHYSICAL.load(Relaxed) >= count;
    if count.is_multiple_of(2) {
        cpu::sleep_until(rang);
    } else {
        ensure("a timer does not fire", timer::wait_for(rang))?;
    }
    let (now, physical) = (timer::now(), CNTPCT_EL0::read());
    ensure("a timer was early", now >= end)?;
    ensure("the clock has jumped", now - start < timer::micros(JUMP_MICROS))?;
    ensure("the two counters are apart", physical.wrapping_sub(now) < timer::micros(JUMP_MICROS))?;
    check("interrupts of the virtual timer", VIRTUAL.load(Relaxed), count)?;
    check("interrupts of the physical timer", PHYSICAL.load(Relaxed), count)?;
    Ok(now - start)
}
