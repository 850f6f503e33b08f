//! What the firmware calls of a guest ask for, decided without touching the machine.
//!
//! PSCI 1.1 (Arm DEN 0022, "PSCI functions") and the Arm Architecture Calls of the SMC Calling
//! Convention 1.2 (Arm DEN 0028). Optional calls that are not here are answered with NOT_SUPPORTED,
//! as every unknown function is.

use crate::{ivc, mpidr::index_of};
use axaddrspace::GuestPhysAddr;

/// Version 1.1 of PSCI; major in bits 30:16, minor in bits 15:0.
const PSCI_VERSION: u64 = 0x1_0001;
/// Version 1.2 of the SMC Calling Convention, in the same form.
const SMCCC_VERSION: u64 = 0x1_0002;
/// MIGRATE_INFO_TYPE: there is no trusted OS that would have to be migrated.
const NOTHING_TO_MIGRATE: u64 = 2;
/// SYSTEM_RESET2's only architectural reset type, SYSTEM_WARM_RESET.
const WARM_RESET: u64 = 0;
/// CPU_SUSPEND's power_state in the original format: StateType, 1 for power-down.
const POWER_DOWN: u64 = 1 << 16;
/// The bits of power_state that may be set: StateType and StateID, with power level 0, a core.
const POWER_STATE_BITS: u64 = POWER_DOWN | 0xffff;

/// The return codes (DEN 0022, "Return error codes"), sign-extended to the whole register.
const SUCCESS: u64 = 0;
const NOT_SUPPORTED: u64 = -1_i64 as u64;
const INVALID_PARAMETERS: u64 = -2_i64 as u64;
const ALREADY_ON: u64 = -4_i64 as u64;
const ON_PENDING: u64 = -5_i64 as u64;
/// What a call returns that a bug of ours made fail.
pub const INTERNAL_FAILURE: u64 = -6_i64 as u64;
const INVALID_ADDRESS: u64 = -9_i64 as u64;

/// Whether a vCPU is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerState {
    /// It does not run until CPU_ON.
    Off,
    /// CPU_ON was accepted, but it has not started yet.
    OnPending,
    /// It runs, waits or is suspended.
    On,
}

/// What a decision depends on.
pub trait PsciView {
    /// The state of a vCPU, `None` if the machine has no such vCPU.
    fn power(&self, vcpu: usize) -> Option<PowerState>;
    /// Whether the guest may execute at `gpa`.
    fn is_ram(&self, gpa: GuestPhysAddr) -> bool;
}

/// What is to be done for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PsciAction {
    /// Put this into x0 and go on behind the call.
    Return(u64),
    /// Start `vcpu` at `entry` with `context` in x0, everything else as after a reset, and
    /// return SUCCESS.
    ///
    /// The vCPU was off when it was looked at. Whoever carries this out moves it from
    /// [`Off`](PowerState::Off) to [`OnPending`](PowerState::OnPending) in one atomic step, and if
    /// another vCPU was first, returns what [`cpu_on_lost`] says.
    CpuOn {
        /// Its index.
        vcpu: usize,
        /// Where it starts.
        entry: GuestPhysAddr,
        /// Its argument.
        context: u64,
    },
    /// Switch the caller off; the call does not return.
    CpuOff,
    /// Wait as for WFI, then return SUCCESS.
    Suspend,
    /// Stop the machine; the call does not return.
    SystemOff,
    /// Reset the machine; the call does not return.
    SystemReset,
    /// Reset the machine as SYSTEM_RESET2 asks; the call does not return.
    SystemReset2 {
        /// Always 0, SYSTEM_WARM_RESET: every other type is refused.
        reset_type: u32,
        /// What the guest passed along.
        cookie: u64,
    },
}

/// The functions that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    SmcccVersion,
    SmcccArchFeatures,
    PsciVersion,
    CpuSuspend,
    CpuOff,
    CpuOn,
    AffinityInfo,
    MigrateInfoType,
    SystemOff,
    SystemReset,
    PsciFeatures,
    SystemReset2,
}

