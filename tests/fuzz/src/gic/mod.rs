//! The virtual GIC, version 2 and 3: any registers, lines, SGIs and moves between CPUs, against list registers of plain data.
//!
//! The guests behave as guests can: they go on until they are kicked or exit, acknowledge what is best, and end it when
//! they like. What must be delivered is, what must not be is not, and whatever was done before, at the end every interrupt
//! can still be delivered.

mod guest;
mod machine;
mod owed;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use arm_vgic::{REDISTRIBUTOR_STRIDE, TIMER_PPI, Vgic, VgicConfig, affinity};
use axaddrspace::AccessWidth::{self, Byte, Dword, Qword};
use axdevice::{Access, Device};

use self::machine::{Cpu, Here, LINKED, Machine, STATE};
use crate::input::Input;

const SGI_BASE: usize = 0x1_0000;
const ISENABLER: usize = 0x100;
const ISPENDR: usize = 0x200;
const ICPENDR: usize = 0x280;
const ICACTIVER: usize = 0x380;
const IPRIORITYR: usize = 0x400;
const ITARGETSR: usize = 0x800;
const ICFGR: usize = 0xc00;
const SGIR: usize = 0xf00;
const IROUTER: usize = 0x6000;

/// A vCPU, and what the model knows of it.
#[derive(Clone, Default)]
struct Vcpu {
    /// The physical CPU it is loaded in.
    cpu: Option<usize>,
    /// Private interrupts that must be delivered, and that may be, one bit each.
    must: u32,
    may: u32,
    /// It had nothing to deliver when it was last asked, and has not been kicked since.
    quiet: bool,
}

struct Run {
    machine: Arc<Machine>,
    vgic: Arc<Vgic<Here>>,
    gicd: Arc<dyn Device>,
    gicr: Option<Arc<dyn Device>>,
    vcpus: Vec<Vcpu>,
    spis: usize,
    lines: BTreeSet<u32>,
    /// Edges that must be delivered, and interrupts that may be.
    must: BTreeSet<u32>,
    may: BTreeSet<u32>,
}

impl Run {
    fn new(gicv2: bool, input: &mut Input<'_>) -> Self {
        let vcpus = 1 + input.below(4);
        let count = if gicv2 { input.one_of(&[2, 4]) } else { input.one_of(&[2, 3, 4, 16]) };
        let spis = 32 * (1 + input.below(2));
        let machine = Arc::new(Machine {
            gicv2,
            count,
            current: AtomicUsize::new(0),
            // One CPU more than vCPUs, so that they can move.
            cpus: (0..=vcpus).map(|_| Cpu::default()).collect(),
            kicked: AtomicU64::new(0),
            active_spis: AtomicU64::new(0),
        });
        let config = VgicConfig { vcpus, spis };
        let make = if gicv2 { Vgic::gicv2 } else { Vgic::new };
        let vgic = make(config, Here(machine.clone()), machine.clone()).unwrap();
        if !gicv2 {
            LINKED.for_each(|intid| vgic.link_spi(intid, Some(intid as u16)));
        }
        let gicd = vgic.distributor();
        let gicr = (!gicv2).then(|| vgic.redistributors());
        let (lines, must, may) = Default::default();
        let mut run = Self {
            machine,
            vgic,
            gicd,
            gicr,
            vcpus: vec![Vcpu::default(); vcpus],
            spis,
            lines,
            must,
            may,
        };
        (0..vcpus).for_each(|vcpu| run.load(vcpu, vcpu));
        run.set_up(0);
        run
    }

    /// What a guest does first: everything is forwarded and enabled.
    fn set_up(&mut self, vcpu: usize) {
        self.write(vcpu, false, 0, Dword, 0b11);
        for at in 1..=self.spis / 32 {
            self.write(vcpu, false, ISENABLER + 4 * at, Dword, 0xffff_ffff);
        }
        for other in 0..self.vcpus.len() {
            self.private(vcpu, other, ISENABLER, 0xffff_ffff);
        }
        if self.machine.gicv2 {
            (32..32 + self.spis).for_each(|n| self.write(vcpu, false, ITARGETSR + n, Byte, 1));
        }
    }

    /// A write to a private register of `other`: by itself where those are banked.
    fn private(&mut self, vcpu: usize, other: usize, offset: usize, value: u64) {
        if !self.machine.gicv2 {
            let offset = other * REDISTRIBUTOR_STRIDE + SGI_BASE + offset;
            self.write(vcpu, true, offset, Dword, value);
        } else if self.vcpus[other].cpu.is_some() {
            self.write(other, false, offset, Dword, value);
        }
    }

    /// What follows happens on the CPU of `vcpu`, which is loaded.
    fn on(&self, vcpu: usize) {
        self.machine.current.store(self.vcpus[vcpu].cpu.expect("it is loaded"), Relaxed);
    }

    fn cpu(&self, vcpu: usize) -> &Cpu {
        &self.machine.cpus[self.vcpus[vcpu].cpu.expect("it is loaded")]
    }

