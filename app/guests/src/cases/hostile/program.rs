//! Programs of random operations, from a seed that repeats them.

use super::access;
use super::attempt::{self, Level, Registers, SLOTS, attempt_slot};
use super::expect::{equal, holds};
use super::interrupts;
use super::random::Random;
use super::space::{self, View};
use super::words::{hvc, smc, word};
use crate::board::Board;
use crate::report::Outcome;
use crate::{boot, cpu, gic, println, psci, ram, timer, uart};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

static RUNNING: AtomicBool = AtomicBool::new(false);
static DONE: AtomicU64 = AtomicU64::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);

/// How often the boot CPU makes the interrupt controller usable again, so that who waits is woken.
const REPAIR_EVERY: u64 = 4096;
/// Gigabytes of the address space that nothing else uses.
const SPARE_GIBS: u64 = 470;

/// One CPU's share of the program.
pub(super) struct Program {
    random: Random,
    /// Memory that it may do anything to.
    scratch: u64,
    /// The first slot of random words that has not been executed.
    next_slot: usize,
}

/// The words that are there all the time, each in its slot; random ones are behind them.
fn forms() -> [u32; FORMS] {
    [
        hvc(0),
        smc(0),
        hvc(0x1234),
        smc(1),
        word!("wfi"),
        word!("wfe"),
        word!("sev"),
        word!("nop"),
        // Loads and stores of X3 and X4 at X2.
        word!("ldr x3, [x2]"),
        word!("str x3, [x2]"),
        word!("ldrsb w3, [x2]"),
        word!("strh w3, [x2]"),
        word!("ldp x3, x4, [x2], #16"),
        word!("stp w3, w4, [x2, #-8]!"),
        word!("ldr w3, [x2], #-4"),
        word!("str wzr, [x2, #4]!"),
        word!("ldp w2, w3, [x2]"),
        word!("ldrsw x3, [x2, x4]"),
        word!("ldr q0, [x2]"),
        word!("ldaxr x3, [x2]"),
        word!("stlr w3, [x2]"),
        word!("dc zva, x2"),
        // Other uses of X2.
        word!("prfm pldl1keep, [x2]"),
        word!("at s1e1w, x2"),
        word!("ic ivau, x2"),
        word!("tlbi vaae1is, x2"),
    ]
}

const FORMS: usize = 26;
const CALLS: u64 = 4;
const WFI: usize = 4;
const WFE: usize = 5;
const SEV: usize = 6;
const NOP: usize = 7;
const ACCESSES: core::ops::Range<u64> = 8..22;
const USES: core::ops::Range<u64> = 8..26;

/// R1 to R4: `ops=` operations from `seed=` by each vCPU; afterwards the guest still works.
pub(super) fn run(board: &Board) -> Outcome {
    let ops = board.number("ops").unwrap_or(20_000);
    let seed = board.number("seed").unwrap_or(1);
    println!("seed {seed}, {ops} operations on each of {} vCPUs", cpu::count());
    SEED.store(seed, SeqCst);
    RUNNING.store(true, SeqCst);
    let Some(scratch) = scratch(board) else { return holds("scratch memory", false) };
    SCRATCH.store(scratch, SeqCst);
    for number in 1..cpu::count() {
        equal("CPU_ON", psci::cpu_on(number, 0) as u64, 0u64)?;
    }
    let mut program = Program::new(0);
    for op in 0..ops {
        program.step(op);
        if op % REPAIR_EVERY == 0 {
            repair(0);
            (1..cpu::count()).for_each(|number| {
                gic::send_sgi(gic::sgi_to(cpu::affinity(number), 1));
                psci::cpu_on(number, 0);
            });
        }
    }
    RUNNING.store(false, SeqCst);
    repair(0);
    uart::init(uart::FIFOS);
    println!();
    println!("{} operations", ops + DONE.load(SeqCst));
    interrupts::timer_works("the timer after the program")
}

