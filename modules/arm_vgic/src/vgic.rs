//! The virtual GIC of a VM: its lock, its doorbells, and what the rest of the hypervisor does with it.

use alloc::{boxed::Box, sync::Arc};
use core::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

use axdevice::{Device, InterruptLine};
use kspin::SpinNoIrq;

use crate::{
    Kick, ListRegisters,
    bits::{ones, vcpu_bit},
    gicd::{self, Distributor},
    gicr::Redistributors,
    gicv2::{self, Gicv2Distributor},
    outbox::Outbox,
    registers::BitRegister,
    sgi::{Sgi, all_of},
    state::{Architecture, MAX_LIST_REGISTERS, State},
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

/// What the exit path of one vCPU reads without the lock. On cache lines of its own, because other CPUs write it.
#[repr(align(128))]
struct Doorbell {
    attend: AtomicBool,
    timer_lr: AtomicU64,
}

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
        let slots = (u16::MAX >> (MAX_LIST_REGISTERS - count)) & !1;
        let doorbell = |_| Doorbell { attend: AtomicBool::new(true), timer_lr: AtomicU64::new(0) };
        Ok(Arc::new(Self {
            state: SpinNoIrq::new(State::new(vcpus, spis, slots, architecture)),
            doorbells: (0..vcpus).map(doorbell).collect(),
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
            doorbell.timer_lr.store(0, Ordering::Relaxed);
            doorbell.attend.store(true, Ordering::Release);
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

    /// A write of ICC_SGI1R_EL1 by vCPU `from`, whose exit this is. Targets that do not exist are ignored.
    #[inline]
    pub fn send_sgi(&self, from: usize, icc_sgi1r: u64) {
        let Sgi { intid, targets } = Sgi::decode(icc_sgi1r, from, self.reach);
        if targets == vcpu_bit(from) && self.state.lock().pend_here(from, intid, &self.lrs) {
            return;
        }
        self.send(intid, targets, from);
    }

    #[inline(never)]
    fn send(&self, sgi: u32, targets: u64, from: usize) {
        self.change(from, |state, out| {
            ones(targets).for_each(|target| state.pend_private(target as usize, sgi, out));
        });
    }

    /// Whether [`Self::flush`] has anything to do for `vcpu`. One load.
    ///
    /// Who publishes that `vcpu` is about to run, for [`Kick`] to see, does so first and puts a sequentially
    /// consistent fence between: either the kick finds it running or this finds the change.
    #[inline]
    pub fn needs_flush(&self, vcpu: usize) -> bool {
        self.doorbells.get(vcpu).is_some_and(|doorbell| doorbell.attend.load(Ordering::Acquire))
    }

    /// What [`Self::needs_flush`] looks at, for whoever looks at every exit.
    pub fn doorbell(&self, vcpu: usize) -> Option<&AtomicBool> {
        self.doorbells.get(vcpu).map(|doorbell| &doorbell.attend)
    }

    /// Lists what is deliverable, before the loaded `vcpu` enters the guest; also all there is to do at a maintenance
    /// interrupt after [`Self::sync`]. With interrupts masked.
    pub fn flush(&self, vcpu: usize) {
        self.attending(vcpu);
        if !self.state.lock().flush_simple(vcpu, &self.lrs) {
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
    /// makes deliverable sets [`Self::needs_flush`].
    #[inline(never)]
    pub fn sync(&self, vcpu: usize) {
        self.change(vcpu, |state, out| state.sync(vcpu, &self.lrs, out));
    }

    /// What to write to list register 0 when the physical timer interrupt of `vcpu` was acknowledged; 0 when it must
    /// not be delivered. One load.
    #[inline]
    pub fn timer_lr(&self, vcpu: usize) -> u64 {
        self.doorbells.get(vcpu).map_or(0, |doorbell| doorbell.timer_lr.load(Ordering::Relaxed))
    }

    /// Takes the interrupts of `vcpu` out of this CPU's list registers. It must be loaded here.
    pub fn save(&self, vcpu: usize) {
        self.change(vcpu, |state, out| state.save(vcpu, &self.lrs, out));
    }

    /// Makes this CPU's list registers those of `vcpu`, flushed, and moves the timer's physical interrupt with it.
    pub fn load(&self, vcpu: usize) {
        self.attending(vcpu);
        self.change(vcpu, |state, out| {
            state.load(vcpu, &self.lrs, out);
            out.done(vcpu);
        });
    }

    /// Whether an enabled interrupt of `vcpu` is pending: a WFI would end. `vcpu` is loaded here or nowhere. The
    /// guest's priority mask (ICC_PMR_EL1) is ignored, so that it errs towards waking.
    pub fn has_deliverable(&self, vcpu: usize) -> bool {
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
                doorbell.timer_lr.store(state.timer_lr(vcpu as usize), Ordering::Relaxed);
            }
        }
    }

    #[inline(never)]
    fn announce(&self, out: &Outbox, initiator: usize) {
        for vcpu in ones(out.attend) {
            if let Some(doorbell) = self.doorbells.get(vcpu as usize) {
                doorbell.attend.store(true, Ordering::Release);
            }
        }
        let others = out.kick & !vcpu_bit(initiator);
        if others != 0 {
            // Pairs with the fence described at `needs_flush`.
            fence(Ordering::SeqCst);
            ones(others).for_each(|vcpu| self.kick.kick(vcpu as usize));
        }
    }

    /// Before the lock is taken: a change made after this is announced anew.
    fn attending(&self, vcpu: usize) {
        if let Some(doorbell) = self.doorbells.get(vcpu) {
            doorbell.attend.store(false, Ordering::Relaxed);
        }
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
