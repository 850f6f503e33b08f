//! A GICv2: banked registers, SGIs with their senders, targets by mask.

use alloc::vec::Vec;

use axaddrspace::AccessWidth;

use super::fake::*;
use crate::{
    VgicConfig,
    lr::{self, GROUP1},
};

const ITARGETSR: usize = 0x800;
const SGIR: usize = 0xf00;
const CPENDSGIR: usize = 0xf10;
const SPENDSGIR: usize = 0xf20;

/// A running VM with the distributor enabled, as a guest does it: group 0.
fn bench(vcpus: usize, lrs: usize) -> Bench {
    let bench = Bench::cold_gicv2(vcpus, 64, lrs);
    bench.gicd(0, CTLR, 1);
    bench
}

fn byte(bench: &Bench, from: usize, offset: usize) -> u64 {
    bench.read(false, from, offset, AccessWidth::Byte)
}

fn set_byte(bench: &Bench, from: usize, offset: usize, value: u8) {
    bench.write(false, from, offset, AccessWidth::Byte, u64::from(value));
}

/// Takes and ends SGIs on `vcpu` until none is left: INTID and sender of each.
fn sgis(bench: &Bench, vcpu: usize) -> Vec<(u32, u32)> {
    let mut taken = Vec::new();
    while let Some(value) = bench.take(vcpu) {
        taken.push((value as u32, lr::sender(value)));
        assert!(taken.len() < 1000, "no end of interrupts");
        bench.end(vcpu, value as u32);
    }
    taken
}

#[test]
fn the_identification_registers_are_those_of_a_gicv2() {
    let bench = Bench::cold_gicv2(4, 64, 4);
    assert_eq!(bench.access(false, 0, 4), 3 << 5 | 2, "GICD_TYPER");
    assert_eq!(bench.access(false, 0, 8) & 0xfff, 0x43b, "GICD_IIDR");
    assert_eq!(bench.access(false, 0, 0xfe8), 0x20, "ICPIDR2");
    assert_eq!(bench.access(false, 0, CTLR), 0);
    bench.gicd(0, CTLR, u32::MAX);
    assert_eq!(bench.access(false, 0, CTLR), 3);
}

#[test]
fn shapes_that_no_gicv2_has_are_refused() {
    let new = |vcpus, spis| {
        let bench = Bench::cold_gicv2(1, 32, 4);
        let config = VgicConfig { vcpus, spis };
        crate::Vgic::gicv2(config, Here(bench.machine.clone()), bench.machine.clone()).map(|_| ())
    };
    assert!(new(8, 32).is_ok());
    let error = new(9, 32).unwrap_err();
    assert_eq!(alloc::format!("{error}"), "a GICv2 serves 1 to 8 vCPUs, not 9");
    assert!(new(0, 32).is_err() && new(1, 33).is_err());
}

#[test]
fn private_registers_are_those_of_the_vcpu_that_asks() {
    let bench = Bench::cold_gicv2(3, 64, 4);
    for vcpu in 0..3 {
        assert_eq!(bench.access(false, vcpu, ISENABLER), 0xffff, "SGIs are enabled at power-on");
        assert_eq!(bench.access(false, vcpu, 0x80), 0, "all are of group 0");
        assert_eq!(bench.access(false, vcpu, ITARGETSR), 0x0101_0101 << vcpu);
        assert_eq!(bench.access(false, vcpu, ITARGETSR + 28), 0x0101_0101 << vcpu);
        assert_eq!(bench.access(false, vcpu, ICFGR), 0xaaaa_aaaa);
    }
    bench.gicd(1, ISENABLER, 1 << 20);
    bench.gicd(1, ICENABLER, 1 << 3);
    set_byte(&bench, 1, IPRIORITYR + 20, 0x57);
    bench.gicd(1, ICFGR, 0);
    bench.gicd(1, ICFGR + 4, 2 << 8);
    bench.gicd(1, ITARGETSR, 0);
    for vcpu in 0..3 {
        let own = u64::from(vcpu == 1);
        assert_eq!(bench.access(false, vcpu, ISENABLER) >> 20, own);
        assert_eq!(bench.access(false, vcpu, ICENABLER) >> 3 & 1, 1 - own);
        assert_eq!(byte(&bench, vcpu, IPRIORITYR + 20), 0x50 * own);
        assert_eq!(bench.access(false, vcpu, IPRIORITYR + 20), 0x50 * own);
        assert_eq!(bench.access(false, vcpu, ICFGR), 0xaaaa_aaaa, "SGIs are edges");
        assert_eq!(bench.access(false, vcpu, ICFGR + 4), (2 << 8) * own);
        assert_eq!(bench.access(false, vcpu, ITARGETSR), 0x0101_0101 << vcpu);
    }
}

