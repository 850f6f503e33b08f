//! From the vectors to what handles an exit: one function for each exception class.
//!
//! Each is entered with the guest's registers in the vCPU and ends with what the world switch is to do. The short ways
//! need no stack and save no register of their own, because whatever is rare is called as a last step or out of line.

use core::marker::PhantomData;

use axvcpu::{AxArchVCpu, AxVCpuExitReason, ExitHandler, GuestFault, Resume};

use crate::Aarch64VCpu;
use crate::context_frame::{DEFERRED, NEWER};
use crate::esr::{Class, Syndrome};
use crate::gic;
use crate::id_raw::shown_value;
use crate::pcpu::HCR_VSE;
use crate::regs::{mrs, msr};
use crate::sysreg::{Direction, decode_iss, names};
use crate::vcpu::fault_address;
use crate::world_switch::{ExitFn, ExitTable, Next};

/// In the cause of a recorded exit: it was an interrupt, and the rest is what was pending.
pub const RECORDED_INTERRUPT: u64 = 1 << 63;

/// The functions of a vCPU that `H` handles the exits of.
struct Exits<H>(PhantomData<H>);

impl<H: ExitHandler<Aarch64VCpu>> Exits<H> {
    const GICV3: ExitTable = Self::table(on_interrupt::<H>);
    const GICV2: ExitTable = Self::table(on_interrupt_of_gicv2::<H>);
    const RECORDED_GICV3: ExitTable = Self::recorded(interrupt_recorded::<H>);
    const RECORDED_GICV2: ExitTable = Self::recorded(interrupt_of_gicv2_recorded::<H>);

    const fn table(interrupt: ExitFn) -> ExitTable {
        let mut synchronous: [ExitFn; 64] = [on_absent::<H>; 64];
        let mut class = 0;
        while class < synchronous.len() {
            #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
            {
                synchronous[class] = Self::of(class);
            }
            class = class.wrapping_add(1);
        }
        ExitTable { synchronous, interrupt, error: on_error::<H> }
    }

    const fn of(class: usize) -> ExitFn {
        match Class::of(class as u64) {
            Class::Wait => on_wait::<H>,
            Class::Hvc => on_hvc::<H>,
            Class::Smc => on_smc::<H>,
            Class::SystemRegister => on_system_register::<H>,
            Class::InstructionAbort => on_instruction_abort::<H>,
            Class::DataAbort => on_data_abort::<H>,
            Class::Absent => on_absent::<H>,
        }
    }

    const fn recorded(interrupt: ExitFn) -> ExitTable {
        let mut synchronous: [ExitFn; 64] = [recorded::<H, 0x00>; 64];
        let recorded: [(usize, ExitFn); 6] = [
            (0x01, recorded::<H, 0x01>),
            (0x16, recorded::<H, 0x16>),
            (0x17, recorded::<H, 0x17>),
            (0x18, recorded::<H, 0x18>),
            (0x20, recorded::<H, 0x20>),
            (0x24, recorded::<H, 0x24>),
        ];
        let mut at = 0;
        while at < recorded.len() {
            #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
            {
                let (class, function) = recorded[at];
                synchronous[class] = function;
            }
            at = at.wrapping_add(1);
        }
        ExitTable { synchronous, interrupt, error: on_error::<H> }
    }
}

/// What the vectors call while `handler` handles the exits.
pub(crate) fn exits_of<H: ExitHandler<Aarch64VCpu>>(handler: &H) -> &'static ExitTable {
    match (handler.records(), gic::is_v2()) {
        (false, false) => &Exits::<H>::GICV3,
        (false, true) => &Exits::<H>::GICV2,
        (true, false) => &Exits::<H>::RECORDED_GICV3,
        (true, true) => &Exits::<H>::RECORDED_GICV2,
    }
}

/// What the vectors call for a vCPU that is not running.
pub(crate) static NOBODY: ExitTable =
    ExitTable { synchronous: [nobody; 64], interrupt: nobody, error: nobody };

unsafe extern "C" fn nobody(_: *mut Aarch64VCpu, _: *mut (), _: u64) -> Next {
    Next::LEAVE
}

