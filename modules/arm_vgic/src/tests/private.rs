//! SGIs, PPIs and the virtual timer.

use core::sync::atomic::Ordering::Relaxed;

use axaddrspace::AccessWidth;

use super::fake::*;
use crate::{
    TIMER_PPI,
    lr::{ACTIVE, HW, PENDING},
};

/// ICC_SGI1R_EL1 for SGI `intid` to vCPU `to`.
fn sgi(intid: u64, to: usize) -> u64 {
    intid << 24 | (to as u64 / 16) << 16 | 1 << (to % 16)
}

fn enable_all(bench: &Bench, vcpus: usize) {
    (0..vcpus).for_each(|vcpu| bench.gicr(vcpu, vcpu, ISENABLER, u32::MAX));
}

#[test]
fn every_sgi_reaches_every_vcpu_from_every_vcpu() {
    const VCPUS: usize = 20;
    let bench = Bench::new(VCPUS, 32, 4);
    enable_all(&bench, VCPUS);
    (0..VCPUS).for_each(|vcpu| bench.enter(vcpu));
    for from in 0..VCPUS {
        for to in 0..VCPUS {
            let intid = (from + to) as u64 % 16;
            bench.kicks(to);
            bench.on(from).send_sgi(from, sgi(intid, to));
            assert_eq!(bench.kicks(to) > 0, from != to, "{from} to {to}");
            for vcpu in 0..VCPUS {
                let want: &[u32] = if vcpu == to { &[intid as u32] } else { &[] };
                assert_eq!(bench.drain(vcpu), want, "{from} to {to}");
            }
        }
    }
}

#[test]
fn an_sgi_to_all_others_reaches_all_others() {
    let bench = Bench::new(4, 32, 4);
    enable_all(&bench, 4);
    bench.on(2).send_sgi(2, 1 << 40 | 9 << 24);
    for vcpu in 0..4 {
        assert_eq!(bench.drain(vcpu).len(), usize::from(vcpu != 2));
    }
}

#[test]
fn who_looks_for_an_sgi_of_another_vcpu_tells_it() {
    let bench = Bench::new(3, 32, 4);
    enable_all(&bench, 3);
    (0..3).for_each(|vcpu| bench.enter(vcpu));
    let registers = 0x1_0000 + 0x2_0000;
    for touch in [
        |bench: &Bench, at| assert_eq!(bench.access(true, 2, at + ISPENDR), 1 << 3),
        |bench: &Bench, at| bench.write(true, 2, at + ICACTIVER, AccessWidth::Dword, 1 << 3),
    ] {
        bench.on(0).send_sgi(0, sgi(3, 1));
        // vCPU 1 has come too early to find it: the other one had taken it off its doorbell.
        bench.kicks(1);
        touch(&bench, registers);
        assert!(bench.kicks(1) > 0);
        assert_eq!(bench.drain(1), [3]);
    }
}

#[test]
fn an_sgi_disabled_while_it_is_active_does_not_come_again_until_it_is_enabled() {
    for maintenance_is_late in [false, true] {
        let bench = Bench::new(1, 32, 4);
        enable_all(&bench, 1);
        let send = || {
            let doorbell = bench.vgic.doorbell(0).unwrap();
            if !bench.on(0).send_to_self(0, doorbell, sgi(4, 0)) {
                bench.on(0).send_sgi(0, sgi(4, 0));
            }
        };
        send();
        assert_eq!(bench.acknowledge(0), Some(4));
        bench.gicr(0, 0, ICENABLER, 1 << 4);
        bench.enter(0);
        bench.end(0, 4);
        if !maintenance_is_late {
            bench.enter(0);
        }
        send();
        assert_eq!(bench.acknowledge(0), None);
        bench.gicr(0, 0, ISENABLER, 1 << 4);
        assert_eq!(bench.drain(0), [4]);
    }
}

#[test]
fn sgis_to_nobody_are_ignored() {
    let bench = Bench::new(2, 32, 4);
    enable_all(&bench, 2);
    let mut random = Random(0x5eed);
    for _ in 0..100_000 {
        bench.on(0).send_sgi(0, random.next() & !(1 << 40) | 1 << 16);
    }
    assert!(bench.drain(0).is_empty() && bench.drain(1).is_empty());
}

