//! What a driver sees of the watchdog, and who polls it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use AccessWidth::{Byte, Dword, Qword, Word};

use super::*;

/// The counter and the interrupt line.
#[derive(Default)]
struct World {
    now: AtomicU64,
    high: AtomicBool,
}

impl Clock for World {
    fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }
}

impl InterruptLine for World {
    fn set_level(&self, high: bool) {
        self.high.store(high, Relaxed);
    }
}

struct Bench {
    dog: Watchdog,
    world: Arc<World>,
}

impl Bench {
    fn new() -> Self {
        let world = Arc::new(World::default());
        Self { dog: Watchdog::new(world.clone(), world.clone()), world }
    }

    /// One that is on since the counter read `now`, with `offset` ticks for each stage.
    fn on(now: u64, offset: u64) -> Self {
        let bench = Self::new();
        bench.at(now);
        bench.write(reg::WOR, Qword, offset);
        bench.write(reg::WCS, Dword, 1);
        bench
    }

    fn at(&self, now: u64) -> &Self {
        self.world.now.store(now, Relaxed);
        self
    }

    fn read(&self, offset: usize, width: AccessWidth) -> u64 {
        self.dog.read(Access { offset, width, initiator: 0 }) & width.mask()
    }

    fn write(&self, offset: usize, width: AccessWidth, value: u64) {
        self.dog.write(Access { offset, width, initiator: 0 }, value & width.mask());
    }

    fn control(&self) -> u64 {
        self.read(reg::WCS, Dword)
    }

    fn is_high(&self) -> bool {
        self.world.high.load(Relaxed)
    }
}

#[test]
fn it_is_off_at_power_on_and_says_what_it_is_in_both_frames() {
    let bench = Bench::new();
    for offset in [reg::WCS, reg::WOR, reg::WCV, reg::WRR] {
        assert_eq!(bench.read(offset, Qword), 0, "{offset:#x}");
    }
    for offset in [reg::W_IIDR, reg::REFRESH_W_IIDR] {
        assert_eq!(bench.read(offset, Dword) >> 16 & 0xf, 1, "the version that has a 48-bit WOR");
    }
    assert_eq!(bench.at(u64::MAX).dog.poll(), Due::Never);
    assert_eq!(bench.control(), 0);
}

#[test]
fn the_first_timeout_interrupts_and_the_second_one_expires() {
    let bench = Bench::on(1000, 100);
    assert_eq!(bench.at(1100).dog.poll(), Due::At(1101));
    assert_eq!((bench.control(), bench.is_high()), (WCS_EN, false));
    assert_eq!(bench.at(1101).dog.poll(), Due::At(1202));
    assert_eq!((bench.control(), bench.is_high()), (WCS_EN | WCS_WS0, true));
    assert_eq!(bench.at(1201).dog.poll(), Due::At(1202));
    assert_eq!(bench.at(1202).dog.poll(), Due::Expired);
    assert_eq!(bench.control(), WCS_EN | WCS_WS0 | WCS_WS1);
}

#[test]
fn a_host_that_is_late_takes_no_time_from_the_second_stage() {
    let bench = Bench::on(0, 100);
    assert_eq!(bench.at(100_000).dog.poll(), Due::At(100_101));
    assert!(bench.is_high());
}

#[test]
fn what_the_guest_reads_does_not_wait_for_a_poll() {
    let bench = Bench::on(0, 100);
    assert_eq!(bench.at(101).control(), WCS_EN | WCS_WS0);
    assert!(bench.is_high());
    assert_eq!(bench.read(reg::WCV, Qword), 201);
}

#[test]
fn writing_wrr_wor_or_wcs_refreshes_and_nothing_else_does() {
    for (offset, refreshes) in [
        (reg::WRR, true),
        (reg::WOR, true),
        (reg::WOR_HIGH, true),
        (reg::WCS, true),
        (reg::W_IIDR, false),
        (reg::REFRESH_W_IIDR, false),
        (reg::WRR + 4, false),
        (0x004, false),
    ] {
        let bench = Bench::on(0, 100);
        bench.at(150).dog.poll();
        let value = if offset == reg::WOR { 100 } else { u64::from(offset == reg::WCS) };
        bench.write(offset, Dword, value);
        let after = if refreshes { WCS_EN } else { WCS_EN | WCS_WS0 };
        assert_eq!(bench.control(), after, "{offset:#x}");
        assert_eq!(bench.is_high(), !refreshes);
        assert_eq!(bench.read(reg::WCV, Qword), 250);
    }
}

