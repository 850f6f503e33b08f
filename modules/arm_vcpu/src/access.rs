//! Aborts that take more than the syndrome: undescribed accesses, table walks, instruction fetches.

use axaddrspace::{AccessWidth, GuestPhysAddr, MappingFlags};
use axvcpu::{AxVCpuExitReason, GuestFault};

use crate::context_frame::DEFERRED;
use crate::esr::{Fault, Syndrome};
use crate::insn::{self, AccessKind, Regs};
use crate::regs::{barrier, mrs, msr, size};
use crate::vcpu::{Aarch64VCpu, fault_address};

/// What is left of an instruction that makes more than one plain access, where [`DEFERRED`] says that there is one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deferred {
    second: Option<(insn::Access, GuestPhysAddr)>,
    writeback: Option<(u8, u64)>,
    /// What the first access's register held: it comes back if the second access fails.
    undo: Option<(u8, u64)>,
    /// The abort that is to be reported if the second access fails: others may have happened since.
    pub(crate) cause: Cause,
}

/// What an abort reported.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cause {
    /// ESR_EL2.
    pub(crate) esr: u64,
    /// FAR_EL2.
    pub(crate) far: u64,
}

impl Cause {
    /// Of the last exit, while the vCPU has been bound ever since.
    pub(crate) fn last() -> Self {
        Self { esr: mrs!("ESR_EL2"), far: mrs!("FAR_EL2") }
    }
}

/// As whom the guest's own translation is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Translation {
    Read,
    Write,
}

impl Translation {
    pub(crate) const fn of(syndrome: Syndrome) -> Self {
        if syndrome.is_write() { Self::Write } else { Self::Read }
    }
}

/// SPSR_EL2.M[3:2]: the exception level the guest was at is above EL0.
const PSTATE_EL: u64 = 0b11 << 2;
/// SPSR_EL2.M[0]: the guest used its level's own stack pointer.
const PSTATE_SP: u64 = 1;

impl Aarch64VCpu {
    /// Where the guest's own tables put `va` for the level it was at; none if they do not map it.
    pub(crate) fn translate(&self, va: u64, kind: Translation) -> Option<GuestPhysAddr> {
        let par_of_guest = mrs!("PAR_EL1");
        match (mrs!("SPSR_EL2") & PSTATE_EL != 0, kind) {
            (true, Translation::Read) => msr!("S1_0_C7_C8_0", va),
            (true, Translation::Write) => msr!("S1_0_C7_C8_1", va),
            (false, Translation::Read) => msr!("S1_0_C7_C8_2", va),
            (false, Translation::Write) => msr!("S1_0_C7_C8_3", va),
        }
        barrier!("isb");
        let par = mrs!("PAR_EL1");
        msr!("PAR_EL1", par_of_guest);
        let page = par & 0x000f_ffff_ffff_f000;
        (par & 1 == 0).then(|| GuestPhysAddr::from_usize(size(page | va & 0xfff)))
    }

    /// A data abort of the less frequent kinds.
    #[cold]
    #[inline(never)]
    pub(crate) fn other_data_abort(&mut self, syndrome: Syndrome) -> AxVCpuExitReason {
        if syndrome.on_table_walk() {
            return Self::table_walk_fault(syndrome);
        }
        let addr = match syndrome.fault() {
            Fault::Translation => fault_address(mrs!("FAR_EL2")),
            Fault::Permission => match self.translate(mrs!("FAR_EL2"), Translation::of(syndrome)) {
                Some(addr) => addr,
                None => return AxVCpuExitReason::Nothing,
            },
            Fault::External => return AxVCpuExitReason::Fault(GuestFault::DataAbort),
        };
        let Some(access) = syndrome.access() else {
            return self.undescribed_access(addr, syndrome);
        };
        let kind = if syndrome.is_write() {
            AccessKind::Store
        } else {
            AccessKind::Load { reg_width: access.register_width, signed: access.signed }
        };
        self.exit_of(access.width, access.register, kind, addr)
    }

    /// A data abort whose syndrome does not say what was accessed.
    fn undescribed_access(&mut self, addr: GuestPhysAddr, syndrome: Syndrome) -> AxVCpuExitReason {
        if syndrome.is_cache_maintenance() {
            // Nothing is cached where nothing is mapped.
            axvcpu::AxArchVCpu::finish(self);
            return AxVCpuExitReason::Nothing;
        }
        // A translation that went away since: the guest tries again and faults by its own tables.
        match self.translate(mrs!("ELR_EL2"), Translation::Read) {
            Some(instruction) => AxVCpuExitReason::Undecoded { addr, instruction },
            None => AxVCpuExitReason::Nothing,
        }
    }

    /// A stage-2 fault on the guest's own table walk: only memory can be walked, and tables that lie
    /// in memory of another kind (HCR_EL2.PTW), or may not be updated, never can.
    #[cold]
    pub(crate) fn table_walk_fault(syndrome: Syndrome) -> AxVCpuExitReason {
        if syndrome.fault() != Fault::Translation {
            return AxVCpuExitReason::Fault(GuestFault::DataAbort);
        }
        AxVCpuExitReason::NestedPageFault {
            addr: fault_address(0),
            access_flags: MappingFlags::READ,
        }
    }

