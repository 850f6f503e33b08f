//! The interrupt controller and the timers under abuse.

use super::attempt::{self, Registers, class};
use super::expect::{equal, holds, said, undefined};
use super::random::Random;
use super::words::Reg;
use super::{other_cpus, registers};
use crate::board::{Board, MAX_CPUS};
use crate::cases::Completion;
use crate::gic::{self, Bank, FIRST_SPI, Trigger};
use crate::report::Outcome;
use crate::sysreg::{CNTP_CTL_EL0, CNTP_CVAL_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0};
use crate::{cpu, mmio, println, timer};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// How often each interrupt was taken, by all CPUs.
static TAKEN: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];
/// SGIs that each CPU took.
static SGIS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// Until when the timer keeps interrupting: no other code may get to run.
static STORM_END: AtomicU64 = AtomicU64::new(0);
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Counts; a timer stops itself, but in a storm.
pub(super) fn count(intid: u32) -> Completion {
    if let Some(taken) = TAKEN.get(intid as usize) {
        taken.fetch_add(1, SeqCst);
    }
    if intid < 16 {
        SGIS[cpu::number()].fetch_add(1, SeqCst);
    }
    if intid == timer::INTID && timer::now() >= STORM_END.load(SeqCst) {
        timer::stop();
    }
    if intid == PHYSICAL_TIMER {
        CNTP_CTL_EL0::write(0);
    }
    Completion::Done
}

/// The PPI of the EL1 physical timer.
const PHYSICAL_TIMER: u32 = 30;

fn taken(intid: u32) -> u64 {
    TAKEN.get(intid as usize).map_or(0, |taken| taken.load(SeqCst))
}

fn all_taken() -> u64 {
    TAKEN.iter().map(|taken| taken.load(SeqCst)).sum()
}

/// The timer still interrupts this CPU, once for each deadline.
pub(super) fn timer_works(what: &'static str) -> Outcome {
    gic::enable(timer::INTID);
    cpu::unmask_irq();
    for _ in 0..3 {
        let before = taken(timer::INTID);
        timer::arm(timer::now() + timer::micros(500));
        timer::wait_for(|| taken(timer::INTID) > before);
        timer::delay(200);
        equal(what, taken(timer::INTID), before + 1)?;
    }
    cpu::mask_irq();
    Ok(())
}

/// One access of random width, place and value to the controller's registers.
pub(super) fn abuse(random: &mut Random) {
    let bits = random.next();
    let distributor = gic::typer_address() & !0xffff;
    let second = gic::second_frame();
    let (base, bytes) = match bits & 3 {
        0 => (second, gic::second_frame_bytes()),
        _ => (distributor, gic::distributor_bytes()),
    };
    let width = 1 << (bits >> 2 & 3);
    // Most registers are within the first pages.
    let span = if bits >> 4 & 7 == 0 { bytes } else { bytes.min(0x1000) };
    let address = base + (bits >> 8) as usize % span / width * width;
    let value = match bits >> 40 & 3 {
        0 => u64::MAX,
        1 => 1 << (bits >> 44 & 63),
        _ => random.next(),
    };
    mmio::any(address, width, value, bits >> 42 & 3 == 0);
}

/// D40: random accesses to all registers by all CPUs, `ops=` of them.
pub(super) fn random_registers(board: &Board) -> Outcome {
    let ops = board.number("ops").unwrap_or(200_000);
    RUNNING.store(true, SeqCst);
    other_cpus(board, || {
        let mut random = Random::new(board.number("seed").unwrap_or(40));
        (0..ops).for_each(|_| abuse(&mut random));
        RUNNING.store(false, SeqCst);
        Ok(())
    })?;
    gic::init_distributor();
    gic::forget_active_priorities();
    gic::init_cpu(0);
    // What is pending now is somebody's who asked for it.
    cpu::unmask_irq();
    timer::delay(1000);
    cpu::mask_irq();
    timer_works("the timer after the abuse")
}

/// D40: another CPU does the same until the first is done.
pub(super) fn abuse_too(number: usize) {
    let mut random = Random::new(0x4000 + number as u64);
    while RUNNING.load(SeqCst) {
        abuse(&mut random);
    }
}

/// D41: registers of interrupts that do not exist read zero and ignore writes.
pub(super) fn past_the_last(_: &Board) -> Outcome {
    let distributor = gic::distributor(0);
    let lines = gic::line_count() as usize;
    for bank in 0..7 {
        for word in lines / 32..32 {
            zero_after_write(distributor + 0x80 * (bank + 1) + 4 * word)?;
        }
    }
    for word in (lines..1020).step_by(4) {
        zero_after_write(distributor + 0x400 + word)?;
        zero_after_write(distributor + 0x800 + word)?;
    }
    for word in lines / 16..64 {
        zero_after_write(distributor + 0xc00 + 4 * word)?;
    }
    if gic::architecture() >= 3 {
        for line in lines..1020 {
            mmio::write64(distributor + 0x6000 + 8 * line, u64::MAX);
            equal(
                "GICD_IROUTER past the last",
                mmio::read64(distributor + 0x6000 + 8 * line),
                0u64,
            )?;
        }
    }
    timer_works("the timer after writes past the last interrupt")
}