#[test]
fn a_refresh_after_the_second_timeout_comes_too_late() {
    let bench = Bench::on(0, 10);
    bench.at(11).dog.poll();
    bench.at(22).write(reg::WRR, Dword, 0);
    assert_eq!(bench.control(), WCS_EN);
    assert_eq!(bench.dog.poll(), Due::Expired);
    bench.write(reg::WCS, Dword, 0);
    assert_eq!(bench.dog.poll(), Due::Expired);
    bench.dog.reset();
    assert_eq!(bench.dog.poll(), Due::Never);
}

#[test]
fn switched_off_it_waits_for_nothing() {
    let bench = Bench::on(0, 10);
    bench.at(11).dog.poll();
    bench.write(reg::WCS, Dword, !1);
    assert!(!bench.is_high());
    assert_eq!(bench.at(1 << 60).dog.poll(), Due::Never);
    assert_eq!(bench.control(), 0);
}

#[test]
fn registers_are_written_in_halves_or_whole() {
    let bench = Bench::new();
    bench.write(reg::WOR, Dword, 0x8765_4321);
    bench.write(reg::WOR_HIGH, Dword, 0xffff_0123);
    assert_eq!(bench.read(reg::WOR, Qword), 0x0123_8765_4321, "48 bits");
    assert_eq!(bench.read(reg::WOR, Dword), 0x8765_4321);
    assert_eq!(bench.read(reg::WOR_HIGH, Dword), 0x0123);
    bench.write(reg::WOR, Qword, u64::MAX);
    assert_eq!(bench.read(reg::WOR, Qword), WOR_BITS);
    bench.write(reg::WCV, Dword, 1);
    bench.write(reg::WCV_HIGH, Dword, 2);
    assert_eq!(bench.read(reg::WCV, Qword), 0x2_0000_0001);
    assert_eq!(bench.read(reg::WCV_HIGH, Dword), 2);
    bench.write(reg::WCV, Qword, u64::MAX);
    assert_eq!(bench.read(reg::WCV, Qword), u64::MAX);
}

#[test]
fn a_written_compare_value_decides_the_next_timeout() {
    let bench = Bench::on(1000, 100);
    bench.write(reg::WCV, Qword, 5000);
    assert_eq!(bench.at(4999).dog.poll(), Due::At(5001));
    bench.write(reg::WCV, Qword, 0);
    assert_eq!(bench.dog.poll(), Due::At(5100), "the first timeout, at once");
    bench.write(reg::WCV, Qword, u64::MAX);
    assert_eq!(bench.at(u64::MAX).dog.poll(), Due::At(u64::MAX), "never");
}

#[test]
fn an_offset_of_nothing_expires_within_two_looks_and_the_end_of_time_does_not_wrap() {
    let bench = Bench::on(5, 0);
    assert_eq!(bench.dog.poll(), Due::At(6));
    assert_eq!(bench.at(6).dog.poll(), Due::At(7));
    assert_eq!(bench.at(7).dog.poll(), Due::Expired);
    let bench = Bench::on(u64::MAX - 5, WOR_BITS);
    assert_eq!(bench.at(u64::MAX).dog.poll(), Due::At(u64::MAX));
    assert_eq!(bench.control(), WCS_EN);
}

#[test]
fn reset_switches_it_off_and_lowers_the_line() {
    let bench = Bench::on(0, 10);
    bench.at(11).dog.poll();
    bench.dog.reset();
    assert!(!bench.is_high());
    assert_eq!((bench.control(), bench.read(reg::WOR, Qword)), (0, 0));
    assert_eq!(bench.dog.poll(), Due::Never);
}

#[test]
fn every_offset_of_every_width_is_answered() {
    let bench = Bench::new();
    for offset in (0..0x1000).chain(0xfff8..0x1_1000).chain(Watchdog::WINDOW - 16..Watchdog::WINDOW)
    {
        for width in [Byte, Word, Dword, Qword] {
            for value in [0, 1, 0x55aa_55aa_55aa_55aa, u64::MAX] {
                bench.at(value.wrapping_mul(3)).write(offset, width, value);
                let read = bench.read(offset, width);
                assert!(offset.is_multiple_of(4) || read == 0, "{offset:#x} is no register");
                bench.dog.poll();
            }
        }
    }
}
