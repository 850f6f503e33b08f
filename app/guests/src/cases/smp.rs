//! CPUs on and off by PSCI with all its answers, SGIs from every CPU to every CPU.

use super::Completion;
use crate::board::MAX_CPUS;
use crate::report::{Outcome, check, ensure};
use crate::{cpu, gic, println, psci, timer, trap};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

/// SGIs: counted; makes the receiver send what lies in its mailbox; turns the receiver off.
const PING: u32 = 1;
const RELAY: u32 = 2;
const LEAVE: u32 = 3;

const PINGS: u64 = 8;
const ROUNDS: u64 = 10;
/// CPU_ON's context but for the low byte.
const CONTEXT: u64 = 0xc0de_0123_4567_8900;

static PINGED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static MAILBOX: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static ARRIVED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static LEAVING: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];
static DEFECTS: AtomicUsize = AtomicUsize::new(0);

/// On whatever CPU the SGI came to.
pub(super) fn interrupt(intid: u32) -> Completion {
    let number = cpu::number();
    match intid {
        PING => _ = PINGED[number].fetch_add(1, SeqCst),
        RELAY => gic::send_sgi(MAILBOX[number].load(SeqCst)),
        LEAVE => LEAVING[number].store(true, SeqCst),
        _ => _ = DEFECTS.fetch_add(1, SeqCst),
    }
    Completion::Done
}

/// A secondary CPU: reports, serves SGIs asleep, goes off when told.
pub(super) fn secondary(number: usize, context: u64) {
    if context != CONTEXT | number as u64 || cpu::number() != number {
        DEFECTS.fetch_add(1, SeqCst);
    }
    enable_sgis();
    LEAVING[number].store(false, SeqCst);
    ARRIVED[number].fetch_add(1, SeqCst);
    cpu::sleep_until(|| LEAVING[number].load(SeqCst));
    cpu::mask_irq();
}

fn enable_sgis() {
    for id in [PING, RELAY, LEAVE] {
        gic::enable(id);
    }
}

/// All of it, with as many CPUs as there are.
pub(super) fn run() -> Outcome {
    enable_sgis();
    cpu::unmask_irq();
    calls()?;
    for number in 1..cpu::count() {
        check(
            "AFFINITY_INFO of a CPU not yet on",
            psci::affinity_info(cpu::affinity(number)),
            psci::OFF,
        )?;
    }
    turn_on(1)?;
    answers_while_on()?;
    for from in 0..cpu::count() {
        for to in 0..cpu::count() {
            deliver(from, gic::sgi_to(cpu::affinity(to), PING), |number| number == to)?;
        }
        deliver(from, gic::sgi_to_others(PING), |number| number != from)?;
    }
    println!("SGIs between {} CPU(s) delivered", cpu::count());
    for round in 0..ROUNDS {
        turn_off()?;
        turn_on(round + 2)?;
    }
    turn_off()?;
    check("interrupts without a number", trap::spurious(), 0u64)?;
    check("CPUs that arrived wrong or SGIs unknown", DEFECTS.load(SeqCst), 0usize)
}

/// The calls that need no second CPU.
fn calls() -> Outcome {
    let version = psci::call(psci::PSCI_VERSION, [0; 3]);
    println!("PSCI {}.{}", version >> 16, version & 0xffff);
    ensure("PSCI is older than 1.0", version >= 0x1_0000)?;
    check(
        "PSCI_FEATURES of CPU_ON",
        psci::call(psci::PSCI_FEATURES, [psci::CPU_ON, 0, 0]),
        psci::SUCCESS,
    )?;
    let unknown = psci::call(psci::PSCI_FEATURES, [psci::UNKNOWN, 0, 0]);
    check("PSCI_FEATURES of an unknown function", unknown, psci::NOT_SUPPORTED)?;
    check("an unknown function", psci::call(psci::UNKNOWN, [0; 3]), psci::NOT_SUPPORTED)?;
    let own = cpu::affinity(0);
    check("AFFINITY_INFO of oneself", psci::affinity_info(own), psci::ON)?;
    check(
        "AFFINITY_INFO of nobody",
        psci::affinity_info(0xff_00ff_ff0f),
        psci::INVALID_PARAMETERS,
    )?;
    let nobody =
        psci::call(psci::CPU_ON, [0xff_00ff_ff0f, crate::boot::secondary_entry_address(), 0]);
    check("CPU_ON of nobody", nobody, psci::INVALID_PARAMETERS)?;
    check("CPU_ON of oneself", psci::cpu_on(0, CONTEXT), psci::ALREADY_ON)
}

/// Starts every other CPU for the `round`th time.
fn turn_on(round: u64) -> Outcome {
    for number in 1..cpu::count() {
        check("CPU_ON", psci::cpu_on(number, CONTEXT), psci::SUCCESS)?;
    }
    for arrived in ARRIVED.iter().take(cpu::count()).skip(1) {
        let there = timer::wait_for(|| arrived.load(SeqCst) == round);
        ensure("a CPU did not arrive", there)?;
    }
    Ok(())
}

fn answers_while_on() -> Outcome {
    for number in 1..cpu::count() {
        check("CPU_ON of a CPU that is on", psci::cpu_on(number, CONTEXT), psci::ALREADY_ON)?;
        check(
            "AFFINITY_INFO of a CPU that is on",
            psci::affinity_info(cpu::affinity(number)),
            psci::ON,
        )?;
    }
    Ok(())
}

/// Every other CPU goes off by itself, and PSCI says so.
fn turn_off() -> Outcome {
    for number in 1..cpu::count() {
        gic::send_sgi(gic::sgi_to(cpu::affinity(number), LEAVE));
    }
    for number in 1..cpu::count() {
        let off = timer::wait_for(|| psci::affinity_info(cpu::affinity(number)) == psci::OFF);
        ensure("a CPU did not go off", off)?;
    }
    Ok(())
}

/// CPU `from` sends `value` several times; each time all that `wanted` names get one PING, and nobody else does.
fn deliver(from: usize, value: u64, wanted: impl Fn(usize) -> bool) -> Outcome {
    for _ in 0..PINGS {
        let before: [u64; MAX_CPUS] = core::array::from_fn(|number| PINGED[number].load(SeqCst));
        let expected =
            |number: usize| before[number] + u64::from(number < cpu::count() && wanted(number));
        if from == 0 {
            gic::send_sgi(value);
        } else {
            MAILBOX[from].store(value, SeqCst);
            gic::send_sgi(gic::sgi_to(cpu::affinity(from), RELAY));
        }
        timer::wait_for(|| {
            (0..cpu::count()).all(|number| PINGED[number].load(SeqCst) >= expected(number))
        });
        timer::delay(20);
        for (number, pinged) in PINGED.iter().enumerate() {
            check("SGIs at a CPU", pinged.load(SeqCst), expected(number))?;
        }
    }
    Ok(())
}
