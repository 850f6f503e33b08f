//! Looking into VMs: registers and memory.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use arm_vcpu::Aarch64VCpu;
use axshell::{ControlError, ControlResult, Field, Section};
use axvm::State;

use super::refuse;
use crate::vmm::table::Vm;

/// The registers of vCPU `vcpu`, or of all of them.
pub(super) fn registers(vm: &Vm, vcpu: Option<usize>) -> ControlResult<Vec<Section>> {
    let chosen = chosen(vm, vcpu)?;
    let name = vm.vm.name();
    match vm.vm.state() {
        State::Paused | State::Stopped(_) => {}
        State::Created => {
            return refuse(format!("{name} was never started, so it has no registers"));
        }
        state @ (State::Starting
        | State::Running
        | State::Pausing
        | State::Stopping(_)
        | State::Deleted) => {
            return refuse(format!("{name} is {state}: pause it first, or use --pause"));
        }
    }
    Ok(chosen.flat_map(|index| of_vcpu(vm, index)).collect())
}

/// vCPU `vcpu` of `vm`, or all of them.
pub(super) fn chosen(vm: &Vm, vcpu: Option<usize>) -> ControlResult<Range<usize>> {
    let (name, count) = (vm.vm.name(), vm.vm.vcpu_num());
    match vcpu {
        None => Ok(0..count),
        Some(vcpu) if vcpu < count => Ok(vcpu..vcpu.saturating_add(1)),
        Some(vcpu) => {
            let last = count.saturating_sub(1);
            refuse(format!("{name} has no vCPU {vcpu}; its last is {last}"))
        }
    }
}

fn of_vcpu(vm: &Vm, index: usize) -> Vec<Section> {
    let title = format!("vcpu {index}");
    let looked = vm.vm.vcpu(index).and_then(|vcpu| vcpu.with_arch(|arch| values(arch)).ok());
    let Some([state, general, system]) = looked else {
        let fields = vec![Field::new("state", "it was never started")];
        return vec![Section::fields(title, fields)];
    };
    vec![
        Section::fields(title.clone(), state),
        Section::fields(format!("{title} general"), general),
        Section::fields(format!("{title} system"), system),
    ]
}

/// Where it stands, its general registers, its system registers.
fn values(arch: &Aarch64VCpu) -> [Vec<Field>; 3] {
    let (frame, el1) = (arch.frame(), arch.el1());
    let fields = |named: &[(&str, u64)]| -> Vec<Field> {
        named.iter().map(|(name, value)| Field::hex(*name, *value)).collect()
    };
    let state = fields(&[
        ("pc", frame.elr),
        ("pstate", frame.spsr),
        ("sp_el0", frame.sp_el0),
        ("sp_el1", el1.sp_el1),
    ]);
    let general = frame.gpr.iter().enumerate();
    let general = general.map(|(n, value)| Field::hex(format!("x{n}"), *value)).collect();
    let system = fields(&[
        ("sctlr", el1.sctlr),
        ("cpacr", el1.cpacr),
        ("ttbr0", el1.ttbr0),
        ("ttbr1", el1.ttbr1),
        ("tcr", el1.tcr),
        ("mair", el1.mair),
        ("vbar", el1.vbar),
        ("esr", el1.esr),
        ("far", el1.far),
        ("par", el1.par),
        ("elr", el1.elr_el1),
        ("spsr", el1.spsr_el1),
        ("tpidr_el0", el1.tpidr_el0),
        ("tpidrro_el0", el1.tpidrro_el0),
        ("tpidr_el1", el1.tpidr_el1),
        ("contextidr", el1.contextidr),
        ("cntkctl", el1.cntkctl),
        ("cntvoff", arch.timer().offset()),
    ]);
    [state, general, system]
}

/// Fills `buf` from guest memory.
pub(super) fn read_memory(vm: &Vm, address: u64, buf: &mut [u8]) -> ControlResult<()> {
    let name = vm.vm.name();
    let gpa = usize::try_from(address).unwrap_or(usize::MAX);
    let known = vm.vm.config().memory_regions.iter();
    let fits = known.clone().any(|region| {
        let end = region.gpa.saturating_add(region.size);
        (region.gpa..end).contains(&gpa) && buf.len() <= end.saturating_sub(gpa)
    });
    if !fits {
        let ranges: Vec<_> = known
            .map(|region| {
                format!("{:#x}..{:#x}", region.gpa, region.gpa.saturating_add(region.size))
            })
            .collect();
        let (bytes, ranges) = (buf.len(), ranges.join(", "));
        return refuse(format!(
            "{name} has no {bytes} bytes at {address:#x}; its memory is {ranges}"
        ));
    }
    let read = vm.vm.read_guest(axaddrspace::GuestPhysAddr::from_usize(gpa), buf);
    read.map_err(|error| ControlError::new(format!("{name}: {error}")))
}
