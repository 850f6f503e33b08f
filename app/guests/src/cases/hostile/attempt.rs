//! The one thing a hostile guest does: an instruction of its choice, at a level and in a state of its choice.
//!
//! The words are written to a page of this CPU's own, followed by a supervisor call, and entered by ERET. Whatever
//! exception ends them, the supervisor call included, is recorded, and the attempt returns.

use crate::board::MAX_CPUS;
use crate::cases::hostile::space;
use crate::{cpu, sysreg};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

core::arch::global_asm!(include_str!("attempt.s"));

unsafe extern "C" {
    static hostile_vectors: u8;
    fn hostile_enter(frame: *mut Frame, entry: u64, pstate: u64);
}

/// As many words as an attempt can have.
pub(crate) const MAX_WORDS: usize = 1000;

/// Where one CPU puts its words.
#[repr(C, align(4096))]
struct Code([AtomicU32; 1024]);

static CODE: [Code; MAX_CPUS] = [const { Code([const { AtomicU32::new(0) }; 1024]) }; MAX_CPUS];

/// The supervisor call behind the words.
const DONE: u32 = 0x5a5a;
const SVC_DONE: u32 = 0xd400_0001 | DONE << 5;

/// The registers of an attempt, before and after it, and how it ended. attempt.s knows the order.
#[repr(C)]
struct Frame {
    x: [u64; 31],
    sp: u64,
    sp_el0: u64,
    kept_sp: u64,
    esr: u64,
    elr: u64,
    far: u64,
    spsr: u64,
    vector: u64,
}

/// X0 to X30 and the stack pointer in use, which an attempt finds and leaves.
#[derive(Clone, Copy)]
pub(crate) struct Registers {
    pub(crate) x: [u64; 31],
    pub(crate) sp: u64,
}

impl Registers {
    /// Every register with a value of its own, so that a wrong one shows.
    pub(crate) fn marked() -> Registers {
        Registers { x: core::array::from_fn(|n| 0x1111_0000_0000_0000 + n as u64), sp: 0x7777_0000 }
    }

    /// The same with `value` in X`n`.
    pub(crate) fn with(mut self, n: usize, value: u64) -> Registers {
        self.x[n] = value;
        self
    }
}

/// PSTATE of an attempt, everything masked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    El0 = 0x3c0,
    El1 = 0x3c5,
}

/// What ended an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// The number of the vector: 4 is a synchronous exception from EL1, 8 one from EL0.
    pub(crate) vector: u64,
    pub(crate) esr: u64,
    pub(crate) elr: u64,
    pub(crate) far: u64,
    pub(crate) spsr: u64,
}

/// Exception classes (DDI 0487, ESR_EL1.EC).
pub(crate) mod class {
    pub(crate) const UNKNOWN: u64 = 0x00;
    pub(crate) const ILLEGAL_STATE: u64 = 0x0e;
    pub(crate) const SVC32: u64 = 0x11;
    pub(crate) const SVC: u64 = 0x15;
    pub(crate) const SYSTEM_REGISTER: u64 = 0x18;
    pub(crate) const FETCH_ABORT: u64 = 0x21;
    pub(crate) const DATA_ABORT: u64 = 0x25;
    pub(crate) const SERROR: u64 = 0x2f;
    pub(crate) const BREAKPOINT: u64 = 0x3c;
}

/// Vectors: synchronous from EL1, from AArch64 EL0, from AArch32 EL0.
pub(crate) const FROM_EL1: u64 = 4;
pub(crate) const FROM_EL0: u64 = 8;
pub(crate) const FROM_AARCH32: u64 = 12;

impl End {
    /// ESR_EL1.EC.
    pub(crate) fn class(&self) -> u64 {
        self.esr >> 26 & 0x3f
    }

    /// The words were executed to their end.
    pub(crate) fn is_done(&self) -> bool {
        self.class() == class::SVC && self.esr & 0xffff == u64::from(DONE)
    }

    /// DFSC or IFSC.
    pub(crate) fn fault_status(&self) -> u64 {
        self.esr & 0x3f
    }
}

