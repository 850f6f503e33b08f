//! The firmware's calls as PSCI and the SMC Calling Convention have them: what each must give.

use std::cell::Cell;

use crate::input::Input;

pub(super) const RAM: usize = 0x4000_0000;
pub(super) const RAM_SIZE: usize = 4 << 20;
pub(super) const VCPUS: usize = 3;

/// Whether a vCPU is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    On = 0,
    Off = 1,
    Pending = 2,
}

/// What a call does.
pub(super) enum Expected {
    /// It gives this.
    Value(u64),
    /// It waits, and gives 0.
    Waits,
    /// It does not return.
    Leaves,
}

thread_local! {
    /// The power of each vCPU, as the model has it.
    pub(super) static POWER: [Cell<Power>; VCPUS] = const { [const { Cell::new(Power::Off) }; VCPUS] };
}

/// Function numbers: those that there are, their neighbours, and any.
pub(super) fn number(input: &mut Input<'_>) -> u64 {
    let n = input.u8();
    match input.u8() {
        0..100 => 0x8400_0000 | u64::from(n & 0x1f),
        100..200 => 0xc400_0000 | u64::from(n & 0x1f),
        200..220 => 0x8000_0000 | u64::from(n & 3),
        220..235 => 0xc600_0000 | u64::from(n & 3),
        _ => input.number(),
    }
}

/// Arguments that often mean something.
pub(super) fn arguments(input: &mut Input<'_>) -> [u64; 6] {
    [0; 6].map(|_| match input.u8() {
        n @ 0..80 => u64::from(n & 3),
        n @ 80..120 => RAM as u64 + u64::from(n) * 4,
        120..140 => number(input),
        _ => input.number(),
    })
}

/// The guest's memory, all of which can be executed.
pub(super) fn is_ram(at: usize) -> bool {
    (RAM..RAM + RAM_SIZE).contains(&at)
}

const NOT_SUPPORTED: i64 = -1;
const INVALID_PARAMETERS: i64 = -2;
const DENIED: i64 = -3;
const ALREADY_ON: i64 = -4;
const ON_PENDING: i64 = -5;
const INVALID_ADDRESS: i64 = -9;

/// The answer to `nr` with `args`, called by vCPU `caller`. A CPU_ON that succeeds is noted.
pub(super) fn expected(caller: usize, nr: u64, args: [u64; 6]) -> Expected {
    assert_eq!(POWER.with(|power| power[caller].get()), Power::On);
    let function = nr as u32;
    let wide = function >> 30 & 1 == 1;
    let [first, second] = [args[0], args[1]].map(|arg| if wide { arg } else { arg & 0xffff_ffff });
    let is_entry = |at: u64| at.is_multiple_of(4) && is_ram(at as usize);
    let target = |affinity: u64| usize::try_from(affinity).ok().filter(|vcpu| *vcpu < VCPUS);
    let psci = |id: u64| {
        let narrow = matches!(id, 0x8400_0000..=0x8400_0004 | 0x8400_0006 | 0x8400_0008..=0x8400_000a | 0x8400_0012);
        narrow
            || matches!(id, 0xc400_0001 | 0xc400_0003 | 0xc400_0004 | 0xc400_0012)
            || id == 0x8000_0000
    };
    let value = match function {
        0x8000_0000 => 0x1_0002,
        0x8000_0001 if matches!(first as u32, 0x8000_0000 | 0x8000_0001) => 0,
        0x8400_0000 => 0x1_0001,
        0x8400_0001 | 0xc400_0001 => match first as u32 {
            state if state & !0x1_ffff != 0 => INVALID_PARAMETERS,
            state if state & 0x1_0000 != 0 && !is_entry(second) => INVALID_ADDRESS,
            _ => return Expected::Waits,
        },
        0x8400_0002 | 0x8400_0008 | 0x8400_0009 => return Expected::Leaves,
        0x8400_0003 | 0xc400_0003 => match target(first) {
            None => INVALID_PARAMETERS,
            Some(_) if !is_entry(second) => INVALID_ADDRESS,
            Some(vcpu) => match POWER.with(|power| power[vcpu].get()) {
                Power::On => ALREADY_ON,
                Power::Pending => ON_PENDING,
                Power::Off => 0,
            },
        },
        0x8400_0004 | 0xc400_0004 => match target(first) {
            Some(vcpu) if second as u32 == 0 => POWER.with(|power| power[vcpu].get()) as i64,
            _ => INVALID_PARAMETERS,
        },
        0x8400_0006 => 2,
        0x8400_000a if psci(first & 0xffff_ffff) => 0,
        0x8400_0012 | 0xc400_0012 if first as u32 == 0 => return Expected::Leaves,
        0x8400_0012 | 0xc400_0012 => INVALID_PARAMETERS,
        // It is in no channel.
        0xc600_0000 | 0xc600_0001 => DENIED,
        _ => NOT_SUPPORTED,
    };
    Expected::Value(value as u64)
}
