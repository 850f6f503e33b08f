//! Loads and stores of every form to devices, and to where nothing is.

use super::attempt::{self, Registers};
use super::expect::{data_abort, done, done_or_refused, equal, said, unchanged};
use super::space::View;
use super::words::{load, store, word};
use crate::board::Board;
use crate::gic;
use crate::report::{Failure, Outcome};
use crate::uart;

/// Registers of the PL011 that only say what it is: UARTPeriphID0 to 3, a word each, 0x11, 0x10, ...
const IDENTITY: u64 = 0xfe0;
/// UARTIBRD and UARTFBRD: 16 and 6 bits that this guest has no use for.
const DIVISORS: u64 = 0x24;

/// The register of the UART at `offset`.
pub(super) fn at_uart(offset: u64) -> u64 {
    uart::base() as u64 + offset
}

/// X2 is `address`, every other register a value of its own.
fn to(address: u64) -> Registers {
    Registers::marked().with(2, address)
}

/// `word` is executed, and changes nothing but what `after` says.
fn exactly(what: &'static str, word: u32, at: Registers, after: Registers) -> Outcome {
    unchanged(&after, &done(what, word, at)?)
}

/// What the word at `offset` of the UART reads.
fn peek(offset: u64) -> Result<u64, Failure> {
    Ok(done("a plain load", load(2), to(at_uart(offset)))?.x[3])
}

/// B24: pairs are made whole.
pub(super) fn pairs(_: &Board) -> Outcome {
    let at = to(at_uart(IDENTITY));
    let loaded = at.with(3, 0x11).with(4, 0x10);
    exactly("LDP", word!("ldp w3, w4, [x2]"), at, loaded)?;
    exactly("LDNP", word!("ldnp w3, w4, [x2]"), at, loaded)?;
    exactly("LDPSW", word!("ldpsw x3, x4, [x2]"), at, loaded)?;
    let at = to(at_uart(DIVISORS)).with(3, 0x123).with(4, 0x2a);
    for word in [word!("stp w3, w4, [x2]"), word!("stnp w3, w4, [x2]")] {
        uart::set_divisors(0, 0);
        exactly("STP", word, at, at)?;
        equal("what STP wrote first", peek(DIVISORS)?, 0x123u64)?;
        equal("what STP wrote second", peek(DIVISORS + 4)?, 0x2au64)?;
    }
    // The base is loaded over, the second access still goes where the first began.
    let at = to(at_uart(IDENTITY));
    let over = at.with(2, 0x11).with(4, 0x10);
    exactly("LDP over its base", word!("ldp w2, w4, [x2]"), at, over)
}

/// B25: the forms that move their base.
pub(super) fn write_back(_: &Board) -> Outcome {
    let base = at_uart(IDENTITY);
    let at = to(base);
    let loads = [
        (word!("ldr w3, [x2], #4"), 0x11u64, base + 4),
        (word!("ldr w3, [x2, #4]!"), 0x10, base + 4),
        (word!("ldrb w3, [x2], #-1"), 0x11, base - 1),
        (word!("ldrsb x3, [x2], #1"), 0x11, base + 1),
        (word!("ldrh w3, [x2, #4]!"), 0x10, base + 4),
    ];
    for (word, value, moved) in loads {
        exactly("a load with write-back", word, at, at.with(3, value).with(2, moved))?;
    }
    let both = at.with(3, 0x11).with(4, 0x10);
    exactly("LDP, post-indexed", word!("ldp w3, w4, [x2], #8"), at, both.with(2, base + 8))?;
    let before = to(base - 8);
    let both = both.with(2, base);
    exactly("LDP, pre-indexed", word!("ldp w3, w4, [x2, #8]!"), before, both)?;
    let stored = at_uart(DIVISORS);
    let at = to(stored).with(3, 0x77);
    uart::set_divisors(0, 0);
    exactly("STR, post-indexed", word!("str w3, [x2], #4"), at, at.with(2, stored + 4))?;
    equal("what STR wrote", peek(DIVISORS)?, 0x77u64)?;
    let at = to(stored + 4).with(3, 0x1234);
    exactly("STR, pre-indexed", word!("str w3, [x2, #-4]!"), at, at.with(2, stored))?;
    equal("what STR wrote", peek(DIVISORS)?, 0x1234u64)?;
    let at = Registers { sp: base, ..Registers::marked() };
    let moved = Registers { sp: base + 4, ..at.with(3, 0x11) };
    exactly("LDR through SP", word!("ldr w3, [sp], #4"), at, moved)
}