impl Function {
    /// Which function an id means; those that take addresses or affinities have a 64-bit form too.
    const fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0x8000_0000 => Self::SmcccVersion,
            0x8000_0001 => Self::SmcccArchFeatures,
            0x8400_0000 => Self::PsciVersion,
            0x8400_0001 | 0xc400_0001 => Self::CpuSuspend,
            0x8400_0002 => Self::CpuOff,
            0x8400_0003 | 0xc400_0003 => Self::CpuOn,
            0x8400_0004 | 0xc400_0004 => Self::AffinityInfo,
            0x8400_0006 => Self::MigrateInfoType,
            0x8400_0008 => Self::SystemOff,
            0x8400_0009 => Self::SystemReset,
            0x8400_000a => Self::PsciFeatures,
            0x8400_0012 | 0xc400_0012 => Self::SystemReset2,
            _ => return None,
        })
    }

    /// Whether PSCI_FEATURES knows the function: all of PSCI, and SMCCC_VERSION.
    const fn is_psci_feature(self) -> bool {
        !matches!(self, Self::SmcccArchFeatures)
    }
}

/// Whether a function id belongs to this file rather than to a hypervisor's own calls: a fast call to
/// the Arm Architecture Calls or the Standard Secure Service Calls (DEN 0028, "Function identifiers").
pub const fn is_firmware_call(function: u32) -> bool {
    const FAST: u32 = 1 << 31;
    const ARCHITECTURE: u32 = 0;
    const STANDARD_SECURE: u32 = 4;
    let owner = (function >> 24) & 0x3f;
    function & FAST != 0 && (owner == ARCHITECTURE || owner == STANDARD_SECURE)
}

/// The answer to a function whose answer depends on nothing: PSCI_VERSION, and NOT_SUPPORTED for what is
/// neither one of the functions here nor one about channels. `None` does not mean that it depends on something: [`call`] answers all but those about channels.
#[inline(always)]
pub const fn constant_answer(function: u32) -> Option<u64> {
    /// Every function lies within this many of the first of its kind.
    const SPAN: u32 = 32;
    const PSCI: u32 = 0x8400_0000;
    const PSCI_WIDE: u32 = PSCI | 1 << 30;
    const SMCCC: u32 = 0x8000_0000;
    if function == PSCI {
        return Some(PSCI_VERSION);
    }
    let known = match function & !(SPAN - 1) {
        PSCI => const { known_from(PSCI, SPAN) },
        PSCI_WIDE => const { known_from(PSCI_WIDE, SPAN) },
        SMCCC => const { known_from(SMCCC, SPAN) },
        _ if ivc::is_call(function) => return None,
        _ => 0,
    };
    if known >> (function % SPAN) & 1 == 0 { Some(NOT_SUPPORTED) } else { None }
}

/// Which of the `span` functions from `first` on exist, one bit each.
const fn known_from(first: u32, span: u32) -> u32 {
    let mut known = 0;
    let mut number: u32 = 0;
    while number < span {
        if Function::from_id(first.wrapping_add(number)).is_some() {
            known |= 1 << number;
        }
        number = number.wrapping_add(1);
    }
    known
}

/// Decides the call of `function` (w0) with `args` (x1 to x3).
///
/// Bit 30 of `function` says whether the arguments are 64-bit ones; if not, their upper halves are
/// ignored. An id that means nothing here gives NOT_SUPPORTED; nothing is ever forwarded.
pub fn call(function: u32, args: [u64; 3], view: &impl PsciView) -> PsciAction {
    let args = if function & (1 << 30) == 0 { args.map(low_half) } else { args };
    let [first, second, third] = args;
    let Some(known) = Function::from_id(function) else {
        return PsciAction::Return(NOT_SUPPORTED);
    };
    match known {
        Function::SmcccVersion => PsciAction::Return(SMCCC_VERSION),
        Function::SmcccArchFeatures => PsciAction::Return(arch_features(first)),
        Function::PsciVersion => PsciAction::Return(PSCI_VERSION),
        Function::CpuSuspend => cpu_suspend(first, second, view),
        Function::CpuOff => PsciAction::CpuOff,
        Function::CpuOn => cpu_on(first, second, third, view),
        Function::AffinityInfo => PsciAction::Return(affinity_info(first, second, view)),
        Function::MigrateInfoType => PsciAction::Return(NOTHING_TO_MIGRATE),
        Function::SystemOff => PsciAction::SystemOff,
        Function::SystemReset => PsciAction::SystemReset,
        Function::PsciFeatures => PsciAction::Return(psci_features(first)),
        Function::SystemReset2 => system_reset2(first, second),
    }
}

