//! Every function, every state, every error code.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::mpidr::mpidr_of;

/// Thirty-four vCPUs: 0 on, 1 off, 2 pending, the rest off; RAM from 0x4000_0000 to 0x5000_0000.
struct Machine;

impl PsciView for Machine {
    fn power(&self, vcpu: usize) -> Option<PowerState> {
        match vcpu {
            0 => Some(PowerState::On),
            2 => Some(PowerState::OnPending),
            1 | 3..34 => Some(PowerState::Off),
            _ => None,
        }
    }

    fn is_ram(&self, gpa: GuestPhysAddr) -> bool {
        (0x4000_0000..0x5000_0000).contains(&gpa.as_usize())
    }
}

const ENTRY: u64 = 0x4020_0000;
const CPU_ON_32: u32 = 0x8400_0003;
const CPU_ON_64: u32 = 0xc400_0003;
const JUNK: u64 = 0xdead_beef_0000_0000;

fn ask(function: u32, args: [u64; 3]) -> PsciAction {
    call(function, args, &Machine)
}

/// What a function that returns at once returns, as the guest sees it.
fn answer(function: u32, args: [u64; 3]) -> i64 {
    let action = ask(function, args);
    let PsciAction::Return(value) = action else { panic!("{function:#x}: {action:?}") };
    value.cast_signed()
}

#[test]
fn versions_are_psci_1_1_and_smccc_1_2() {
    assert_eq!(answer(0x8400_0000, [0; 3]), 0x1_0001);
    assert_eq!(answer(0x8000_0000, [0; 3]), 0x1_0002);
    assert_eq!(answer(0x8400_0006, [0; 3]), 2);
}

#[test]
fn cpu_on_starts_a_vcpu_that_is_off() {
    for function in [CPU_ON_32, CPU_ON_64] {
        for vcpu in [1, 3, 15, 16, 17, 33] {
            assert_eq!(
                ask(function, [mpidr_of(vcpu), ENTRY, 0x1234]),
                PsciAction::CpuOn {
                    vcpu,
                    entry: ENTRY.try_into().map(|e: usize| e.into()).unwrap(),
                    context: 0x1234
                }
            );
        }
    }
}

#[test]
fn cpu_on_has_a_code_for_every_mistake() {
    assert_eq!(answer(CPU_ON_64, [mpidr_of(0), ENTRY, 0]), -4, "already on");
    assert_eq!(answer(CPU_ON_64, [mpidr_of(2), ENTRY, 0]), -5, "on pending");
    for target in
        [mpidr_of(34), mpidr_of(4095), 0x10, 0x1_0000, 1 << 31, 1 << 32, 1 << 39, u64::MAX]
    {
        assert_eq!(answer(CPU_ON_64, [target, ENTRY, 0]), -2, "{target:#x}");
    }
    for entry in [0, 0x3fff_fffc, 0x5000_0000, ENTRY + 1, ENTRY + 2, ENTRY | 1 << 63, u64::MAX] {
        assert_eq!(answer(CPU_ON_64, [mpidr_of(1), entry, 0]), -9, "{entry:#x}");
    }
}

#[test]
fn whoever_loses_the_race_for_a_cpu_learns_it() {
    assert_eq!(cpu_on_lost(PowerState::OnPending).cast_signed(), -5);
    assert_eq!(cpu_on_lost(PowerState::On).cast_signed(), -4);
    assert_eq!(cpu_on_lost(PowerState::Off).cast_signed(), -4);
}

#[test]
fn a_32_bit_call_ignores_the_upper_halves() {
    let junk = [JUNK | mpidr_of(1), JUNK | ENTRY, JUNK | 7];
    assert_eq!(ask(CPU_ON_32, junk), ask(CPU_ON_32, [mpidr_of(1), ENTRY, 7]));
    assert_eq!(answer(CPU_ON_64, junk), -2);
    assert_eq!(answer(0x8400_0004, [JUNK, JUNK, 0]), 0);
    assert_eq!(answer(0x8400_000a, [JUNK | u64::from(CPU_ON_64), 0, 0]), 0);
    assert_eq!(
        ask(0x8400_0012, [JUNK, JUNK | 5, 0]),
        PsciAction::SystemReset2 { reset_type: 0, cookie: 5 }
    );
}

#[test]
fn affinity_info_tells_the_state_of_one_vcpu() {
    for function in [0x8400_0004, 0xc400_0004] {
        assert_eq!(answer(function, [mpidr_of(0), 0, 0]), 0);
        assert_eq!(answer(function, [mpidr_of(1), 0, 0]), 1);
        assert_eq!(answer(function, [mpidr_of(2), 0, 0]), 2);
        assert_eq!(answer(function, [mpidr_of(34), 0, 0]), -2);
        for level in [1, 2, 3, 4, u64::from(u32::MAX)] {
            assert_eq!(answer(function, [mpidr_of(0), level, 0]), -2, "level {level}");
        }
    }
}