/// B26a: vector registers.
pub(super) fn vectors(_: &Board) -> Outcome {
    let address = at_uart(IDENTITY);
    let words = [
        word!("ldr q0, [x2]"),
        word!("str q0, [x2]"),
        word!("ldr s0, [x2]"),
        word!("str d0, [x2]"),
        word!("ldp q0, q1, [x2]"),
        word!("stp d0, d1, [x2], #16"),
        word!("ld1 {{v0.16b}}, [x2]"),
        word!("st1 {{v0.16b}}, [x2]"),
        word!("ld4 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [x2]"),
    ];
    refused("a vector register", &words, address)
}

/// B26b: exclusives.
pub(super) fn exclusives(_: &Board) -> Outcome {
    let loads = [word!("ldxr w3, [x2]"), word!("ldaxr w3, [x2]"), word!("ldxp w3, w4, [x2]")];
    refused("a load exclusive", &loads, at_uart(IDENTITY))?;
    // Without the load before them they may fail without an access.
    for word in [word!("stxr w5, w3, [x2]"), word!("stxp w5, w3, w4, [x2]")] {
        let mut registers = to(at_uart(DIVISORS));
        done_or_refused("a store exclusive", word, &mut registers)?;
        equal("a store exclusive has failed", registers.x[5] == 0, false)?;
    }
    Ok(())
}

/// B26c: atomics.
pub(super) fn atomics(_: &Board) -> Outcome {
    const ID_AA64ISAR0_EL1: super::words::Reg = super::words::Reg(3, 0, 0, 6, 0);
    let has = super::registers::read("ID_AA64ISAR0_EL1", ID_AA64ISAR0_EL1)? >> 20 & 0xf;
    let words = [
        word!("cas w3, w4, [x2]"),
        word!("casp x4, x5, x6, x7, [x2]"),
        word!("swp w3, w4, [x2]"),
        word!("ldadd w3, w4, [x2]"),
    ];
    if has == 0 {
        return words.into_iter().try_for_each(|word| super::expect::undefined("an atomic", word));
    }
    refused("an atomic", &words, at_uart(IDENTITY))
}

/// B26d: DC ZVA writes nothing, and other maintenance does nothing.
pub(super) fn maintenance(_: &Board) -> Outcome {
    uart::set_divisors(0x1111, 0x11);
    let address = View::Uncached.of(at_uart(0));
    for address in [at_uart(0), address] {
        let mut registers = to(address);
        let end = attempt::attempt(&[word!("dc zva, x2")], &mut registers);
        let right = end.class() == attempt::class::DATA_ABORT;
        said("DC ZVA on a device", right, &end, word!("dc zva, x2"))?;
    }
    equal("UARTIBRD after DC ZVA", peek(DIVISORS)?, 0x1111u64)?;
    for word in [word!("dc civac, x2"), word!("dc cvac, x2"), word!("prfm pldl1keep, [x2]")] {
        exactly("cache maintenance of a device", word, to(address), to(address))?;
    }
    Ok(())
}

/// Every one of `words` is a data abort that changes no register.
fn refused(what: &'static str, words: &[u32], address: u64) -> Outcome {
    words.iter().try_for_each(|&word| data_abort(what, word, to(address), None))
}

/// B27: the zero register stores zero and takes nothing.
pub(super) fn zero_register(_: &Board) -> Outcome {
    let at = to(at_uart(IDENTITY));
    exactly("LDR WZR", word!("ldr wzr, [x2]"), at, at)?;
    exactly("LDP WZR", word!("ldp wzr, w4, [x2]"), at, at.with(4, 0x10))?;
    exactly("LDRSB XZR", word!("ldrsb xzr, [x2]"), at, at)?;
    let at = to(at_uart(DIVISORS)).with(4, 0x15);
    uart::set_divisors(0x1111, 0x11);
    exactly("STR WZR", word!("str wzr, [x2]"), at, at)?;
    equal("what STR WZR wrote", peek(DIVISORS)?, 0u64)?;
    uart::set_divisors(0x1111, 0x11);
    exactly("STP WZR", word!("stp wzr, w4, [x2]"), at, at)?;
    equal("what STP WZR wrote", peek(DIVISORS)?, 0u64)?;
    equal("what STP WZR wrote second", peek(DIVISORS + 4)?, 0x15u64)
}

