//! Interrupts of every kind on all CPUs at once, and device accesses between them: none is lost, none comes twice.
//!
//! Each CPU does at random: sends SGIs that are sent again only once they were taken, and others at will, which may merge;
//! makes an SPI of its own pending for a CPU that changes; sets its timer; sleeps; keeps interrupts masked for a while, so that more
//! are pending than there are list registers; reads and writes devices. CPU 0 also moves a level, the UART's. The boot
//! arguments: `millis=` is how long (1000), `sabotage=lost` or `doubled` makes a mistake that has to be found.

mod ledger;

use super::Completion;
use crate::board::Board;
use crate::gic::{self, Bank, Trigger};
use crate::report::{Failure, Outcome, check, ensure};
use crate::{cpu, mmio, println, psci, timer, trap, uart};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use ledger::Ledger;

/// As many CPUs as take part: two kinds of SGI for each are all there are.
const MAX: usize = 8;

/// SGIs from CPU `n`: `n` is exact, `MAX + n` is sent at will.
static EXACT: [[Ledger; MAX]; MAX] = [const { [const { Ledger::new() }; MAX] }; MAX];
static AT_WILL: [[Ledger; MAX]; MAX] = [const { [const { Ledger::new() }; MAX] }; MAX];
/// The SPI that is CPU `n`'s, and its timer.
static SHARED: [Ledger; MAX] = [const { Ledger::new() }; MAX];
static TIMERS: [Ledger; MAX] = [const { Ledger::new() }; MAX];
/// The UART's transmit interrupt, a level.
static LEVEL: Ledger = Ledger::new();

static LINES: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicBool = AtomicBool::new(false);
static ARRIVED: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicUsize = AtomicUsize::new(0);
/// Timers that rang before their time, and interrupts nobody raised.
static EARLY: AtomicU64 = AtomicU64::new(0);
static FOREIGN: AtomicU64 = AtomicU64::new(0);
static ACCESSES: AtomicU64 = AtomicU64::new(0);

/// When CPU 0 ends it, and what mistake it makes meanwhile.
static END: AtomicU64 = AtomicU64::new(0);
static SABOTAGE: AtomicU64 = AtomicU64::new(0);
const LOSE: u64 = 1;
const DOUBLE: u64 = 2;

/// On whatever CPU it came to.
pub(super) fn interrupt(intid: u32) -> Completion {
    let own = cpu::number() % MAX;
    let sender = intid as usize % MAX;
    match intid {
        0..8 => EXACT[sender][own].take_one(intid),
        8..16 => AT_WILL[sender][own].take_all(intid),
        timer::INTID => {
            EARLY.fetch_add(u64::from(!timer::is_due()), SeqCst);
            timer::stop();
            TIMERS[own].take_one(intid);
        }
        uart::INTID => {
            uart::unmask(0);
            LEVEL.take_one(intid);
        }
        _ => match (0..MAX).find(|&number| spi(number) == intid) {
            Some(owner) => SHARED[owner].take_one(intid),
            None => _ = FOREIGN.fetch_add(1, SeqCst),
        },
    }
    Completion::Done
}

/// The SPI of CPU `number`: the last ones the distributor has.
fn spi(number: usize) -> u32 {
    LINES.load(SeqCst) - 1 - number as u32
}

/// A secondary CPU, until all of its own is settled.
pub(super) fn secondary(number: usize) {
    take_part(number);
    cpu::mask_irq();
}

/// CPU 0.
pub(super) fn run(board: &Board) -> Outcome {
    let cpus = cpu::count();
    ensure("more CPUs than there are SGIs for", cpus <= MAX)?;
    LINES.store(gic::line_count(), SeqCst);
    // Several share a register, so one CPU writes it.
    for number in 0..cpus {
        gic::set_trigger(spi(number), Trigger::Edge);
    }
    for number in 1..cpus {
        check("CPU_ON", psci::cpu_on(number, 0), psci::SUCCESS)?;
    }
    // What is written makes the level rise as soon as it is unmasked.
    println!("{cpus} CPUs");
    END.store(timer::now() + timer::micros(board.number("millis").unwrap_or(1000) * 1000), SeqCst);
    SABOTAGE.store(
        match board.argument("sabotage") {
            Some("lost") => LOSE,
            Some("doubled") => DOUBLE,
            _ => 0,
        },
        SeqCst,
    );
    gic::enable(uart::INTID);
    take_part(0);
    ensure("a CPU did not settle", timer::wait_for(|| DONE.load(SeqCst) == cpus))?;
    cpu::mask_irq();
    report(cpus);
    verdict()
}

/// One CPU's part, from the moment all are there.
fn take_part(own: usize) {
    for id in 0..16 {
        gic::enable(id);
    }
    gic::enable(timer::INTID);
    gic::enable(spi(own));
    ARRIVED.fetch_add(1, SeqCst);
    timer::wait_for(|| ARRIVED.load(SeqCst) == cpu::count());
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (own as u64 + 1) << 32);
    cpu::unmask_irq();
    while !STOP.load(SeqCst) {
        one_step(own, &mut dice);
        if own == 0 && (timer::now() > END.load(SeqCst) || ledger::is_wrong()) {
            STOP.store(true, SeqCst);
        }
    }
    timer::wait_for(|| settled(own) || ledger::is_wrong());
    DONE.fetch_add(1, SeqCst);
    // The others' last ones are still to come.
    timer::wait_for(|| DONE.load(SeqCst) == cpu::count());
}