#[test]
fn cpu_suspend_waits_whatever_the_state_is_called() {
    for function in [0x8400_0001, 0xc400_0001] {
        for state in [0, 1, 0xffff, 0x1_0000, 0x1_ffff] {
            assert_eq!(ask(function, [state, ENTRY, 0]), PsciAction::Suspend, "{state:#x}");
        }
        assert_eq!(ask(function, [0, 0, 0]), PsciAction::Suspend, "standby needs no entry point");
        assert_eq!(answer(function, [0x1_0000, 0, 0]), -9);
        for bit in 17..32 {
            assert_eq!(answer(function, [1 << bit, ENTRY, 0]), -2, "bit {bit}");
        }
    }
}

#[test]
fn the_machine_is_switched_off_and_reset() {
    assert_eq!(ask(0x8400_0002, [0; 3]), PsciAction::CpuOff);
    assert_eq!(ask(0x8400_0008, [0; 3]), PsciAction::SystemOff);
    assert_eq!(ask(0x8400_0009, [0; 3]), PsciAction::SystemReset);
    for function in [0x8400_0012, 0xc400_0012] {
        assert_eq!(ask(function, [0, 9, 0]), PsciAction::SystemReset2 { reset_type: 0, cookie: 9 });
        for reset_type in [1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            assert_eq!(answer(function, [reset_type, 0, 0]), -2, "{reset_type:#x}");
        }
    }
}

#[test]
fn features_agree_with_what_the_calls_do() {
    for id in (0x8400_0000..0x8400_0200_u32).chain(0xc400_0000..0xc400_0200) {
        let exists =
            ask(id, [u64::MAX; 3]) != PsciAction::Return(NOT_SUPPORTED) || id == 0x8400_000a;
        assert_eq!(answer(0x8400_000a, [id.into(), 0, 0]), if exists { 0 } else { -1 }, "{id:#x}");
    }
    assert_eq!(answer(0x8400_000a, [0x8000_0000, 0, 0]), 0, "SMCCC_VERSION");
    assert_eq!(answer(0x8400_000a, [0x8000_0001, 0, 0]), -1);
}

#[test]
fn no_workaround_is_promised() {
    assert_eq!(answer(0x8000_0001, [0x8000_0000, 0, 0]), 0);
    assert_eq!(answer(0x8000_0001, [0x8000_0001, 0, 0]), 0);
    for id in [0x8000_8000, 0x8000_7fff, 0x8000_3fff, 0x8000_0002, CPU_ON_64.into()] {
        assert_eq!(answer(0x8000_0001, [id, 0, 0]), -1, "{id:#x}");
    }
}

#[test]
fn an_unknown_function_is_not_supported() {
    // Among them PSCI 0.1 as QEMU numbers it, yielding calls, and 64-bit forms that do not exist.
    let known = (0..=u32::MAX).step_by(0x6001).chain([
        0x95c1_ba5f,
        0x95c1_ba60,
        0x0400_0000,
        0xc400_0000,
        0xc000_0000,
    ]);
    for id in known.filter(|&id| Function::from_id(id).is_none()) {
        assert_eq!(answer(id, [0; 3]), -1, "{id:#x}");
    }
    for id in
        [0x8400_0005, 0x8400_0007, 0x8400_000b, 0x8400_000e, 0x8400_0013, 0xc400_0014, 0x8400_0050]
    {
        assert_eq!(answer(id, [0; 3]), -1, "{id:#x}");
    }
}

#[test]
fn firmware_calls_are_told_from_hypercalls() {
    for id in [0x8000_0000, 0xc000_0000, 0x8400_0000, 0xc400_0003, 0x8400_0050] {
        assert!(is_firmware_call(id), "{id:#x}");
    }
    for id in [0, 0x0400_0000, 0x8600_ff01, 0xc600_0000, 0x95c1_ba5f, 0x8200_0000] {
        assert!(!is_firmware_call(id), "{id:#x}");
    }
}

#[test]
fn a_constant_answer_is_the_one_that_the_whole_decision_gives() {
    let mut constants = 0_u32;
    let ids = (0x8000_0000..0x8000_0100).chain(0x8400_0000..0x8400_0100).chain(0..0x100);
    for id in ids.flat_map(|id: u32| [id, id | 1 << 30, id | 1 << 27, !id]) {
        if let Some(value) = constant_answer(id) {
            assert_eq!(ask(id, [0; 3]), PsciAction::Return(value), "{id:#x}");
            constants += 1;
        }
    }
    assert!(constants > 500);
}
