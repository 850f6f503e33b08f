//! CPUs with list registers, and the guest code that acknowledges and ends interrupts on them.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use axaddrspace::AccessWidth;
use axdevice::{Access, Device};

use crate::{
    Kick, ListRegisters, Vgic, VgicConfig, from_gich,
    lr::{ACTIVE, EOI, HW, PENDING, STATE},
    to_gich,
};

/// One CPU; vCPU n runs on CPU n.
#[derive(Default)]
pub(super) struct Cpu {
    pub(super) lrs: [AtomicU64; 16],
    npie: AtomicBool,
    pub(super) timer_enabled: AtomicBool,
    pub(super) timer_active: AtomicBool,
}

pub(super) struct Machine {
    count: usize,
    /// List registers are those of a GICv2, with room for less.
    gicv2: bool,
    /// The CPU that executes.
    current: AtomicUsize,
    pub(super) cpus: Vec<Cpu>,
    pub(super) kicks: Vec<AtomicUsize>,
    /// How often list registers were read and written.
    touched: AtomicUsize,
}

impl Machine {
    fn here(&self) -> &Cpu {
        &self.cpus[self.current.load(Relaxed)]
    }
}

pub(super) struct Here(pub(super) Arc<Machine>);

impl ListRegisters for Here {
    fn count(&self) -> usize {
        self.0.count
    }

    fn read(&self, n: usize) -> u64 {
        assert!(n < self.0.count);
        self.0.touched.fetch_add(1, Relaxed);
        self.0.here().lrs[n].load(Relaxed)
    }

    fn write(&self, n: usize, value: u64) {
        assert!(n < self.0.count);
        self.0.touched.fetch_add(1, Relaxed);
        assert!(value & HW == 0 || value & STATE != STATE, "linked, active and pending");
        let kept = if self.0.gicv2 { from_gich(to_gich(value)) } else { value };
        assert_eq!(kept, value, "a list register does not hold all of it");
        self.0.here().lrs[n].store(kept, Relaxed);
    }

    fn set_maintenance(&self, no_pending: bool) {
        self.0.here().npie.store(no_pending, Relaxed);
    }

    fn enable_physical_ppi(&self, intid: u32, on: bool) {
        assert_eq!(intid, 27);
        self.0.here().timer_enabled.store(on, Relaxed);
    }

    fn set_physical_ppi_active(&self, intid: u32, active: bool) {
        assert_eq!(intid, 27);
        self.0.here().timer_active.store(active, Relaxed);
    }
}

impl Kick for Machine {
    fn kick(&self, vcpu: usize) {
        self.kicks[vcpu].fetch_add(1, Relaxed);
    }
}

/// A VM whose vCPUs all run, each on a CPU of its own.
pub(super) struct Bench {
    pub(super) machine: Arc<Machine>,
    pub(super) vgic: Arc<Vgic<Here>>,
    gicd: Arc<dyn Device>,
    gicr: Arc<dyn Device>,
}

pub(super) const CTLR: usize = 0;
pub(super) const ISENABLER: usize = 0x100;
pub(super) const ICENABLER: usize = 0x180;
pub(super) const ISPENDR: usize = 0x200;
pub(super) const ICPENDR: usize = 0x280;
pub(super) const ISACTIVER: usize = 0x300;
pub(super) const ICACTIVER: usize = 0x380;
pub(super) const IPRIORITYR: usize = 0x400;
pub(super) const ICFGR: usize = 0xc00;
pub(super) const IROUTER: usize = 0x6000;

impl Bench {
    /// Loaded vCPUs and closed groups, as at power-on.
    pub(super) fn cold(vcpus: usize, spis: usize, lrs: usize) -> Self {
        Self::of(false, vcpus, spis, lrs)
    }

    /// The same with a GICv2.
    pub(super) fn cold_gicv2(vcpus: usize, spis: usize, lrs: usize) -> Self {
        Self::of(true, vcpus, spis, lrs)
    }

    fn of(gicv2: bool, vcpus: usize, spis: usize, lrs: usize) -> Self {
        let machine = Arc::new(Machine {
            count: lrs,
            gicv2,
            current: AtomicUsize::new(0),
            cpus: (0..vcpus).map(|_| Cpu::default()).collect(),
            kicks: (0..vcpus).map(|_| AtomicUsize::new(0)).collect(),
            touched: AtomicUsize::new(0),
        });
        let config = VgicConfig { vcpus, spis };
        let make = if gicv2 { Vgic::gicv2 } else { Vgic::new };
        let vgic = make(config, Here(machine.clone()), machine.clone()).unwrap();
        let (gicd, gicr) = (vgic.distributor(), vgic.redistributors());
        let bench = Self { machine, vgic, gicd, gicr };
        (0..vcpus).for_each(|vcpu| bench.on(vcpu).load(vcpu));
        bench
    }

    /// The same with the distributor enabled, as a guest does it.
    pub(super) fn new(vcpus: usize, spis: usize, lrs: usize) -> Self {
        let bench = Self::cold(vcpus, spis, lrs);
        bench.gicd(0, CTLR, 0b11);
        bench
    }

    /// What follows happens on the CPU of `vcpu`.
    pub(super) fn on(&self, vcpu: usize) -> &Vgic<Here> {
        self.machine.current.store(vcpu, Relaxed);
        &self.vgic
    }

    pub(super) fn access(&self, gicr: bool, initiator: usize, offset: usize) -> u64 {
        self.read(gicr, initiator, offset, AccessWidth::Dword)
    }

    pub(super) fn read(&self, gicr: bool, from: usize, offset: usize, width: AccessWidth) -> u64 {
        self.on(from);
        let device = if gicr { &self.gicr } else { &self.gicd };
        device.read(Access { offset, width, initiator: from })
    }

