//! All CPUs make power calls at random, about themselves and each other, until one of them ends it all.

use super::Completion;
use crate::board::MAX_CPUS;
use crate::report::{Failure, Outcome, check, ensure, verdict};
use crate::{cpu, gic, println, psci, timer};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SGI: u32 = 1;
/// How long a CPU sleeps at most.
const NAP_MICROS: u64 = 200;
/// One step in so many powers off; as many reset.
const ENDS: u64 = 150;

static STEPS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// Only wakes.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid == timer::INTID {
        timer::stop();
    }
    Completion::Done
}

/// CPU 0, with the others still off.
pub(super) fn run() -> Outcome {
    println!("{} CPUs race", cpu::count());
    Err(race(0))
}

/// A CPU that another one has started.
pub(super) fn secondary(number: usize) -> ! {
    verdict("race", Err(race(number)))
}

/// Step after step; returns only what must not be.
fn race(number: usize) -> Failure {
    gic::enable(timer::INTID);
    gic::enable(SGI);
    cpu::unmask_irq();
    let mut dice = timer::now() << 8 | number as u64 | 1;
    loop {
        // xorshift64
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        STEPS[number].fetch_add(1, Relaxed);
        if let Err(failure) = step(dice >> 8, number) {
            return failure;
        }
    }
}

fn step(dice: u64, number: usize) -> Outcome {
    let other = (dice >> 32) as usize % cpu::count();
    match dice % ENDS {
        0 => psci::system_off(),
        1 => check("SYSTEM_RESET", psci::call(psci::SYSTEM_RESET, [0; 3]), psci::SUCCESS),
        _ => match dice % 8 {
            0 | 1 => start(other, dice),
            2 => turn_off(number),
            3 => sleep(|| _ = psci::call(psci::CPU_SUSPEND, [0; 3])),
            4 => sleep(cpu::wait),
            5 => {
                gic::send_sgi(gic::sgi_to(cpu::affinity(other), SGI));
                Ok(())
            }
            6 => {
                let state = psci::affinity_info(cpu::affinity(other));
                ensure("AFFINITY_INFO", (psci::ON..=psci::ON_PENDING).contains(&state))
            }
            _ => {
                timer::delay(dice >> 40 & 31);
                Ok(())
            }
        },
    }
}

/// Somebody else may be first, and a number may be nobody's.
fn start(other: usize, dice: u64) -> Outcome {
    if dice >> 60 == 0 {
        let absent =
            psci::call(psci::CPU_ON, [0x77_0000, crate::boot::secondary_entry_address(), 0]);
        return check("CPU_ON of nobody", absent, psci::INVALID_PARAMETERS);
    }
    let started = psci::cpu_on(other, 0);
    let known = [psci::SUCCESS, psci::ALREADY_ON, psci::ON_PENDING_ERROR];
    ensure("CPU_ON", known.contains(&started))
}

/// Off until another CPU starts this one, at its first instruction.
fn turn_off(number: usize) -> Outcome {
    // Two more are asked for, so that they do not all go.
    for other in (0..cpu::count()).filter(|other| *other != number).take(2) {
        psci::cpu_on(other, 0);
    }
    cpu::mask_irq();
    let refused = psci::cpu_off();
    check("CPU_OFF returns", refused, psci::SUCCESS)?;
    ensure("CPU_OFF returns", false)
}

fn sleep(way: impl Fn()) -> Outcome {
    timer::arm(timer::now() + timer::micros(NAP_MICROS));
    way();
    timer::stop();
    Ok(())
}