/// What a CPU_ON returns whose target was not off any more when it was to be started.
pub const fn cpu_on_lost(state: PowerState) -> u64 {
    match state {
        // Off again already: it was on in between.
        PowerState::Off | PowerState::On => ALREADY_ON,
        PowerState::OnPending => ON_PENDING,
    }
}

/// SMCCC_ARCH_FEATURES. The workarounds for speculation attacks are NOT_SUPPORTED: whether one is needed
/// depends on the physical CPU, and "not required" would tell a guest on a vulnerable one that it is
/// safe. So the guest judges by its own ID registers (CSV2, CSV3, SSBS).
fn arch_features(id: u64) -> u64 {
    match function_of(id) {
        Some(Function::SmcccVersion | Function::SmcccArchFeatures) => SUCCESS,
        Some(_) | None => NOT_SUPPORTED,
    }
}

/// PSCI_FEATURES. All flags of the functions that have some are zero: CPU_SUSPEND takes the original
/// format and is platform-coordinated.
fn psci_features(id: u64) -> u64 {
    match function_of(id) {
        Some(function) if function.is_psci_feature() => SUCCESS,
        Some(_) | None => NOT_SUPPORTED,
    }
}

/// CPU_SUSPEND. A power-down request is carried out as standby, as if a wake-up event had come before
/// the power was off, but its entry point is checked as if it were needed.
fn cpu_suspend(power_state: u64, entry: u64, view: &impl PsciView) -> PsciAction {
    if low_half(power_state) & !POWER_STATE_BITS != 0 {
        return PsciAction::Return(INVALID_PARAMETERS);
    }
    if power_state & POWER_DOWN != 0 && entry_point(entry, view).is_none() {
        return PsciAction::Return(INVALID_ADDRESS);
    }
    PsciAction::Suspend
}

/// CPU_ON: the arguments are judged first, then the target's state.
fn cpu_on(target: u64, entry: u64, context: u64, view: &impl PsciView) -> PsciAction {
    let Some((vcpu, state)) = target_state(target, view) else {
        return PsciAction::Return(INVALID_PARAMETERS);
    };
    let Some(entry) = entry_point(entry, view) else {
        return PsciAction::Return(INVALID_ADDRESS);
    };
    match state {
        PowerState::Off => PsciAction::CpuOn { vcpu, entry, context },
        PowerState::OnPending => PsciAction::Return(ON_PENDING),
        PowerState::On => PsciAction::Return(ALREADY_ON),
    }
}

/// AFFINITY_INFO. Levels above 0 need not exist since PSCI 1.0.
fn affinity_info(target: u64, lowest_level: u64, view: &impl PsciView) -> u64 {
    const IS_ON: u64 = 0;
    const IS_OFF: u64 = 1;
    const IS_ON_PENDING: u64 = 2;
    match target_state(target, view) {
        Some((_, state)) if low_half(lowest_level) == 0 => match state {
            PowerState::On => IS_ON,
            PowerState::Off => IS_OFF,
            PowerState::OnPending => IS_ON_PENDING,
        },
        Some(_) | None => INVALID_PARAMETERS,
    }
}

/// SYSTEM_RESET2. No vendor type has a meaning here.
fn system_reset2(reset_type: u64, cookie: u64) -> PsciAction {
    match low_half(reset_type) {
        WARM_RESET => PsciAction::SystemReset2 { reset_type: 0, cookie },
        _ => PsciAction::Return(INVALID_PARAMETERS),
    }
}

/// The vCPU with the affinity `target`, and its state.
fn target_state(target: u64, view: &impl PsciView) -> Option<(usize, PowerState)> {
    let vcpu = index_of(target)?;
    Some((vcpu, view.power(vcpu)?))
}

/// `entry`, if an AArch64 vCPU can start there.
fn entry_point(entry: u64, view: &impl PsciView) -> Option<GuestPhysAddr> {
    let gpa = GuestPhysAddr::from(usize::try_from(entry).ok()?);
    (entry.is_multiple_of(4) && view.is_ram(gpa)).then_some(gpa)
}

/// The function whose id is in the lower half of an argument.
fn function_of(id: u64) -> Option<Function> {
    u32::try_from(low_half(id)).ok().and_then(Function::from_id)
}

/// Bits 31:0, what an argument of 32 bits has.
const fn low_half(value: u64) -> u64 {
    value & 0xffff_ffff
}

#[cfg(test)]
mod tests;
