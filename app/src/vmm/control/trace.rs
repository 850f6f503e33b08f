//! The last exits of VMs.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use arm_vcpu::Cause;
use axshell::{ControlResult, Field, Section, Switch};
use axvm::Recorded;

use super::inspect::chosen;
use super::refuse;
use crate::vmm::pcpu;
use crate::vmm::table::Vm;
use crate::vmm::time::ticks_to_ns;

/// Switches their recording on or off.
pub(super) fn record(vm: &Vm, switch: Switch) {
    vm.vm.record_exits(switch == Switch::On);
    // A vCPU that is in its guest comes out, and runs with it from then on.
    vm.seats.iter().for_each(|seat| pcpu::attend(seat.home()));
}

/// The most exits that are shown at once.
const MAX_ROWS: usize = 1024;

/// Those of vCPU `vcpu`, or of all of them, that were recorded: of each as many of the last as there is room for.
pub(super) fn show(vm: &Vm, vcpu: Option<usize>) -> ControlResult<Vec<Section>> {
    let chosen = chosen(vm, vcpu)?;
    let of_each = MAX_ROWS.checked_div(chosen.len()).unwrap_or(MAX_ROWS);
    let exits = chosen.flat_map(|index| {
        let recorded = vm.vm.recorded(index);
        let skipped = recorded.len().saturating_sub(of_each);
        recorded.into_iter().skip(skipped).map(move |exit| row(index, &exit))
    });
    let rows: Vec<_> = exits.collect();
    if rows.is_empty() && !vm.vm.records_exits() {
        let name = vm.vm.name();
        return refuse(format!(
            "the exits of {name} are not recorded; vm trace {name} --on starts"
        ));
    }
    Ok(vec![Section::table("", rows)])
}

fn row(vcpu: usize, exit: &Recorded) -> Vec<Field> {
    let cause = Cause(exit.cause);
    let address = cause.has_address().then(|| format!("{:#x}", exit.address));
    vec![
        Field::new("vcpu", vcpu),
        Field::new("ns", ticks_to_ns(exit.time)),
        Field::hex("pc", exit.pc),
        Field::new("exit", format!("{cause}")),
        Field::new("address", address.unwrap_or_default()),
    ]
}
