//! The virtual GIC of a VM: its lock, and what the rest of the hypervisor does with it.

use alloc::{boxed::Box, sync::Arc};
use core::fmt;

use axdevice::{Device, InterruptLine};

use crate::{
    Kick, ListRegisters,
    bits::{low, ones, vcpu_bit},
    doorbell::{ATTEND, Doorbell},
    gicd::{self, Distributor},
    gicr::Redistributors,
    gicv2::{self, Gicv2Distributor},
    outbox::Outbox,
    registers::BitRegister,
    sgi::{Sgi, all_of},
    state::{Architecture, MAX_LIST_REGISTERS, State},
    sync::SpinNoIrq,
    timer::TIMER_PPI,
};

/// GICD_IIDR and GICR_IIDR: the architecture's implementer, a product number no erratum is known for.
pub(crate) const IIDR: u32 = 0x4100_043b;
/// GICD_PIDR2 and GICR_PIDR2: ArchRev 3.
pub(crate) const PIDR2: u32 = 0x30;

/// The shape of a virtual GIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VgicConfig {
    /// How many vCPUs, 1 to 64, on a GICv2 1 to 8; their affinities are those of [`affinity`](crate::affinity).
    pub vcpus: usize,
    /// How many SPIs, a multiple of 32 up to 992. INTIDs 1020 to 1023 are never interrupts.
    pub spis: usize,
}

/// Why a virtual GIC cannot have the shape asked for; the field is what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VgicError {
    /// Not 1 to 64 vCPUs.
    Vcpus(usize),
    /// Not 1 to 8 vCPUs on a GICv2.
    VcpusOfGicv2(usize),
    /// Not a multiple of 32 from 32 to 992.
    Spis(usize),
}

impl fmt::Display for VgicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vcpus(n) => write!(f, "a GICv3 serves 1 to 64 vCPUs, not {n}"),
            Self::VcpusOfGicv2(n) => write!(f, "a GICv2 serves 1 to 8 vCPUs, not {n}"),
            Self::Spis(n) => write!(f, "a GIC has 32, 64, ... or 992 SPIs, not {n}"),
        }
    }
}

impl core::error::Error for VgicError {}

/// The virtual GIC of one VM.
///
/// All state is under one spin lock, held for bounded work with interrupts masked. Nothing is called with it held but
/// [`ListRegisters`]; so it comes last in the lock order, after any device's, and [`Kick`] may take what it likes.
pub struct Vgic<L> {
    state: SpinNoIrq<State>,
    doorbells: Box<[Doorbell]>,
    typer: u32,
    /// To whom ICC_SGI1R_EL1 can send, one bit per vCPU: to nobody on a GICv2.
    reach: u64,
    config: VgicConfig,
    architecture: Architecture,
    slots: u16,
    pub(crate) lrs: L,
    kick: Arc<dyn Kick>,
}

impl<L: ListRegisters + 'static> Vgic<L> {
    /// A virtual GICv3 at power-on.
    ///
    /// # Errors
    /// The shape is not one a GICv3 can have.
    pub fn new(config: VgicConfig, lrs: L, kick: Arc<dyn Kick>) -> Result<Arc<Self>, VgicError> {
        if !(1..=64).contains(&config.vcpus) {
            return Err(VgicError::Vcpus(config.vcpus));
        }
        Self::of(Architecture::V3, config, gicd::typer(config.spis), (lrs, kick))
    }

    /// A virtual GICv2 at power-on. Its guest's CPU interface is the hardware's GICV frame.
    ///
    /// # Errors
    /// The shape is not one a GICv2 can have.
    pub fn gicv2(config: VgicConfig, lrs: L, kick: Arc<dyn Kick>) -> Result<Arc<Self>, VgicError> {
        if !(1..=8).contains(&config.vcpus) {
            return Err(VgicError::VcpusOfGicv2(config.vcpus));
        }
        Self::of(Architecture::V2, config, gicv2::typer(config), (lrs, kick))
    }

    fn of(
        architecture: Architecture,
        config: VgicConfig,
        typer: u32,
        (lrs, kick): (L, Arc<dyn Kick>),
    ) -> Result<Arc<Self>, VgicError> {
        let VgicConfig { vcpus, spis } = config;
        if !(32..=992).contains(&spis) || !spis.is_multiple_of(32) {
            return Err(VgicError::Spis(spis));
        }
        let count = lrs.count().clamp(1, MAX_LIST_REGISTERS);
        let slots = (u16::MAX >> MAX_LIST_REGISTERS.saturating_sub(count)) & !1;
        Ok(Arc::new(Self {
            state: SpinNoIrq::new(State::new(vcpus, spis, slots, architecture)),
            doorbells: (0..vcpus).map(|vcpu| Doorbell::new(vcpu, architecture)).collect(),
            typer,
            reach: if architecture == Architecture::V3 { all_of(vcpus) } else { 0 },
            config,
            architecture,
            slots,
            lrs,
            kick,
        }))
    }

    /// The distributor, a window of [`DISTRIBUTOR_WINDOW`](crate::DISTRIBUTOR_WINDOW) bytes, or of
    /// [`GICV2_DISTRIBUTOR_WINDOW`](crate::GICV2_DISTRIBUTOR_WINDOW). Its reset is [`Self::reset`].
    pub fn distributor(self: &Arc<Self>) -> Arc<dyn Device> {
        match self.architecture {
            Architecture::V2 => Arc::new(Gicv2Distributor(self.clone())),
            Architecture::V3 => Arc::new(Distributor(self.clone())),
        }
    }

    /// The redistributors of a GICv3, [`REDISTRIBUTOR_STRIDE`](crate::REDISTRIBUTOR_STRIDE) bytes for each vCPU.
    pub fn redistributors(self: &Arc<Self>) -> Arc<dyn Device> {
        Arc::new(Redistributors(self.clone()))
    }

    /// The wire to SPI `intid`; a wire to nowhere when there is no such SPI.
    pub fn spi_line(self: &Arc<Self>, intid: u32) -> Arc<dyn InterruptLine> {
        Arc::new(SpiLine { vgic: self.clone(), intid })
    }
}

