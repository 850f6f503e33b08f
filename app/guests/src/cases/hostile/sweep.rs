//! Every encoding of a system register or instruction is tried in both directions, and what became of it is told.
//!
//! A line for each encoding that is not refused both ways: `S LEVEL OP0.OP1.CRn.CRm.OP2 READ WRITE VALUE AFTER`. READ and
//! WRITE are `-` (undefined), `d` (done), `t` (done, but somebody above looked at it), or `x` and the class of the exception
//! that EL1 took. VALUE is what was read first, AFTER what was read after all ones were written, which is done to debug
//! registers only. `U NAME HOW` tells of an instruction of a hidden feature. scripts/lib/isolation.py compares the lines with
//! tests/isolation.toml.

use super::attempt::{self, End, Level, Registers, SLOTS, class};
use super::expect::holds;
use super::hidden;
use super::registers::{read, write};
use super::space::View;
use super::words::Reg;
use crate::board::Board;
use crate::println;
use crate::report::Outcome;
use crate::sysreg::CNTKCTL_EL1;
use core::sync::atomic::AtomicU32;

/// Encodings for each op0: op1, CRn, CRm and op2.
const PER_OP0: u32 = 8 * 16 * 16 * 8;
/// How often an exclusive pair may fail before somebody is to blame.
pub(super) const TRIES: usize = 5;

/// Memory that instructions may be given the address of.
#[repr(C, align(4096))]
struct Scratch([AtomicU32; 1024]);

static SCRATCH: Scratch = Scratch([const { AtomicU32::new(0) }; 1024]);
/// What the exclusive pair around a word is made on.
static WATCHED: AtomicU32 = AtomicU32::new(0);

/// How one access ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Undefined,
    Direct,
    Trapped,
    Other(u64),
}

impl core::fmt::Display for How {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            How::Undefined => f.write_str("-"),
            How::Direct => f.write_str("d"),
            How::Trapped => f.write_str("t"),
            How::Other(class) => write!(f, "x{class:02x}"),
        }
    }
}

/// Where the sweep is made, and with which registers.
#[derive(Clone, Copy)]
struct Sweep {
    level: Level,
    scratch: u64,
    watched: u64,
}

impl Sweep {
    fn at(level: Level) -> Sweep {
        let address = |pointer: u64| match level {
            Level::El1 => pointer,
            Level::El0 => View::El0Data.of(pointer),
        };
        let scratch = address(SCRATCH.0.as_ptr().addr() as u64);
        Sweep { level, scratch, watched: address(WATCHED.as_ptr().addr() as u64) }
    }

    /// X2 for the exclusive pair, X3 as what is written.
    fn registers(&self, reg: Reg) -> Registers {
        let Reg(op0, ..) = reg;
        let value = match op0 {
            // A maintenance instruction gets an address.
            1 => self.scratch,
            2 => u64::MAX,
            _ => 0,
        };
        Registers::marked().with(2, self.watched).with(3, value)
    }

    /// Whether `word`, after `before`, is executed, and whether it went through somebody's hands: an exception return
    /// ends an exclusive pair. Gives X3 as well.
    fn how(&self, before: u32, word: u32, registers: Registers) -> (How, u64) {
        let start = attempt::write(&[before, LDXR, word, STXR], self.level);
        for _ in 0..TRIES {
            let mut after = registers;
            let end = attempt::enter(start, self.level as u64, &mut after);
            if !end.is_done() {
                return (refused(&end), 0);
            }
            if after.x[5] == 0 {
                return (How::Direct, after.x[3]);
            }
            if after.x[5] != 1 {
                // The store was never reached, and yet all was done: no such thing.
                return (How::Other(end.class()), after.x[3]);
            }
        }
        let mut after = registers;
        attempt::enter(start, self.level as u64, &mut after);
        (How::Trapped, after.x[3])
    }

    /// Tells about `reg`, of which it is known whether it can be read at all.
    fn tell(&self, reg: Reg, readable: bool) {
        let Reg(op0, op1, crn, crm, op2) = reg;
        let registers = self.registers(reg);
        let (read, value) = self.how(NOP, reg.read(3), registers);
        // What was read is written back, so that nothing changes.
        let before = if readable && op0 == 3 { reg.read(3) } else { NOP };
        let (write, _) = self.how(before, reg.write(3), registers);
        let after = if op0 == 2 && readable { self.how(NOP, reg.read(3), registers).1 } else { 0 };
        let level = u32::from(self.level == Level::El1);
        println!("S {level} {op0}.{op1}.{crn}.{crm}.{op2} {read} {write} {value:x} {after:x}");
    }

