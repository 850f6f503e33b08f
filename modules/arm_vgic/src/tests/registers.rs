//! What the register frames answer.

use axaddrspace::AccessWidth::{self, Byte, Dword, Qword, Word};

use super::fake::*;
use crate::{DISTRIBUTOR_WINDOW, REDISTRIBUTOR_STRIDE, Vgic, VgicConfig, VgicError, affinity};

const WIDTHS: [AccessWidth; 4] = [Byte, Word, Dword, Qword];
const SGI_BASE: usize = 0x1_0000;

#[test]
fn identification_says_gicv3_with_one_security_state() {
    let bench = Bench::cold(4, 224, 4);
    assert_eq!(bench.access(false, 0, 0x4), 0x0249_0007);
    assert_eq!(bench.access(false, 0, 0xffe8), 0x30);
    assert_eq!(bench.access(true, 0, 0xffe8), 0x30);
    assert_eq!(bench.access(false, 0, CTLR), 0x50);
    bench.gicd(0, CTLR, u32::MAX);
    assert_eq!(bench.access(false, 0, CTLR), 0x53);
    bench.gicd(0, CTLR, 0);
    assert_eq!(bench.access(false, 0, CTLR), 0x50);
}

#[test]
fn redistributors_show_their_affinity_and_the_last_one_says_so() {
    let bench = Bench::cold(18, 32, 4);
    for vcpu in 0..18 {
        let base = vcpu * REDISTRIBUTOR_STRIDE;
        let last = if vcpu == 17 { 0x10 } else { 0 };
        let want = affinity(vcpu) << 32 | (vcpu as u64) << 8 | last;
        assert_eq!(bench.read(true, 0, base + 8, Qword), want);
        assert_eq!(bench.access(true, 0, base + 8), want & 0xffff_ffff);
        assert_eq!(bench.access(true, 0, base + 12), want >> 32);
    }
    assert_eq!(bench.access(true, 0, 18 * REDISTRIBUTOR_STRIDE + 8), 0);
}

#[test]
fn children_follow_the_processor_to_sleep_and_awake() {
    let bench = Bench::cold(2, 32, 4);
    let waker = REDISTRIBUTOR_STRIDE + 0x14;
    for (written, read) in [(0, 0), (2, 6), (4, 0), (0xffff_ffff, 6)] {
        bench.write(true, 0, waker, Dword, written);
        assert_eq!(bench.access(true, 1, waker), read);
    }
    assert_eq!(bench.access(true, 0, 0x14), 6, "asleep at power-on");
}

#[test]
fn enable_bits_are_set_and_cleared_by_ones() {
    let bench = Bench::cold(2, 64, 4);
    bench.gicd(0, ISENABLER + 8, 0xf0f0);
    bench.gicd(0, ICENABLER + 8, 0x00f0);
    assert_eq!(bench.access(false, 0, ISENABLER + 8), 0xf000);
    assert_eq!(bench.access(false, 0, ICENABLER + 8), 0xf000);
    bench.gicr(0, 1, ISENABLER, 0x8000_0001);
    assert_eq!(bench.access(true, 0, REDISTRIBUTOR_STRIDE + SGI_BASE + ISENABLER), 0x8000_0001);
    assert_eq!(bench.access(true, 0, SGI_BASE + ISENABLER), 0);
}

#[test]
fn private_registers_of_the_distributor_are_nobody_s() {
    let bench = Bench::cold(2, 64, 4);
    for register in
        [0x80, ISENABLER, ISPENDR, ISACTIVER, IPRIORITYR, IPRIORITYR + 28, ICFGR, ICFGR + 4]
    {
        bench.gicd(0, register, u32::MAX);
        assert_eq!(bench.access(false, 0, register), 0, "{register:#x}");
    }
    assert_eq!(bench.access(true, 0, SGI_BASE + ISENABLER), 0);
}

#[test]
fn priorities_have_five_bits_and_bytes() {
    let bench = Bench::cold(1, 64, 4);
    bench.gicd(0, IPRIORITYR + 64, 0xffa7_1508);
    assert_eq!(bench.access(false, 0, IPRIORITYR + 64), 0xf8a0_1008);
    bench.write(false, 0, IPRIORITYR + 65, Byte, 0x7f);
    assert_eq!(bench.read(false, 0, IPRIORITYR + 65, Byte), 0x78);
    assert_eq!(bench.access(false, 0, IPRIORITYR + 64), 0xf8a0_7808);
    bench.write(true, 0, SGI_BASE + IPRIORITYR + 31, Byte, 0xc0);
    assert_eq!(bench.access(true, 0, SGI_BASE + IPRIORITYR + 28), 0xc000_0000);
    bench.write(true, 0, SGI_BASE + IPRIORITYR + 32, Byte, 0xc0);
    assert_eq!(bench.access(true, 0, SGI_BASE + IPRIORITYR + 32), 0);
}

#[test]
fn only_the_upper_bit_of_a_configuration_field_exists_and_sgis_are_edges() {
    let bench = Bench::cold(1, 64, 4);
    bench.gicd(0, ICFGR + 8, u32::MAX);
    assert_eq!(bench.access(false, 0, ICFGR + 8), 0xaaaa_aaaa);
    assert_eq!(bench.access(false, 0, ICFGR + 12), 0);
    bench.gicr(0, 0, ICFGR, 0);
    assert_eq!(bench.access(true, 0, SGI_BASE + ICFGR), 0xaaaa_aaaa);
    bench.gicr(0, 0, ICFGR + 4, 0x8000_000a);
    assert_eq!(bench.access(true, 0, SGI_BASE + ICFGR + 4), 0x8000_000a);
}

