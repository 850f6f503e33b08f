//! PSCI and channels: every mistake a caller can make.

use super::attempt::{self, Level, Registers};
use super::calls::call;
use super::expect::{equal, holds, said};
use super::random::Random;
use super::words::{hvc, smc, word};
use super::{access, other_cpus};
use crate::board::{Board, MAX_CPUS};
use crate::report::Outcome;
use crate::{boot, cpu, println, psci, timer};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

const CPU_ON_32: u64 = 0x8400_0003;
const CPU_SUSPEND: u64 = 0xc400_0001;
const AFFINITY_INFO_32: u64 = 0x8400_0004;

/// Return codes as a 64-bit register holds them.
const fn code(value: i64) -> u64 {
    value as u64
}

/// E50: what is wrong with a CPU_ON, in the order the manual judges it.
pub(super) fn cpu_on_codes(_: &Board) -> Outcome {
    let entry = boot::secondary_entry_address();
    let own = cpu::affinity(0);
    let other = cpu::affinity(1);
    for word in [hvc(0), smc(0)] {
        for nobody in [0x5, 0x100, 0x1_0000, 1 << 32, 1 << 24, 1 << 31, u64::MAX, own | 1 << 40] {
            let got = call(word, psci::CPU_ON, [nobody, entry, 0])?;
            equal("CPU_ON of nobody", got, code(-2))?;
        }
        equal("CPU_ON of oneself", call(word, psci::CPU_ON, [own, entry, 0])?, code(-4))?;
        for bad in bad_entries() {
            equal("CPU_ON with a bad entry", call(word, psci::CPU_ON, [other, bad, 0])?, code(-9))?;
        }
        let off = call(word, psci::AFFINITY_INFO, [other, 0, 0])?;
        equal("AFFINITY_INFO after failed calls", off, 1u64)?;
        for level in [1, 2, 3, 4, 0xffff_ffff] {
            let got = call(word, psci::AFFINITY_INFO, [own, level, 0])?;
            equal("AFFINITY_INFO of a level", got, code(-2))?;
        }
    }
    Ok(())
}

/// Where no CPU can start: no memory, devices, what is not executable, the ends of things, odd places.
fn bad_entries() -> [u64; 11] {
    [
        0x3000_0000,
        access::at_uart(0),
        0x0800_0000,
        0x6000_0000,
        boot::secondary_entry_address() + 2,
        boot::secondary_entry_address() + 1,
        1 << 39,
        1 << 48,
        u64::MAX,
        !3,
        1 << 63,
    ]
}

static TRIES: AtomicU32 = AtomicU32::new(0);
static SUCCESSES: AtomicU32 = AtomicU32::new(0);
static ARRIVALS: AtomicU32 = AtomicU32::new(0);
static STRANGE: AtomicU64 = AtomicU64::new(0);
static ROUND: AtomicU32 = AtomicU32::new(0);
static LEAVE: AtomicBool = AtomicBool::new(false);
/// The CPU that all the others start.
const TARGET: usize = 3;

/// E51: all start the same CPU at the same moment, and one of them has done it.
pub(super) fn start_one_at_once(board: &Board) -> Outcome {
    const ROUNDS: u32 = 60;
    LEAVE.store(false, SeqCst);
    for number in 1..TARGET {
        equal("CPU_ON", psci::cpu_on(number, 0) as u64, 0u64)?;
    }
    for round in 1..=ROUNDS {
        let off = || psci::affinity_info(cpu::affinity(TARGET)) == psci::OFF;
        holds("the target is off", timer::wait_for(off))?;
        SUCCESSES.store(0, SeqCst);
        TRIES.store(0, SeqCst);
        ROUND.store(round, SeqCst);
        try_to_start();
        holds("all have tried", timer::wait_for(|| TRIES.load(SeqCst) == TARGET as u32))?;
        equal("successes of CPU_ON", SUCCESSES.load(SeqCst), 1u32)?;
        let arrived = timer::wait_for(|| ARRIVALS.load(SeqCst) == round);
        holds("the target has started", arrived)?;
    }
    LEAVE.store(true, SeqCst);
    println!("{ROUNDS} rounds");
    equal("other codes than success, pending and on", STRANGE.load(SeqCst), 0u64)?;
    others_leave(board)
}

