//! Machines that reset themselves: what is left of the run before.

use super::expect::{equal, holds};
use crate::board::Board;
use crate::gic::{self, Bank, FIRST_SPI};
use crate::report::Outcome;
use crate::{mmio, println, psci, timer};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

const BANKS: [Bank; 3] = [Bank::SetEnable, Bank::SetPending, Bank::SetActive];
const WORDS: usize = 8;

/// What the controller said before the driver touched it: of each bank, private interrupts first.
static AT_BOOT: [AtomicU32; 3 * WORDS] = [const { AtomicU32::new(0) }; 3 * WORDS];

fn address(bank: Bank, word: usize) -> usize {
    let base = if word == 0 { gic::first_private_frame() } else { gic::distributor(0) };
    base + bank as usize + 4 * word
}

fn words() -> impl Iterator<Item = (Bank, usize)> {
    BANKS.into_iter().flat_map(|bank| (0..WORDS).map(move |word| (bank, word)))
}

/// Before the drivers have touched anything.
pub(super) fn note_controller() {
    for ((bank, word), slot) in words().zip(&AT_BOOT) {
        slot.store(mmio::read(address(bank, word)), Relaxed);
    }
}

/// D43: the controller was new at boot; it is left with everything enabled, pending and active, and the machine resets.
pub(super) fn clean_controller(_: &Board) -> Outcome {
    // SGIs of a GICv2 are always enabled.
    let always = |bank: Bank, word: usize| match (bank, word) {
        (Bank::SetEnable, 0) if gic::architecture() < 3 => 0xffff,
        _ => 0,
    };
    for ((bank, word), slot) in words().zip(&AT_BOOT) {
        let left = slot.load(Relaxed) & !always(bank, word);
        if left != 0 {
            println!("bank {:#x} word {word}", bank as usize);
        }
        equal("what was enabled, pending or active at boot", left, 0u32)?;
    }
    for (bank, word) in words().filter(|&(_, word)| word > 0) {
        mmio::write(address(bank, word), u32::MAX);
    }
    gic::set(Bank::SetPending, timer::INTID);
    gic::enable(timer::INTID);
    timer::arm(0);
    holds("interrupts are pending now", gic::get(Bank::SetPending, FIRST_SPI + 8))?;
    again_and_again("clean")
}

/// E54 and G76: resets.
pub(super) fn again(_: &Board) -> Outcome {
    holds("not resetting", true)?;
    again_and_again("booted")
}

fn again_and_again(word: &str) -> Outcome {
    println!("{word}");
    psci::call(psci::SYSTEM_RESET, [0; 3]);
    holds("SYSTEM_RESET has returned", false)
}
