//! What a driver sees of the GPIO controller.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

use core::sync::atomic::{AtomicBool, Ordering};

use axaddrspace::AccessWidth;

use super::*;

#[derive(Default)]
struct Line(AtomicBool);

impl InterruptLine for Line {
    fn set_level(&self, high: bool) {
        self.0.store(high, Ordering::Relaxed);
    }
}

struct Bench {
    gpio: Pl061,
    line: Arc<Line>,
}

impl Bench {
    fn new() -> Self {
        let line = Arc::new(Line::default());
        Self { gpio: Pl061::new(line.clone()), line }
    }

    /// One whose input 3 interrupts as `is`, `ibe` and `iev` have it.
    fn listening(is: u8, ibe: u8, iev: u8) -> Self {
        let bench = Self::new();
        bench.write(reg::GPIOIS, is);
        bench.write(reg::GPIOIBE, ibe);
        bench.write(reg::GPIOIEV, iev);
        bench.write(reg::GPIOIE, 8);
        bench
    }

    fn read(&self, offset: usize) -> u64 {
        self.gpio.read(Access { offset, width: AccessWidth::Byte, initiator: 0 })
    }

    fn write(&self, offset: usize, value: u8) {
        let access = Access { offset, width: AccessWidth::Byte, initiator: 0 };
        self.gpio.write(access, u64::from(value));
    }

    fn is_high(&self) -> bool {
        self.line.0.load(Ordering::Relaxed)
    }
}

#[test]
fn everything_is_zero_at_power_on_but_the_identification() {
    let bench = Bench::new();
    for offset in (0..0xfe0).step_by(4) {
        assert_eq!(bench.read(offset), 0, "{offset:#x}");
    }
    let id = |first: usize| (0..4).map(|n| bench.read(first + 4 * n) << (8 * n)).sum::<u64>();
    assert_eq!(id(reg::PERIPH_ID0), 0x0004_1061);
    assert_eq!(id(reg::PCELL_ID0), 0xb105_f00d);
}

#[test]
fn the_address_says_which_lines_a_data_access_means() {
    let bench = Bench::new();
    bench.write(reg::GPIODIR, 0xff);
    bench.write(0x3fc, 0xa5);
    for lines in 0..=0xff_u8 {
        assert_eq!(bench.read(usize::from(lines) << 2), u64::from(0xa5 & lines));
    }
    bench.write(0x0f << 2, 0xff);
    assert_eq!(bench.read(0x3fc), 0xaf);
    bench.write(0, 0);
    assert_eq!(bench.read(0x3fc), 0xaf, "address 0 means no line");
}

#[test]
fn an_input_reads_what_drives_it_and_an_output_what_was_written() {
    let bench = Bench::new();
    bench.write(0x3fc, 0xff);
    assert_eq!(bench.read(0x3fc), 0, "all are inputs, and low");
    bench.gpio.drive_input(3, true);
    bench.gpio.drive_input(8, true);
    bench.gpio.drive_input(u32::MAX, true);
    assert_eq!(bench.read(0x3fc), 8);
    bench.write(reg::GPIODIR, 0x18);
    assert_eq!(bench.read(0x3fc), 0x18);
    bench.write(0x3fc, 0);
    assert_eq!(bench.read(0x3fc), 0);
    bench.write(reg::GPIODIR, 0);
    assert_eq!(bench.read(0x3fc), 8);
}

#[test]
fn each_kind_of_edge_interrupts_once_and_until_it_is_cleared() {
    for (ibe, iev, rising, falling) in
        [(0, 8, true, false), (0, 0, false, true), (8, 0, true, true), (8, 8, true, true)]
    {
        let bench = Bench::listening(0, ibe, iev);
        for (level, wanted) in [(true, rising), (false, falling)] {
            bench.gpio.drive_input(3, level);
            assert_eq!(bench.is_high(), wanted, "{ibe} {iev} {level}");
            assert_eq!(bench.read(reg::GPIORIS), if wanted { 8 } else { 0 });
            bench.write(reg::GPIOIC, 0xf7);
            assert_eq!(bench.is_high(), wanted, "another line was cleared");
            bench.write(reg::GPIOIC, 8);
            assert!(!bench.is_high());
            bench.gpio.drive_input(3, level);
            assert!(!bench.is_high(), "the same level is no edge");
        }
    }
}

#[test]
fn a_level_interrupts_as_long_as_it_lasts() {
    for (iev, level) in [(8, true), (0, false)] {
        let bench = Bench::listening(8, 0, iev);
        bench.gpio.drive_input(3, level);
        assert!(bench.is_high());
        bench.write(reg::GPIOIC, 8);
        assert!(bench.is_high(), "only edges can be cleared");
        bench.gpio.drive_input(3, !level);
        assert!(!bench.is_high());
        assert_eq!(bench.read(reg::GPIORIS), 0);
    }
}

#[test]
fn the_mask_holds_an_interrupt_back_and_shows_it() {
    let bench = Bench::listening(0, 0, 8);
    bench.write(reg::GPIOIE, 0xf7);
    assert!(!bench.gpio.is_listening(3));
    bench.gpio.drive_input(3, true);
    assert!(!bench.is_high());
    assert_eq!((bench.read(reg::GPIORIS), bench.read(reg::GPIOMIS)), (8, 0));
    bench.write(reg::GPIOIE, 8);
    assert!(bench.is_high() && bench.gpio.is_listening(3));
    assert_eq!(bench.read(reg::GPIOMIS), 8);
}

#[test]
fn an_output_neither_listens_nor_interrupts() {
    for is in [0, 8] {
        let bench = Bench::listening(is, 8, 8);
        bench.write(reg::GPIODIR, 8);
        assert!(!bench.gpio.is_listening(3));
        bench.gpio.drive_input(3, true);
        bench.write(0x3fc, 8);
        assert!(!bench.is_high());
    }
}

#[test]
fn no_other_line_than_the_eight_is_listened_to() {
    let bench = Bench::new();
    bench.write(reg::GPIOIE, 0xff);
    for number in 0..40 {
        assert_eq!(bench.gpio.is_listening(number), number < 8);
    }
    assert!(!bench.gpio.is_listening(u32::MAX));
}

#[test]
fn reset_forgets_all_and_lowers_the_line() {
    let bench = Bench::listening(0, 0, 8);
    bench.gpio.drive_input(3, true);
    bench.write(reg::GPIODIR, 1);
    bench.gpio.reset();
    assert!(!bench.is_high() && !bench.gpio.is_listening(3));
    for offset in (0..0xfe0).step_by(4) {
        assert_eq!(bench.read(offset), 0, "{offset:#x}");
    }
}

#[test]
fn every_offset_of_every_width_is_answered() {
    use AccessWidth::{Byte, Dword, Qword, Word};
    let bench = Bench::new();
    for offset in 0..Pl061::WINDOW {
        for width in [Byte, Word, Dword, Qword] {
            let access = Access { offset, width, initiator: usize::MAX };
            for value in [0, 0x55aa_55aa_55aa_55aa, u64::MAX] {
                bench.gpio.write(access, value & width.mask());
                bench.gpio.drive_input(3, value == 0);
                let read = bench.gpio.read(access);
                assert!(read <= 0xff);
                if offset % 4 != 0 {
                    assert_eq!(read, 0, "{offset:#x} is no register");
                }
            }
        }
    }
}