#[test]
fn a_board_with_one_vcpu_has_no_targets_to_choose() {
    let bench = bench(1, 4);
    bench.gicd(0, ITARGETSR + 32, u32::MAX);
    assert_eq!(bench.access(false, 0, ITARGETSR + 32), 0);
    assert_eq!(bench.access(false, 0, ITARGETSR), 0);
    bench.spi_bit(0, ISENABLER, 33);
    bench.vgic.pulse_spi(33);
    assert_eq!(bench.drain(0), [33]);
}

#[test]
fn an_spi_goes_to_the_lowest_of_its_targets_and_nowhere_without_one() {
    let bench = bench(3, 4);
    bench.spi_bit(0, ISENABLER, 40);
    bench.vgic.pulse_spi(40);
    for vcpu in 0..3 {
        assert!(bench.drain(vcpu).is_empty());
    }
    set_byte(&bench, 0, ITARGETSR + 40, 0b110);
    assert_eq!(bench.drain(1), [40]);
    set_byte(&bench, 0, ITARGETSR + 40, 0xfc);
    assert_eq!(byte(&bench, 2, ITARGETSR + 40), 0b100, "there are three vCPUs");
    bench.vgic.pulse_spi(40);
    assert_eq!(bench.drain(2), [40]);
    bench.gicd(0, ITARGETSR + 40, 0x0002_0401);
    assert_eq!(bench.access(false, 0, ITARGETSR + 40), 0x0002_0401);
    bench.vgic.pulse_spi(40);
    bench.enter(0);
    set_byte(&bench, 0, ITARGETSR + 40, 0b010);
    assert!(bench.drain(0).is_empty());
    assert_eq!(bench.drain(1), [40], "moved while it was listed");
}

#[test]
fn interrupts_are_of_group_0_until_the_guest_says_otherwise() {
    let bench = bench(1, 4);
    bench.spi_bit(0, ISENABLER, 50);
    bench.vgic.pulse_spi(50);
    bench.enter(0);
    assert_eq!(bench.take(0).unwrap() & GROUP1, 0);
    bench.end(0, 50);
    bench.spi_bit(0, 0x80, 50);
    bench.vgic.pulse_spi(50);
    assert!(bench.drain(0).is_empty(), "group 1 is closed");
    bench.gicd(0, CTLR, 3);
    assert_eq!(bench.take(0).unwrap() & GROUP1, GROUP1);
}

#[test]
fn every_sgi_reaches_every_vcpu_with_its_sender() {
    let bench = bench(8, 4);
    for from in 0..8u32 {
        for to in 0..8 {
            let intid = (from + to) % 16;
            bench.kicks(to as usize);
            bench.gicd(from as usize, SGIR, 1 << (16 + to) | intid);
            assert_eq!(bench.kicks(to as usize) > 0, from != to, "{from} to {to}");
            for vcpu in 0..8 {
                let want: &[_] = if vcpu == to as usize { &[(intid, from)] } else { &[] };
                assert_eq!(sgis(&bench, vcpu), want, "{from} to {to}");
            }
        }
    }
}

#[test]
fn the_filters_of_gicd_sgir_are_followed() {
    let bench = bench(4, 4);
    bench.gicd(2, SGIR, 1 << 24 | 9);
    for vcpu in 0..4 {
        let want: &[_] = if vcpu == 2 { &[] } else { &[(9, 2)] };
        assert_eq!(sgis(&bench, vcpu), want);
    }
    bench.gicd(3, SGIR, 2 << 24 | 0xff_0000 | 1);
    assert_eq!(sgis(&bench, 3), [(1, 3)]);
    bench.gicd(3, SGIR, 3 << 24 | 0xff_0000 | 1);
    for vcpu in 0..4 {
        assert!(sgis(&bench, vcpu).is_empty());
    }
}

#[test]
fn the_system_register_of_a_gicv3_sends_nothing() {
    let bench = bench(2, 4);
    bench.on(0).send_sgi(0, 5 << 24 | 0b11);
    bench.on(0).send_sgi(0, 1 << 40 | 5 << 24);
    assert!(sgis(&bench, 0).is_empty() && sgis(&bench, 1).is_empty());
}