impl<L: ListRegisters> Vgic<L> {
    /// Back to power-on, with all inputs low; links to physical SPIs stay. Every vCPU must have been saved; each is
    /// loaded anew before it runs.
    pub fn reset(&self) {
        let VgicConfig { vcpus, spis } = self.config;
        let mut fresh = State::new(vcpus, spis, self.slots, self.architecture);
        let mut state = self.state.lock();
        for (fresh, old) in fresh.banks.iter_mut().zip(&state.banks) {
            fresh.physical = old.physical;
        }
        let old = core::mem::replace(&mut *state, fresh);
        // The old state is freed after the lock is given back.
        drop(state);
        drop(old);
        for doorbell in &self.doorbells {
            doorbell.reset();
        }
    }

    /// Drives the input of SPI `intid`. An SPI the guest configured as edge-triggered becomes pending when it rises.
    pub fn set_spi_level(&self, intid: u32, high: bool) {
        self.change(usize::MAX, |state, out| {
            if let Some((index, n)) = state.spi(intid) {
                state.set_line(index, n, high, out);
            }
        });
    }

    /// Makes SPI `intid` pending once, however it is configured: an edge, a message, or a physical interrupt it is
    /// linked to.
    pub fn pulse_spi(&self, intid: u32) {
        self.change(usize::MAX, |state, out| {
            if let Some((index, n)) = state.spi(intid) {
                state.pend(index, 1 << n, out);
            }
        });
    }

    /// Links SPI `intid` to a physical SPI, so that the guest's deactivation reaches the physical one, or unlinks it.
    /// To be called while the SPI is not pending, best before the VM runs.
    pub fn link_spi(&self, intid: u32, physical: Option<u16>) {
        self.change(usize::MAX, |state, _| {
            let Some((index, n)) = state.spi(intid) else {
                return;
            };
            let bank = state.banks.get_mut(index);
            if let Some(link) = bank.and_then(|bank| bank.physical.get_mut(n as usize)) {
                *link = physical.unwrap_or(0);
            }
        });
    }

    /// Drives the input of private interrupt `intid` (16 to 31, but not the virtual timer's) of `vcpu`.
    pub fn set_ppi_level(&self, vcpu: usize, intid: u32, high: bool) {
        if vcpu < self.vcpus() && (16..32).contains(&intid) && intid != TIMER_PPI {
            self.change(usize::MAX, |state, out| state.set_line(vcpu, intid, high, out));
        }
    }

    /// The most frequent write of ICC_SGI1R_EL1: an SGI that vCPU `from`, whose exit this is, sends itself, and that it has
    /// had before. False if the write means something else; nothing is done then.
    #[inline(always)]
    pub fn send_to_self(&self, from: usize, doorbell: &Doorbell, icc_sgi1r: u64) -> bool {
        doorbell.is_to_self(icc_sgi1r)
            && self.state.lock().pend_listed(from, low(icc_sgi1r >> 24), &self.lrs)
    }

