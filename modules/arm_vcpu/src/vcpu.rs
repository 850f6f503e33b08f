//! One aarch64 virtual CPU: what it keeps, how it is loaded, bound, entered and left.

use axaddrspace::{GuestPhysAddr, HostPhysAddr};
use axerrno::{AxError, AxResult};
use axvcpu::{AxArchVCpu, AxVCpuExitReason, ExitHandler, GuestFault, Load, Resume};

use crate::access::{Cause, Deferred};
use crate::context_frame::DEFERRED;
use crate::el1::{El1Registers, PauthKeys};
use crate::esr::{Access, Syndrome};
use crate::exits::{NOBODY, exits_of};
use crate::features;
use crate::fp::FpState;
use crate::gic::CpuInterface;
use crate::pcpu::{HCR, HCR_TWI, HCR_VSE};
use crate::regs::{barrier, mrs, msr, size};
use crate::world_switch::{ExitTable, enter_guest};
use crate::{TrapFrame, timer::VirtualTimer};

/// What a vCPU is made of.
#[derive(Clone, Copy, Debug)]
pub struct Aarch64VCpuCreateConfig {
    /// The affinity fields the guest reads in MPIDR_EL1.
    pub mpidr_el1: u64,
    /// Guest-physical address of the device tree: the boot vCPU's X0.
    pub dtb_addr: usize,
    /// The VMID its translations are tagged with.
    pub vmid: u16,
}

/// What a vCPU starts with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Aarch64VCpuSetupConfig {
    /// X0: the device tree for the boot vCPU, the context id for one started by PSCI.
    pub argument: u64,
    /// What is subtracted from the physical counter for this guest (CNTVOFF_EL2).
    pub counter_offset: u64,
}

/// One aarch64 virtual CPU. The world switch knows the order of the first fields.
#[repr(C, align(16))]
pub struct Aarch64VCpu {
    pub(crate) ctx: TrapFrame,
    /// What an exit calls, and what with.
    pub(crate) exits: &'static ExitTable,
    pub(crate) handler_data: *mut (),
    /// The runner's stack while the guest runs.
    pub(crate) host_stack_top: u64,
    /// HCR_EL2 while loaded.
    hcr: u64,
    host: HostRegisters,
    pub(crate) deferred: Deferred,
    timer: VirtualTimer,
    interface: CpuInterface,
    el1: El1Registers,
    keys: PauthKeys,
    fp: FpState,
    vdisr: u64,
    vttbr: u64,
    vmid: u16,
    mpidr: u64,
}

/// What `bind` takes from the host and `unbind` gives back.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct HostRegisters {
    daif: u64,
    sp_el0: u64,
}

/// SPSR_EL2 of a CPU that starts: EL1 with its own stack pointer, everything masked.
const START_PSTATE: u64 = 0b1111 << 6 | 0b0101;
/// SCTLR_EL1 at reset: its RES1 bits; MMU and caches off.
const START_SCTLR: u64 = 0x30d0_0800;
/// MPIDR_EL1 bit 31 is RES1.
const MPIDR_RES1: u64 = 1 << 31;

impl AxArchVCpu for Aarch64VCpu {
    type CreateConfig = Aarch64VCpuCreateConfig;
    type SetupConfig = Aarch64VCpuSetupConfig;

    fn new(_vm_id: usize, _vcpu_id: usize, config: Self::CreateConfig) -> AxResult<Self> {
        Ok(Self {
            ctx: TrapFrame::default(),
            host_stack_top: 0,
            exits: &NOBODY,
            handler_data: core::ptr::null_mut(),
            hcr: HCR,
            host: HostRegisters::default(),
            deferred: Deferred::default(),
            timer: VirtualTimer::default(),
            interface: CpuInterface::default(),
            el1: El1Registers::default(),
            keys: PauthKeys::default(),
            fp: FpState::default(),
            vdisr: 0,
            vttbr: 0,
            vmid: config.vmid,
            mpidr: config.mpidr_el1 | MPIDR_RES1,
        })
    }

    fn set_entry(&mut self, entry: GuestPhysAddr) -> AxResult {
        let entry = entry.as_usize() as u64;
        if entry & 3 != 0 {
            // An A64 instruction stands at a multiple of 4.
            return Err(AxError::InvalidInput);
        }
        self.ctx.elr = entry;
        Ok(())
    }

    fn set_ept_root(&mut self, root: HostPhysAddr) -> AxResult {
        let root = root.as_usize() as u64;
        if root & 0xfff != 0 {
            // A translation table starts at a page.
            return Err(AxError::InvalidInput);
        }
        self.vttbr = root | u64::from(self.vmid) << 48;
        Ok(())
    }