    pub(super) fn write(
        &self,
        gicr: bool,
        from: usize,
        offset: usize,
        width: AccessWidth,
        value: u64,
    ) {
        self.on(from);
        let device = if gicr { &self.gicr } else { &self.gicd };
        device.write(Access { offset, width, initiator: from }, value & width.mask());
    }

    pub(super) fn gicd(&self, from: usize, offset: usize, value: u32) {
        self.write(false, from, offset, AccessWidth::Dword, u64::from(value));
    }

    /// A write to SGI_base of `vcpu`'s redistributor.
    pub(super) fn gicr(&self, from: usize, vcpu: usize, offset: usize, value: u32) {
        let offset = vcpu * 0x2_0000 + 0x1_0000 + offset;
        self.write(true, from, offset, AccessWidth::Dword, u64::from(value));
    }

    /// A write to one bit of an SPI register of the distributor.
    pub(super) fn spi_bit(&self, from: usize, register: usize, intid: u32) {
        self.gicd(from, register + intid as usize / 32 * 4, 1 << (intid % 32));
    }

    pub(super) fn spi_priority(&self, intid: u32, priority: u8) {
        let offset = IPRIORITYR + intid as usize;
        self.write(false, 0, offset, AccessWidth::Byte, u64::from(priority));
    }

    pub(super) fn route(&self, from: usize, intid: u32, affinity: u64) {
        self.write(false, from, IROUTER + 8 * intid as usize, AccessWidth::Qword, affinity);
    }

    pub(super) fn edge(&self, intid: u32) {
        let offset = ICFGR + intid as usize / 16 * 4;
        let before = self.access(false, 0, offset) as u32;
        self.gicd(0, offset, before | 2 << (2 * (intid % 16)));
    }

    fn lrs(&self, vcpu: usize) -> impl Iterator<Item = &AtomicU64> {
        self.machine.cpus[vcpu].lrs[..self.machine.count].iter()
    }

    fn maintenance(&self, vcpu: usize) -> bool {
        let ended = |lr: &AtomicU64| lr.load(Relaxed) & (HW | EOI | STATE) == EOI;
        let pending = |lr: &AtomicU64| lr.load(Relaxed) & STATE == PENDING;
        let npie = self.machine.cpus[vcpu].npie.load(Relaxed);
        self.lrs(vcpu).any(ended) || npie && !self.lrs(vcpu).any(pending)
    }

    /// Enters the guest; afterwards nothing asks for an exit, and no interrupt is listed twice.
    pub(super) fn enter(&self, vcpu: usize) {
        if self.maintenance(vcpu) {
            self.on(vcpu).sync(vcpu);
        }
        if self.vgic.doorbell(vcpu).unwrap().has_rung() {
            self.on(vcpu).flush(vcpu);
        }
        assert!(!self.vgic.doorbell(vcpu).unwrap().has_rung());
        assert!(!self.maintenance(vcpu), "a maintenance interrupt that never ends");
        let mut seen = Vec::new();
        for lr in self.machine.cpus.iter().flat_map(|cpu| &cpu.lrs[1..]) {
            let lr = lr.load(Relaxed);
            let intid = lr as u32;
            if lr & STATE != 0 && intid >= 32 {
                assert!(!seen.contains(&intid), "INTID {intid} is listed twice");
                seen.push(intid);
            }
        }
    }

    /// The guest on `vcpu` acknowledges: the best pending interrupt becomes active. Nested by the caller.
    pub(super) fn acknowledge(&self, vcpu: usize) -> Option<u32> {
        self.take(vcpu).map(|value| value as u32)
    }

    /// The same; gives what the list register held.
    pub(super) fn take(&self, vcpu: usize) -> Option<u64> {
        self.enter(vcpu);
        let pending = self.lrs(vcpu).filter(|lr| lr.load(Relaxed) & STATE == PENDING);
        let best = pending.min_by_key(|lr| lr.load(Relaxed) >> 48 & 0xff)?;
        let value = best.load(Relaxed);
        best.store(value & !PENDING | ACTIVE, Relaxed);
        Some(value)
    }

    /// The guest on `vcpu` deactivates `intid`.
    pub(super) fn end(&self, vcpu: usize, intid: u32) {
        let is =
            |lr: &&AtomicU64| lr.load(Relaxed) & ACTIVE != 0 && lr.load(Relaxed) as u32 == intid;
        let lr = self.lrs(vcpu).find(is).expect("active interrupts stay listed");
        lr.fetch_and(!ACTIVE, Relaxed);
        if lr.load(Relaxed) & HW != 0 && intid == 27 {
            self.machine.cpus[vcpu].timer_active.store(false, Relaxed);
        }
    }

    /// Takes and ends interrupts until none is left, and lists them.
    pub(super) fn drain(&self, vcpu: usize) -> Vec<u32> {
        let mut taken = Vec::new();
        while let Some(intid) = self.acknowledge(vcpu) {
            taken.push(intid);
            assert!(taken.len() < 10_000, "no end of interrupts");
            self.end(vcpu, intid);
        }
        taken
    }

    pub(super) fn kicks(&self, vcpu: usize) -> usize {
        self.machine.kicks[vcpu].swap(0, Relaxed)
    }

    pub(super) fn forget_kicks(&self) {
        self.machine.kicks.iter().for_each(|kicks| kicks.store(0, Relaxed));
    }

    /// How often list registers were read and written since the last time.
    pub(super) fn touched(&self) -> usize {
        self.machine.touched.swap(0, Relaxed)
    }
}

/// The same numbers in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 8) % bound
    }
}