/// B28: signed loads.
pub(super) fn sign_extension(_: &Board) -> Outcome {
    const INTID: u32 = 40;
    gic::set_priority(INTID, 0xf8);
    let priority = gic::priority_address(INTID) as u64;
    let byte = [
        (word!("ldrsb w3, [x2]"), 0xffff_fff8u64),
        (word!("ldrsb x3, [x2]"), 0xffff_ffff_ffff_fff8),
        (word!("ldrb w3, [x2]"), 0xf8),
    ];
    for (word, value) in byte {
        exactly("a signed byte", word, to(priority), to(priority).with(3, value))?;
    }
    uart::set_divisors(0x8123, 0);
    let divisors = at_uart(DIVISORS);
    let half = [
        (word!("ldrsh w3, [x2]"), 0xffff_8123u64),
        (word!("ldrsh x3, [x2]"), 0xffff_ffff_ffff_8123),
        (word!("ldrh w3, [x2]"), 0x8123),
    ];
    for (word, value) in half {
        exactly("a signed halfword", word, to(divisors), to(divisors).with(3, value))?;
    }
    for near in 0..4 {
        gic::set_priority(INTID + near, 0xf8);
    }
    let word = word!("ldrsw x3, [x2]");
    let extended = to(priority).with(3, 0xffff_ffff_f8f8_f8f8);
    exactly("a signed word", word, to(priority), extended)
}

/// B29: over the end of a device, over two devices that touch.
pub(super) fn straddling(_: &Board) -> Outcome {
    const NEXT_DEVICE: u64 = 0x1000;
    for size in 1..4u32 {
        for end in [at_uart(NEXT_DEVICE), at_uart(2 * NEXT_DEVICE), 0x0801_0000, 0x0800_0000] {
            for before in 1..1 << size {
                let address = View::Uncached.of(end - before);
                for word in [load(size), store(size)] {
                    let mut registers = to(address);
                    done_or_refused("an access over an end", word, &mut registers)?;
                    equal("X2 after it", registers.x[2], address)?;
                }
            }
        }
    }
    uart::init(uart::FIFOS);
    Ok(())
}

/// B30: every width at every offset of the devices in the tree and of what is behind them, of large ones at many.
pub(super) fn every_offset(board: &Board) -> Outcome {
    const STEP: usize = 61;
    let places = board.windows().flat_map(|window| {
        let step = if window.end - window.start > 0x1000 { STEP } else { 1 };
        (window.start..window.end + 0x100).step_by(step)
    });
    let mut refusals = 0u64;
    for address in places {
        for size in 0..4 {
            for word in [load(size), store(size)] {
                let mut registers = to(View::Uncached.of(address)).with(3, 0);
                let end = attempt::attempt(&[word], &mut registers);
                let refused = end.class() == attempt::class::DATA_ABORT;
                said("an access to a device", end.is_done() || refused, &end, word)?;
                refusals += u64::from(refused);
            }
        }
    }
    uart::init(uart::FIFOS);
    crate::println!("{refusals} refused");
    equal("refusals: some", refusals > 0, true)
}

/// B31: an external abort, and the guest goes on.
pub(super) fn nobody_home(_: &Board) -> Outcome {
    for hole in [0x3000_0000, 0x0fff_f000, 0x2_0000_0000] {
        for size in 0..4 {
            let address = View::Uncached.of(hole);
            data_abort("a load from nowhere", load(size), to(address), Some(address))?;
            data_abort("a store to nowhere", store(size), to(address), Some(address))?;
        }
        let pair = word!("ldp x3, x4, [x2], #16");
        data_abort("a pair from nowhere", pair, to(View::Uncached.of(hole)), None)?;
    }
    Ok(())
}