    fn setup(&mut self, config: Self::SetupConfig) -> AxResult {
        let entry = self.ctx.elr;
        self.ctx = TrapFrame { elr: entry, spsr: START_PSTATE, ..TrapFrame::default() };
        self.ctx.set(0, config.argument);
        self.el1 = El1Registers { sctlr: START_SCTLR, ..El1Registers::default() };
        self.keys = PauthKeys::default();
        self.fp = FpState::default();
        self.timer = VirtualTimer::new(config.counter_offset);
        self.interface.reset();
        self.vdisr = 0;
        self.hcr = HCR;
        Ok(())
    }

    #[inline]
    fn run(&mut self, handler: &mut impl ExitHandler<Self>) {
        self.run_with(handler);
    }

    #[inline]
    fn bind(&mut self) -> AxResult {
        self.host.daif = mrs!("DAIF");
        barrier!("msr daifset, #7");
        self.host.sp_el0 = mrs!("SP_EL0");
        // The host's thread pointer comes back in `unbind`; until then nothing of the host runs.
        msr!("SP_EL0", self.ctx.sp_el0);
        msr!("ELR_EL2", self.ctx.elr);
        msr!("SPSR_EL2", self.ctx.spsr);
        self.interface.bind();
        self.timer.bind();
        Ok(())
    }

    #[inline]
    fn unbind(&mut self) -> AxResult {
        self.timer.unbind();
        self.interface.unbind();
        self.ctx.elr = mrs!("ELR_EL2");
        self.ctx.spsr = mrs!("SPSR_EL2");
        self.ctx.sp_el0 = mrs!("SP_EL0");
        msr!("SP_EL0", self.host.sp_el0);
        // The timer and maintenance lines are low before the host can be interrupted by them.
        barrier!("isb");
        msr!("DAIF", self.host.daif);
        Ok(())
    }

    fn load(&mut self) {
        // Everything of the vCPU before is complete before this one's translation is there.
        barrier!("dsb ish");
        msr!("VMPIDR_EL2", self.mpidr);
        self.el1.load();
        if features::ras() {
            // VDISR_EL2 is what the guest reads as DISR_EL1; VSESR_EL2 becomes its syndrome of an SError.
            msr!("S3_4_C12_C1_1", self.vdisr);
            msr!("S3_4_C5_C2_3", 0);
        }
        if features::pointer_authentication() {
            self.keys.load();
        }
        self.timer.load();
        self.interface.load();
        self.fp.load();
        msr!("HCR_EL2", self.hcr);
        msr!("VTTBR_EL2", self.vttbr);
        barrier!("isb");
    }

    fn save(&mut self) {
        self.take_late_error();
        self.hcr = mrs!("HCR_EL2");
        self.el1.save();
        if features::ras() {
            self.vdisr = mrs!("S3_4_C12_C1_1");
        }
        if features::pointer_authentication() {
            self.keys.save();
        }
        self.timer.save();
        self.interface.save();
        self.fp.save();
        // Without a VM behind it, nothing speculative may walk this one's tables.
        msr!("VTTBR_EL2", crate::translation::no_vm());
        barrier!("isb");
    }

    #[inline]
    fn set_gpr(&mut self, reg: usize, val: u64) {
        self.ctx.set(reg, val);
    }

    fn inject_interrupt(&mut self, _vector: usize) -> AxResult {
        // The interrupt controller keeps a vCPU's interrupts.
        Err(AxError::Unsupported)
    }

    fn call_arguments(&self) -> [u64; 6] {
        let [_, a1, a2, a3, a4, a5, a6, ..] = self.ctx.gpr;
        [a1, a2, a3, a4, a5, a6]
    }

    #[inline]
    fn set_return_value(&mut self, val: u64) {
        self.ctx.set(0, val);
    }

    #[inline(always)]
    fn finish(&mut self) {
        if self.ctx.unusual & DEFERRED == 0 || !self.finish_deferred() {
            self.step_over();
        }
    }

    fn inject_fault(&mut self, fault: GuestFault) {
        let cause = self.abandon_deferred().unwrap_or_else(Cause::last);
        self.take_exception(fault, cause);
    }

    fn decode_access(&mut self, instruction: u32) -> AxVCpuExitReason {
        self.decode_instruction(instruction)
    }
}

/// ISR_EL1.A: an SError is pending.
const ISR_A: u64 = 1 << 8;
const PSTATE_AARCH32: u64 = 1 << 4;
const PSTATE_BTYPE: u64 = 0b11 << 10;

/// ITSTATE one instruction later (Arm ARM, AArch32 `ITAdvance`): IT[1:0] in bits 26:25, IT[7:2] in 15:10.
const fn advance_it_state(pstate: u64) -> u64 {
    let it = (pstate >> 25 & 3) | (pstate >> 10 & 0x3f) << 2;
    let next = if it & 7 == 0 { 0 } else { it & 0xe0 | it << 1 & 0x1f };
    pstate & !(3 << 25 | 0x3f << 10) | (next & 3) << 25 | (next >> 2) << 10
}

// SAFETY: `handler_data` is used only while `run_with` runs, on the CPU it runs on.
unsafe impl Send for Aarch64VCpu {}