fn zero_after_write(address: usize) -> Outcome {
    mmio::write(address, u32::MAX);
    equal("a register past the last interrupt", mmio::read(address), 0u32)
}

/// D44: SGIs to CPUs that do not exist.
pub(super) fn sgis_to_nobody(board: &Board) -> Outcome {
    const ID: u32 = 5;
    RUNNING.store(true, SeqCst);
    other_cpus(board, || {
        gic::enable(ID);
        cpu::unmask_irq();
        timer::delay(2000);
        let before: [u64; 2] = [SGIS[0].load(SeqCst), SGIS[1].load(SeqCst)];
        for value in nobodys() {
            gic::send_sgi(value | u64::from(ID) << if gic::architecture() >= 3 { 24 } else { 0 });
        }
        timer::delay(2000);
        for (number, before) in before.into_iter().enumerate() {
            equal("SGIs to nobody that arrived", SGIS[number].load(SeqCst), before)?;
        }
        gic::send_sgi(gic::sgi_to_others(ID));
        let arrived = timer::wait_for(|| SGIS[1].load(SeqCst) == before[1] + 1);
        holds("the other CPU gets what is sent to all others", arrived)?;
        equal("and the sender does not", SGIS[0].load(SeqCst), before[0])?;
        cpu::mask_irq();
        RUNNING.store(false, SeqCst);
        Ok(())
    })
}

/// Targets without a CPU, in a machine of two: ICC_SGI1R_EL1, or GICD_SGIR.
fn nobodys() -> impl Iterator<Item = u64> {
    let v3 = gic::architecture() >= 3;
    (0..0x4000u64).map(move |n| {
        if !v3 {
            // No target list, or one of absent CPUs, or the reserved filter.
            return if n & 1 == 0 { (n >> 1 & 0x3f) << 18 } else { 3 << 24 | (n & 0xff) << 16 };
        }
        let (aff3, aff2, aff1, range) = (n & 7, n >> 3 & 7, n >> 6 & 15, n >> 10 & 15);
        let list = if aff3 | aff2 | aff1 | range == 0 { 0xfffc } else { 0xffff };
        (aff3 * 0x24) << 48 | range << 44 | (aff2 * 0x24) << 32 | (aff1 * 0x11) << 16 | list
    })
}

/// D44: the other CPU takes what comes.
pub(super) fn take_sgis(_number: usize) {
    gic::enable(5);
    cpu::unmask_irq();
    while RUNNING.load(SeqCst) {
        cpu::relax();
    }
    cpu::mask_irq();
}

/// D45: all shared interrupts pending at once, again and again: each is taken exactly once.
pub(super) fn all_pending(_: &Board) -> Outcome {
    const ROUNDS: u64 = 5;
    let lines = FIRST_SPI..gic::line_count();
    println!("{} interrupts, {ROUNDS} times", lines.len());
    for intid in lines.clone() {
        gic::set_trigger(intid, Trigger::Edge);
        gic::enable(intid);
    }
    for round in 1..=ROUNDS {
        lines.clone().for_each(|intid| gic::set(Bank::SetPending, intid));
        cpu::unmask_irq();
        timer::wait_for(|| lines.clone().all(|intid| taken(intid) >= round));
        timer::delay(1000);
        cpu::mask_irq();
        for intid in lines.clone() {
            equal("how often a pending interrupt came", taken(intid), round)?;
        }
    }
    lines.for_each(gic::disable);
    Ok(())
}

/// D46: everything is enabled, and nothing of anybody else's comes.
pub(super) fn enable_everything(_: &Board) -> Outcome {
    let lines = gic::line_count();
    for intid in 16..lines {
        gic::enable(intid);
    }
    for intid in FIRST_SPI..lines {
        gic::set_trigger(intid, if intid % 2 == 0 { Trigger::Edge } else { Trigger::Level });
    }
    cpu::unmask_irq();
    timer::delay(300_000);
    cpu::mask_irq();
    for intid in 0..lines {
        equal("interrupts that nobody here caused", taken(intid), 0u64)?;
    }
    (16..lines).for_each(gic::disable);
    timer_works("the timer after all were enabled")
}

/// D47: ends of what never began.
pub(super) fn ends_of_nothing(_: &Board) -> Outcome {
    for mode in [gic::EoiMode::Together, gic::EoiMode::Apart] {
        gic::set_eoi_mode(mode);
        for intid in (0..1024).chain([0x1fff, 0xffff, 0xff_ffff]) {
            gic::end(intid);
            gic::deactivate(intid);
        }
    }
    gic::set_eoi_mode(gic::EoiMode::Together);
    equal("interrupts after ends of nothing", all_taken(), 0u64)?;
    timer_works("the timer after ends of nothing")
}