    fn load(&mut self, vcpu: usize, cpu: usize) {
        self.vcpus[vcpu].cpu = Some(cpu);
        self.on(vcpu);
        self.vgic.load(vcpu);
        let cpu = self.cpu(vcpu);
        let timer = cpu.lrs[0].load(Relaxed);
        assert_eq!(cpu.timer_active.load(Relaxed), timer & STATE != 0, "the timer moves with it");
        let kicked = self.machine.kicked.fetch_and(!(1 << vcpu), Relaxed) >> vcpu & 1 == 1;
        self.vcpus[vcpu].quiet &= !kicked;
        self.check_lists();
    }

    fn save(&mut self, vcpu: usize) {
        self.on(vcpu);
        self.vgic.save(vcpu);
        let cpu = self.cpu(vcpu);
        assert!(
            cpu.lrs[1..].iter().all(|lr| lr.load(Relaxed) & STATE == 0),
            "something stays behind"
        );
        // What follows is the host's, whose timer is nobody's.
        cpu.lrs[0].store(0, Relaxed);
        cpu.timer_active.store(false, Relaxed);
        assert!(!cpu.no_pending.load(Relaxed));
        self.vcpus[vcpu].cpu = None;
    }

    /// One access by a loaded vCPU, and the model's side of it.
    fn write(&mut self, vcpu: usize, gicr: bool, offset: usize, width: AccessWidth, value: u64) {
        let value = value & width.mask();
        self.expect(vcpu, gicr, offset, width, value);
        self.on(vcpu);
        let device = if gicr { self.gicr.as_ref().unwrap() } else { &self.gicd };
        device.write(Access { offset, width, initiator: vcpu }, value);
        self.vcpus[vcpu].quiet = false;
        self.enter(vcpu);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let what = input.u8();
        let vcpu = input.below(self.vcpus.len());
        let loaded = self.vcpus[vcpu].cpu.is_some();
        let spi = 32 + input.below(self.spis) as u32;
        match what {
            // What the world does.
            0..20 => self.line(spi, input.bool()),
            20..40 => self.pulse(spi),
            40..50 => {
                let intid = [16, 20, 30, 31, 27, 5][input.below(6)];
                let high = input.bool();
                self.vcpus[vcpu].may |= if intid == 27 || intid < 16 { 0 } else { 1 << intid };
                self.vgic.set_ppi_level(vcpu, intid, high);
            }
            50..56 if !loaded => {
                let free = (0..self.machine.cpus.len())
                    .filter(|cpu| self.vcpus.iter().all(|vcpu| vcpu.cpu != Some(*cpu)));
                let free: Vec<_> = free.collect();
                self.load(vcpu, input.one_of(&free));
            }
            50..60 if loaded => self.save(vcpu),
            60..68 => drop(self.probe(vcpu)),
            68..70 => self.reset(),
            _ if !loaded => {}
            // What the guest does.
            70..80 => self.fire_timer(vcpu),
            80..110 => drop(self.acknowledge(vcpu)),
            110..130 => {
                if let Some(intid) = self.end(vcpu, input.below(16)) {
                    self.vcpus[vcpu].quiet = false;
                    assert!(intid < 32 + self.spis as u32);
                }
            }
            130..140 => self.enter(vcpu),
            140..165 => self.send(vcpu, input),
            165..180 => self.read(vcpu, input),
            _ => self.write_any(vcpu, input),
        }
    }

    /// A place among the registers, as often as not one that there is.
    fn place(&self, input: &mut Input<'_>) -> (bool, usize, AccessWidth) {
        let gicr = !self.machine.gicv2 && input.below(3) == 0;
        let blocks = [0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0x420, 0xc00, 0];
        let mut at = input.one_of(&blocks) + input.below(4) * 4;
        if !gicr && input.below(4) == 0 {
            let spi = 32 + input.below(self.spis);
            at = if self.machine.gicv2 { ITARGETSR + spi } else { IROUTER + 8 * spi };
        }
        let base =
            if gicr { input.below(self.vcpus.len()) * REDISTRIBUTOR_STRIDE + SGI_BASE } else { 0 };
        match input.u8() {
            0..180 => (gicr, base + at, if at >= IROUTER { Qword } else { Dword }),
            180..220 => (gicr, base + IPRIORITYR + input.below(96), Byte),
            _ => {
                let window = match (gicr, self.machine.gicv2) {
                    (true, _) => self.vcpus.len() * REDISTRIBUTOR_STRIDE,
                    (false, true) => 0x1000,
                    (false, false) => 0x1_0000,
                };
                let width = input.width();
                (gicr, input.u32() as usize % (window - width.bytes() + 1), width)
            }
        }
    }