static SCRATCH: AtomicU64 = AtomicU64::new(0);

/// A megabyte that nothing else uses, with as much around it for accesses that are a little off.
fn scratch(board: &Board) -> Option<u64> {
    let range = board.free_ram().find(|range| range.end - range.start >= 4 << 20)?;
    Some(range.start.next_multiple_of(1 << 20) + (1 << 20))
}

/// The gigabyte of the program's own memory.
const OWN_GIB: u64 = 1;

/// The interrupt controller as a driver leaves it, for this CPU.
fn repair(number: usize) {
    if number == 0 {
        gic::init_distributor();
    }
    gic::forget_active_priorities();
    gic::init_cpu(number);
    timer::stop();
}

/// A CPU that was started: its share, until the boot CPU is done.
pub(super) fn other(number: usize) {
    let mut program = Program::new(number as u64 + 100 * DONE.load(SeqCst));
    let mut op = 0;
    while RUNNING.load(SeqCst) {
        program.step(op);
        op += 1;
        DONE.fetch_add(1, SeqCst);
        if program.random.below(20_000) == 0 {
            return;
        }
    }
}

impl Program {
    fn new(part: u64) -> Program {
        let seed = SEED.load(SeqCst).wrapping_mul(0x1_0001).wrapping_add(part);
        attempt::write_slots(0, forms().into_iter());
        Program::at(Random::new(seed), SCRATCH.load(SeqCst))
    }

    /// One with no words of its own yet.
    pub(super) fn at(random: Random, scratch: u64) -> Program {
        Program { random, scratch, next_slot: SLOTS }
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.random.below(limit)
    }

    /// Writes random words to the slots behind the forms.
    fn refill(&mut self) {
        attempt::write_slots(FORMS, (FORMS..SLOTS).map(|_| self.word()));
        self.next_slot = FORMS;
    }

    /// A word that does not end the program.
    fn word(&mut self) -> u32 {
        loop {
            let word = if self.random.below(4) == 0 { self.instruction() } else { self.system() };
            if !is_fatal(word) {
                return word;
            }
        }
    }

    fn step(&mut self, op: u64) {
        match self.random.below(100) {
            0..40 => self.any_word(),
            40..55 => self.device(),
            55..65 => interrupts::abuse(&mut self.random),
            65..80 => self.call(),
            80..88 => self.odd_return(),
            88..92 => self.table(),
            92..95 => self.wait(op),
            _ => self.any_word(),
        }
    }

    /// A value that a guest finds interesting; of its own memory only what it may do anything to.
    fn value(&mut self) -> u64 {
        let value = self.any_value();
        let own = |view: View| value >> 30 == view as u64 + OWN_GIB;
        if value >> 30 == OWN_GIB || View::ALL.into_iter().any(own) {
            let scratch = self.scratch & 0x3fff_ffff;
            return (value >> 30 << 30) | (scratch + (value & 0xf_ffff));
        }
        value
    }

    fn any_value(&mut self) -> u64 {
        let bits = self.random.next();
        match bits & 15 {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << (bits >> 8 & 63),
            3 => !(1 << (bits >> 8 & 63)),
            4 => self.scratch + (bits >> 8 & 0xf_ffff),
            5 => access::at_uart(bits >> 8 & 0x1fff),
            6 => View::Uncached.of(access::at_uart(bits >> 8 & 0x1fff)),
            7 => View::Uncached.of(0x0800_0000 + (bits >> 8 & 0x0fff_ffff)),
            8 => View::Uncached.of(bits >> 8 & 0xf_ffff_ffff),
            9 => View::El0Data.of(self.scratch + (bits >> 8 & 0xffff)),
            10 => (SPARE_GIBS + (bits >> 8 & 31)) << 30 | bits >> 20 & 0x3fff_ffff,
            11 => bits >> 8 & 0xffff,
            _ => self.random.next(),
        }
    }