    /// A stage-2 fault of an instruction fetch.
    #[cold]
    #[inline(never)]
    pub(crate) fn instruction_abort(&mut self, syndrome: Syndrome) -> AxVCpuExitReason {
        if syndrome.on_table_walk() {
            return Self::table_walk_fault(syndrome);
        }
        let far = mrs!("FAR_EL2");
        let addr = match syndrome.fault() {
            Fault::Translation => fault_address(far),
            Fault::Permission => match self.translate(far, Translation::Read) {
                Some(addr) => addr,
                None => return AxVCpuExitReason::Nothing,
            },
            Fault::External => return AxVCpuExitReason::Fault(GuestFault::PrefetchAbort),
        };
        AxVCpuExitReason::NestedPageFault { addr, access_flags: MappingFlags::EXECUTE }
    }

    /// The exit that `instruction`, fetched at the program counter, makes of the last data abort.
    ///
    /// Another vCPU may have replaced the word since it was executed, so what it computes must be
    /// the address the hardware reported.
    pub(crate) fn decode_instruction(&mut self, instruction: u32) -> AxVCpuExitReason {
        let abort = AxVCpuExitReason::Fault(GuestFault::DataAbort);
        let pstate = mrs!("SPSR_EL2");
        let own_stack = pstate & PSTATE_EL != 0 && pstate & PSTATE_SP != 0;
        let sp = if own_stack { mrs!("SP_EL1") } else { mrs!("SP_EL0") };
        let regs = Regs { gpr: &self.ctx.gpr, sp };
        let cause = Cause::last();
        let far = cause.far;
        let Ok(op) = insn::decode(instruction, &regs, pstate) else {
            return abort;
        };
        // A store where the abort was a load's would be one that the guest's own tables never allowed.
        let is_store = op.first.kind == AccessKind::Store;
        if (op.first.address ^ far) << 8 != 0 || is_store != Syndrome(cause.esr).is_write() {
            return abort;
        }
        let Some(addr) = self.translate(far, Translation::of(Syndrome(cause.esr))) else {
            return AxVCpuExitReason::Nothing;
        };
        let second = op.second.map(|access| {
            let distance = size(access.address.wrapping_sub(op.first.address));
            (access, GuestPhysAddr::from_usize(addr.as_usize().wrapping_add(distance)))
        });
        let undo = match op.first.kind {
            AccessKind::Load { .. } => Some((op.first.reg, self.ctx.get(op.first.reg.into()))),
            AccessKind::Store => None,
        };
        self.deferred = Deferred { second, writeback: op.writeback, undo, cause };
        self.ctx.unusual |= DEFERRED;
        let insn::Access { width, reg, kind, .. } = op.first;
        self.exit_of(width, reg.into(), kind, addr)
    }

    /// The second access of a pair, once the first is done.
    #[cold]
    pub(crate) fn deferred_access(&mut self) -> Option<AxVCpuExitReason> {
        if self.ctx.unusual & DEFERRED == 0 {
            return None;
        }
        let Some((access, addr)) = self.deferred.second.take() else {
            self.ctx.unusual &= !DEFERRED;
            return None;
        };
        let insn::Access { width, reg, kind, .. } = access;
        Some(self.exit_of(width, reg.into(), kind, addr))
    }

    /// Finishes one access of several; true while the instruction is not done.
    #[cold]
    pub(crate) fn finish_deferred(&mut self) -> bool {
        if self.deferred.second.is_some() {
            return true;
        }
        self.ctx.unusual &= !DEFERRED;
        if let Some((base, value)) = self.deferred.writeback {
            self.write_base(base, value);
        }
        false
    }

    /// Puts back what the first access of an abandoned instruction loaded, and gives what it reported.
    pub(crate) fn abandon_deferred(&mut self) -> Option<Cause> {
        if self.ctx.unusual & DEFERRED == 0 {
            return None;
        }
        self.ctx.unusual &= !DEFERRED;
        if let Some((reg, value)) = self.deferred.undo {
            self.ctx.set(reg.into(), value);
        }
        Some(self.deferred.cause)
    }

    fn write_base(&mut self, base: u8, value: u64) {
        let pstate = mrs!("SPSR_EL2");
        if base != 31 {
            self.ctx.set(base.into(), value);
        } else if pstate & PSTATE_EL != 0 && pstate & PSTATE_SP != 0 {
            msr!("SP_EL1", value);
        } else {
            msr!("SP_EL0", value);
        }
    }

    fn exit_of(
        &self,
        width: AccessWidth,
        reg: usize,
        kind: AccessKind,
        addr: GuestPhysAddr,
    ) -> AxVCpuExitReason {
        match kind {
            AccessKind::Store => {
                let data = self.ctx.get(reg) & width.mask();
                AxVCpuExitReason::MmioWrite { addr, width, data }
            }
            AccessKind::Load { reg_width, signed } => {
                AxVCpuExitReason::MmioRead { addr, width, reg, reg_width, signed_ext: signed }
            }
        }
    }
}
