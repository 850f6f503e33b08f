//! The vCPU: its guest makes the exits that the input says, and insists on what is done for each.

use std::cell::{Cell, RefCell};

use arm_vcpu::sysreg::{names, sysreg};
use arm_vcpu::{Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig};
use axaddrspace::{AccessWidth, GuestPhysAddr, HostPhysAddr, MappingFlags};
use axerrno::{AxError, AxResult};
use axvcpu::{AxArchVCpu, AxVCpuExitReason, ExitHandler, GuestFault, Load, Resume, SysRegAddr};
use axvm::{GuestCpu, KICK_SGI, MAINTENANCE_PPI};

use super::calls::{self, Expected};
use super::host::{COUNTER, CURRENT, Interface, Lists, here};
use crate::input::Input;

/// The host's own interrupt, which ends every run in the guest.
pub(super) const HOST_INTERRUPT: u64 = 26;
const STATE: u64 = 0b11 << 62;
const PENDING: u64 = 1 << 62;
const HW: u64 = 1 << 61;
const EOI: u64 = 1 << 41;

thread_local! {
    /// The input, and how much of it is used.
    static SCRIPT: RefCell<(Vec<u8>, usize)> = const { RefCell::new((Vec::new(), 0)) };
    /// The windows of the VM's devices: first and last address.
    pub(super) static WINDOWS: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
    /// What was done for the last exit.
    static DID: Cell<Did> = const { Cell::new(Did::Nothing) };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Did {
    Nothing,
    Finish,
    Fault,
    Return(u64),
}

pub(super) fn set_script(data: &[u8]) {
    SCRIPT.set((data.to_vec(), 0));
}

/// Takes something off the input.
pub(super) fn draw<R>(act: impl FnOnce(&mut Input<'_>) -> R) -> R {
    SCRIPT.with_borrow_mut(|(bytes, used)| {
        let mut input = Input::new(&bytes[*used..]);
        let result = act(&mut input);
        *used = bytes.len() - input.rest().len();
        result
    })
}

pub(super) fn is_over() -> bool {
    draw(|input| input.is_empty())
}

/// A vCPU as the VM knows it.
pub(super) struct Cpu {
    id: usize,
    /// The CPU it is loaded in, and whether it is bound to it.
    place: Option<(usize, bool)>,
    arguments: [u64; 6],
    pc: u64,
}

impl Cpu {
    fn insist_bound(&self) {
        assert_eq!(self.place, Some((CURRENT.get(), true)));
    }

    fn close(&mut self, did: Did) {
        self.insist_bound();
        assert_eq!(DID.replace(did), Did::Nothing, "{did:?}, but the exit is done with");
    }

    /// The guest acknowledges or ends something by its CPU interface, which is no exit.
    fn interrupts(input: &mut Input<'_>) {
        let (n, ends) = (input.below(4), input.bool());
        here(|cpu| {
            let value = cpu.lrs[n].get();
            if ends && value >> 63 == 1 {
                cpu.lrs[n].set(value & !(1 << 63));
                if value & HW != 0 {
                    cpu.timer_active.set(false);
                }
            } else if value & STATE == PENDING {
                cpu.lrs[n].set(value ^ STATE);
            }
        });
    }

    /// What the hardware does about the list registers.
    fn maintenance() -> bool {
        here(|cpu| {
            let lrs = || cpu.lrs.iter().map(Cell::get);
            let ended = lrs().any(|lr| lr & (HW | EOI | STATE) == EOI);
            ended || cpu.no_pending.get() && !lrs().any(|lr| lr & STATE == PENDING)
        })
    }

    /// A physical interrupt; 27 is the guest's timer.
    fn interrupt(intid: u32) -> AxVCpuExitReason {
        here(|cpu| cpu.pending.borrow_mut().push_back(intid));
        AxVCpuExitReason::ExternalInterrupt { vector: intid.into() }
    }

    fn exit(&mut self, input: &mut Input<'_>) -> AxVCpuExitReason {
        if super::KICKED.take() {
            return Self::interrupt(KICK_SGI);
        }
        if Self::maintenance() {
            return Self::interrupt(MAINTENANCE_PPI);
        }
        let width = input.width();
        match input.u8() {
            0..40 => {
                let reg_width =
                    if width == AccessWidth::Qword { width } else { AccessWidth::Dword };
                let (addr, reg, signed_ext) = (address(input), input.below(32), input.bool());
                AxVCpuExitReason::MmioRead { addr, width, reg, reg_width, signed_ext }
            }
            40..100 => {
                let (addr, data) = (address(input), input.number() & width.mask());
                AxVCpuExitReason::MmioWrite { addr, width, data }
            }
            100..150 => {
                let nr = calls::number(input);
                AxVCpuExitReason::Hypercall { nr, args: calls::arguments(input) }
            }
            150..175 => {
                let addr = register(input);
                AxVCpuExitReason::SysRegWrite { addr, value: sgi_or_number(input) }
            }
            175..185 => {
                AxVCpuExitReason::SysRegRead { addr: register(input), reg: input.below(32) }
            }
            185..200 => AxVCpuExitReason::Halt,
            200..210 => match here(|cpu| cpu.timer_enabled.get() && !cpu.timer_active.get()) {
                true => Self::interrupt(27),
                false => AxVCpuExitReason::Nothing,
            },
            210..220 => Self::interrupt(input.one_of(&[KICK_SGI, 26, 40, 200, 1019])),
            // Gone again, or another one, when it is acknowledged.
            220..225 => AxVCpuExitReason::ExternalInterrupt { vector: input.number() },
            225..235 => AxVCpuExitReason::NestedPageFault {
                addr: address(input),
                access_flags: flags(input),
            },
            235..245 => {
                AxVCpuExitReason::Undecoded { addr: address(input), instruction: address(input) }
            }
            245..250 => AxVCpuExitReason::Fault(input.one_of(&[
                GuestFault::Undefined,
                GuestFault::DataAbort,
                GuestFault::PrefetchAbort,
            ])),
            _ => AxVCpuExitReason::ExternalInterrupt { vector: HOST_INTERRUPT },
        }
    }

    fn handle(&mut self, handler: &mut impl ExitHandler<Self>, exit: AxVCpuExitReason) -> Resume {
        match exit {
            AxVCpuExitReason::MmioRead { addr, width, reg, reg_width, signed_ext } => {
                handler.mmio_read(self, addr, Load { width, reg, reg_width, signed_ext })
            }
            AxVCpuExitReason::MmioWrite { addr, width, data } => {
                handler.mmio_write(self, addr, width, data)
            }
            AxVCpuExitReason::Hypercall { nr, args } => {
                self.arguments = args;
                handler.hypercall(self, nr)
            }
            AxVCpuExitReason::SysRegWrite { addr, value } => {
                handler.sys_reg_write(self, addr, value)
            }
            AxVCpuExitReason::ExternalInterrupt { vector } => {
                handler.external_interrupt(self, vector)
            }
            exit => handler.handle(self, exit),
        }
    }

    /// What must have been done for `exit`.
    fn check(exit: AxVCpuExitReason, resume: Resume, expected: Option<Expected>) {
        let did = DID.get();
        match exit {
            AxVCpuExitReason::MmioRead { addr, width, .. }
            | AxVCpuExitReason::MmioWrite { addr, width, .. } => {
                assert_eq!(resume, Resume::Yes);
                if answers(addr, width) {
                    assert_eq!(did, Did::Finish, "{exit:x?}");
                } else {
                    assert_eq!(did, Did::Fault, "{exit:x?}");
                }
            }
            AxVCpuExitReason::SysRegRead { .. } | AxVCpuExitReason::SysRegWrite { .. } => {
                assert!(matches!(did, Did::Finish | Did::Fault), "{exit:x?}");
            }
            AxVCpuExitReason::Halt => assert_eq!(did, Did::Finish),
            AxVCpuExitReason::Fault(_) | AxVCpuExitReason::NestedPageFault { .. } => {
                assert_eq!((did, resume), (Did::Fault, Resume::Yes))
            }
            AxVCpuExitReason::Hypercall { .. } => match expected.unwrap() {
                Expected::Value(value) => {
                    assert_eq!((did, resume), (Did::Return(value), Resume::Yes), "{exit:x?}")
                }
                Expected::Waits => assert_eq!(did, Did::Return(0)),
                Expected::Leaves => {
                    assert_eq!((did, resume), (Did::Nothing, Resume::No), "{exit:x?}")
                }
            },
            _ => {}
        }
    }
}

fn answers(addr: GuestPhysAddr, width: AccessWidth) -> bool {
    let (first, last) = (addr.as_usize(), addr.as_usize().saturating_add(width.bytes() - 1));
    WINDOWS
        .with_borrow(|windows| windows.iter().any(|(start, end)| *start <= first && last <= *end))
}

/// Half of the addresses are in a device.
fn address(input: &mut Input<'_>) -> GuestPhysAddr {
    let at = match input.u8() {
        0..160 => {
            let windows = WINDOWS.with_borrow(Vec::clone);
            let (start, end) = input.one_of(&windows);
            let offset = input.u32() as usize % (end - start + 1);
            // The private frame of a redistributor has registers in its first pages.
            start + if input.bool() { offset & 0x1_0ffc } else { offset }
        }
        160..200 => calls::RAM + input.u32() as usize % calls::RAM_SIZE,
        _ => input.number() as usize,
    };
    GuestPhysAddr::from_usize(at)
}

fn flags(input: &mut Input<'_>) -> MappingFlags {
    input.one_of(&[MappingFlags::READ, MappingFlags::WRITE, MappingFlags::EXECUTE])
}

fn register(input: &mut Input<'_>) -> SysRegAddr {
    let known = [
        names::ICC_SGI1R_EL1,
        names::ICC_SGI0R_EL1,
        names::CNTP_CTL_EL0,
        names::CNTP_CVAL_EL0,
        names::CNTP_TVAL_EL0,
        names::CNTPCT_EL0,
    ];
    let any = input.u16() as usize;
    match input.below(8) {
        7 => sysreg(3, any & 7, any >> 3 & 15, any >> 7 & 15, any >> 11 & 7),
        n => known[n.min(5)],
    }
}

fn sgi_or_number(input: &mut Input<'_>) -> u64 {
    match input.bool() {
        true => u64::from(input.u8() & 0xf) << 24 | u64::from(input.u8() & 7),
        false => input.number(),
    }
}

impl AxArchVCpu for Cpu {
    type CreateConfig = Aarch64VCpuCreateConfig;
    type SetupConfig = Aarch64VCpuSetupConfig;

    fn new(_: usize, id: usize, _: Self::CreateConfig) -> AxResult<Self> {
        Ok(Self { id, place: None, arguments: [0; 6], pc: 0 })
    }

    fn set_entry(&mut self, entry: GuestPhysAddr) -> AxResult {
        assert_eq!(self.place, None, "set up while loaded");
        assert!(calls::is_ram(entry.as_usize()));
        self.pc = entry.as_usize() as u64;
        Ok(())
    }

    fn set_ept_root(&mut self, _: HostPhysAddr) -> AxResult {
        Ok(())
    }

    fn setup(&mut self, _: Self::SetupConfig) -> AxResult {
        Ok(())
    }

    fn run(&mut self, handler: &mut impl ExitHandler<Self>) {
        loop {
            self.insist_bound();
            assert_eq!(here(|cpu| cpu.taken.get()), None, "an interrupt is kept from the host");
            if draw(|input| input.u8() % 16 == 1) {
                super::meanwhile();
            }
            let exit = match is_over() {
                true => AxVCpuExitReason::ExternalInterrupt { vector: HOST_INTERRUPT },
                false => draw(|input| {
                    if input.u8() % 5 == 0 {
                        Self::interrupts(input);
                    }
                    self.exit(input)
                }),
            };
            DID.set(Did::Nothing);
            let expected = match exit {
                AxVCpuExitReason::Hypercall { nr, args } => {
                    Some(calls::expected(self.id, nr, args))
                }
                _ => None,
            };
            let resume = self.handle(handler, exit);
            Self::check(exit, resume, expected);
            if resume == Resume::No {
                return;
            }
        }
    }

    fn bind(&mut self) -> AxResult {
        assert_eq!(self.place, Some((CURRENT.get(), false)));
        self.place = Some((CURRENT.get(), true));
        Ok(())
    }

    fn unbind(&mut self) -> AxResult {
        self.insist_bound();
        self.place = Some((CURRENT.get(), false));
        // What the VM took for the host is handled there.
        here(|cpu| cpu.taken.take());
        Ok(())
    }

    fn load(&mut self) {
        assert_eq!(self.place.replace((CURRENT.get(), false)), None);
    }

    fn save(&mut self) {
        assert_eq!(self.place.take(), Some((CURRENT.get(), false)));
    }

    fn set_gpr(&mut self, reg: usize, _: u64) {
        self.insist_bound();
        assert!(reg < 32);
    }

    fn inject_interrupt(&mut self, _: usize) -> AxResult {
        Err(AxError::Unsupported)
    }

    fn call_arguments(&self) -> [u64; 6] {
        self.arguments
    }

    fn set_return_value(&mut self, val: u64) {
        self.close(Did::Return(val));
    }

    fn finish(&mut self) {
        self.close(Did::Finish);
    }

    fn inject_fault(&mut self, _: GuestFault) {
        self.close(Did::Fault);
    }

    fn decode_access(&mut self, _: u32) -> AxVCpuExitReason {
        self.insist_bound();
        draw(|input| {
            let (addr, width) = (address(input), input.width());
            match input.below(3) {
                0 => AxVCpuExitReason::MmioWrite { addr, width, data: input.u64() & width.mask() },
                1 => AxVCpuExitReason::Nothing,
                _ => AxVCpuExitReason::Fault(GuestFault::DataAbort),
            }
        })
    }
}

impl GuestCpu for Cpu {
    type ListRegisters = Lists;
    type Gicv2 = Interface;
    type Gicv3 = Interface;

    fn gicv() -> Option<HostPhysAddr> {
        None
    }

    fn has_hardware_support() -> bool {
        true
    }

    fn pc(&self) -> u64 {
        self.pc
    }

    fn trap_wfi(&mut self, _: bool) {
        self.insist_bound();
    }

    fn set_counter_offset(&mut self, _: u64) {
        assert_eq!(self.place, None);
    }

    fn timer_deadline(&self) -> Option<u64> {
        self.insist_bound();
        draw(|input| input.bool().then(|| COUNTER.get().saturating_add(u64::from(input.u16()))))
    }

    fn counter() -> u64 {
        COUNTER.get()
    }

    fn forget_local_translations() {}

    fn forget_vmid(_: u16) {}
}