    /// Registers full of such values.
    pub(super) fn registers(&mut self) -> Registers {
        let mut registers = Registers::marked();
        for n in 0..31 {
            registers.x[n] = self.value();
        }
        registers.sp = self.value();
        registers
    }

    fn level(&mut self) -> Level {
        if self.random.below(4) == 0 { Level::El0 } else { Level::El1 }
    }

    /// MRS, MSR or SYS of any register.
    fn system(&mut self) -> u32 {
        let word = 0xd500_0000 | self.random.next() as u32 & 0x003f_ffff;
        // Op0 0 are hints, barriers and PSTATE.
        if word >> 19 & 3 == 0 && self.random.below(8) != 0 { word | 3 << 19 } else { word }
    }

    /// Any instruction.
    fn instruction(&mut self) -> u32 {
        let bits = self.random.next() as u32;
        match self.random.below(4) {
            // Loads and stores.
            0 => bits & !0x0a00_0000 | 0x0800_0000,
            // Exceptions and the system.
            1 => 0xd400_0000 | bits & 0x00ff_ffff,
            _ => bits,
        }
    }

    /// A random word, with registers that mean something.
    fn any_word(&mut self) {
        if self.next_slot == SLOTS {
            self.refill();
        }
        let (level, mut registers) = (self.level(), self.registers());
        attempt_slot(level, self.next_slot, &mut registers);
        self.next_slot += 1;
    }

    /// One of the forms in `slots`.
    fn form(&mut self, slots: core::ops::Range<u64>, level: Level, mut registers: Registers) {
        let slot = slots.start + self.random.below(slots.end - slots.start);
        attempt_slot(level, slot as usize, &mut registers);
    }

    /// Any form of load and store to devices.
    fn device(&mut self) {
        let base = match self.random.below(3) {
            0 => access::at_uart(0),
            1 => gic::typer_address() as u64 & !0xffff,
            _ => gic::second_frame() as u64,
        };
        let address = base + self.random.below(0x1_1000);
        // Not to the console: it would be all that there is to read.
        let address = if address & !7 == access::at_uart(0) { address + 8 } else { address };
        let address = if self.random.below(2) == 0 { address } else { View::Uncached.of(address) };
        let registers = self.registers().with(2, address).with(4, self.random.below(64));
        let level = self.level();
        self.form(ACCESSES, level, registers);
    }

    /// HVC and SMC with any arguments.
    fn call(&mut self) {
        let function = match self.random.below(4) {
            0 => self.random.next(),
            1 => 0xc600_0000 | self.random.below(4),
            2 => 0x8000_0000 | self.random.below(2) << 30 | self.random.below(64),
            _ => 0x8400_0000 | self.random.below(2) << 30 | self.random.below(32),
        };
        // What ends the program, or lets it sleep with nobody to wake it.
        if matches!(
            function & 0xbfff_ffff,
            0x8400_0001 | 0x8400_0002 | 0x8400_0008 | 0x8400_0009 | 0x8400_0012
        ) {
            return;
        }
        let mut registers = self.registers().with(0, function);
        if function & 0xbfff_ffff == 0x8400_0003 {
            // A CPU that starts anywhere else is lost to the program.
            registers.x[1] = self.random.below(6);
            let bad =
                [0x3000_0000, access::at_uart(0), 1 << 40, boot::secondary_entry_address() | 1];
            registers.x[2] = bad[self.random.below(4) as usize];
        }
        self.form(0..CALLS, Level::El1, registers);
    }

    /// A return to any state, at words that end at once or at any address.
    fn odd_return(&mut self) {
        let start = attempt::place(Level::El1) + 8 * NOP as u64;
        let entry = match self.random.below(4) {
            0 => self.value() | 1 << 50,
            1 => space::for_el0(start),
            _ => start,
        };
        let pstate = match self.random.below(3) {
            0 => 0x3c0 | self.random.below(16),
            // Not AArch32, whose words would be others.
            1 => self.random.next() & 0xffff_ffff & !0x10,
            _ => 0x3c5 | self.random.next() & 0xffff_0000,
        };
        let mut registers = self.registers();
        attempt::enter(entry, pstate, &mut registers);
    }

