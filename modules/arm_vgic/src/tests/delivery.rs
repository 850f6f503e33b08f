//! SPIs on their way to the guest.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use super::fake::*;

const FOUR: usize = 4;

#[test]
fn a_thousand_pending_spis_pass_through_four_list_registers_once_and_in_order() {
    let bench = Bench::new(1, 992, FOUR);
    for intid in 32..1020 {
        bench.edge(intid);
        bench.spi_priority(intid, (intid % 32 * 8) as u8);
        bench.vgic.pulse_spi(intid);
    }
    for word in 1..32 {
        bench.gicd(0, ISENABLER + 4 * word, u32::MAX);
    }
    let taken = bench.drain(0);
    let mut want: Vec<u32> = (32..1020).collect();
    want.sort_by_key(|intid| (intid % 32, *intid));
    assert_eq!(taken.len(), want.len());
    // All were known before the first was listed.
    let by_priority: Vec<u32> = taken.iter().map(|intid| intid % 32).collect();
    assert!(by_priority.is_sorted());
    let mut sorted = taken;
    sorted.sort_by_key(|intid| (intid % 32, *intid));
    assert_eq!(sorted, want);
    assert!(bench.drain(0).is_empty());
}

#[test]
fn a_level_interrupt_comes_again_until_its_line_falls() {
    let bench = Bench::new(1, 32, FOUR);
    let line = bench.vgic.spi_line(40);
    bench.spi_bit(0, ISENABLER, 40);
    line.set_level(true);
    for _ in 0..10 {
        assert_eq!(bench.acknowledge(0), Some(40));
        assert_eq!(bench.acknowledge(0), None, "active");
        bench.end(0, 40);
    }
    assert_eq!(bench.acknowledge(0), Some(40));
    line.set_level(false);
    bench.end(0, 40);
    assert_eq!(bench.acknowledge(0), None);
    line.set_level(true);
    assert_eq!(bench.drain_one(), Some(40));
}

#[test]
fn a_level_that_falls_before_it_is_taken_is_taken_back() {
    let bench = Bench::new(1, 32, FOUR);
    bench.spi_bit(0, ISENABLER, 40);
    bench.vgic.set_spi_level(40, true);
    bench.enter(0);
    bench.vgic.set_spi_level(40, false);
    assert_eq!(bench.acknowledge(0), None);
    assert_eq!(bench.access(false, 0, ISPENDR + 4), 0);
}

#[test]
fn an_edge_while_active_is_taken_once_more() {
    let bench = Bench::new(1, 32, FOUR);
    bench.edge(33);
    bench.spi_bit(0, ISENABLER, 33);
    bench.vgic.pulse_spi(33);
    assert_eq!(bench.acknowledge(0), Some(33));
    bench.vgic.pulse_spi(33);
    bench.vgic.pulse_spi(33);
    bench.enter(0);
    bench.end(0, 33);
    assert_eq!(bench.acknowledge(0), Some(33));
    bench.end(0, 33);
    assert_eq!(bench.acknowledge(0), None);
}

#[test]
fn an_edge_line_latches_its_rise() {
    let bench = Bench::new(1, 32, FOUR);
    bench.edge(33);
    bench.spi_bit(0, ISENABLER, 33);
    bench.vgic.set_spi_level(33, true);
    bench.vgic.set_spi_level(33, false);
    assert_eq!(bench.drain(0), [33]);
    bench.vgic.set_spi_level(33, true);
    bench.vgic.set_spi_level(33, true);
    assert_eq!(bench.drain(0), [33]);
}

#[test]
fn an_interrupt_disabled_while_pending_waits_until_it_is_enabled() {
    let bench = Bench::new(1, 32, FOUR);
    bench.edge(50);
    bench.spi_bit(0, ISENABLER, 50);
    bench.vgic.pulse_spi(50);
    bench.enter(0);
    bench.spi_bit(0, ICENABLER, 50);
    assert_eq!(bench.acknowledge(0), None);
    assert_eq!(bench.access(false, 0, ISPENDR + 4), 1 << 18);
    bench.spi_bit(0, ISENABLER, 50);
    assert_eq!(bench.drain(0), [50]);
}

