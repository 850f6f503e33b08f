//! The registers of each device model: any width at any offset, what comes from outside, and resets in between.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use axdevice::{Access, ByteSink, Clock, Device, Due, InterruptLine, Pl011, Pl061, Watchdog};

use crate::input::Input;

/// A wire that insists on being told of changes only, but for resets.
#[derive(Default)]
struct Wire {
    high: AtomicBool,
    resets: AtomicBool,
}

impl InterruptLine for Wire {
    fn set_level(&self, high: bool) {
        let before = self.high.swap(high, Relaxed);
        assert!(before != high || self.resets.load(Relaxed), "told twice that it is {high}");
    }
}

impl Wire {
    fn is_high(&self) -> bool {
        self.high.load(Relaxed)
    }
}

/// A device and its wire.
struct Board<D> {
    device: Arc<D>,
    wire: Arc<Wire>,
}

impl<D: Device> Board<D> {
    fn new(make: impl FnOnce(Arc<Wire>) -> D) -> Self {
        let wire = Arc::new(Wire::default());
        Self { device: Arc::new(make(wire.clone())), wire }
    }

    fn read(&self, access: Access) -> u64 {
        self.device.read(access) & access.width.mask()
    }

    fn word(&self, offset: usize) -> u64 {
        self.read(Access { offset, width: axaddrspace::AccessWidth::Dword, initiator: 0 })
    }

    fn reset(&self) {
        self.wire.resets.store(true, Relaxed);
        self.device.reset();
        self.wire.resets.store(false, Relaxed);
        assert!(!self.wire.is_high());
    }
}

/// Half of the accesses go to registers, which lie at multiples of four.
fn access(input: &mut Input<'_>, registers: &[usize], window: usize) -> Access {
    let width = input.width();
    let offset = match input.u8() {
        n @ 0..160 => registers[usize::from(n) % registers.len()],
        160..200 => input.below(0x400) * 4 % window,
        _ => usize::from(input.u16()) % window,
    };
    let offset = offset.min(window - width.bytes());
    Access { offset, width, initiator: input.below(4) }
}

#[derive(Default)]
struct Sink(Mutex<Vec<u8>>);

impl ByteSink for Sink {
    fn put(&self, byte: u8) {
        self.0.lock().unwrap().push(byte);
    }
}

/// What was typed comes out once and in order; each byte written goes out once; the line is what the registers say.
pub(crate) fn uart(data: &[u8]) {
    const REGISTERS: [usize; 14] =
        [0, 4, 0x18, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x38, 0x3c, 0x40, 0x44, 0x48];
    const LOOPBACK: u64 = 1 << 7;
    let mut input = Input::new(data);
    let sink = Arc::new(Sink::default());
    let board = Board::new(|wire| Pl011::new(sink.clone(), wire));
    let mut waiting: VecDeque<u8> = VecDeque::new();
    let mut sent = Vec::new();
    while !input.is_empty() {
        // Where the guest has looked at its input, or how it is told of it has changed.
        let mut is_fresh = false;
        match input.u8() {
            0..100 => {
                let access = access(&mut input, &REGISTERS, Pl011::WINDOW);
                is_fresh = access.offset == 0;
                let value = board.read(access);
                assert!(value <= 0xffff);
                if access.offset == 0 {
                    assert_eq!(value, u64::from(waiting.pop_front().unwrap_or(0)));
                }
            }
            100..210 => {
                let access = access(&mut input, &REGISTERS, Pl011::WINDOW);
                let value = input.number() & access.width.mask();
                if access.offset == 0 && board.word(0x30) & LOOPBACK != 0 {
                    if waiting.len() < 256 {
                        waiting.push_back(value as u8);
                    }
                } else if access.offset == 0 {
                    sent.push(value as u8);
                }
                board.device.write(access, value);
                is_fresh = access.offset == 0x2c && !waiting.is_empty();
            }
            210..250 => {
                let count = input.below(64);
                let bytes = input.bytes(count);
                let taken = board.device.receive(bytes);
                assert!(taken <= bytes.len());
                assert_eq!(taken, bytes.len().min(256 - waiting.len()));
                waiting.extend(&bytes[..taken]);
                is_fresh = taken > 0;
            }
            _ => {
                board.reset();
                waiting.clear();
            }
        }
        assert_eq!(board.device.can_receive(), waiting.len() < 256);
        let flags = board.word(0x18);
        assert_eq!(flags & 1 << 4 != 0, waiting.is_empty(), "FR.RXFE");
        let (mask, raw, masked) = (board.word(0x38), board.word(0x3c), board.word(0x40));
        assert_eq!(masked, raw & mask);
        if is_fresh {
            assert_eq!(raw >> 6 & 1 == 1, !waiting.is_empty(), "RTRIS");
            assert_eq!(raw >> 4 & 1 == 1, waiting.len() >= trigger(&board), "RXRIS");
        }
        assert_eq!(board.wire.is_high(), masked != 0);
        assert_eq!(*sink.0.lock().unwrap(), sent);
    }
}