/// The vCPU and the handler that `run_with` left behind two pointers.
///
/// # Safety
/// Only the vectors' functions call it, with what `run_with` put into the vCPU.
#[inline(always)]
unsafe fn running<'a, H>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
) -> (&'a mut Aarch64VCpu, &'a mut H) {
    // SAFETY: `run_with` owns the vCPU and does not touch it until `enter_guest` returns.
    let vcpu = unsafe { &mut *vcpu };
    // SAFETY: `run_with` keeps the handler where this points until `enter_guest` returns.
    let handler = unsafe { &mut *data.cast::<H>() };
    (vcpu, handler)
}

/// After any exit.
#[inline(always)]
fn next<H: ExitHandler<Aarch64VCpu>>(
    vcpu: &mut Aarch64VCpu,
    handler: &mut H,
    resume: Resume,
) -> Next {
    match vcpu.ctx.unusual {
        0 => Next::of(resume),
        NEWER => {
            vcpu.ctx.unusual = 0;
            Next::of_newer(resume)
        }
        _ => next_unusual(vcpu, handler, resume),
    }
}

/// Hands on the accesses that are left of an instruction that makes several: it is done whole, so that what leaving was
/// asked for waits until then.
#[cold]
#[inline(never)]
fn next_unusual<H: ExitHandler<Aarch64VCpu>>(
    vcpu: &mut Aarch64VCpu,
    handler: &mut H,
    resume: Resume,
) -> Next {
    let mut resume = resume;
    while vcpu.ctx.unusual & DEFERRED != 0
        && let Some(access) = vcpu.deferred_access()
    {
        resume = handler.handle(vcpu, access);
    }
    let newer = vcpu.ctx.unusual & NEWER != 0;
    vcpu.ctx.unusual = 0;
    if newer { Next::of_newer(resume) } else { Next::of(resume) }
}

/// HVC #0 is a call (SMC Calling Convention, DEN 0028); other immediates do not exist.
unsafe extern "C" fn on_hvc<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    esr: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    if Syndrome(esr).immediate() != 0 {
        return undefined(vcpu, handler);
    }
    let resume = handler.hypercall(vcpu, vcpu.gpr(0));
    Next::of(resume)
}

/// The same by SMC, which leaves the program counter at itself.
unsafe extern "C" fn on_smc<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    esr: u64,
) -> Next {
    if Syndrome(esr).immediate() == 0 {
        // SAFETY: called by a vector.
        let (vcpu, _) = unsafe { running::<H>(vcpu, data) };
        vcpu.finish();
    }
    // SAFETY: called by a vector.
    unsafe { on_hvc::<H>(vcpu, data, esr) }
}

unsafe extern "C" fn on_data_abort<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    esr: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    let syndrome = Syndrome(esr);
    if !syndrome.is_described_translation_fault() {
        // SAFETY: called by a vector.
        return unsafe { on_other_data_abort::<H>(vcpu, data, esr) };
    }
    let addr = fault_address(mrs!("FAR_EL2"));
    let access = syndrome.described_access();
    let resume = vcpu.access_exit(handler, addr, access, syndrome.is_write());
    next(vcpu, handler, resume)
}

#[cold]
#[inline(never)]
unsafe extern "C" fn on_other_data_abort<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    esr: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    let exit = vcpu.other_data_abort(Syndrome(esr));
    let resume = handler.handle(vcpu, exit);
    next(vcpu, handler, resume)
}

unsafe extern "C" fn on_system_register<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    esr: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    let (addr, rt, direction) = decode_iss(Syndrome(esr).iss());
    // Two are frequent: sending an interrupt, and reading an identification register.
    match direction {
        Direction::Write if addr == names::ICC_SGI1R_EL1 => {
            let resume = handler.sys_reg_write(vcpu, addr, vcpu.gpr(rt));
            Next::of(resume)
        }
        Direction::Read if let Some(value) = shown_value(addr) => {
            // Nobody else is asked: what arrives meanwhile comes with an interrupt.
            let newer = vcpu.ctx.put(rt, value);
            vcpu.step_over();
            handler.settled();
            if newer { Next::of_newer(Resume::Yes) } else { Next::of(Resume::Yes) }
        }
        // SAFETY: called by a vector.
        Direction::Read | Direction::Write => unsafe { on_other_register::<H>(vcpu, data, esr) },
    }
}