fn try_to_start() {
    match psci::cpu_on(TARGET, 0) {
        psci::SUCCESS => _ = SUCCESSES.fetch_add(1, SeqCst),
        psci::ALREADY_ON | ON_PENDING => {}
        strange => STRANGE.store(strange as u64, SeqCst),
    }
    TRIES.fetch_add(1, SeqCst);
}

const ON_PENDING: i32 = -5;

/// E51: the target says that it is there and goes off; the others try at each round.
pub(super) fn start_or_arrive(number: usize) {
    if number == TARGET {
        // Until every other has tried: one that comes late must find it on.
        timer::wait_for(|| TRIES.load(SeqCst) == TARGET as u32);
        ARRIVALS.fetch_add(1, SeqCst);
        return;
    }
    let mut done = 0;
    while !LEAVE.load(SeqCst) {
        let round = ROUND.load(SeqCst);
        if round != done {
            done = round;
            try_to_start();
        }
        cpu::relax();
    }
}

fn others_leave(_: &Board) -> Outcome {
    for number in 1..cpu::count() {
        let off = || psci::affinity_info(cpu::affinity(number)) == psci::OFF;
        holds("a CPU goes off", timer::wait_for(off))?;
    }
    Ok(())
}

static STARTS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

/// E52: CPUs start each other and go off at any moment, `ops=` times.
pub(super) fn on_off_race(board: &Board) -> Outcome {
    let ops = board.number("ops").unwrap_or(2_000);
    let mut random = Random::new(52);
    let mut counts = [0u64; 2];
    for _ in 0..ops {
        let number = 1 + random.next() as usize % (cpu::count() - 1);
        match psci::cpu_on(number, 0) {
            psci::SUCCESS => counts[0] += 1,
            psci::ALREADY_ON | ON_PENDING => counts[1] += 1,
            strange => equal("CPU_ON in a race", strange as u64, 0u64)?,
        }
        let state = psci::affinity_info(cpu::affinity(number));
        holds("AFFINITY_INFO in a race", matches!(state, 0..=2))?;
    }
    others_leave(board)?;
    let started: u32 = STARTS.iter().map(|count| count.load(SeqCst)).sum();
    println!("{} started, {} were on", counts[0], counts[1]);
    holds("CPUs that started", u64::from(started) >= counts[0])?;
    equal("other codes than success, pending and on", STRANGE.load(SeqCst), 0u64)
}

/// E52: starts a neighbour, now and then, and goes off.
pub(super) fn start_neighbour(number: usize) {
    let count = STARTS[number].fetch_add(1, SeqCst);
    if count % 4 == 1 {
        let neighbour = 1 + number % (cpu::count() - 1);
        match psci::cpu_on(neighbour, 0) {
            psci::SUCCESS | psci::ALREADY_ON | ON_PENDING => {}
            strange => STRANGE.store(strange as u64, SeqCst),
        }
    }
}

/// E53: the last CPU goes off.
pub(super) fn last_cpu_off(_: &Board) -> Outcome {
    holds("not going off", true)?;
    println!("going off");
    psci::cpu_off();
    holds("CPU_OFF has returned", false)
}

/// E55: only the lower half of a function's name counts, and of arguments of 32 bits.
pub(super) fn junk_above(_: &Board) -> Outcome {
    const JUNK: u64 = 0xdead_beef_0000_0000;
    for word in [hvc(0), smc(0)] {
        let version = call(word, psci::PSCI_VERSION, [0; 3])?;
        equal("PSCI_VERSION", call(word, psci::PSCI_VERSION | JUNK, [1; 3])?, version)?;
        let own = cpu::affinity(0);
        let info = call(word, AFFINITY_INFO_32 | JUNK, [own | JUNK, JUNK, JUNK])?;
        equal("AFFINITY_INFO with junk", info, 0u64)?;
        let started =
            call(word, CPU_ON_32 | JUNK, [own | JUNK, boot::secondary_entry_address() | JUNK, 0])?;
        equal("CPU_ON with junk", started, code(-4))?;
        let features = call(word, psci::PSCI_FEATURES | JUNK, [psci::CPU_ON | JUNK, 0, 0])?;
        equal("PSCI_FEATURES with junk", features, 0u64)?;
        equal("an unknown id with junk", call(word, 0x8400_001f | JUNK, [0; 3])?, code(-1))?;
    }
    Ok(())
}

