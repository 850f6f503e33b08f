//! What a driver sees of the UART.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axaddrspace::AccessWidth;

use super::*;
use crate::queue::QUEUE;

#[derive(Default)]
struct Sink(SpinNoIrq<Vec<u8>>);

impl ByteSink for Sink {
    fn put(&self, byte: u8) {
        self.0.lock().push(byte);
    }
}

#[derive(Default)]
struct Line(AtomicBool, AtomicUsize);

impl InterruptLine for Line {
    fn set_level(&self, high: bool) {
        self.0.store(high, Ordering::Relaxed);
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

struct Bench {
    uart: Pl011,
    sink: Arc<Sink>,
    line: Arc<Line>,
}

impl Bench {
    fn new() -> Self {
        let (sink, line) = (Arc::new(Sink::default()), Arc::new(Line::default()));
        Self { uart: Pl011::new(sink.clone(), line.clone()), sink, line }
    }

    fn read(&self, offset: usize) -> u64 {
        self.uart.read(Access { offset, width: AccessWidth::Dword, initiator: 0 })
    }

    fn write(&self, offset: usize, value: u32) {
        let access = Access { offset, width: AccessWidth::Dword, initiator: 0 };
        self.uart.write(access, u64::from(value));
    }

    fn high(&self) -> bool {
        self.line.0.load(Ordering::Relaxed)
    }
}

#[test]
fn registers_start_at_their_reset_values() {
    let bench = Bench::new();
    let values = [
        (reg::UARTFR, 0x97),
        (reg::UARTCR, 0x300),
        (reg::UARTIFLS, 0x12),
        (reg::UARTIMSC, 0),
        (reg::UARTRIS, 0),
        (reg::UARTLCR_H, 0),
    ];
    for (offset, value) in values {
        assert_eq!(bench.read(offset), value, "{offset:#x}");
    }
    let id = |first: usize| (0..4).map(|n| bench.read(first + 4 * n) << (8 * n)).sum::<u64>();
    assert_eq!(id(reg::PERIPH_ID0), 0x0034_1011);
    assert_eq!(id(reg::PCELL_ID0), 0xb105_f00d);
}

#[test]
fn every_byte_written_reaches_the_sink_at_once_and_in_order() {
    let bench = Bench::new();
    for byte in b"hello, world\n" {
        assert_eq!(bench.read(reg::UARTFR) & 0x28, 0, "neither full nor busy");
        bench.write(reg::UARTDR, u32::from(*byte));
    }
    assert_eq!(bench.sink.0.lock().as_slice(), b"hello, world\n");
}

#[test]
fn the_transmit_interrupt_follows_a_write_and_not_the_mask() {
    let bench = Bench::new();
    bench.write(reg::UARTIMSC, INT_TX);
    assert!(!bench.high(), "nothing has left the FIFO yet");
    bench.write(reg::UARTIMSC, 0);
    bench.write(reg::UARTDR, 0x41);
    assert_eq!(bench.read(reg::UARTRIS), u64::from(INT_TX));
    assert_eq!(bench.read(reg::UARTMIS), 0);
    assert!(!bench.high());
    bench.write(reg::UARTIMSC, INT_TX);
    assert!(bench.high());
    bench.write(reg::UARTICR, INT_TX);
    assert!(!bench.high());
    assert_eq!(bench.read(reg::UARTRIS), 0);
}

#[test]
fn without_fifo_one_byte_raises_receive_and_reading_it_clears() {
    let bench = Bench::new();
    bench.write(reg::UARTIMSC, INT_RX);
    assert_eq!(bench.uart.receive(b"ab"), 2);
    assert!(bench.high());
    assert_eq!(bench.read(reg::UARTFR) & u64::from(FR_RXFF | FR_RXFE), u64::from(FR_RXFF));
    assert_eq!(bench.read(reg::UARTDR), u64::from(b'a'));
    assert!(bench.high(), "the next byte has arrived");
    assert_eq!(bench.read(reg::UARTDR), u64::from(b'b'));
    assert!(!bench.high());
    assert_eq!(bench.read(reg::UARTFR) & u64::from(FR_RXFF | FR_RXFE), u64::from(FR_RXFE));
    assert_eq!(bench.read(reg::UARTDR), 0, "an empty FIFO reads as zero");
}

#[test]
fn a_byte_raises_the_timeout_interrupt_and_the_trigger_level_receive_too() {
    for (ifls, trigger) in [(0, 4), (1, 8), (2, 16), (3, 24), (4, 28), (7, 28)] {
        let bench = Bench::new();
        bench.write(reg::UARTLCR_H, LCR_H_FEN);
        bench.write(reg::UARTIFLS, ifls << 3);
        for count in 1..=FIFO_DEPTH {
            bench.uart.receive(b"x");
            let want = if count < trigger { INT_RT } else { INT_RT | INT_RX };
            assert_eq!(bench.read(reg::UARTRIS), u64::from(want), "{count} of {trigger}");
        }
        for left in (0..FIFO_DEPTH).rev() {
            bench.read(reg::UARTDR);
            let want = if left == 0 {
                0
            } else if left < trigger {
                INT_RT
            } else {
                INT_RT | INT_RX
            };
            assert_eq!(bench.read(reg::UARTRIS), u64::from(want), "{left} of {trigger}");
        }
    }
}

#[test]
fn input_beyond_the_queue_is_refused_and_comes_later() {
    let bench = Bench::new();
    bench.write(reg::UARTLCR_H, LCR_H_FEN);
    assert_eq!(bench.uart.receive(&[7; 1000]), QUEUE);
    assert!(!bench.uart.can_receive());
    assert_eq!(bench.uart.receive(b"x"), 0);
    assert_ne!(bench.read(reg::UARTFR) & u64::from(FR_RXFF), 0);
    for _ in 0..QUEUE {
        assert_eq!(bench.read(reg::UARTDR), 7);
    }
    assert_ne!(bench.read(reg::UARTFR) & u64::from(FR_RXFE), 0);
    assert!(bench.uart.can_receive());
}

#[test]
fn changing_the_fifo_keeps_what_waits_in_it() {
    let bench = Bench::new();
    bench.uart.receive(b"abc");
    bench.write(reg::UARTLCR_H, LCR_H_FEN);
    assert_eq!(bench.read(reg::UARTRIS), u64::from(INT_RT));
    bench.write(reg::UARTLCR_H, 0);
    assert_eq!(bench.read(reg::UARTRIS), u64::from(INT_RT | INT_RX));
    assert_eq!(bench.read(reg::UARTDR), u64::from(b'a'));
}

#[test]
fn loopback_returns_what_is_sent_and_overruns_when_nobody_reads() {
    let bench = Bench::new();
    bench.write(reg::UARTCR, 0x301 | CR_LBE);
    bench.write(reg::UARTDR, 0x5a);
    assert_eq!(bench.read(reg::UARTDR), 0x5a);
    for _ in 0..=QUEUE {
        bench.write(reg::UARTDR, 1);
    }
    assert_ne!(bench.read(reg::UARTRIS) & u64::from(INT_OE), 0);
    assert_eq!(bench.read(reg::UARTRSR), u64::from(RSR_OE));
    bench.write(reg::UARTRSR, 0xff);
    assert_eq!(bench.read(reg::UARTRSR), 0);
    assert!(bench.sink.0.lock().is_empty());
}

#[test]
fn the_line_is_driven_only_when_its_level_changes() {
    let bench = Bench::new();
    bench.write(reg::UARTIMSC, INT_TX);
    for _ in 0..10 {
        bench.write(reg::UARTDR, 0x41);
    }
    assert_eq!(bench.line.1.load(Ordering::Relaxed), 1);
}

#[test]
fn reset_forgets_input_and_settings_and_lowers_the_line() {
    let bench = Bench::new();
    bench.write(reg::UARTIMSC, INT_RX);
    bench.uart.receive(b"abc");
    assert!(bench.high());
    bench.uart.reset();
    assert!(!bench.high());
    assert_eq!(bench.read(reg::UARTFR), 0x97);
    assert_eq!(bench.read(reg::UARTIMSC), 0);
}

#[test]
fn every_offset_of_every_width_is_answered() {
    use AccessWidth::{Byte, Dword, Qword, Word};
    let bench = Bench::new();
    for offset in 0..Pl011::WINDOW {
        for width in [Byte, Word, Dword, Qword] {
            let access = Access { offset, width, initiator: usize::MAX };
            for value in [0, 0x55aa_55aa_55aa_55aa, u64::MAX] {
                bench.uart.write(access, value & width.mask());
                let read = bench.uart.read(access);
                assert!(read <= 0xffff);
                if offset % 4 != 0 {
                    assert_eq!(read, 0, "{offset:#x} is no register");
                }
            }
        }
    }
}