/// Whether all that this CPU raised was taken.
fn settled(own: usize) -> bool {
    let sgis = (0..cpu::count()).all(|to| {
        EXACT[own][to].is_settled(own as u32) && AT_WILL[own][to].is_settled((MAX + own) as u32)
    });
    let level = own != 0 || LEVEL.is_settled(uart::INTID);
    sgis && level && SHARED[own].is_settled(spi(own)) && TIMERS[own].is_settled(timer::INTID)
}

/// One thing, chosen by chance.
fn one_step(own: usize, dice: &mut Dice) {
    let to = dice.below(cpu::count());
    match dice.below(16) {
        0..3 => exact(own, to),
        3..6 => at_will(own, to, dice.below(3)),
        6..8 => shared(own, to),
        8..10 => set_timer(own, dice.below(150)),
        10 => level(own, to),
        11 => cpu::sleep_until(|| TIMERS[own].is_settled(timer::INTID)),
        12 => masked(dice.below(40)),
        _ => accesses(own),
    }
}

/// An SGI to CPU `to`, if the last one was taken.
fn exact(own: usize, to: usize) {
    let ledger = &EXACT[own][to];
    if !ledger.is_settled(own as u32) {
        return;
    }
    ledger.raise();
    let sgi = gic::sgi_to(cpu::affinity(to), own as u32);
    gic::send_sgi(sgi);
    if SABOTAGE.load(SeqCst) == DOUBLE && own == 0 && to != own {
        timer::wait_for(|| ledger.is_settled(own as u32));
        gic::send_sgi(sgi);
    }
}

/// Up to three SGIs that may merge.
fn at_will(own: usize, to: usize, more: usize) {
    for _ in 0..=more {
        AT_WILL[own][to].raise();
        gic::send_sgi(gic::sgi_to(cpu::affinity(to), (MAX + own) as u32));
    }
}

/// This CPU's SPI, for CPU `to`, if the last one was taken.
fn shared(own: usize, to: usize) {
    let (ledger, intid) = (&SHARED[own], spi(own));
    if !ledger.is_settled(intid) {
        return;
    }
    gic::route(intid, cpu::affinity(to));
    ledger.raise();
    if SABOTAGE.load(SeqCst) != LOSE {
        gic::set(Bank::SetPending, intid);
    }
}

/// The timer, if it has rung.
fn set_timer(own: usize, micros: usize) {
    if TIMERS[own].is_settled(timer::INTID) {
        TIMERS[own].raise();
        timer::arm(timer::now() + timer::micros(micros as u64));
    }
}

/// The UART's level, for CPU `to`, if the last one was taken. Only CPU 0 does that.
fn level(own: usize, to: usize) {
    if own == 0 && LEVEL.is_settled(uart::INTID) {
        gic::route(uart::INTID, cpu::affinity(to));
        LEVEL.raise();
        uart::unmask(uart::TX);
    }
}

/// Lets interrupts gather.
fn masked(micros: usize) {
    cpu::mask_irq();
    timer::delay(micros as u64);
    cpu::unmask_irq();
}

/// Device accesses that leave the guest, of every kind there is.
fn accesses(own: usize) {
    let enabled = mmio::read(gic::bank_address(Bank::SetEnable, spi(own)));
    if enabled >> (spi(own) % 32) & 1 == 0 {
        FOREIGN.fetch_add(1, SeqCst);
    }
    mmio::read(gic::typer_address());
    mmio::read(uart::flag_register());
    gic::set_priority(spi(own), gic::PRIORITY);
    ACCESSES.fetch_add(4, SeqCst);
}

/// Says how much there was of everything.
fn report(cpus: usize) {
    let sum = |ledgers: &mut dyn Iterator<Item = &'static Ledger>| {
        ledgers.fold([0, 0], |[raised, handled], ledger| {
            let counts = ledger.counts();
            [raised + counts[0], handled + counts[1]]
        })
    };
    let [exact, _] = sum(&mut EXACT.iter().flatten());
    let [sent, handled] = sum(&mut AT_WILL.iter().flatten());
    let [spis, _] = sum(&mut SHARED.iter());
    let [timers, _] = sum(&mut TIMERS.iter());
    let [levels, _] = LEVEL.counts();
    let accesses = ACCESSES.load(SeqCst);
    println!(
        "STORM {cpus} CPUs: {exact} SGIs, {sent} SGIs at will in {handled} interrupts, {spis} SPIs, {levels} levels"
    );
    println!(
        "STORM {timers} timers, {accesses} device accesses, {} micros",
        timer::nanos(timer::now()) / 1000
    );
}

/// What was wrong, if anything.
fn verdict() -> Outcome {
    for (what, defect) in
        [("an interrupt came twice", &ledger::DOUBLED), ("an interrupt was lost", &ledger::LOST)]
    {
        let intid = defect.load(SeqCst);
        if intid != ledger::NONE {
            println!("INTID {intid}");
            return Err(Failure::of(what));
        }
    }
    check("timers that rang early", EARLY.load(SeqCst), 0u64)?;
    check("interrupts that nobody raised", FOREIGN.load(SeqCst), 0u64)?;
    check("interrupts without a number", trap::spurious(), 0u64)
}

/// Chance that is the same each time (xorshift, 64 bits).
struct Dice(u64);

impl Dice {
    /// 0 to `limit - 1`.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}