/// E56: addresses that are none.
pub(super) fn bad_addresses(_: &Board) -> Outcome {
    const POWER_DOWN: u64 = 1 << 16;
    let other = cpu::affinity(1);
    for entry in bad_entries() {
        let suspended = call(hvc(0), CPU_SUSPEND, [POWER_DOWN, entry, 0])?;
        equal("CPU_SUSPEND with a bad entry", suspended, code(-9))?;
        equal("CPU_ON with a bad entry", call(hvc(0), psci::CPU_ON, [other, entry, 0])?, code(-9))?;
        // 32 bits of it.
        let got = call(hvc(0), CPU_ON_32, [other, entry, 0])?;
        let is_ram = entry & 0xffff_ffff == boot::secondary_entry_address();
        holds("CPU_ON of 32 bits with a bad entry", is_ram || got == code(-9))?;
    }
    for state in [1 << 17, 1 << 24, 1 << 31, 0xffff_ffff, 0x8000_0000_0000_0000 | 1 << 30] {
        let got = call(hvc(0), CPU_SUSPEND, [state, boot::secondary_entry_address(), 0])?;
        equal("CPU_SUSPEND with a bad state", got, code(-2))?;
    }
    for kind in [1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
        equal("SYSTEM_RESET2 with a bad type", call(hvc(0), 0xc400_0012, [kind, 0, 0])?, code(-2))?;
    }
    Ok(())
}

static FLIP_AT: AtomicU64 = AtomicU64::new(0);

/// E57: another CPU changes the instruction while the hypervisor looks at it.
pub(super) fn changing_instruction(board: &Board) -> Outcome {
    const ROUNDS: u64 = 5_000;
    let words = [word!("ldp w3, w4, [x2]"), word!("nop"), word!("nop")];
    let start = attempt::write(&words, Level::El1);
    let mut ends = [0u64; 3];
    LEAVE.store(false, SeqCst);
    FLIP_AT.store(start, SeqCst);
    let outcome = other_cpus(board, || {
        for round in 0..ROUNDS {
            let at = Registers::marked().with(2, access::at_uart(0xfe0));
            let mut after = at;
            let end = attempt::enter(start, Level::El1 as u64, &mut after);
            let loaded = after.x[3] == 0x11 && after.x[4] == 0x10;
            let half = after.x[3] == 0x11 && after.x[4] == at.x[4];
            let nothing = after.x[3] == at.x[3] && after.x[4] == at.x[4];
            let aborted = end.class() == attempt::class::DATA_ABORT && nothing;
            if !(end.is_done() && (loaded || half || nothing) || aborted) {
                println!("round {round}: x3 {:#x}, x4 {:#x}", after.x[3], after.x[4]);
                said("an instruction that changes", false, &end, 0)?;
            }
            ends[if aborted { 2 } else { usize::from(loaded) }] += 1;
            for n in (0..31).filter(|n| !matches!(n, 3 | 4)) {
                equal("a register that no form names", after.x[n], at.x[n])?;
            }
        }
        LEAVE.store(true, SeqCst);
        Ok(())
    });
    println!("other {}, pair {}, refused {}", ends[0], ends[1], ends[2]);
    outcome?;
    equal("rounds", ends.iter().sum::<u64>(), ROUNDS)
}

/// E57: the other CPU.
pub(super) fn flip(_number: usize) {
    let forms = [
        word!("ldp w3, w4, [x2]"),
        word!("ldr w3, [x2]"),
        word!("nop"),
        word!("str q0, [x2]"),
        word!("stp w3, w4, [x2]"),
    ];
    let mut random = Random::new(57);
    while FLIP_AT.load(SeqCst) == 0 {
        cpu::relax();
    }
    while !LEAVE.load(SeqCst) {
        let form = forms[random.next() as usize % forms.len()];
        attempt::overwrite(FLIP_AT.load(SeqCst), form);
    }
}

/// E58: channels that are not this VM's.
pub(super) fn forged_channels(_: &Board) -> Outcome {
    const STATUS: u64 = 0xc600_0000;
    const NOTIFY: u64 = 0xc600_0001;
    let forged = (0..64).chain([255, 256, 1 << 31, 1 << 32, u64::MAX - 1, u64::MAX]);
    for channel in forged {
        for (word, function) in
            [(hvc(0), STATUS), (hvc(0), NOTIFY), (smc(0), STATUS), (smc(0), NOTIFY)]
        {
            let got = call(word, function, [channel, u64::MAX, 0])?;
            equal("a call about a channel of others", got, code(-3))?;
        }
    }
    Ok(())
}
