//! The guest-physical space: what answers, what may not be written, what was somebody else's.

use super::attempt::{self, Level, Registers, class, enter};
use super::expect::{data_abort, done, equal, fetch_abort, holds, said};
use super::space::{self, View};
use super::words::{Reg, load, store, word};
use super::{other_cpus, registers};
use crate::board::Board;
use crate::report::Outcome;
use crate::sysreg::ID_AA64MMFR0_EL1;
use crate::{boot, cpu, println, ram, timer};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// tests/hostile/hostile.toml: memory that may only be read.
const READ_ONLY: Range<u64> = 0x6000_0000..0x6001_0000;
/// And the device beside the UART, which the device tree does not name.
const DUMMY: Range<u64> = 0x0900_1000..0x0900_2000;

/// Whether a VM of tests/hostile/hostile.toml has something there.
fn is_ours(board: &Board, address: u64) -> bool {
    board.is_ram(address)
        || board.is_device(address)
        || READ_ONLY.contains(&address)
        || DUMMY.contains(&address)
}

/// C32: nothing answers but what is the VM's, at every 2 MiB of the space and every page where devices are.
pub(super) fn scan(board: &Board) -> Outcome {
    const DEVICES: Range<u64> = 0x0700_0000..0x0c00_0000;
    let start = attempt::write(&[load(2)], Level::El1);
    let coarse = (0..View::UNCACHED_GIB << 30).step_by(2 << 20);
    let fine = DEVICES.step_by(4096).chain((0x5ff0_0000..0x6002_0000).step_by(4096));
    let (mut answers, mut probes) = (0u64, 0u64);
    for address in coarse.chain(fine) {
        let mut at = Registers::marked().with(2, View::Uncached.of(address));
        let end = enter(start, Level::El1 as u64, &mut at);
        let ours = is_ours(board, address);
        if end.is_done() != ours {
            println!("at {address:#x}");
        }
        let refused = end.class() == class::DATA_ABORT;
        said("what answers", if ours { end.is_done() } else { refused }, &end, load(2))?;
        (answers, probes) = (answers + u64::from(ours), probes + 1);
    }
    println!("{answers} of {probes} answered");
    equal("answers: some", answers > 0, true)
}

/// C33: the last addresses there are, and those beyond.
pub(super) fn beyond_the_top(_: &Board) -> Outcome {
    const GIB: usize = 460;
    const TCR_EL1: Reg = Reg(3, 0, 2, 0, 2);
    const IPS: u64 = 7 << 32;
    equal("ID_AA64MMFR0_EL1.PARange", ID_AA64MMFR0_EL1::read() & 0xf <= 1, true)?;
    let tcr = registers::read("TCR_EL1", TCR_EL1)?;
    for ips in [2u64, 3, 5] {
        registers::write("TCR_EL1", TCR_EL1, tcr & !IPS | ips << 32)?;
        for gib in [63u64, 64, 65, 255, 256, 511, 512, 513, 1023, 16383, 16384, 262_143] {
            space::set_table(GIB, gib << 30 | View::Uncached.attributes());
            for offset in [0, 0x3fff_fff8] {
                let address = ((GIB as u64) << 30) + offset;
                let at = Registers::marked().with(2, address);
                let refused = data_abort("a load beyond memory", load(3), at, Some(address))
                    .and_then(|()| data_abort("a store beyond", store(3), at, Some(address)));
                if refused.is_err() {
                    println!("IPS {ips}, gigabyte {gib}");
                }
                refused?;
            }
        }
    }
    registers::write("TCR_EL1", TCR_EL1, tcr)?;
    space::set_table(GIB, 0);
    Ok(())
}

/// C34: every kind of write to memory that may only be read, and jumps into it.
pub(super) fn read_only(_: &Board) -> Outcome {
    for address in [READ_ONLY.start, READ_ONLY.start + 0x1230, READ_ONLY.end - 64] {
        for address in [address, View::Uncached.of(address)] {
            let at = Registers::marked().with(2, address);
            equal("what it holds", done("a load", load(3), at)?.x[3], 0u64)?;
            let words = [
                store(0),
                store(3),
                word!("stp x3, x4, [x2]"),
                word!("str x3, [x2], #8"),
                word!("str q0, [x2]"),
                word!("dc zva, x2"),
            ];
            for word in words {
                // DC ZVA reports the start of what it clears.
                data_abort("a store to read-only memory", word, at, None)?;
            }
            equal("what it holds after all", done("a load", load(3), at)?.x[3], 0u64)?;
        }
        fetch_abort("a fetch from memory that may only be read", View::Executable.of(address))?;
    }
    Ok(())
}

