//! Two guests talk through a channel: one publishes messages, the other checks and acknowledges them.
//!
//! The channel holds the number of the newest message, the number of the newest that was taken, and the
//! words of the message. Each side rings after it has written, and sleeps until the other has.

use super::Completion;
use crate::board::Board;
use crate::report::{Outcome, check, ensure};
use crate::{cpu, gic, ivc, println, psci, timer, trap};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// Where the numbers and the words are, in bytes.
const PUBLISHED: usize = 0;
const TAKEN: usize = 8;
const GREETING: usize = 16;
const WORDS: usize = 64;

const WORD_COUNT: usize = 32;
const MESSAGES: u64 = 1000;
/// What a reader finds that looks once: "AXLEIVC1", the first letter in the lowest byte.
const HELLO: u64 = u64::from_le_bytes(*b"AXLEIVC1");
/// How long a side waits for the other.
const PATIENCE_MICROS: u64 = 30_000_000;

static RINGS: AtomicU64 = AtomicU64::new(0);
static LATE: AtomicBool = AtomicBool::new(false);

/// Counts rings, and notes the end of patience.
pub(super) fn interrupt(intid: u32) -> Completion {
    if intid == ivc::doorbell() {
        RINGS.fetch_add(1, SeqCst);
    } else if intid == timer::INTID {
        timer::stop();
        LATE.store(true, SeqCst);
    }
    Completion::Done
}

/// Publishes; the boot argument `messages=COUNT` says how many, `quiet=1` that nobody will ring back.
pub(super) fn publish(board: &Board) -> Outcome {
    let messages = board.argument("messages").and_then(|count| count.parse().ok());
    let (messages, quiet) = (messages.unwrap_or(MESSAGES), board.argument("quiet").is_some());
    open()?;
    for offset in [PUBLISHED, TAKEN, GREETING] {
        check("a word of a new channel", ivc::load(offset), 0u64)?;
    }
    ivc::store(GREETING, HELLO);
    println!("published a greeting in {} bytes", ivc::bytes());
    for number in 1..=messages {
        for index in 0..WORD_COUNT {
            ivc::store(WORDS + index * 8, word(number, index));
        }
        ivc::store(PUBLISHED, number);
        ensure("NOTIFY failed", ivc::notify(0) >= 0)?;
        let taken = || ivc::load(TAKEN) >= number;
        if quiet {
            ensure("nobody took the message", poll(taken))?;
        } else {
            ensure("nobody took the message", await_ring(taken))?;
        }
    }
    done("published", messages, quiet)
}

/// Takes what is published.
pub(super) fn subscribe(board: &Board) -> Outcome {
    let messages = board.argument("messages").and_then(|count| count.parse().ok());
    let messages = messages.unwrap_or(MESSAGES);
    open()?;
    for number in 1..=messages {
        ensure("no message came", await_ring(|| ivc::load(PUBLISHED) >= number))?;
        check("the number of the message", ivc::load(PUBLISHED), number)?;
        for index in 0..WORD_COUNT {
            check("a word of the message", ivc::load(WORDS + index * 8), word(number, index))?;
        }
        ivc::store(TAKEN, number);
        ensure("NOTIFY failed", ivc::notify(0) >= 0)?;
    }
    check("the greeting", ivc::load(GREETING), HELLO)?;
    done("took", messages, false)
}

/// The doorbell is on, and the calls know what is the caller's.
fn open() -> Outcome {
    ensure("the device tree has no channel", ivc::bytes() >= WORDS + WORD_COUNT * 8)?;
    for forged in [1, 15, 16, 1 << 32, u64::MAX] {
        check("STATUS of somebody else's channel", ivc::others(forged), ivc::NOT_PERMITTED)?;
        check("NOTIFY of somebody else's channel", ivc::notify(forged), ivc::NOT_PERMITTED)?;
    }
    check("an unknown function", psci::call(ivc::UNKNOWN, [0; 3]), psci::NOT_SUPPORTED)?;
    ensure("STATUS failed", ivc::others(0) >= 0)?;
    gic::set_trigger(ivc::doorbell(), gic::Trigger::Edge);
    gic::enable(ivc::doorbell());
    gic::enable(timer::INTID);
    cpu::unmask_irq();
    Ok(())
}

fn done(verb: &str, messages: u64, quiet: bool) -> Outcome {
    let rings = RINGS.load(SeqCst);
    println!("{verb} {messages} messages, heard {rings} rings");
    check("interrupts without a number", trap::spurious(), 0u64)?;
    ensure("the doorbell did not ring", quiet || rings > 0)
}

/// Word `index` of message `number`.
fn word(number: u64, index: usize) -> u64 {
    (number << 32 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Sleeps until `holds`, looking whenever an interrupt came; false if it takes too long.
fn await_ring(holds: impl Fn() -> bool) -> bool {
    LATE.store(false, SeqCst);
    timer::arm(timer::now() + timer::micros(PATIENCE_MICROS));
    cpu::sleep_until(|| holds() || LATE.load(SeqCst));
    timer::stop();
    holds()
}

/// Looks again and again until `holds`; false if it takes too long.
fn poll(holds: impl Fn() -> bool) -> bool {
    (0..18).any(|_| timer::wait_for(&holds))
}