/// D48: the timer's condition always holds, and its interrupt is ended at once.
pub(super) fn storm(board: &Board) -> Outcome {
    let millis = board.number("millis").unwrap_or(2000);
    let end = timer::now() + timer::micros(millis * 1000);
    STORM_END.store(end, SeqCst);
    gic::enable(timer::INTID);
    CNTV_CVAL_EL0::write(0);
    CNTV_CTL_EL0::write(timer::ENABLE);
    println!("storm");
    cpu::unmask_irq();
    while timer::now() < end {
        cpu::relax();
    }
    cpu::mask_irq();
    println!("{} interrupts in {millis} ms", taken(timer::INTID));
    equal("a storm: many", taken(timer::INTID) > 100, true)
}

/// D48b: SGIs to the other CPU as fast as they go; it shares its CPU with a victim.
pub(super) fn sgi_storm(board: &Board) -> Outcome {
    let millis = board.number("millis").unwrap_or(2000);
    RUNNING.store(true, SeqCst);
    other_cpus(board, || {
        let value = gic::sgi_to(cpu::affinity(1), 5);
        let end = timer::now() + timer::micros(millis * 1000);
        let mut sent = 0u64;
        while timer::now() < end {
            gic::send_sgi(value);
            sent += 1;
        }
        RUNNING.store(false, SeqCst);
        println!("{sent} sent, {} taken in {millis} ms", SGIS[1].load(SeqCst));
        // They merge while the other CPU has not taken one; how often it does is not this guest's to say.
        equal("a storm of SGIs: many", sent > 1000 && SGIS[1].load(SeqCst) > 0, true)
    })
}

/// D48c: waits that end at once, by the virtual timer and by the physical one, whose every write the hypervisor handles.
pub(super) fn wait_storm(board: &Board) -> Outcome {
    let millis = board.number("millis").unwrap_or(2000);
    gic::enable(timer::INTID);
    gic::enable(PHYSICAL_TIMER);
    let end = timer::now() + timer::micros(millis * 1000);
    let mut waits = 0u64;
    while timer::now() < end {
        let before = all_taken();
        if waits.is_multiple_of(2) {
            timer::arm(timer::now() + timer::micros(1));
        } else {
            CNTP_CVAL_EL0::write(timer::now() + timer::micros(1));
            CNTP_CTL_EL0::write(1);
        }
        cpu::sleep_until(|| all_taken() > before);
        waits += 1;
    }
    cpu::mask_irq();
    println!("{waits} waits in {millis} ms");
    equal("a storm of waits: many", waits > 100, true)
}

/// D49: the physical timer works as the guest's own; those of higher levels do not exist.
pub(super) fn other_timers(_: &Board) -> Outcome {
    const CNTP_TVAL: Reg = Reg(3, 3, 14, 2, 0);
    const CNTP_CTL: Reg = Reg(3, 3, 14, 2, 1);
    const CNTP_CVAL: Reg = Reg(3, 3, 14, 2, 2);
    const CNTPCT: Reg = Reg(3, 3, 14, 0, 1);
    let now = registers::read("CNTPCT_EL0", CNTPCT)?;
    let ahead = timer::now().wrapping_sub(now);
    holds("the physical counter is the guest's own", ahead < timer::micros(1_000_000))?;
    registers::write("CNTP_CVAL_EL0", CNTP_CVAL, u64::MAX)?;
    equal("CNTP_CVAL_EL0", registers::read("CNTP_CVAL_EL0", CNTP_CVAL)?, u64::MAX)?;
    registers::write("CNTP_CTL_EL0", CNTP_CTL, !2)?;
    equal("CNTP_CTL_EL0 before its time", registers::read("CNTP_CTL_EL0", CNTP_CTL)?, 1u64)?;
    gic::enable(PHYSICAL_TIMER);
    for value in [0, 1 << 62, 0, u64::MAX, 0] {
        let before = taken(PHYSICAL_TIMER);
        registers::write("CNTP_CVAL_EL0", CNTP_CVAL, value)?;
        registers::write("CNTP_CTL_EL0", CNTP_CTL, 1)?;
        cpu::unmask_irq();
        timer::delay(20_000);
        cpu::mask_irq();
        equal(
            "interrupts of the physical timer",
            taken(PHYSICAL_TIMER),
            before + u64::from(value == 0),
        )?;
    }
    registers::write("CNTP_CTL_EL0", CNTP_CTL, 0)?;
    registers::write("CNTP_TVAL_EL0", CNTP_TVAL, 1 << 30)?;
    let left = registers::read("CNTP_TVAL_EL0", CNTP_TVAL)?;
    holds("CNTP_TVAL_EL0 counts down", left > 1 << 29 && left <= 1 << 30)?;
    gic::disable(PHYSICAL_TIMER);
    for (op1, crm) in [(4, 0), (4, 1), (4, 2), (4, 3), (5, 1), (5, 2), (5, 3), (7, 2)] {
        for op2 in 0..4 {
            undefined("a timer of another level", Reg(3, op1, 14, crm, op2).read(3))?;
            undefined("a timer of another level", Reg(3, op1, 14, crm, op2).write(3))?;
        }
    }
    let mut at = Registers::marked();
    let end = attempt::attempt(&[Reg(3, 3, 14, 0, 0).write(3)], &mut at);
    said("CNTFRQ_EL0 is not EL1's to write", end.class() == class::UNKNOWN, &end, 0)
}
