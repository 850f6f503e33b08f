//! Guests that do anything at any time.

use alloc::{vec, vec::Vec};

use axaddrspace::AccessWidth::{self, Byte, Dword, Qword, Word};

use super::fake::*;
use crate::affinity;

/// Fewer rounds where every operation is checked for overflow.
const fn rounds(release: usize) -> usize {
    if cfg!(debug_assertions) { release / 40 } else { release }
}

#[test]
fn ten_million_random_writes_do_no_harm() {
    let vcpus = 3;
    let bench = Bench::new(vcpus, 96, 4);
    let mut random = Random(0x0dd_ba11);
    let widths: [AccessWidth; 4] = [Byte, Word, Dword, Qword];
    for round in 0..rounds(10_000_000) {
        let from = random.below(vcpus as u64) as usize;
        let gicr = random.below(3) == 0;
        // Half of the writes hit registers, the rest anything.
        let offset = match (gicr, random.below(2)) {
            (false, 0) => random.below(0x1_0000),
            (false, _) => random.below(0x340) * 4,
            (true, 0) => random.below(0x6_0000),
            (true, _) => random.below(3) * 0x2_0000 + 0x1_0000 + random.below(0x340) * 4,
        };
        let width = widths[random.below(4).max(random.below(4)) as usize];
        bench.write(gicr, from, offset as usize, width, random.next());
        if round % 8 == 0 {
            bench.on(from).send_sgi(from, random.next() & 0xffff_00ff_00ff_ffff);
            bench.vgic.set_spi_level(random.below(140) as u32, random.below(2) == 0);
            if let Some(intid) = bench.acknowledge(from)
                && random.below(2) == 0
            {
                bench.end(from, intid);
            }
        }
        if round % 64 == 0 {
            bench.on(from).has_deliverable(from);
            bench.on(from).save(from);
            bench.on(from).load(from);
        }
        if round % 100_000 == 0 {
            (0..vcpus).for_each(|vcpu| bench.on(vcpu).save(vcpu));
            bench.vgic.reset();
            (0..vcpus).for_each(|vcpu| bench.on(vcpu).load(vcpu));
            bench.gicd(0, CTLR, 0b11);
        }
    }
    (0..vcpus).for_each(|vcpu| bench.enter(vcpu));
}

/// A few vCPUs, edge-triggered SPIs, and for each whether the guest must still see it.
struct Owed {
    bench: Bench,
    random: Random,
    owed: Vec<bool>,
    enabled: Vec<bool>,
    active: Vec<Vec<u32>>,
}

impl Owed {
    const VCPUS: usize = 3;
    const SPIS: usize = 160;

    fn new(seed: u64, lrs: usize) -> Self {
        let bench = Bench::new(Self::VCPUS, Self::SPIS, lrs);
        (32..Self::SPIS as u32 + 32).for_each(|intid| bench.edge(intid));
        let flags = vec![false; Self::SPIS + 32];
        let active = vec![Vec::new(); Self::VCPUS];
        Self { bench, random: Random(seed), owed: flags.clone(), enabled: flags, active }
    }

    fn take(&mut self, vcpu: usize) -> bool {
        let Some(intid) = self.bench.acknowledge(vcpu) else { return false };
        assert!(core::mem::take(&mut self.owed[intid as usize]), "{intid} came twice");
        assert!(self.enabled[intid as usize], "{intid} is disabled");
        self.active[vcpu].push(intid);
        true
    }

    fn step(&mut self) {
        let vcpu = self.random.below(Self::VCPUS as u64) as usize;
        let intid = 32 + self.random.below(Self::SPIS as u64) as u32;
        match self.random.below(12) {
            0..4 => {
                self.owed[intid as usize] = true;
                self.bench.vgic.pulse_spi(intid);
            }
            4 => {
                self.enabled[intid as usize] = true;
                self.bench.spi_bit(vcpu, ISENABLER, intid);
            }
            5 => {
                self.enabled[intid as usize] = false;
                self.bench.spi_bit(vcpu, ICENABLER, intid);
                // The others notice by their kick.
                (0..Self::VCPUS).for_each(|vcpu| self.bench.enter(vcpu));
            }
            6 => {
                let to = self.random.below(Self::VCPUS as u64) as usize;
                self.bench.route(vcpu, intid, affinity(to));
                (0..Self::VCPUS).for_each(|vcpu| self.bench.enter(vcpu));
            }
            7 => {
                let priority = self.random.below(256) as u8;
                self.bench.spi_priority(intid, priority);
            }
            8 => {
                self.bench.on(vcpu).save(vcpu);
                self.bench.on(vcpu).load(vcpu);
            }
            9 | 10 => {
                self.take(vcpu);
            }
            _ => {
                if let Some(intid) = self.active[vcpu].pop() {
                    self.bench.end(vcpu, intid);
                }
            }
        }
    }

    fn finish(&mut self) {
        for word in 1..=Self::SPIS / 32 {
            self.bench.gicd(0, ISENABLER + 4 * word, u32::MAX);
        }
        self.enabled.fill(true);
        // Twice: what ends on one vCPU may have become pending for another.
        for vcpu in (0..Self::VCPUS).chain(0..Self::VCPUS) {
            loop {
                while let Some(intid) = self.active[vcpu].pop() {
                    self.bench.end(vcpu, intid);
                }
                if !self.take(vcpu) {
                    break;
                }
            }
        }
        assert!(self.owed.iter().all(|owed| !owed), "lost");
    }
}

#[test]
fn no_edge_is_lost_or_doubled_whatever_happens_in_between() {
    for lrs in [2, 3, 4, 16] {
        for seed in 1..=5 {
            let mut run = Owed::new(seed * 0x9e37_79b9, lrs);
            for _ in 0..rounds(200_000) {
                run.step();
            }
            run.finish();
        }
    }
}

#[test]
fn every_level_that_is_high_is_seen_and_none_that_is_low() {
    let bench = Bench::new(2, 96, 4);
    let mut random = Random(0x1e_7e1);
    let mut high = [false; 128];
    for word in 1..=3 {
        bench.gicd(0, ISENABLER + 4 * word, u32::MAX);
    }
    (80..128).for_each(|intid| bench.route(0, intid, affinity(1)));
    for _ in 0..rounds(1_000_000) {
        let intid = 32 + random.below(96) as u32;
        high[intid as usize] ^= true;
        bench.vgic.set_spi_level(intid, high[intid as usize]);
        let vcpu = random.below(2) as usize;
        if let Some(intid) = bench.acknowledge(vcpu) {
            assert!(high[intid as usize], "{intid} is low");
            assert_eq!(vcpu, usize::from(intid >= 80));
            high[intid as usize] = false;
            bench.vgic.set_spi_level(intid, false);
            bench.end(vcpu, intid);
        }
    }
    let mut left = (32..128).filter(|intid| high[*intid as usize]).count();
    for vcpu in 0..2 {
        while let Some(intid) = bench.acknowledge(vcpu) {
            bench.vgic.set_spi_level(intid, false);
            bench.end(vcpu, intid);
            left -= 1;
        }
    }
    assert_eq!(left, 0);
}