    /// A write of ICC_SGI1R_EL1 by vCPU `from`, whose exit this is. Targets that do not exist are ignored.
    ///
    /// The SGI is left with each target. Whether and where it is pending is found out by who runs the target.
    #[inline(always)]
    pub fn send_sgi(&self, from: usize, icc_sgi1r: u64) {
        let Sgi { intid, targets } = Sgi::decode(icc_sgi1r, from, self.reach);
        for vcpu in ones(targets) {
            let vcpu = vcpu as usize;
            let Some(doorbell) = self.doorbells.get(vcpu) else { return };
            let sgi = 1 << intid;
            // If it was sent before and is not seen yet, whoever sent it kicks.
            if !doorbell.call(sgi) && vcpu != from {
                self.kick.kick(vcpu);
            }
        }
    }

    /// Makes state of the SGIs that were sent to `vcpu`. Unless the `initiator` is that, it is told: when the sender's
    /// kick came, they were perhaps no longer on its doorbell and not yet in the state.
    #[inline]
    fn collect(&self, vcpu: usize, initiator: usize) {
        let sgis = self.doorbells.get(vcpu).map_or(0, Doorbell::take_sgis);
        if sgis != 0 {
            self.pend_sgis(vcpu, sgis, initiator);
        }
    }

    #[cold]
    #[inline(never)]
    fn pend_sgis(&self, vcpu: usize, sgis: u32, initiator: usize) {
        self.change(initiator, |state, out| {
            ones(u64::from(sgis)).for_each(|n| state.pend_private(vcpu, n, out));
        });
    }

    /// What the exits of `vcpu` look at.
    pub fn doorbell(&self, vcpu: usize) -> Option<&Doorbell> {
        self.doorbells.get(vcpu)
    }

    /// Lists what is deliverable, before the loaded `vcpu` enters the guest; also all there is to do at a maintenance
    /// interrupt after [`Self::sync`]. With interrupts masked.
    pub fn flush(&self, vcpu: usize) {
        if let Some(doorbell) = self.doorbells.get(vcpu) {
            self.flush_rung(vcpu, doorbell);
        }
    }

    /// The same for who has the doorbell of `vcpu` at hand.
    #[inline(always)]
    pub fn flush_rung(&self, vcpu: usize, doorbell: &Doorbell) {
        let calls = doorbell.answer();
        let is_sgi = calls & ATTEND == 0 && calls.is_power_of_two();
        if is_sgi && self.state.lock().pend_listed(vcpu, calls.trailing_zeros(), &self.lrs) {
            return;
        }
        self.flush_calls(vcpu, calls & !ATTEND);
    }

    #[inline(never)]
    fn flush_calls(&self, vcpu: usize, sgis: u32) {
        if !self.state.lock().flush_simple(vcpu, sgis, &self.lrs) {
            self.flush_thorough(vcpu);
        }
    }

    #[inline(never)]
    fn flush_thorough(&self, vcpu: usize) {
        self.change(vcpu, |state, out| {
            state.flush(vcpu, &self.lrs, out);
            out.done(vcpu);
        });
    }

    /// Reads back what the guest did to the list registers of the loaded `vcpu`. At a maintenance interrupt: what it
    /// makes deliverable rings its [`Doorbell`].
    #[inline(never)]
    pub fn sync(&self, vcpu: usize) {
        self.change(vcpu, |state, out| state.sync(vcpu, &self.lrs, out));
    }

    /// Takes the interrupts of `vcpu` out of this CPU's list registers. It must be loaded here.
    pub fn save(&self, vcpu: usize) {
        self.change(vcpu, |state, out| state.save(vcpu, &self.lrs, out));
    }

    /// Makes this CPU's list registers those of `vcpu`, flushed, and moves the timer's physical interrupt with it.
    pub fn load(&self, vcpu: usize) {
        let sgis = self.doorbells.get(vcpu).map_or(0, Doorbell::answer) & !ATTEND;
        if sgis != 0 {
            self.pend_sgis(vcpu, sgis, vcpu);
        }
        self.change(vcpu, |state, out| {
            state.load(vcpu, &self.lrs, out);
            out.done(vcpu);
        });
    }

    /// Whether an enabled interrupt of `vcpu` is pending: a WFI would end. `vcpu` is loaded here or nowhere. The
    /// guest's priority mask (ICC_PMR_EL1) is ignored, so that it errs towards waking.
    pub fn has_deliverable(&self, vcpu: usize) -> bool {
        self.collect(vcpu, vcpu);
        self.change(vcpu, |state, out| {
            state.sync(vcpu, &self.lrs, out);
            let waiting = state.vcpus.get(vcpu).is_some_and(|vcpu| !vcpu.queue.is_empty());
            waiting || state.any_pending_listed(vcpu) || state.timer_pending(vcpu)
        })
    }