#[test]
fn disabling_the_group_takes_interrupts_back_and_enabling_returns_them() {
    let bench = Bench::new(1, 32, FOUR);
    bench.edge(50);
    bench.spi_bit(0, ISENABLER, 50);
    bench.vgic.pulse_spi(50);
    bench.enter(0);
    bench.gicd(0, CTLR, 0b01);
    assert_eq!(bench.acknowledge(0), None);
    bench.gicd(0, CTLR, 0b10);
    assert_eq!(bench.drain(0), [50]);
}

#[test]
fn clearing_pending_reaches_the_list_register() {
    let bench = Bench::new(1, 32, FOUR);
    bench.spi_bit(0, ISENABLER, 50);
    bench.spi_bit(0, ISPENDR, 50);
    bench.enter(0);
    bench.spi_bit(0, ICPENDR, 50);
    assert_eq!(bench.access(false, 0, ISPENDR + 4), 0);
    assert_eq!(bench.acknowledge(0), None);
    bench.vgic.set_spi_level(50, true);
    bench.spi_bit(0, ICPENDR, 50);
    assert_eq!(bench.acknowledge(0), Some(50), "a level is not cleared by a write");
}

#[test]
fn active_and_pending_registers_show_what_the_guest_just_did() {
    let bench = Bench::new(1, 32, FOUR);
    bench.edge(50);
    bench.spi_bit(0, ISENABLER, 50);
    bench.vgic.pulse_spi(50);
    assert_eq!(bench.acknowledge(0), Some(50));
    assert_eq!(bench.access(false, 0, ISPENDR + 4), 0);
    assert_eq!(bench.access(false, 0, ISACTIVER + 4), 1 << 18);
    bench.end(0, 50);
    assert_eq!(bench.access(false, 0, ICACTIVER + 4), 0);
}

#[test]
fn clearing_active_ends_the_interrupt() {
    let bench = Bench::new(1, 32, FOUR);
    bench.spi_bit(0, ISENABLER, 50);
    bench.vgic.set_spi_level(50, true);
    assert_eq!(bench.acknowledge(0), Some(50));
    bench.spi_bit(0, ICACTIVER, 50);
    assert_eq!(bench.acknowledge(0), Some(50), "the line is still high");
    bench.vgic.set_spi_level(50, false);
    bench.spi_bit(0, ICACTIVER, 50);
    assert_eq!(bench.acknowledge(0), None);
    assert_eq!(bench.access(false, 0, ISACTIVER + 4), 0);
}

#[test]
fn an_interrupt_made_active_by_a_write_waits_until_that_is_cleared() {
    let bench = Bench::new(1, 32, FOUR);
    bench.spi_bit(0, ISENABLER, 50);
    bench.spi_bit(0, ISACTIVER, 50);
    bench.spi_bit(0, ISPENDR, 50);
    assert_eq!(bench.acknowledge(0), None);
    bench.spi_bit(0, ICACTIVER, 50);
    assert_eq!(bench.drain(0), [50]);
}

#[test]
fn a_better_interrupt_displaces_a_pending_one_but_never_an_active_one() {
    let bench = Bench::new(1, 32, 3);
    for (intid, priority) in [(32, 0x80), (33, 0x90), (34, 0x20), (35, 0x10)] {
        bench.edge(intid);
        bench.spi_priority(intid, priority);
        bench.spi_bit(0, ISENABLER, intid);
    }
    bench.vgic.pulse_spi(32);
    bench.vgic.pulse_spi(33);
    bench.enter(0);
    bench.vgic.pulse_spi(34);
    assert_eq!(bench.acknowledge(0), Some(34));
    bench.vgic.pulse_spi(35);
    assert_eq!(bench.acknowledge(0), Some(35));
    assert_eq!(bench.acknowledge(0), None, "both are active and stay");
    bench.end(0, 35);
    bench.end(0, 34);
    assert_eq!(bench.drain(0), [32, 33]);
}