/// How many bytes raise the receive interrupt: an eighth to seven of the FIFO, or one without it.
fn trigger(board: &Board<Pl011>) -> usize {
    let has_fifo = board.word(0x2c) >> 4 & 1 == 1;
    let eighths = [1, 2, 4, 6, 7].get(board.word(0x34) as usize >> 3 & 7).copied().unwrap_or(7);
    if has_fifo { 32 * eighths / 8 } else { 1 }
}

/// Compared with the manual's table for one line at a time.
pub(crate) fn gpio(data: &[u8]) {
    const REGISTERS: [usize; 10] =
        [0x3fc, 0x400, 0x404, 0x408, 0x40c, 0x410, 0x414, 0x418, 0x41c, 0x420];
    let mut input = Input::new(data);
    let board = Board::new(|wire| Pl061::new(wire));
    let mut driven = 0_u8;
    while !input.is_empty() {
        let before = lines(&board);
        match input.u8() {
            0..60 => {
                board.read(access(&mut input, &REGISTERS, Pl061::WINDOW));
                assert_eq!(lines(&board), before, "a read changes nothing");
            }
            60..200 => {
                let access = access(&mut input, &REGISTERS, Pl061::WINDOW);
                board.device.write(access, input.number() & access.width.mask());
            }
            200..245 => {
                let (number, high) = (u32::from(input.u8()), input.bool());
                let raw = board.word(0x414);
                board.device.drive_input(number, high);
                let bit = 1_u8.checked_shl(number).unwrap_or(0);
                let is = |word: u64| word as u8 & bit != 0;
                let rose = bit != 0 && (driven & bit != 0) != high;
                driven = if high { driven | bit } else { driven & !bit };
                let [dir, by_level, both, rising] =
                    [0x400, 0x404, 0x408, 0x40c].map(|at| board.word(at));
                if rose && !is(dir) && !is(by_level) {
                    let seen = is(raw) || is(both) || is(rising) == high;
                    assert_eq!(is(board.word(0x414)), seen, "an edge of line {number}");
                }
                assert_eq!(board.device.is_listening(number), is(board.word(0x410)) && !is(dir));
            }
            _ => {
                board.reset();
                driven = 0;
                assert_eq!(lines(&board), [0; 8]);
            }
        }
        let [_, dir, by_level, _, rising, enabled, raw, masked] = lines(&board);
        assert_eq!(masked, raw & enabled);
        assert_eq!(board.wire.is_high(), masked != 0);
        let levels = !(u64::from(driven) ^ rising) & !dir & by_level & 0xff;
        assert_eq!(raw & by_level, levels, "interrupts by level last as long as it does");
    }
}

/// What its registers show, without the identification.
fn lines(board: &Board<Pl061>) -> [u64; 8] {
    [0x3fc, 0x400, 0x404, 0x408, 0x40c, 0x410, 0x414, 0x418].map(|at| board.word(at))
}

#[derive(Default)]
struct Counter(AtomicU64);

impl Clock for Counter {
    fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Its first timeout raises the line, its second is final; neither comes early, and none that is refreshed comes.
pub(crate) fn watchdog(data: &[u8]) {
    const REGISTERS: [usize; 8] = [0, 8, 0xc, 0x10, 0x14, 0xfcc, 0x1_0000, 0x1_0fcc];
    let mut input = Input::new(data);
    let clock = Arc::new(Counter::default());
    let board = Board::new(|wire| Watchdog::new(clock.clone(), wire));
    let mut expired = false;
    while !input.is_empty() {
        match input.u8() {
            0..60 => {
                let access = access(&mut input, &REGISTERS, Watchdog::WINDOW);
                board.read(access);
            }
            60..160 => {
                let access = access(&mut input, &REGISTERS, Watchdog::WINDOW);
                board.device.write(access, input.number() & access.width.mask());
                if matches!(access.offset, 0 | 8 | 0xc | 0x1_0000) {
                    assert!(!board.wire.is_high(), "it was refreshed");
                }
            }
            160..235 => {
                let (now, step) = (clock.now(), input.number());
                clock.0.store(now.saturating_add(step), Relaxed);
            }
            235..250 => {
                let before = board.device.poll();
                if let Due::At(at) = before {
                    // It may lie behind, if the second stage began there.
                    let now = clock.now();
                    clock.0.store(now.max(at.saturating_sub(1)), Relaxed);
                    let high = board.wire.is_high();
                    let due = board.device.poll();
                    assert!(clock.now() >= at || due == before, "too early");
                    assert!(clock.now() >= at || board.wire.is_high() == high, "too early");
                }
            }
            _ => {
                board.reset();
                expired = false;
                assert_eq!(board.device.poll(), Due::Never);
            }
        }
        let due = board.device.poll();
        assert!(!expired || due == Due::Expired, "the second timeout stands");
        expired = due == Due::Expired;
        let control = board.word(0);
        assert!(control <= 0b111);
        assert_eq!(board.wire.is_high(), control & 0b10 != 0);
        assert!(due != Due::Never || control & 1 == 0);
    }
}
