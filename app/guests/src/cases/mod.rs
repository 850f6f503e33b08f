//! The table of cases: names, entry points, what an interrupt means to each.

mod bench;
mod clock;
mod gic;
mod hello;
mod hostile;
mod ivc;
mod key;
mod latency;
mod leak;
mod memory;
mod noise;
mod quiet;
mod race;
mod rtc;
mod secret;
mod serial;
mod smp;
mod spin;
mod storm;
mod switch;
mod timer;
mod uart;
mod victim;
mod watchdog;

use crate::board::Board;
use crate::psci;
use crate::report::Outcome;
use core::sync::atomic::{AtomicUsize, Ordering};

/// What the interrupt path does after a case's handler.
pub(crate) enum Completion {
    /// Write EOIR.
    Done,
    /// Leave it active; the case ends it later.
    Held,
}

/// A test case, as the boot argument `case=` names it.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    /// Says hello.
    Hello,
    /// The virtual timer.
    Timer,
    /// PSCI and SGIs between CPUs.
    Smp,
    /// All of free RAM.
    Memory,
    /// Echo by receive interrupts.
    Uart,
    /// The interrupt controller, register by register.
    Gic,
    /// Registers keep their values while another guest runs.
    Leak,
    /// What operations cost.
    Bench,
    /// Nothing, for ever.
    Spin,
    /// Messages to another guest.
    Publish,
    /// Messages from another guest.
    Subscribe,
    /// A clock that is the host's.
    Rtc,
    /// The power key.
    Key,
    /// The watchdog.
    Watchdog,
    /// A serial port that is the host's.
    Serial,
    /// Memory full of a secret.
    Secret,
    /// Memory that should be zero.
    Seek,
    /// Time and timers.
    Clock,
    /// Power calls at random.
    Race,
    /// No interrupts at all.
    Quiet,
    /// How long the CPU is away, how late the timer is.
    Latency,
    /// Disturbs whom it can.
    Noise,
    /// What a switch between two vCPUs costs.
    Switch,
    /// Interrupts of every kind at once.
    Storm,
    /// Attempts to hurt the host or another guest.
    Hostile,
    /// What such an attempt must not change.
    Victim,
}

const CASES: [(&str, Case); 26] = [
    ("hello", Case::Hello),
    ("timer", Case::Timer),
    ("smp", Case::Smp),
    ("memory", Case::Memory),
    ("uart", Case::Uart),
    ("gic", Case::Gic),
    ("leak", Case::Leak),
    ("bench", Case::Bench),
    ("spin", Case::Spin),
    ("publish", Case::Publish),
    ("subscribe", Case::Subscribe),
    ("rtc", Case::Rtc),
    ("key", Case::Key),
    ("watchdog", Case::Watchdog),
    ("serial", Case::Serial),
    ("secret", Case::Secret),
    ("seek", Case::Seek),
    ("clock", Case::Clock),
    ("race", Case::Race),
    ("quiet", Case::Quiet),
    ("latency", Case::Latency),
    ("noise", Case::Noise),
    ("switch", Case::Switch),
    ("storm", Case::Storm),
    ("hostile", Case::Hostile),
    ("victim", Case::Victim),
];

/// The running case's place in `CASES`, for interrupts and secondary CPUs.
static CURRENT: AtomicUsize = AtomicUsize::new(0);

impl Case {
    /// The case called `name`, which becomes the current one.
    pub(crate) fn select(name: &str) -> Option<Case> {
        let index = CASES.iter().position(|&(known, _)| known == name)?;
        CURRENT.store(index, Ordering::Release);
        Some(CASES[index].1)
    }

    /// The case that runs.
    pub(crate) fn current() -> Case {
        CASES[CURRENT.load(Ordering::Acquire)].1
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        CASES[self as usize].0
    }

    /// Looks at the machine before the drivers touch it.
    pub(crate) fn at_boot(self) {
        if let Case::Hostile = self {
            hostile::at_boot();
        }
    }

    /// Runs it on the boot CPU.
    pub(crate) fn run(self, board: &Board) -> Outcome {
        match self {
            Case::Hello => hello::run(board),
            Case::Timer => timer::run(),
            Case::Smp => smp::run(),
            Case::Memory => memory::run(board),
            Case::Uart => uart::run(),
            Case::Gic => gic::run(),
            Case::Leak => leak::run(board),
            Case::Bench => bench::run(board),
            Case::Spin => spin::run(board),
            Case::Publish => ivc::publish(board),
            Case::Subscribe => ivc::subscribe(board),
            Case::Rtc => rtc::run(),
            Case::Key => key::run(board),
            Case::Watchdog => watchdog::run(board),
            Case::Serial => serial::run(board),
            Case::Secret => secret::hide(board),
            Case::Seek => secret::seek(board),
            Case::Clock => clock::run(board),
            Case::Race => race::run(),
            Case::Quiet => quiet::run(board),
            Case::Latency => latency::run(board),
            Case::Noise => noise::run(board),
            Case::Switch => switch::run(),
            Case::Storm => storm::run(board),
            Case::Hostile => hostile::run(board),
            Case::Victim => victim::run(board),
        }
    }

    /// Handles the acknowledged interrupt `intid` on the CPU that took it. Touches atomics only.
    pub(crate) fn interrupt(self, intid: u32) -> Completion {
        match self {
            Case::Timer => timer::interrupt(intid),
            Case::Smp => smp::interrupt(intid),
            Case::Uart => uart::interrupt(intid),
            Case::Gic => gic::interrupt(intid),
            Case::Leak => leak::interrupt(intid),
            Case::Publish | Case::Subscribe => ivc::interrupt(intid),
            Case::Rtc => rtc::interrupt(intid),
            Case::Key => key::interrupt(intid),
            Case::Watchdog => watchdog::interrupt(intid),
            Case::Serial => serial::interrupt(intid),
            Case::Clock => clock::interrupt(intid),
            Case::Race => race::interrupt(intid),
            Case::Latency => latency::interrupt(intid),
            Case::Noise => noise::interrupt(intid),
            Case::Switch => switch::interrupt(intid),
            Case::Storm => storm::interrupt(intid),
            Case::Hostile => hostile::interrupt(intid),
            Case::Victim => victim::interrupt(intid),
            Case::Hello
            | Case::Memory
            | Case::Bench
            | Case::Spin
            | Case::Secret
            | Case::Seek
            | Case::Quiet => Completion::Done,
        }
    }
}

/// Where `boot.s` sends a CPU that CPU_ON started.
///
/// `context` is CPU_ON's third argument, its low byte the CPU's number; `first_tick` the counter at its first instruction.
#[unsafe(no_mangle)]
extern "C" fn secondary_main(context: u64, first_tick: u64) -> ! {
    let number = (context & 0xff) as usize;
    crate::gic::init_cpu(number);
    match Case::current() {
        Case::Smp => smp::secondary(number, context),
        Case::Gic => gic::secondary(),
        Case::Race => race::secondary(number),
        Case::Bench => bench::secondary(first_tick),
        Case::Switch => switch::secondary(),
        Case::Storm => storm::secondary(number),
        Case::Hostile => hostile::secondary(number),
        Case::Hello
        | Case::Timer
        | Case::Memory
        | Case::Uart
        | Case::Leak
        | Case::Spin
        | Case::Publish
        | Case::Subscribe
        | Case::Rtc
        | Case::Key
        | Case::Watchdog
        | Case::Serial
        | Case::Secret
        | Case::Seek
        | Case::Clock
        | Case::Quiet
        | Case::Latency
        | Case::Noise
        | Case::Victim => {}
    }
    loop {
        psci::cpu_off();
    }
}