    /// A new entry somewhere in the spare part of the table, and a use of it.
    fn table(&mut self) {
        let gib = SPARE_GIBS + self.random.below(32);
        let descriptor = match self.random.below(4) {
            // A block, of any physical gigabyte and with any attributes.
            0 | 1 => self.random.next() & !3 & !(0xffff << 32) | 1 | self.random.below(64) << 30,
            // A table anywhere.
            2 => self.value() & 0xffff_ffff_f000 | 3,
            _ => self.random.next(),
        };
        // Its own memory is not to be seen there: it would write over itself.
        let shows_own = descriptor >> 30 & 0x3_ffff == OWN_GIB && descriptor & 3 == 1;
        let descriptor = if shows_own { descriptor ^ 1 << 31 } else { descriptor };
        space::set_table(gib as usize, descriptor);
        let address = gib << 30 | self.random.below(1 << 30);
        self.form(USES, Level::El1, Registers::marked().with(2, address));
        if self.random.below(4) == 0 {
            attempt::enter(address & !3, Level::El1 as u64, &mut Registers::marked());
        }
        space::set_table(gib as usize, 0);
    }

    /// Waits that something ends: the timer, or on other CPUs the boot CPU's repair.
    fn wait(&mut self, op: u64) {
        let alone = cpu::count() == 1;
        match self.random.below(4) {
            0 if alone || cpu::number() != 0 => {
                repair(if alone { 0 } else { cpu::number() });
                gic::enable(timer::INTID);
                timer::arm(timer::now() + timer::micros(self.random.below(300)));
                attempt_slot(Level::El1, WFI, &mut Registers::marked());
                timer::stop();
            }
            1 => {
                attempt_slot(Level::El0, WFI, &mut Registers::marked());
            }
            2 => {
                attempt_slot(Level::El1, SEV, &mut Registers::marked());
                attempt_slot(Level::El1, WFE, &mut Registers::marked());
            }
            _ => {
                let range = self.scratch..self.scratch + 4096;
                // No descriptor that leads to its own memory.
                ram::fill(&range, |address| !(address ^ op));
            }
        }
    }
}

/// Whether `word` would end the program rather than the hypervisor: what moves its own tables, vectors and stack, branches,
/// and waits.
fn is_fatal(word: u32) -> bool {
    // SCTLR, TCR and TTBR0 (CRn 1 and 2), MAIR, VBAR, TPIDR_EL1, whatever their other fields are.
    const OWN: [u32; 7] =
        [0xd518_1000, 0xd518_2000, 0xd518_2040, 0xd518_a200, 0xd518_c000, 0xd518_d080, 0xd518_2060];
    let writes_own = OWN.contains(&(word & !0x1f));
    let branches = word & 0x7c00_0000 == 0x1400_0000
        || word & 0xfe00_0000 == 0x5400_0000
        || word & 0x7c00_0000 == 0x3400_0000
        || word & 0xfe00_0000 == 0xd600_0000;
    let waits = word & 0xffff_ff9f == 0xd503_201f && matches!(word >> 5 & 0x7f, 2 | 3)
        || word & 0xffff_ffc0 == 0xd503_1000;
    // HLT and DCPS; SVC would be taken for the end, which it is.
    let halts = word & 0xffe0_0000 == 0xd440_0000 || word & 0xffe0_0000 == 0xd4a0_0000;
    // HVC and SMC have their own operation, which leaves out what powers off.
    let calls = matches!(word & 0xffe0_001f, 0xd400_0002 | 0xd400_0003);
    writes_own || branches || waits || halts || calls
}