#[test]
fn sgis_to_self_repeat_without_a_flush_in_between() {
    let bench = Bench::new(1, 32, 4);
    enable_all(&bench, 1);
    bench.enter(0);
    for round in 0..1000 {
        let intid = round % 5;
        bench.on(0).send_sgi(0, sgi(intid, 0));
        assert_eq!(bench.drain(0), [intid as u32]);
    }
}

#[test]
fn an_sgi_to_self_while_it_is_active_follows_after_it() {
    let bench = Bench::new(1, 32, 4);
    enable_all(&bench, 1);
    bench.on(0).send_sgi(0, sgi(3, 0));
    bench.on(0).send_sgi(0, sgi(3, 0));
    assert_eq!(bench.acknowledge(0), Some(3));
    bench.on(0).send_sgi(0, sgi(3, 0));
    assert_eq!(bench.acknowledge(0), None);
    bench.end(0, 3);
    assert_eq!(bench.drain(0), [3]);
}

#[test]
fn all_sixteen_sgis_to_self_at_once_lose_none() {
    let bench = Bench::new(1, 32, 4);
    enable_all(&bench, 1);
    bench.enter(0);
    (0..16).for_each(|intid| bench.on(0).send_sgi(0, sgi(intid, 0)));
    let mut taken = bench.drain(0);
    taken.sort_unstable();
    assert_eq!(taken, (0..16).collect::<alloc::vec::Vec<u32>>());
}

#[test]
fn a_disabled_sgi_is_kept_pending() {
    let bench = Bench::new(1, 32, 4);
    bench.on(0).send_sgi(0, sgi(1, 0));
    assert!(bench.drain(0).is_empty());
    assert!(!bench.vgic.has_deliverable(0));
    assert_eq!(bench.access(true, 0, 0x1_0000 + ISPENDR), 2);
    enable_all(&bench, 1);
    assert!(bench.vgic.has_deliverable(0));
    assert_eq!(bench.drain(0), [1]);
}

#[test]
fn private_interrupts_belong_to_one_vcpu() {
    let bench = Bench::new(2, 32, 4);
    enable_all(&bench, 2);
    bench.vgic.set_ppi_level(1, 30, true);
    assert!(bench.drain_few(0).is_empty());
    assert_eq!(bench.acknowledge(1), Some(30));
    bench.vgic.set_ppi_level(1, 30, false);
    bench.end(1, 30);
    assert_eq!(bench.acknowledge(1), None);
    for (vcpu, intid) in [(2, 30), (usize::MAX, 30), (0, 15), (0, 32), (0, TIMER_PPI)] {
        bench.vgic.set_ppi_level(vcpu, intid, true);
        assert!(bench.drain_few(0).is_empty());
    }
}

#[test]
fn the_timer_is_delivered_only_while_the_guest_wants_it() {
    let bench = Bench::cold(1, 32, 4);
    let cpu = &bench.machine.cpus[0];
    assert_eq!(bench.vgic.doorbell(0).unwrap().timer_lr(), 0);
    bench.gicr(0, 0, ISENABLER, 1 << TIMER_PPI);
    assert_eq!(bench.vgic.doorbell(0).unwrap().timer_lr(), 0, "the group is closed");
    bench.gicd(0, CTLR, 0b10);
    bench.gicr(0, 0, IPRIORITYR + 24, 0xa0 << 24);
    bench.enter(0);
    let lr = bench.vgic.doorbell(0).unwrap().timer_lr();
    assert_eq!(lr, PENDING | HW | 1 << 60 | 0xa0 << 48 | 27 << 32 | 27);
    assert!(cpu.timer_enabled.load(Relaxed));
    bench.gicr(0, 0, ICENABLER, 1 << TIMER_PPI);
    bench.enter(0);
    assert_eq!(bench.vgic.doorbell(0).unwrap().timer_lr(), 0);
    assert!(!cpu.timer_enabled.load(Relaxed));
}

/// The physical timer interrupt arrives: acknowledged, priority dropped, list register written.
fn fire(bench: &Bench) {
    let cpu = &bench.machine.cpus[0];
    assert!(cpu.timer_enabled.load(Relaxed) && !cpu.timer_active.load(Relaxed));
    cpu.timer_active.store(true, Relaxed);
    cpu.lrs[0].store(bench.vgic.doorbell(0).unwrap().timer_lr(), Relaxed);
}

