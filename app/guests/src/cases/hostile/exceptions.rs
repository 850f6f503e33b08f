//! Jumps, returns and table walks to where nothing good can come of them.

use super::attempt::{self, End, FROM_AARCH32, Level, Registers, class, enter};
use super::expect::{equal, fetch_abort, holds, said, wedge};
use super::space::{self, View};
use super::words::{Reg, load, store, word};
use super::{access, registers};
use crate::board::Board;
use crate::report::Outcome;
use crate::sysreg::ID_AA64PFR0_EL1;
use crate::{gic, println, ram, timer};

/// IFSC and DFSC of a synchronous external abort, and of one on a table walk, whose level is in the low bits.
const EXTERNAL: u64 = 0x10;
const EXTERNAL_ON_WALK: u64 = 0x14;

/// Where a VM has nothing.
const HOLES: [u64; 3] = [0x3000_0000, 0x0fff_f000, 0x2_0000_0000];

/// A15: an address that stage 2 does not map, and one that the guest itself does not.
pub(super) fn jump_to_nowhere(_: &Board) -> Outcome {
    for hole in HOLES {
        let end = fetch_abort("a fetch from nowhere", View::Executable.of(hole))?;
        equal("its IFSC", end.fault_status(), EXTERNAL)?;
    }
    let end = fetch_abort("a fetch from what the guest does not map", 0x70_0000_0000)?;
    equal("its IFSC: translation fault", end.fault_status() & !3, 4u64)
}

/// A16: into the registers of devices.
pub(super) fn jump_to_device(_: &Board) -> Outcome {
    let devices = [access::at_uart(0), access::at_uart(0xfe0), gic::typer_address() as u64];
    for device in devices.into_iter().chain([gic::second_frame() as u64]) {
        let end = fetch_abort("a fetch from a device", View::Executable.of(device))?;
        equal("its IFSC", end.fault_status(), EXTERNAL)?;
    }
    Ok(())
}

/// A17: pages of the host behind which is nothing, as if they were a device's: tests/hostile/hole.toml.
pub(super) fn passthrough_hole(_: &Board) -> Outcome {
    const HOLE: u64 = 0x0b02_0000;
    for offset in [0, 8, 0x7fc, 0xff8] {
        for (size, word) in (0..4).flat_map(|size| [(size, load(size)), (size, store(size))]) {
            let mut at = Registers::marked().with(2, HOLE + offset);
            let end = attempt::attempt(&[word, word!("dsb sy"), word!("isb")], &mut at);
            let own = matches!(end.class(), class::DATA_ABORT | class::SERROR);
            if !own {
                println!("size {size} at {offset:#x}");
            }
            said("an access behind which is nothing", own, &end, word)?;
        }
    }
    let end = fetch_abort("a fetch from a device of the host", View::Executable.of(HOLE))?;
    holds("its IFSC: external abort or permission", matches!(end.fault_status(), 0x0c..=0x10))
}

/// A18: the vectors are gone, and then every instruction faults.
pub(super) fn without_vectors(_: &Board) -> Outcome {
    wedge("no vectors")?;
    // SAFETY: nothing of this guest runs again.
    unsafe {
        core::arch::asm!("msr vbar_el1, {}", "isb", "udf #0", in(reg) 0x70_0000_0000u64, options(noreturn));
    }
}

/// A19: levels and states that EL1 cannot return to.
pub(super) fn illegal_return(_: &Board) -> Outcome {
    const SVC32_WORD: u32 = 0xef00_0000;
    const MODES: [u64; 20] = [
        0x08, 0x09, 0x0c, 0x0d, 0x01, 0x02, 0x03, 0x06, 0x07, 0x0a, 0x0b, 0x0e, 0x0f, 0x11, 0x12,
        0x13, 0x16, 0x17, 0x1a, 0x1f,
    ];
    let start = attempt::write(&[word!("nop")], Level::El1);
    for mode in MODES {
        let end = enter(start, 0x3c0 | mode, &mut Registers::marked());
        if end.class() != class::ILLEGAL_STATE {
            println!("mode {mode:#x}: ESR {:#x}, SPSR {:#x}", end.esr, end.spsr);
        }
        equal("class after an illegal return", end.class(), class::ILLEGAL_STATE)?;
        holds("SPSR_EL1.IL after it", end.spsr >> 20 & 1 == 1)?;
    }
    let start = space::for_aarch32(attempt::write(&[SVC32_WORD], Level::El1));
    let end = enter(start, 0x1d0, &mut Registers::marked());
    if ID_AA64PFR0_EL1::read() & 0xf == 2 {
        equal("class after A32's SVC at EL0", end.class(), class::SVC32)?;
        equal("its vector", end.vector, FROM_AARCH32)
    } else {
        equal("class after a return to A32", end.class(), class::ILLEGAL_STATE)
    }
}

