//! What a trap is about: system registers by their syndrome, ID registers, and the exceptions that guests are given.

use arm_vcpu::id_regs::{self, GuestFeatures, GuestGic};
use arm_vcpu::inject::{AbortedAt, DataAccess, Entry, Exception, Interrupted, enter};
use arm_vcpu::sysreg::{Direction, SysRegAction, decide, decode_iss, names, sysreg};
use arm_vcpu::{Cause, RECORDED_INTERRUPT};
use axvcpu::{GuestFault, SysRegAddr};

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    while !input.is_empty() {
        match input.u8() & 3 {
            0 => register(&mut input),
            1 => cause(input.u64()),
            _ => exception(&mut input),
        }
    }
}

fn register(input: &mut Input<'_>) {
    let iss = input.u32();
    let (reg, rt, direction) = decode_iss(iss);
    let field = |shift: u32, bits: u32| (iss >> shift & ((1 << bits) - 1)) as usize;
    let (op0, op1, op2) = (field(20, 2), field(14, 3), field(17, 3));
    let (crn, crm) = (field(10, 4), field(1, 4));
    assert_eq!(reg, sysreg(op0, op1, crn, crm, op2));
    assert_eq!((rt, direction == Direction::Read), (field(5, 5), iss & 1 == 1));
    let pauth = input.bool();
    let on = |gic| GuestFeatures { gic, pauth };
    let (v3, v2) =
        (decide(reg, direction, &on(GuestGic::V3)), decide(reg, direction, &on(GuestGic::V2)));
    assert!(v2 == v3 || v2 == SysRegAction::Undefined && crn == 12, "only the GIC differs");
    assert_ne!(v2, SysRegAction::ExitToVmm);
    if op0 == 3 && op1 >= 4 {
        assert_eq!(v3, SysRegAction::Undefined, "EL2 and EL3 are not the guest's");
    }
    match (v3, direction) {
        (SysRegAction::ReadValue(_) | SysRegAction::IdRegister, way) => {
            assert_eq!(way, Direction::Read)
        }
        (SysRegAction::Ignore | SysRegAction::ExitToVmm | SysRegAction::SetWayCacheOp, way) => {
            assert_eq!(way, Direction::Write);
        }
        _ => {}
    }
    id_register(reg, input.u64(), &on(if input.bool() { GuestGic::V3 } else { GuestGic::V2 }));
}

/// What a guest must not see, it does not see, whatever the hardware has.
fn id_register(reg: SysRegAddr, raw: u64, features: &GuestFeatures) {
    let shown = id_regs::guest_value(reg, raw, features);
    assert!(id_regs::is_id_register(reg) || shown == 0, "{reg:x?}");
    let field = |value: u64, low: u32| value >> low & 0xf;
    if reg == names::ID_AA64PFR0_EL1 {
        assert_eq!(field(shown, 32), 0, "SVE");
        assert_eq!(field(shown, 24) != 0, features.gic == GuestGic::V3, "GIC");
    }
    if reg == names::ID_AA64PFR1_EL1 {
        assert_eq!((field(shown, 8), field(shown, 24)), (0, 0), "MTE and SME");
    }
    if reg == names::ID_AA64DFR0_EL1 {
        assert!(matches!(field(shown, 8), 0 | 0xf), "PMU");
        assert_eq!((field(shown, 32), field(shown, 44)), (0, 0), "SPE and trace buffer");
    }
    if reg == names::ID_AA64ISAR1_EL1 && !features.pauth {
        assert_eq!((field(shown, 4), field(shown, 8)), (0, 0), "pointer authentication");
    }
}

fn cause(esr: u64) {
    let shown = Cause(esr).to_string();
    assert!(!shown.is_empty() && shown.len() < 80, "{shown}");
    let class = esr >> 26 & 0x3f;
    let is_abort = esr & RECORDED_INTERRUPT == 0 && matches!(class, 0x20 | 0x24);
    assert_eq!(Cause(esr).has_address(), is_abort);
}

fn exception(input: &mut Input<'_>) {
    let at = Interrupted {
        pc: input.u64(),
        pstate: input.u64(),
        vbar_el1: input.u64(),
        sctlr_el1: input.u64(),
    };
    let (far, esr) = (input.u64(), input.u64());
    let stage = input.one_of(&[AbortedAt::Access, AbortedAt::Walk]);
    let access = input.one_of(&[DataAccess::Read, DataAccess::Write, DataAccess::Maintenance]);
    let exception = match input.u8() % 9 {
        0 => Exception::Undefined,
        1 => Exception::IllegalState,
        2 => Exception::InstructionAbort { far, stage },
        3 => Exception::DataAbort { far, stage, access },
        4 => Exception::SError { iss: esr as u32 },
        5 => Exception::Reflected { esr },
        6 => Exception::from_fault(GuestFault::Undefined, esr, far),
        7 => Exception::from_fault(GuestFault::DataAbort, esr, far),
        _ => Exception::from_fault(GuestFault::PrefetchAbort, esr, far),
    };
    assert_eq!(enter(&at, exception), entry(&at, exception));
}

/// AArch64.TakeException of the manual, to EL1.
fn entry(at: &Interrupted, exception: Exception) -> Entry {
    let bit = |n: u32| at.pstate >> n & 1;
    let (from_aarch32, from_el0) = (bit(4) == 1, bit(4) == 1 || at.pstate >> 2 & 3 == 0);
    let is_error = matches!(exception, Exception::SError { .. });
    let offset = if from_aarch32 {
        0x600
    } else if from_el0 {
        0x400
    } else {
        bit(0) * 0x200
    };
    let abort = |class: u64, stage, iss: u64| {
        let status = if stage == AbortedAt::Walk { 0b01_0100 } else { 0b01_0000 };
        (class + u64::from(!from_el0)) << 26 | 1 << 25 | iss | status
    };
    let (esr_el1, far_el1) = match exception {
        Exception::Undefined => (1 << 25, None),
        Exception::IllegalState => (0b00_1110 << 26 | 1 << 25, None),
        Exception::InstructionAbort { far, stage } => (abort(0b10_0000, stage, 0), Some(far)),
        Exception::DataAbort { far, stage, access } => {
            let iss = match access {
                DataAccess::Read => 0,
                DataAccess::Write => 1 << 6,
                DataAccess::Maintenance => 1 << 8 | 1 << 6,
            };
            (abort(0b10_0100, stage, iss), Some(far))
        }
        Exception::SError { iss } => {
            (0b10_1111 << 26 | 1 << 25 | u64::from(iss & 0x1ff_ffff), None)
        }
        Exception::Reflected { esr } => (esr % (1 << 32), None),
    };
    let kept = [31, 30, 29, 28, 24, 22].iter().fold(0, |all, &n| all | bit(n) << n);
    let pan = u64::from(at.sctlr_el1 >> 23 & 1 == 0) << 22;
    let ssbs = (at.sctlr_el1 >> 44 & 1) << 12;
    Entry {
        pc: at.vbar_el1 / 0x800 * 0x800 + offset + if is_error { 0x180 } else { 0 },
        pstate: kept | pan | ssbs | 0b11_1100_0101,
        elr_el1: at.pc,
        spsr_el1: at.pstate,
        esr_el1,
        far_el1,
    }
}