#[cold]
#[inline(never)]
unsafe extern "C" fn on_other_register<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    esr: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    let resume = vcpu.system_register(handler, Syndrome(esr).iss());
    next(vcpu, handler, resume)
}

unsafe extern "C" fn on_wait<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    esr: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    let exit = if Syndrome(esr).is_wfi() {
        AxVCpuExitReason::Halt
    } else {
        vcpu.finish();
        AxVCpuExitReason::Nothing
    };
    let resume = handler.handle(vcpu, exit);
    Next::of(resume)
}

unsafe extern "C" fn on_instruction_abort<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    esr: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    let exit = vcpu.instruction_abort(Syndrome(esr));
    let resume = handler.handle(vcpu, exit);
    Next::of(resume)
}

unsafe extern "C" fn on_absent<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    _esr: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    undefined(vcpu, handler)
}

#[cold]
#[inline(never)]
fn undefined<H: ExitHandler<Aarch64VCpu>>(vcpu: &mut Aarch64VCpu, handler: &mut H) -> Next {
    let resume = handler.handle(vcpu, AxVCpuExitReason::Fault(GuestFault::Undefined));
    Next::of(resume)
}

unsafe extern "C" fn on_interrupt<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    _: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    let resume = handler.external_interrupt(vcpu, u64::from(gic::v3::pending()));
    Next::of(resume)
}

/// The same on a host with a GICv2.
unsafe extern "C" fn on_interrupt_of_gicv2<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    _: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    let resume = handler.external_interrupt(vcpu, gic::GICV2 | u64::from(gic::v2::pending()));
    Next::of(resume)
}

/// A physical SError while the guest ran is the guest's: it takes a virtual one.
#[cold]
unsafe extern "C" fn on_error<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    _: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (vcpu, handler) = unsafe { running::<H>(vcpu, data) };
    msr!("HCR_EL2", mrs!("HCR_EL2") | HCR_VSE);
    let resume = handler.handle(vcpu, AxVCpuExitReason::Nothing);
    Next::of(resume)
}

/// A synchronous exit of class `CLASS`, recorded first.
unsafe extern "C" fn recorded<H: ExitHandler<Aarch64VCpu>, const CLASS: usize>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    esr: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (_, handler) = unsafe { running::<H>(vcpu, data) };
    let is_abort = matches!(Class::of(CLASS as u64), Class::DataAbort | Class::InstructionAbort);
    handler.record(esr, mrs!("ELR_EL2"), if is_abort { mrs!("FAR_EL2") } else { 0 });
    // SAFETY: called by a vector.
    unsafe { (const { Exits::<H>::of(CLASS) })(vcpu, data, esr) }
}

unsafe extern "C" fn interrupt_recorded<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    _: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (_, handler) = unsafe { running::<H>(vcpu, data) };
    handler.record(RECORDED_INTERRUPT | u64::from(gic::v3::pending()), mrs!("ELR_EL2"), 0);
    // SAFETY: called by a vector.
    unsafe { on_interrupt::<H>(vcpu, data, 0) }
}

unsafe extern "C" fn interrupt_of_gicv2_recorded<H: ExitHandler<Aarch64VCpu>>(
    vcpu: *mut Aarch64VCpu,
    data: *mut (),
    _: u64,
) -> Next {
    // SAFETY: called by a vector.
    let (_, handler) = unsafe { running::<H>(vcpu, data) };
    let pending = gic::v2::intid(gic::v2::pending());
    handler.record(RECORDED_INTERRUPT | u64::from(pending), mrs!("ELR_EL2"), 0);
    // SAFETY: called by a vector.
    unsafe { on_interrupt_of_gicv2::<H>(vcpu, data, 0) }
}