    /// Executes the words that `of` makes of `block`, each by itself; which of them were not simply undefined.
    fn block(&self, block: &[Reg; SLOTS], words: impl Iterator<Item = u32>) -> [bool; SLOTS] {
        attempt::write_slots(0, words);
        core::array::from_fn(|slot| {
            let mut registers = self.registers(block[slot]);
            let end = attempt::attempt_slot(self.level, slot, &mut registers);
            end.is_done() || refused(&end) != How::Undefined
        })
    }

    /// Every encoding of `op0`.
    fn all(&self, op0: u32) -> usize {
        let mut told = 0;
        let mut regs = [Reg(op0, 0, 0, 0, 0); SLOTS];
        for first in (0..PER_OP0).step_by(SLOTS) {
            for (n, reg) in (first..).zip(&mut regs) {
                *reg = Reg(op0, n >> 11, n >> 7 & 15, n >> 3 & 15, n & 7);
            }
            let readable = self.block(&regs, regs.iter().map(|reg| reg.read(3)));
            // What can be read is written by `tell`, with what it holds.
            let writes = regs.iter().zip(readable);
            let writes = writes.map(|(reg, readable)| if readable { NOP } else { reg.write(3) });
            let writable = self.block(&regs, writes);
            for ((reg, readable), writable) in regs.iter().zip(readable).zip(writable) {
                if readable || writable {
                    self.tell(*reg, readable);
                    told += 1;
                }
            }
        }
        told
    }

    /// The fields of PSTATE that an immediate is written to (op0 0, CRn 4).
    fn immediates(&self) -> usize {
        let mut told = 0;
        for (op1, op2) in (0..8).flat_map(|op1| (0..8).map(move |op2| (op1, op2))) {
            for crm in 0..16 {
                let reg = Reg(0, op1, 4, crm, op2);
                let (write, _) = self.how(NOP, reg.write(31), self.registers(reg));
                if write != How::Undefined {
                    let level = u32::from(self.level == Level::El1);
                    println!("S {level} 0.{op1}.4.{crm}.{op2} - {write} 0 0");
                    told += 1;
                }
            }
        }
        told
    }
}

const NOP: u32 = 0xd503_201f;
const LDXR: u32 = 0x885f_7c44;
const STXR: u32 = 0x8805_7c44;

fn refused(end: &End) -> How {
    if end.class() == class::UNKNOWN { How::Undefined } else { How::Other(end.class()) }
}

/// SCTLR_EL1.{CP15BEN, UMA, DZE, UCT, UCI}, CNTKCTL_EL1.{EL0PCTEN, EL0VCTEN, EL0VTEN, EL0PTEN}.
pub(super) fn open_to_el0() -> Outcome {
    const SCTLR_EL1: Reg = Reg(3, 0, 1, 0, 0);
    let sctlr = read("SCTLR_EL1", SCTLR_EL1)?;
    write("SCTLR_EL1", SCTLR_EL1, sctlr | 1 << 5 | 1 << 9 | 1 << 14 | 1 << 15 | 1 << 26)?;
    CNTKCTL_EL1::write(0x303);
    Ok(())
}

/// A23c: all of op0 1, 2 and 3, and the immediates, at EL1 and at EL0, where EL1 forbids it nothing.
pub(super) fn everything(_: &Board) -> Outcome {
    // FPEN, ZEN, SMEN: no trap of EL1's own comes first.
    write("CPACR_EL1", Reg(3, 0, 1, 0, 2), 3 << 16 | 3 << 20 | 3 << 24)?;
    let mut told = 0;
    for level in [Level::El1, Level::El0] {
        if level == Level::El0 {
            open_to_el0()?;
        }
        let sweep = Sweep::at(level);
        // The registers first: instructions leave something in PAR_EL1.
        for op0 in [3, 2, 1] {
            told += sweep.all(op0);
        }
        told += sweep.immediates();
    }
    for (name, word) in hidden::words() {
        let sweep = Sweep::at(Level::El1);
        let (how, _) = sweep.how(NOP, word, sweep.registers(Reg(0, 0, 0, 0, 0)));
        println!("U {name} {how}");
        told += 1;
    }
    println!("SWEPT {told}");
    holds("something was found", told > 0)
}