#[test]
fn one_sgi_of_many_senders_comes_once_from_each() {
    let bench = bench(8, 4);
    bench.enter(0);
    for _ in 0..3 {
        for from in 0..8 {
            bench.gicd(from, SGIR, 1 << 16 | 5);
        }
        assert_eq!(byte(&bench, 0, SPENDSGIR + 5), 0xff);
        assert_eq!(bench.access(false, 0, ISPENDR), 1 << 5);
        let mut senders: Vec<u32> = sgis(&bench, 0).into_iter().map(|(_, from)| from).collect();
        senders.sort_unstable();
        assert_eq!(senders, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(byte(&bench, 0, CPENDSGIR + 5), 0);
    }
}

#[test]
fn a_sender_that_repeats_itself_is_heard_once() {
    let bench = bench(2, 4);
    for _ in 0..5 {
        bench.gicd(1, SGIR, 1 << 16 | 7);
    }
    bench.enter(0);
    bench.gicd(1, SGIR, 1 << 16 | 7);
    let value = bench.take(0).unwrap();
    assert_eq!((value as u32, lr::sender(value)), (7, 1));
    bench.gicd(1, SGIR, 1 << 16 | 7);
    assert_eq!(bench.take(0), None, "not while it is active");
    bench.end(0, 7);
    assert_eq!(sgis(&bench, 0), [(7, 1), (7, 1)].split_at(1).1);
}

#[test]
fn sgis_are_made_pending_and_taken_back_by_sender() {
    let bench = bench(4, 4);
    bench.gicd(0, ISPENDR, 0xffff);
    assert!(sgis(&bench, 0).is_empty(), "GICD_ISPENDR0 does not make SGIs pending");
    bench.gicd(0, SPENDSGIR + 4, 0b0000_1001 << 8 | 0b1111_0000 << 24);
    assert_eq!(bench.access(false, 0, SPENDSGIR + 4), 0b1001 << 8, "there are four vCPUs");
    assert_eq!(bench.access(false, 1, SPENDSGIR + 4), 0);
    bench.enter(0);
    bench.gicd(0, ICPENDR, 0xffff);
    assert_eq!(byte(&bench, 0, CPENDSGIR + 5), 0b1001, "nor does GICD_ICPENDR0 take them back");
    set_byte(&bench, 0, CPENDSGIR + 5, 0b0001);
    assert_eq!(sgis(&bench, 0), [(5, 3)]);
    set_byte(&bench, 0, SPENDSGIR + 5, 0b0110);
    bench.enter(0);
    set_byte(&bench, 0, CPENDSGIR + 5, 0b0110);
    assert!(sgis(&bench, 0).is_empty());
}

#[test]
fn sgis_wait_while_they_are_disabled_and_move_with_their_vcpu() {
    let bench = bench(4, 4);
    bench.gicd(0, ICENABLER, 1 << 2);
    for from in 1..4 {
        bench.gicd(from, SGIR, 1 << 16 | 2);
    }
    assert!(sgis(&bench, 0).is_empty());
    bench.gicd(0, ISENABLER, 1 << 2);
    let value = bench.take(0).unwrap();
    bench.on(0).save(0);
    bench.on(0).load(0);
    bench.gicd(0, ICENABLER, 1 << 2);
    bench.end(0, 2);
    assert!(sgis(&bench, 0).is_empty());
    bench.on(0).save(0);
    bench.gicd(1, SGIR, 1 << 16 | 2);
    bench.on(0).load(0);
    bench.gicd(0, ISENABLER, 1 << 2);
    let mut senders: Vec<u32> = sgis(&bench, 0).into_iter().map(|(_, from)| from).collect();
    senders.sort_unstable();
    assert_eq!((lr::sender(value), &senders[..]), (1, &[1, 2, 3][..]));
}

#[test]
fn more_sgis_than_list_registers_lose_no_sender() {
    for lrs in 2..5 {
        let bench = bench(8, lrs);
        for from in 0..8 {
            for intid in 0..16 {
                bench.gicd(from, SGIR, 1 << 16 | intid);
            }
        }
        let mut taken = sgis(&bench, 0);
        taken.sort_unstable();
        let all: Vec<_> = (0..16).flat_map(|intid| (0..8).map(move |from| (intid, from))).collect();
        assert_eq!(taken, all);
    }
}

#[test]
fn any_access_of_any_vcpu_is_survived_and_answered_within_its_width() {
    let bench = bench(3, 2);
    let mut random = Random(0x5eed_cafe);
    for round in 0..200_000 {
        let (from, offset) = (random.below(3) as usize, random.below(0x1000) as usize);
        let width = match random.below(4) {
            0 => AccessWidth::Byte,
            1 => AccessWidth::Word,
            2 => AccessWidth::Dword,
            _ => AccessWidth::Qword,
        };
        bench.write(false, from, offset, width, random.next());
        assert_eq!(bench.read(false, from, offset, width) & !width.mask(), 0);
        match random.below(6) {
            0 => bench.vgic.pulse_spi(32 + random.below(64) as u32),
            1 => bench.vgic.set_spi_level(32 + random.below(64) as u32, random.below(2) == 1),
            2 => {
                bench.on(from).save(from);
                bench.on(from).load(from);
            }
            _ => {}
        }
        let vcpu = random.below(3) as usize;
        if let Some(intid) = bench.acknowledge(vcpu) {
            bench.end(vcpu, intid);
        }
        if round % 1000 == 0 {
            (0..3).for_each(|vcpu| bench.on(vcpu).save(vcpu));
            bench.vgic.reset();
            (0..3).for_each(|vcpu| bench.on(vcpu).load(vcpu));
            bench.gicd(0, CTLR, 3);
        }
    }
}
