//! How much work one exit can be: what a guest writes decides what is done, not how often.

use axaddrspace::AccessWidth;

use super::fake::*;

const LIST_REGISTERS: usize = 16;
const WIDTHS: [AccessWidth; 4] =
    [AccessWidth::Byte, AccessWidth::Word, AccessWidth::Dword, AccessWidth::Qword];

/// All list registers are looked at, freed, displaced and filled, each by a read and a write.
const MOST_TOUCHED: usize = 4 * 2 * LIST_REGISTERS;

/// Everything enabled and pending, on all vCPUs.
fn crowd(bench: &Bench, vcpus: usize) {
    for intid in 32..1020 {
        bench.route(0, intid, crate::affinity(intid as usize % vcpus));
    }
    for word in 1..32 {
        bench.gicd(0, ISENABLER + 4 * word, u32::MAX);
        bench.gicd(0, ISPENDR + 4 * word, u32::MAX);
    }
}

fn within_bounds(bench: &Bench, most_kicks: usize, what: impl Fn() -> alloc::string::String) {
    let touched = bench.touched();
    assert!(touched <= MOST_TOUCHED, "{touched} accesses of list registers by {}", what());
    for vcpu in 0..bench.machine.kicks.len() {
        let kicks = bench.kicks(vcpu);
        assert!(kicks <= most_kicks, "{kicks} kicks of vCPU {vcpu} by {}", what());
    }
}

fn abuse(bench: &Bench, most_kicks: usize, window: usize) {
    let vcpus = bench.machine.kicks.len();
    crowd(bench, vcpus);
    let mut random = Random(0x1234_5678_9abc_def1);
    bench.touched();
    bench.forget_kicks();
    for _ in 0..5_000 {
        let from = random.below(vcpus as u64) as usize;
        let width = WIDTHS[random.below(4) as usize];
        let redistributor = window > 0 && random.below(3) == 0;
        let span = if redistributor { window } else { 0x1_0000 };
        let offset = random.below(span as u64) as usize & !(width.bytes() - 1);
        let offset = if random.below(4) == 0 { CTLR } else { offset };
        if random.below(4) == 0 {
            bench.read(redistributor, from, offset, width);
        } else {
            let value = [0, u64::MAX, random.next()][random.below(3) as usize];
            bench.write(redistributor, from, offset, width, value);
        }
        within_bounds(bench, most_kicks, || alloc::format!("an access at {offset:#x}"));
        bench.on(from).flush(from);
        within_bounds(bench, most_kicks, || alloc::format!("the entry after {offset:#x}"));
        bench.on(from).has_deliverable(from);
        within_bounds(bench, most_kicks, || alloc::format!("a wait after {offset:#x}"));
    }
}

#[test]
fn no_access_to_a_gicv3_touches_list_registers_without_end_or_kicks_anybody_twice() {
    let bench = Bench::new(64, 992, LIST_REGISTERS);
    abuse(&bench, 1, 64 * 0x2_0000);
}

#[test]
fn no_access_to_a_gicv2_touches_list_registers_without_end_or_kicks_anybody_often() {
    let bench = Bench::cold_gicv2(8, 992, LIST_REGISTERS);
    bench.gicd(0, CTLR, 0b11);
    // A word of registers with a byte for each interrupt is four writes.
    abuse(&bench, 4, 0);
}

#[test]
fn an_sgi_to_everybody_kicks_each_other_vcpu_once() {
    let bench = Bench::new(64, 32, 4);
    bench.forget_kicks();
    for _ in 0..100 {
        bench.on(3).send_sgi(3, 1 << 40 | 5 << 24);
    }
    for vcpu in 0..64 {
        assert_eq!(bench.kicks(vcpu), usize::from(vcpu != 3), "vCPU {vcpu}");
    }
}