/// A20: tables in devices and in nothing, of TTBR0's tree and of TTBR1's.
pub(super) fn tables_in_devices(_: &Board) -> Outcome {
    const GIB: usize = 448;
    const TABLE: u64 = 3;
    const TTBR1_EL1: Reg = Reg(3, 0, 2, 0, 1);
    const TCR_EL1: Reg = Reg(3, 0, 2, 0, 2);
    const EPD1: u64 = 1 << 23;
    let places =
        [access::at_uart(0), gic::typer_address() as u64 & !0xfff, gic::second_frame() as u64];
    let tcr = registers::read("TCR_EL1", TCR_EL1)?;
    for place in places.into_iter().chain(HOLES) {
        space::set_table(GIB, place | TABLE);
        on_walk((GIB as u64) << 30)?;
        registers::write("TTBR1_EL1", TTBR1_EL1, place)?;
        // Cacheable walks, so that only the place is what is refused.
        registers::write("TCR_EL1", TCR_EL1, tcr & !EPD1 | 1 << 24 | 1 << 26 | 3 << 28)?;
        space::forget();
        let outcome = on_walk(0xffff_ff80_0000_0000);
        registers::write("TCR_EL1", TCR_EL1, tcr)?;
        outcome?;
    }
    space::set_table(GIB, 0);
    Ok(())
}

/// A load from `address` is refused on the walk for it, and so is a fetch.
fn on_walk(address: u64) -> Outcome {
    let mut at = Registers::marked().with(2, address);
    let end = attempt::attempt(&[load(2)], &mut at);
    let right = |end: &End| end.far == address && end.fault_status() & !3 == EXTERNAL_ON_WALK;
    said(
        "a load through tables in a device",
        end.class() == class::DATA_ABORT && right(&end),
        &end,
        0,
    )?;
    let end = fetch_abort("a fetch through tables in a device", address)?;
    said("its IFSC", right(&end), &end, 0)
}

/// A21: set/way maintenance with every operand, and nothing is lost.
pub(super) fn set_way_storm(board: &Board) -> Outcome {
    const ROUNDS: u64 = 20_000;
    const WATCHED: u64 = 256 << 10;
    let Some(free) = board.free_ram().find(|free| free.end - free.start >= WATCHED) else {
        return holds("memory to watch", false);
    };
    let watched = free.start..free.start + WATCHED;
    ram::fill(&watched, |address| !address);
    let words = [word!("dc isw, x2"), word!("dc csw, x2"), word!("dc cisw, x2")];
    let started = timer::now();
    let mut operand = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..ROUNDS {
        operand = operand.rotate_left(17).wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(round);
        let value = if round % 2 == 0 { operand } else { round << 4 | round & 0xe };
        let mut at = Registers::marked().with(2, value);
        let end = attempt::attempt(&words, &mut at);
        said("maintenance by set and way", end.is_done(), &end, 0)?;
    }
    println!("{ROUNDS} rounds in {} us", timer::nanos(timer::now() - started) / 1000);
    holds("memory after the storm", ram::find_mismatch(&watched, |address| !address).is_none())
}

/// A22: errors that the guest makes, late ones too, are its own.
pub(super) fn system_errors(_: &Board) -> Outcome {
    const DISR_EL1: Reg = Reg(3, 0, 12, 1, 1);
    let mut at = Registers::marked();
    let end = attempt::attempt(&[DISR_EL1.read(3)], &mut at);
    if end.is_done() {
        equal("DISR_EL1 of a new vCPU", at.x[3], 0u64)?;
        registers::write("DISR_EL1", DISR_EL1, u64::MAX)?;
    } else {
        equal("class of DISR_EL1", end.class(), class::UNKNOWN)?;
    }
    // Open to errors, writes that nobody answers, and time for what comes late.
    for hole in HOLES {
        let words = [word!("str x3, [x2]"), word!("dsb sy"), word!("esb"), word!("isb")];
        let start = attempt::write(&words, Level::El1);
        let mut at = Registers::marked().with(2, View::Uncached.of(hole));
        let end = enter(start, Level::El1 as u64 & !(1 << 8), &mut at);
        let known = matches!(end.class(), class::DATA_ABORT | class::SERROR);
        said("a write that nobody answers", known, &end, 0)?;
    }
    timer::delay(10_000);
    Ok(())
}