    pub(crate) fn vcpus(&self) -> usize {
        self.config.vcpus
    }

    pub(crate) fn typer(&self) -> u32 {
        self.typer
    }

    /// One bit per vCPU.
    pub(crate) fn all(&self) -> u64 {
        all_of(self.config.vcpus)
    }

    /// Reads state that the guest's CPU interface does not change.
    pub(crate) fn look<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.state.lock())
    }

    /// Reads a bit register, with the list registers of the `initiator` up to date.
    pub(crate) fn read_bits(&self, index: usize, register: BitRegister, initiator: usize) -> u32 {
        if !register.lives_in_list_registers() {
            return self.look(|state| state.read_bits(index, register));
        }
        // The private bank of each vCPU has its number; others have no SGIs.
        self.collect(index, initiator);
        self.change(initiator, |state, out| {
            state.sync(initiator, &self.lrs, out);
            state.read_bits(index, register)
        })
    }

    /// A write of a bit register. Mostly nothing follows from it; that way is kept short.
    #[inline(never)]
    pub(crate) fn write_bits(
        &self,
        index: usize,
        register: BitRegister,
        value: u32,
        initiator: usize,
    ) {
        if matches!(register, BitRegister::Icpendr | BitRegister::Icactiver) {
            self.release_linked(index, register, value, initiator);
        }
        let changed = self.state.lock().write_bits(index, register, value);
        if changed != 0 {
            self.follow(index, changed, initiator);
        }
    }

    /// A linked interrupt that the guest takes back or ends by a register is ended physically too: nothing else will.
    /// One that the guest still handles is left to it. Done once too often it comes again, as on a board.
    #[cold]
    #[inline(never)]
    fn release_linked(&self, index: usize, register: BitRegister, value: u32, initiator: usize) {
        self.collect(index, initiator);
        let (mask, physical) = self.change(initiator, |state, out| {
            state.sync(initiator, &self.lrs, out);
            let Some(bank) = state.banks.get(index) else {
                return (0, [0; 32]);
            };
            let waits = (bank.latch | bank.lr_pending) & !bank.active;
            let ends = match register {
                BitRegister::Icpendr => waits,
                BitRegister::Igroupr
                | BitRegister::Isenabler
                | BitRegister::Icenabler
                | BitRegister::Ispendr
                | BitRegister::Isactiver
                | BitRegister::Icactiver => bank.active,
            };
            (ends & value, bank.physical)
        });
        for n in ones(u64::from(mask)) {
            if let Some(&intid) = physical.get(n as usize).filter(|intid| **intid != 0) {
                self.lrs.release_physical_spi(u32::from(intid));
            }
        }
    }

    /// Between the write and this, others may see the one without the other: they then see to the rest themselves.
    #[inline(never)]
    fn follow(&self, index: usize, changed: u32, initiator: usize) {
        self.change(initiator, |state, out| state.follow(index, changed, out));
    }

    /// Changes the state, then tells the vCPUs it concerns. The `initiator` is told without a kick: it is here.
    #[inline]
    pub(crate) fn change<R>(
        &self,
        initiator: usize,
        change: impl FnOnce(&mut State, &mut Outbox) -> R,
    ) -> R {
        let mut out = Outbox::default();
        let mut state = self.state.lock();
        let result = change(&mut state, &mut out);
        if out.timer != 0 {
            self.publish_timers(&state, out.timer);
        }
        drop(state);
        if out.attend != 0 {
            self.announce(&out, initiator);
        }
        result
    }

    /// Under the lock, so that the last change is the one that stays.
    #[cold]
    #[inline(never)]
    fn publish_timers(&self, state: &State, vcpus: u64) {
        for vcpu in ones(vcpus) {
            if let Some(doorbell) = self.doorbells.get(vcpu as usize) {
                doorbell.set_timer_lr(state.timer_lr(vcpu as usize));
            }
        }
    }

    #[inline(never)]
    fn announce(&self, out: &Outbox, initiator: usize) {
        for vcpu in ones(out.attend) {
            if let Some(doorbell) = self.doorbells.get(vcpu as usize) {
                doorbell.ring();
            }
        }
        let others = out.kick & !vcpu_bit(initiator);
        ones(others).for_each(|vcpu| self.kick.kick(vcpu as usize));
    }
}

/// The input of one SPI.
struct SpiLine<L> {
    vgic: Arc<Vgic<L>>,
    intid: u32,
}

impl<L: ListRegisters> InterruptLine for SpiLine<L> {
    fn set_level(&self, high: bool) {
        self.vgic.set_spi_level(self.intid, high);
    }
}
