//! A clock of the host that is given to the guest: it is read, and its alarm interrupts.

use super::Completion;
use crate::pl031::{self, DR, ICR, IMSC, INTID, MR, RIS, read, write};
use crate::report::{Outcome, check, ensure};
use crate::{cpu, gic, println, timer, trap};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Alarms taken, half of them awake and half asleep.
const ALARMS: usize = 4;
/// 2020-01-01: no host is older.
const NEW_YEAR_2020: u32 = 1_577_836_800;

static RANG: AtomicUsize = AtomicUsize::new(0);
/// Interrupts of others, or without an alarm.
static FOREIGN: AtomicUsize = AtomicUsize::new(0);

/// Takes the alarm back.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid == INTID && read(RIS) & 1 == 1 {
        write(ICR, 1);
        RANG.fetch_add(1, Relaxed);
    } else {
        FOREIGN.fetch_add(1, Relaxed);
    }
    Completion::Done
}

/// All of it.
pub(super) fn run() -> Outcome {
    ensure("the device tree has no clock", pl031::is_here())?;
    println!("rtc reads {}", read(DR));
    ensure("the clock is older than its makers", read(DR) > NEW_YEAR_2020)?;
    gic::enable(INTID);
    cpu::unmask_irq();
    write(ICR, 1);
    write(IMSC, 1);
    for count in 1..=ALARMS {
        let start = read(DR);
        write(MR, start + 1);
        if count % 2 == 0 {
            cpu::sleep_until(|| RANG.load(Relaxed) >= count);
        } else {
            while RANG.load(Relaxed) < count && read(DR) < start + 4 {
                core::hint::spin_loop();
            }
        }
        check("alarms", RANG.load(Relaxed), count)?;
        ensure("the alarm was early", read(DR) > start)?;
        println!("rtc alarm {count}");
    }
    timer::delay(2_000);
    check("alarms", RANG.load(Relaxed), ALARMS)?;
    check("interrupts of others", FOREIGN.load(Relaxed), 0usize)?;
    check("interrupts without a number", trap::spurious(), 0u64)
}