/// Makes attempts possible on this CPU.
pub(crate) fn prepare() {
    let table = (&raw const hostile_vectors).addr();
    // SAFETY: the table handles what the ordinary one does, and the exceptions of attempts.
    unsafe {
        asm!("msr tpidr_el1, xzr", "msr vbar_el1, {}", "isb", in(reg) table, options(nostack))
    };
}

/// Enters `entry` with PSTATE `pstate`; for what must not come back to where the words are.
pub(crate) fn enter(entry: u64, pstate: u64, registers: &mut Registers) -> End {
    let mut frame = Frame {
        x: registers.x,
        sp: registers.sp,
        sp_el0: registers.sp,
        kept_sp: 0,
        esr: 0,
        elr: 0,
        far: 0,
        spsr: 0,
        vector: 0,
    };
    let masked = sysreg::DAIF::read();
    cpu::mask_irq();
    // SAFETY: the words of a case touch only what the case gives them; the vectors bring back the stack and the
    // registers that must be kept.
    unsafe { hostile_enter(&mut frame, entry, pstate) };
    sysreg::DAIF::write(masked);
    registers.x = frame.x;
    registers.sp = if pstate & 0xf == 5 { frame.sp } else { frame.sp_el0 };
    let Frame { esr, elr, far, spsr, vector, .. } = frame;
    End { vector, esr, elr, far, spsr }
}

/// Writes `words` for this CPU; gives the address of the first one for `level`.
pub(crate) fn write(words: &[u32], level: Level) -> u64 {
    let code = &CODE[cpu::number()];
    for (slot, &word) in code.0.iter().zip(words.iter().take(MAX_WORDS).chain(&[SVC_DONE])) {
        slot.store(word, Relaxed);
    }
    let start = code.0.as_ptr().addr() as u64;
    publish(start, 4 * (words.len().min(MAX_WORDS) as u64 + 1));
    match level {
        Level::El1 => start,
        Level::El0 => space::for_el0(start),
    }
}

/// Makes code that was written executable.
pub(crate) fn publish(start: u64, bytes: u64) {
    let end = start + bytes;
    for line in (start & !63..end).step_by(64) {
        // SAFETY: cache maintenance of memory that this guest owns.
        unsafe { asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", in(reg) line, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack)) };
}

/// As many single words as `write_slots` takes.
pub(crate) const SLOTS: usize = 512;

/// Writes each of `words` as an attempt of its own for this CPU, from slot `first` on.
pub(crate) fn write_slots(first: usize, words: impl Iterator<Item = u32>) {
    let code = &CODE[cpu::number()];
    for (pair, word) in code.0.chunks_exact(2).skip(first).zip(words) {
        if let [slot, end] = pair {
            slot.store(word, Relaxed);
            end.store(SVC_DONE, Relaxed);
        }
    }
    publish(code.0.as_ptr().addr() as u64, 4096);
}

/// Executes the word in `slot`.
pub(crate) fn attempt_slot(level: Level, slot: usize, registers: &mut Registers) -> End {
    enter(place(level) + 8 * slot as u64, level as u64, registers)
}

/// Replaces one word of somebody's code.
pub(crate) fn overwrite(address: u64, word: u32) {
    // SAFETY: callers name a word that `write` has written, which is only ever accessed atomically.
    let slot = unsafe { AtomicU32::from_ptr(address as *mut u32) };
    slot.store(word, Relaxed);
    publish(address, 4);
}

/// Executes `words` at `level`.
pub(crate) fn attempt_at(level: Level, words: &[u32], registers: &mut Registers) -> End {
    enter(write(words, level), level as u64, registers)
}

/// Executes `words` at EL1.
pub(crate) fn attempt(words: &[u32], registers: &mut Registers) -> End {
    attempt_at(Level::El1, words, registers)
}

/// Where this CPU's words stand at `level`.
pub(crate) fn place(level: Level) -> u64 {
    let start = CODE[cpu::number()].0.as_ptr().addr() as u64;
    match level {
        Level::El1 => start,
        Level::El0 => space::for_el0(start),
    }
}