fn secret(address: u64) -> u64 {
    address.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// C35 and C38, first part: fills all free memory with a secret, or with code.
pub(super) fn leave_secret(board: &Board) -> Outcome {
    let code = u64::from(word!("movz x0, #0xdead")) << 32 | u64::from(word!("svc #7"));
    let is_code = board.argument("leave") == Some("code");
    let mut bytes = 0;
    for range in board.free_ram() {
        ram::fill(&range, |address| if is_code { code } else { secret(address) });
        attempt::publish(range.start, if is_code { range.end - range.start } else { 0 });
        bytes += range.end - range.start;
    }
    println!("left something in {bytes} bytes");
    holds("memory to leave something in", bytes > 8 << 20)
}

/// C35, second part: all free memory of a new VM is zero, with caches and without.
pub(super) fn find_secret(board: &Board) -> Outcome {
    for range in board.free_ram() {
        let uncached = View::Uncached.of(range.start)..View::Uncached.of(range.end);
        for range in [uncached, range] {
            if let Some(found) = ram::find_mismatch(&range, |_| 0) {
                println!("at {:#x}: {:#x}", found.address, found.got);
                holds("all memory is zero", false)?;
            }
        }
    }
    holds("all memory is zero", true)
}

/// C38, second part: what was executable code of another VM is not executed, and new code is what was written.
pub(super) fn stale_code(board: &Board) -> Outcome {
    const UDF: u32 = 0;
    for range in board.free_ram() {
        let first = range.start.next_multiple_of(4096);
        for page in (first..range.end.saturating_sub(4096)).step_by(64 << 10) {
            let mut at = Registers::marked();
            let end = enter(page, Level::El1 as u64, &mut at);
            said("a page of zeros", end.class() == class::UNKNOWN && end.elr == page, &end, UDF)?;
            equal("x0 after it", at.x[0], Registers::marked().x[0])?;
        }
    }
    for round in 0..500u32 {
        let words = [0xd280_0000 | (round & 0xffff) << 5, word!("nop")];
        let mut at = Registers::marked();
        let end = attempt::attempt(&words, &mut at);
        said("code that was just written", end.is_done(), &end, words[0])?;
        equal("what it computes", at.x[0], u64::from(round))?;
    }
    Ok(())
}

static HAMMERING: AtomicBool = AtomicBool::new(false);
static HITS: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);
/// The gigabyte that is split, and the second one of memory seen there.
const SPLIT_GIB: usize = 464;

/// A level-2 table: 2 MiB blocks of the gigabyte with RAM.
#[repr(C, align(4096))]
struct Blocks([AtomicU64; 512]);
static BLOCKS: Blocks = Blocks([const { AtomicU64::new(0) }; 512]);

/// C37: the boot CPU splits and merges, the others write and read.
pub(super) fn split_and_merge(board: &Board) -> Outcome {
    const MILLIS: u64 = 400;
    for (index, block) in (0u64..).zip(&BLOCKS.0) {
        block.store(1 << 30 | index << 21 | View::El0Data.attributes() & !(1 << 6), SeqCst);
    }
    HAMMERING.store(true, SeqCst);
    other_cpus(board, || {
        let end = timer::now() + timer::micros(MILLIS * 1000);
        let mut rounds = 0u64;
        while timer::now() < end {
            space::set_table(SPLIT_GIB, BLOCKS.0.as_ptr().addr() as u64 | 3);
            timer::delay(50);
            space::set_table(SPLIT_GIB, 1 << 30 | View::El0Data.attributes() & !(1 << 6));
            timer::delay(50);
            rounds += 1;
        }
        HAMMERING.store(false, SeqCst);
        println!("{rounds} times split and merged, {} hits", HITS.load(SeqCst));
        Ok(())
    })?;
    equal("accesses that went wrong", WRONG.load(SeqCst), 0u64)?;
    equal("accesses at all", HITS.load(SeqCst) > 0, true)
}

/// C37: another CPU, at a word of its own within the image's last page of stacks.
pub(super) fn hammer(number: usize) {
    let own = boot::image().end - 64 * (number as u64 + 1);
    let seen = ((SPLIT_GIB as u64) << 30) + (own & 0x3fff_ffff);
    let words = [word!("str x3, [x2]"), word!("ldr x4, [x2]")];
    let mut value = number as u64;
    while HAMMERING.load(SeqCst) {
        value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let mut at = Registers::marked().with(2, seen).with(3, value);
        let end = attempt::attempt(&words, &mut at);
        let in_between = end.class() == class::DATA_ABORT && end.fault_status() & !3 == 4;
        match (end.is_done() && at.x[4] == value, in_between) {
            (true, _) => _ = HITS.fetch_add(1, SeqCst),
            (false, true) => {}
            (false, false) => _ = WRONG.fetch_add(1, SeqCst),
        }
        cpu::relax();
    }
}