    fn read(&mut self, vcpu: usize, input: &mut Input<'_>) {
        let (gicr, offset, width) = self.place(input);
        self.on(vcpu);
        let device = if gicr { self.gicr.as_ref().unwrap() } else { &self.gicd };
        let value = device.read(Access { offset, width, initiator: vcpu }) & width.mask();
        let word = offset & 0x7f;
        if !gicr && width == Dword && offset & !0x7f == ISPENDR && offset % 4 == 0 && word != 0 {
            // A level that is high is pending, whatever else.
            for intid in self.lines.iter().filter(|intid| **intid as usize / 32 * 4 == word) {
                assert!(
                    value >> (intid % 32) & 1 == 1 || self.is_edge(vcpu, *intid),
                    "INTID {intid} is high"
                );
            }
        }
        self.enter(vcpu);
    }

    fn is_edge(&self, vcpu: usize, intid: u32) -> bool {
        let offset = ICFGR + intid as usize / 16 * 4;
        let value = self.gicd.read(Access { offset, width: Dword, initiator: vcpu });
        value >> (intid % 16 * 2 + 1) & 1 == 1
    }

    fn write_any(&mut self, vcpu: usize, input: &mut Input<'_>) {
        let (gicr, offset, width) = self.place(input);
        let value = match input.u8() {
            n @ 0..128 => 1 << (n % 32),
            128..160 => 0xffff_ffff,
            160..170 => 0,
            _ => input.u64(),
        };
        self.write(vcpu, gicr, offset, width, value);
    }

    /// All vCPUs out, power-on, all in again.
    fn reset(&mut self) {
        for vcpu in 0..self.vcpus.len() {
            if self.vcpus[vcpu].cpu.is_some() {
                self.save(vcpu);
            }
        }
        self.vgic.reset();
        self.lines.clear();
        self.must.clear();
        self.machine.active_spis.store(0, Relaxed);
        self.vcpus.fill(Vcpu::default());
        self.may.clear();
        (0..self.vcpus.len()).for_each(|vcpu| self.load(vcpu, vcpu));
        self.set_up(0);
    }

    /// Whatever was done: once a guest sets everything up, all that is owed is delivered, and after that everything can be.
    fn finish(&mut self) {
        for vcpu in 0..self.vcpus.len() {
            if self.vcpus[vcpu].cpu.is_none() {
                let free = (0..self.machine.cpus.len())
                    .find(|cpu| self.vcpus.iter().all(|vcpu| vcpu.cpu != Some(*cpu)));
                self.load(vcpu, free.unwrap());
            }
        }
        for vcpu in 0..self.vcpus.len() {
            while self.end(vcpu, 0).is_some() {}
            self.enter(vcpu);
        }
        for at in 1..=self.spis / 32 {
            self.write(0, false, ICACTIVER + 4 * at, Dword, 0xffff_ffff);
        }
        if !self.machine.gicv2 {
            (32..32 + self.spis).for_each(|n| self.write(0, false, IROUTER + 8 * n, Qword, 0));
        }
        (0..self.vcpus.len()).for_each(|vcpu| self.private(0, vcpu, ICACTIVER, 0xffff_ffff));
        self.set_up(0);
        for vcpu in 0..self.vcpus.len() {
            self.enter(vcpu);
        }
        self.drain();
        assert!(self.must.is_empty(), "{:?} are lost", self.must);
        for (number, vcpu) in self.vcpus.iter().enumerate() {
            assert_eq!(vcpu.must, 0, "SGIs of {number} are lost");
        }
        assert!(
            self.lines.iter().all(|intid| self.is_edge(0, *intid)),
            "{:?} are lost",
            self.lines
        );
        let spis: Vec<u32> = (32..32 + self.spis as u32).collect();
        spis.iter().for_each(|spi| self.pulse(*spi));
        for vcpu in 0..self.vcpus.len() {
            (0..16).for_each(|sgi| self.send_one(vcpu, sgi));
            self.fire_timer(vcpu);
        }
        let taken = self.drain();
        assert!(self.must.is_empty(), "{:?} cannot be delivered", self.must);
        for (number, vcpu) in self.vcpus.iter().enumerate() {
            assert_eq!(vcpu.must, 0, "SGIs cannot be delivered to {number}");
            assert!(taken.contains(&(number, TIMER_PPI)), "no timer for {number}");
        }
    }

    fn send_one(&mut self, vcpu: usize, sgi: u64) {
        self.sent(1 << vcpu, sgi as u32);
        if self.machine.gicv2 {
            return self.write(0, false, SGIR, Dword, 1 << (16 + vcpu) | sgi);
        }
        self.on(0);
        self.vgic.send_sgi(0, 1 << affinity(vcpu) | sgi << 24);
        self.enter(0);
    }
}

fn run(gicv2: bool, data: &[u8]) {
    let mut input = Input::new(data);
    let mut run = Run::new(gicv2, &mut input);
    for _ in 0..2000 {
        if input.is_empty() {
            break;
        }
        run.step(&mut input);
    }
    run.finish();
}

/// A GICv3.
pub(crate) fn v3(data: &[u8]) {
    run(false, data);
}

/// A GICv2.
pub(crate) fn v2(data: &[u8]) {
    run(true, data);
}
