//! Every coprocessor register that AArch32 has names for is tried at EL0 in both directions, and what became of it is told.
//!
//! `C COPROCESSOR.OPC1.CRn.CRm.OPC2 READ WRITE VALUE` for MRC and MCR, `C COPROCESSOR.OPC1.CRm ...` for MRRC and MCRR; the rest is as
//! sweep.rs tells it.

use super::attempt::{self, FROM_AARCH32, Registers, SLOTS, class};
use super::expect::holds;
use super::space::{self, View};
use super::sweep::{How, TRIES, open_to_el0};
use crate::board::Board;
use crate::println;
use crate::report::Outcome;
use core::sync::atomic::AtomicU32;

/// User mode, A32, everything masked.
const PSTATE: u64 = 0x1d0;
const DONE: u32 = 0x5a5a;
const SVC_DONE: u32 = 0xef00_0000 | DONE;
const NOP: u32 = 0xe320_f000;
/// LDREX r4, [r2] and STREX r5, r4, [r2].
const LDREX: u32 = 0xe192_4f9f;
const STREX: u32 = 0xe182_5f94;

/// Where AArch32 sees the second gigabyte and may write it.
const DATA_GIB: u64 = 2;

/// What the exclusive pair around a word is made on.
static WATCHED: AtomicU32 = AtomicU32::new(0);

/// A coprocessor register.
#[derive(Clone, Copy)]
enum Reg {
    /// Coprocessor, opc1, CRn, CRm, opc2.
    Word(u32, u32, u32, u32, u32),
    /// Coprocessor, opc1, CRm.
    Double(u32, u32, u32),
}

impl Reg {
    /// Number `n` of those of one register, for `coprocessor`.
    const fn word(coprocessor: u32, n: u32) -> Reg {
        Reg::Word(coprocessor, n >> 11, n >> 7 & 15, n >> 3 & 15, n & 7)
    }

    /// MCR and MCRR from r3 (and r6), or with `read` MRC and MRRC.
    const fn instruction(self, read: bool) -> u32 {
        let word = match self {
            Reg::Word(coprocessor, opc1, crn, crm, opc2) => {
                0xee00_3010 | coprocessor << 8 | opc1 << 21 | crn << 16 | crm | opc2 << 5
            }
            Reg::Double(coprocessor, opc1, crm) => 0xec46_3000 | coprocessor << 8 | opc1 << 4 | crm,
        };
        if read { word | 1 << 20 } else { word }
    }
}

impl core::fmt::Display for Reg {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Reg::Word(coprocessor, opc1, crn, crm, opc2) => {
                write!(f, "{coprocessor}.{opc1}.{crn}.{crm}.{opc2}")
            }
            Reg::Double(coprocessor, opc1, crm) => write!(f, "{coprocessor}.{opc1}.{crm}"),
        }
    }
}

fn registers() -> Registers {
    let watched = DATA_GIB << 30 | WATCHED.as_ptr().addr() as u64 & 0x3fff_ffff;
    Registers::marked().with(2, watched).with(3, 0).with(6, 0)
}

/// Enters the words at `entry`; how they ended, and r3 and r5.
fn enter(entry: u64) -> (How, u64, u64) {
    let mut after = registers();
    let end = attempt::enter(entry, PSTATE, &mut after);
    let done = end.class() == class::SVC32 && end.esr & 0xffff == u64::from(DONE);
    let how = match end.class() {
        _ if end.vector != FROM_AARCH32 => How::Other(end.class()),
        _ if done => How::Direct,
        class::UNKNOWN => How::Undefined,
        class => How::Other(class),
    };
    (how, after.x[3] & 0xffff_ffff, after.x[5] & 0xffff_ffff)
}

/// Whether `word`, after `before`, is executed, and whether somebody looked at it; gives r3 as well.
fn how(before: u32, word: u32) -> (How, u64) {
    let words = [before, LDREX, word, STREX, SVC_DONE];
    let entry = space::for_aarch32(attempt::write(&words, attempt::Level::El1));
    let mut last = 0;
    for _ in 0..TRIES {
        let (how, value, failed) = enter(entry);
        if how != How::Direct || failed == 0 {
            return (how, value);
        }
        last = value;
    }
    (How::Trapped, last)
}

fn tell(reg: Reg, readable: bool) {
    let (read, value) = how(NOP, reg.instruction(true));
    let before = if readable { reg.instruction(true) } else { NOP };
    let (write, _) = how(before, reg.instruction(false));
    println!("C {reg} {read} {write} {value:x}");
}

/// Tries each of `regs` and tells about those that are not undefined both ways.
fn block(regs: &[Reg]) -> usize {
    let tried = |word: &dyn Fn(usize) -> u32| -> [bool; SLOTS / 2] {
        let mut words = [NOP; SLOTS];
        for (slot, pair) in words.chunks_exact_mut(2).take(regs.len()).enumerate() {
            pair.copy_from_slice(&[word(slot), SVC_DONE]);
        }
        let entry = space::for_aarch32(attempt::write(&words, attempt::Level::El1));
        let executed =
            |slot| slot < regs.len() && enter(entry + 8 * slot as u64).0 != How::Undefined;
        core::array::from_fn(executed)
    };
    let readable = tried(&|slot| regs[slot].instruction(true));
    // What can be read is written by `tell`, with what it holds.
    let writable = tried(&|slot| if readable[slot] { NOP } else { regs[slot].instruction(false) });
    let mut told = 0;
    for ((reg, readable), writable) in regs.iter().zip(readable).zip(writable) {
        if readable || writable {
            tell(*reg, readable);
            told += 1;
        }
    }
    told
}

/// A23e: coprocessors 14 and 15.
pub(super) fn everything(_: &Board) -> Outcome {
    space::set_table(DATA_GIB as usize, 1 << 30 | View::El0Data.attributes());
    open_to_el0()?;
    let mut told = 0;
    for coprocessor in [14, 15] {
        for first in (0..8 << 11).step_by(SLOTS / 2) {
            let regs: [Reg; SLOTS / 2] =
                core::array::from_fn(|n| Reg::word(coprocessor, first + n as u32));
            told += block(&regs);
        }
        let doubles: [Reg; 256] =
            core::array::from_fn(|n| Reg::Double(coprocessor, n as u32 >> 4, n as u32 & 15));
        told += block(&doubles);
    }
    println!("SWEPT {told}");
    holds("something was found", told > 0)
}