impl Aarch64VCpu {
    /// Enters the guest and calls `handler` at every exit until it says to leave.
    #[inline]
    fn run_with<H: ExitHandler<Self>>(&mut self, handler: &mut H) {
        self.ctx.unusual = 0;
        self.exits = exits_of(handler);
        self.handler_data = (&raw mut *handler).cast();
        let vcpu: *mut Self = self;
        // SAFETY: the trait demands a bound vCPU; handler and data fit each other and outlive the call.
        unsafe { enter_guest(vcpu) };
        self.handler_data = core::ptr::null_mut();
    }

    /// Moves behind an instruction that is done.
    #[inline(always)]
    pub(crate) fn step_over(&mut self) {
        let pstate = mrs!("SPSR_EL2");
        if pstate & (PSTATE_AARCH32 | PSTATE_BTYPE) != 0 {
            return self.step_over_unusual(pstate);
        }
        msr!("ELR_EL2", mrs!("ELR_EL2").wrapping_add(4));
    }

    /// The same for one of AArch32, or one that is the target of a branch.
    #[cold]
    #[inline(never)]
    fn step_over_unusual(&mut self, pstate: u64) {
        let mut bytes = 4;
        if pstate & PSTATE_AARCH32 != 0 {
            bytes = Syndrome(mrs!("ESR_EL2")).instruction_bytes();
            msr!("SPSR_EL2", advance_it_state(pstate));
        } else {
            // Bits 11:10 are BTYPE, which every executed instruction clears (AArch64 only).
            msr!("SPSR_EL2", pstate & !PSTATE_BTYPE);
        }
        msr!("ELR_EL2", mrs!("ELR_EL2").wrapping_add(bytes));
    }

    /// Register `index`; 31 reads as zero.
    #[inline]
    pub fn gpr(&self, index: usize) -> u64 {
        self.ctx.get(index)
    }

    /// Where the bound vCPU goes on.
    pub fn current_pc(&self) -> u64 {
        mrs!("ELR_EL2")
    }

    /// The registers as of the last unbind.
    pub fn frame(&self) -> &TrapFrame {
        &self.ctx
    }

    /// The EL1 registers as of the last eviction.
    pub fn el1(&self) -> &El1Registers {
        &self.el1
    }

    /// The virtual timer as of the last unbind.
    pub fn timer(&self) -> &VirtualTimer {
        &self.timer
    }

    /// The physical counter value at which the virtual timer of the bound vCPU is due, if it can come.
    pub fn current_timer_deadline(&self) -> Option<u64> {
        self.timer.current_deadline()
    }

    /// Moves the guest's time: what is subtracted from the physical counter. Not while loaded.
    pub fn set_counter_offset(&mut self, offset: u64) {
        self.timer.set_offset(offset);
    }

    /// Makes WFI trap, or not. The vCPU must be loaded on this CPU.
    #[inline]
    pub fn trap_wfi(&mut self, on: bool) {
        let hcr = if on { self.hcr | HCR_TWI } else { self.hcr & !HCR_TWI };
        if hcr != self.hcr {
            self.hcr = hcr;
            msr!("HCR_EL2", mrs!("HCR_EL2") & !HCR_TWI | hcr & HCR_TWI);
        }
    }

    /// An access that its syndrome describes.
    #[inline(always)]
    pub(crate) fn access_exit<H: ExitHandler<Self>>(
        &mut self,
        handler: &mut H,
        addr: GuestPhysAddr,
        access: Access,
        write: bool,
    ) -> Resume {
        let Access { width, register, register_width, signed } = access;
        if write {
            let data = self.ctx.get(register) & width.mask();
            return handler.mmio_write(self, addr, width, data);
        }
        let load = Load { width, reg: register, reg_width: register_width, signed_ext: signed };
        handler.mmio_read(self, addr, load)
    }

    /// Makes an error that this vCPU's accesses still cause arrive now, while it is known whose it is.
    fn take_late_error(&mut self) {
        barrier!("dsb sy");
        barrier!("isb");
        if mrs!("ISR_EL1") & ISR_A != 0 {
            msr!("HCR_EL2", mrs!("HCR_EL2") | HCR_VSE);
            crate::world_switch::consume_error();
        }
    }
}

/// The guest-physical address of a stage-2 translation fault (HPFAR_EL2.FIPA, and FAR_EL2's page offset).
#[inline]
pub(crate) fn fault_address(far: u64) -> GuestPhysAddr {
    let page = (mrs!("HPFAR_EL2") & 0xfff_ffff_fff0) << 8;
    GuestPhysAddr::from_usize(size(page | far & 0xfff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_it_state_advances_like_the_manual_says() {
        let pack = |it: u64| (it & 3) << 25 | (it >> 2) << 10;
        assert_eq!(advance_it_state(pack(0b0000_1000)), pack(0));
        assert_eq!(advance_it_state(pack(0b1010_0110)), pack(0b1010_1100));
        assert_eq!(advance_it_state(0), 0);
    }
}