#[test]
fn routes_are_read_and_written_whole_and_in_halves() {
    let bench = Bench::cold(2, 64, 4);
    let router = IROUTER + 8 * 33;
    bench.write(false, 0, router, Qword, u64::MAX);
    assert_eq!(bench.read(false, 0, router, Qword), 0xff_ffff);
    bench.gicd(0, router, 1);
    bench.gicd(0, router + 4, 7);
    assert_eq!(bench.read(false, 0, router, Qword), 1);
    assert_eq!(bench.access(false, 0, router + 4), 0);
    bench.write(false, 0, IROUTER + 8 * 31, Qword, 1);
    assert_eq!(bench.read(false, 0, IROUTER + 8 * 31, Qword), 0);
}

#[test]
fn registers_past_the_last_interrupt_are_ignored() {
    for spis in [32, 224, 992] {
        let bench = Bench::new(1, spis, 4);
        let end = (32 + spis).min(1020);
        for intid in end..1024 {
            for (base, per_byte) in
                [(0x80, 8), (ISENABLER, 8), (ISPENDR, 8), (ISACTIVER, 8), (ICFGR, 4)]
            {
                let offset = base + ((intid / per_byte) & !3);
                bench.gicd(0, offset, u32::MAX);
                let first = offset.wrapping_sub(base) * per_byte;
                let read = bench.access(false, 0, offset);
                if first >= end {
                    assert_eq!(read, 0, "{offset:#x} of {spis}");
                } else if per_byte == 8 {
                    assert_eq!(read >> (end - first), 0, "{offset:#x} of {spis}");
                }
            }
            bench.write(false, 0, IPRIORITYR + intid, Byte, 0xff);
            assert_eq!(bench.read(false, 0, IPRIORITYR + intid, Byte), 0);
            bench.route(0, intid as u32, 1);
            assert_eq!(bench.read(false, 0, IROUTER + 8 * intid, Qword), 0);
            bench.vgic.pulse_spi(intid as u32);
        }
        for intid in [0, 31, 1024, 5000, u32::MAX] {
            bench.vgic.pulse_spi(intid);
            bench.vgic.set_spi_level(intid, true);
            bench.vgic.link_spi(intid, Some(1));
        }
    }
}

#[test]
fn a_message_makes_an_spi_pending() {
    let bench = Bench::new(1, 64, 4);
    bench.edge(40);
    bench.spi_bit(0, ISENABLER, 40);
    bench.gicd(0, 0x40, 40);
    assert_eq!(bench.drain(0), [40]);
    bench.write(false, 0, 0x40, Word, 40);
    bench.write(false, 0, 0x48, Word, 40);
    assert!(bench.drain(0).is_empty());
    bench.spi_bit(0, ISENABLER, 41);
    bench.gicd(0, 0x40, 41);
    assert_eq!(bench.acknowledge(0), Some(41));
    bench.gicd(0, 0x48, 41);
    bench.end(0, 41);
    assert_eq!(bench.acknowledge(0), None);
    for intid in [0, 31, 96, 1020, 0xffff_ffff] {
        bench.gicd(0, 0x40, intid);
    }
}

#[test]
fn every_offset_of_every_width_is_answered() {
    let bench = Bench::new(2, 64, 4);
    for (gicr, size) in [(false, DISTRIBUTOR_WINDOW), (true, 2 * REDISTRIBUTOR_STRIDE + 64)] {
        for offset in 0..size {
            for width in WIDTHS {
                for value in [0, u64::MAX, 0x5555_aaaa_5555_aaaa] {
                    bench.write(gicr, 1, offset, width, value);
                    bench.read(gicr, 0, offset, width);
                }
            }
        }
    }
    bench.enter(0);
    bench.enter(1);
}

#[test]
fn shapes_that_no_gic_has_are_refused() {
    struct Nothing;
    impl crate::Kick for Nothing {
        fn kick(&self, _: usize) {}
    }
    struct None;
    impl crate::ListRegisters for None {
        fn count(&self) -> usize {
            0
        }
        fn read(&self, _: usize) -> u64 {
            0
        }
        fn write(&self, _: usize, _: u64) {}
        fn set_maintenance(&self, _: bool) {}
        fn enable_physical_ppi(&self, _: u32, _: bool) {}
        fn set_physical_ppi_active(&self, _: u32, _: bool) {}
    }
    let new = |vcpus, spis| {
        let config = VgicConfig { vcpus, spis };
        Vgic::new(config, None, alloc::sync::Arc::new(Nothing)).err()
    };
    assert_eq!(new(0, 32), Some(VgicError::Vcpus(0)));
    assert_eq!(new(65, 32), Some(VgicError::Vcpus(65)));
    for spis in [0, 31, 33, 1024, usize::MAX] {
        assert_eq!(new(1, spis), Some(VgicError::Spis(spis)));
    }
    assert_eq!(new(64, 992), Option::None);
}