fn with_timer() -> Bench {
    let bench = Bench::new(1, 32, 4);
    bench.gicr(0, 0, ISENABLER, 1 << TIMER_PPI);
    bench.enter(0);
    bench
}

#[test]
fn a_timer_disabled_while_pending_can_fire_again() {
    let bench = with_timer();
    fire(&bench);
    assert_eq!(bench.access(true, 0, 0x1_0000 + ISPENDR), 1 << 27);
    bench.gicr(0, 0, ICENABLER, 1 << TIMER_PPI);
    assert_eq!(bench.acknowledge(0), None);
    assert!(!bench.machine.cpus[0].timer_active.load(Relaxed));
    bench.gicr(0, 0, ISENABLER, 1 << TIMER_PPI);
    bench.enter(0);
    fire(&bench);
    assert_eq!(bench.drain(0), [27]);
}

#[test]
fn the_timer_s_state_moves_with_its_vcpu() {
    let bench = with_timer();
    let cpu = &bench.machine.cpus[0];
    fire(&bench);
    assert_eq!(bench.acknowledge(0), Some(27));
    bench.on(0).save(0);
    assert!(!bench.vgic.has_deliverable(0));
    cpu.lrs[0].store(0, Relaxed);
    cpu.timer_active.store(false, Relaxed);
    bench.on(0).load(0);
    assert_eq!(cpu.lrs[0].load(Relaxed) & (ACTIVE | PENDING), ACTIVE);
    assert!(cpu.timer_active.load(Relaxed));
    bench.end(0, 27);
    assert!(!cpu.timer_active.load(Relaxed));
    fire(&bench);
    bench.on(0).save(0);
    assert!(bench.vgic.has_deliverable(0));
    bench.on(0).load(0);
    assert_eq!(bench.drain(0), [27]);
    bench.on(0).save(0);
    bench.on(0).load(0);
    assert!(!cpu.timer_active.load(Relaxed));
}

#[test]
fn a_saved_vcpu_leaves_the_cpu_as_every_load_expects_it() {
    let bench = with_timer();
    let cpu = &bench.machine.cpus[0];
    let is_at_rest = || {
        let empty = cpu.lrs[1..].iter().all(|lr| lr.load(Relaxed) == 0);
        empty && cpu.timer_enabled.load(Relaxed) && !cpu.timer_active.load(Relaxed)
    };
    bench.gicr(0, 0, ISENABLER, 1 << 5);
    fire(&bench);
    bench.vgic.send_sgi(0, 5 << 24 | 1);
    bench.enter(0);
    assert!(!is_at_rest());
    bench.on(0).save(0);
    assert!(is_at_rest());
    bench.on(0).load(0);
    let mut taken = bench.drain(0);
    taken.sort_unstable();
    assert_eq!(taken, [5, 27]);
    bench.gicr(0, 0, ICENABLER, 1 << TIMER_PPI);
    bench.enter(0);
    for _ in 0..2 {
        assert!(!cpu.timer_enabled.load(Relaxed));
        bench.on(0).save(0);
        assert!(is_at_rest());
        bench.on(0).load(0);
    }
    bench.on(0).save(0);
    bench.gicr(0, 0, ISENABLER, 1 << TIMER_PPI);
    bench.on(0).load(0);
    assert!(cpu.timer_enabled.load(Relaxed), "enabled while it was not loaded");
}

#[test]
fn clearing_the_timer_s_active_state_deactivates_the_physical_one() {
    let bench = with_timer();
    fire(&bench);
    assert_eq!(bench.acknowledge(0), Some(27));
    assert_eq!(bench.access(true, 0, 0x1_0000 + ISACTIVER), 1 << 27);
    bench.gicr(0, 0, ICACTIVER, u32::MAX);
    bench.enter(0);
    assert!(!bench.machine.cpus[0].timer_active.load(Relaxed));
    assert_eq!(bench.access(true, 0, 0x1_0000 + ISACTIVER), 0);
    fire(&bench);
    assert_eq!(bench.drain(0), [27]);
}

impl Bench {
    /// Drains, without taking a line that stays high for ever.
    fn drain_few(&self, vcpu: usize) -> alloc::vec::Vec<u32> {
        self.acknowledge(vcpu).into_iter().collect()
    }
}