#[test]
fn a_rerouted_interrupt_is_taken_by_its_new_vcpu_only() {
    let bench = Bench::new(2, 32, FOUR);
    bench.edge(60);
    bench.spi_bit(0, ISENABLER, 60);
    bench.vgic.pulse_spi(60);
    bench.enter(0);
    bench.kicks(0);
    bench.route(1, 60, crate::affinity(1));
    assert!(bench.kicks(0) > 0, "it sits in a list register there");
    bench.enter(0);
    assert!(bench.kicks(1) > 0);
    assert_eq!(bench.acknowledge(0), None);
    assert_eq!(bench.drain(1), [60]);
}

#[test]
fn an_interrupt_routed_to_nobody_waits() {
    let bench = Bench::new(2, 32, FOUR);
    bench.edge(60);
    bench.spi_bit(0, ISENABLER, 60);
    bench.route(0, 60, 0x10000);
    bench.vgic.pulse_spi(60);
    assert_eq!((bench.drain(0), bench.drain(1)), (Vec::new(), Vec::new()));
    bench.route(0, 60, 0);
    assert_eq!(bench.drain(0), [60]);
}

#[test]
fn a_vcpu_that_moves_takes_active_interrupts_along_and_pending_ones_too() {
    let bench = Bench::new(1, 32, FOUR);
    for intid in 32..40 {
        bench.edge(intid);
        bench.spi_bit(0, ISENABLER, intid);
        bench.vgic.pulse_spi(intid);
    }
    assert_eq!(bench.acknowledge(0), Some(32));
    bench.on(0).save(0);
    assert!(bench.machine.cpus[0].lrs[1..].iter().all(|lr| lr.load(Relaxed) == 0));
    bench.vgic.pulse_spi(32);
    assert!(bench.vgic.has_deliverable(0));
    bench.on(0).load(0);
    bench.end(0, 32);
    let mut taken = bench.drain(0);
    taken.sort_unstable();
    assert_eq!(taken, [32, 33, 34, 35, 36, 37, 38, 39]);
}

#[test]
fn active_is_cleared_while_the_vcpu_is_not_loaded() {
    let bench = Bench::new(2, 32, FOUR);
    bench.spi_bit(0, ISENABLER, 32);
    bench.vgic.set_spi_level(32, true);
    assert_eq!(bench.acknowledge(0), Some(32));
    bench.on(0).save(0);
    assert!(!bench.vgic.has_deliverable(0));
    bench.spi_bit(1, ICACTIVER, 32);
    assert!(bench.vgic.has_deliverable(0));
    bench.on(0).load(0);
    assert_eq!(bench.acknowledge(0), Some(32));
}

#[test]
fn a_linked_interrupt_carries_its_physical_number() {
    let bench = Bench::new(1, 32, FOUR);
    bench.vgic.link_spi(45, Some(77));
    bench.spi_bit(0, ISENABLER, 45);
    bench.vgic.pulse_spi(45);
    bench.enter(0);
    let lr = bench.machine.cpus[0].lrs[1].load(Relaxed);
    assert_eq!(lr >> 32 & 0x1fff, 77);
    assert_eq!(lr & crate::lr::HW, crate::lr::HW);
    assert_eq!(bench.acknowledge(0), Some(45));
    bench.vgic.pulse_spi(45);
    assert_eq!(bench.acknowledge(0), None);
    bench.end(0, 45);
    bench.vgic.pulse_spi(45);
    assert_eq!(bench.drain(0), [45]);
}

#[test]
fn reset_forgets_pending_active_and_settings() {
    let bench = Bench::new(1, 992, FOUR);
    for intid in 32..132 {
        bench.spi_bit(0, ISENABLER, intid);
        bench.vgic.set_spi_level(intid, true);
    }
    bench.acknowledge(0).unwrap();
    bench.on(0).save(0);
    bench.vgic.reset();
    bench.on(0).load(0);
    bench.gicd(0, CTLR, 0b11);
    assert!(bench.drain(0).is_empty());
    for offset in [ISENABLER, ISPENDR, ISACTIVER, IPRIORITYR] {
        assert_eq!(bench.access(false, 0, offset + 4), 0);
    }
}

impl Bench {
    fn drain_one(&self) -> Option<u32> {
        let intid = self.acknowledge(0)?;
        self.end(0, intid);
        Some(intid)
    }
}
