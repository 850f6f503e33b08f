//! One virtual machine: what it is made of, and what can be asked of it.

mod life;
mod power;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use arm_vcpu::{Aarch64VCpu, Aarch64VCpuCreateConfig};
use axaddrspace::GuestPhysAddr;
use axdevice::{ByteSink, Clock};
use axvcpu::AxVCpu;
use axvmconfig::{AxVMCrateConfig, ChannelConfig};

use crate::boot::{self, Images};
use crate::channel::Channels;
use crate::lifecycle::State;
use crate::machine::Machine;
use crate::mpidr::mpidr_of;
use crate::psci::PowerState;
use crate::record::{Record, Recorded};
use crate::stats::{ExitCounts, ExitKind};
use crate::sync::{AtomicBool, AtomicU8, AtomicUsize, SpinNoIrq};
use crate::timer::PhysicalTimer;
use crate::vcpu::LoadedWith;
use crate::vmid::Vmid;
use crate::{AxVMError, AxVMHal, GuestCpu, HostDevice, VcpuPort};

/// A VM as everybody holds it.
pub type AxVMRef<H, A = Aarch64VCpu> = Arc<AxVM<H, A>>;

/// Whether this CPU can run guests.
pub fn has_hardware_support() -> bool {
    arm_vcpu::has_hardware_support()
}

/// Who starts a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// The operator.
    Operator,
    /// What follows a reset, unless the operator has decided otherwise meanwhile.
    AfterReset,
}

/// What becomes of a vCPU that has come back from the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It goes on.
    Stays,
    /// It is evicted, and goes on when the VM is resumed.
    Parks,
    /// It is evicted and switched off.
    Ends,
}

/// What a VM is given to reach the world.
#[derive(Clone)]
pub struct Ports {
    /// Where its console's output goes.
    pub console: Arc<dyn ByteSink>,
    /// How it reaches its vCPUs.
    pub vcpus: Arc<dyn VcpuPort>,
    /// What the VMs of this host share.
    pub channels: &'static Channels,
    /// The host's devices it is given, one for each the configuration asks for. They are its alone as
    /// long as it exists.
    pub devices: Vec<HostDevice>,
}

/// One channel as one of its members has it.
#[derive(Clone, Copy, Debug)]
pub struct ChannelView<'a> {
    /// What it is called, where the VM sees it, with whom it is shared.
    pub config: &'a ChannelConfig,
    /// How many of the peers exist.
    pub peers_present: usize,
}

/// One virtual machine.
///
/// Locks, in the order they are taken: `life`; then, inside the devices, a device's own; then the
/// virtual GIC's; then, inside `ports.vcpus`, the scheduler's. A channel's, which VMs share, comes before
/// any of a GIC. All are spin locks held with
/// interrupts masked. The machine is frozen: looking up memory and devices takes none.
pub struct AxVM<H: AxVMHal, A: GuestCpu = Aarch64VCpu> {
    id: usize,
    config: AxVMCrateConfig,
    images: Images,
    pub(crate) machine: Machine<H, A>,
    pub(crate) vcpus: Vec<Seat<A>>,
    pub(crate) ports: Ports,
    life: SpinNoIrq<State>,
    /// How many vCPUs are not off: the last one out ends the VM's run.
    vcpus_on: AtomicUsize,
    /// The physical counter value at which it was last paused.
    paused_at: AtomicU64,
    _vmid: Vmid,
}

/// One vCPU, and what the VM knows of it beside.
pub(crate) struct Seat<A: GuestCpu> {
    pub(crate) vcpu: Arc<AxVCpu<A>>,
    power: AtomicU8,
    /// Somebody wants the vCPU out of the guest.
    pub(crate) leave: AtomicBool,
    /// It is out of the guest and out of every CPU, and will go on.
    parked: AtomicBool,
    pub(crate) exits: ExitCounts,
    pub(crate) record: Record,
    pub(crate) timer: PhysicalTimer,
    /// The physical counter value at which the virtual timer ends the wait it halted for.
    pub(crate) wake_at: AtomicU64,
    /// The physical counter value at which it last came back from the guest.
    pub(crate) left_at: AtomicU64,
}

impl<H: AxVMHal, A: GuestCpu> AxVM<H, A> {
    /// A VM in state `Created`: its memory is taken and zeroed, its devices are there, nothing runs.
    ///
    /// # Errors
    /// What `config` asks for and the host does not have; everything taken so far is given back.
    pub fn new(
        id: usize,
        config: AxVMCrateConfig,
        images: Images,
        ports: Ports,
    ) -> Result<AxVMRef<H, A>, AxVMError> {
        if !A::has_hardware_support() {
            return Err(AxVMError::NoHardware);
        }
        boot::check(&config, &images)?;
        let vmid = Vmid::new::<A>()?;
        let machine = Machine::new(&config, &ports)?;
        let loaded_with = Arc::new(LoadedWith::<A>::new(machine.vgic.clone()));
        let vcpus = config
            .vcpu_affinities()
            .into_iter()
            .map(|(vcpu, mask, _)| Seat::new(id, vcpu, mask, &vmid, &loaded_with))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Self {
            id,
            config,
            images,
            machine,
            vcpus,
            ports,
            life: SpinNoIrq::new(State::Created),
            vcpus_on: AtomicUsize::new(0),
            paused_at: AtomicU64::new(0),
            _vmid: vmid,
        }))
    }

    /// Its number.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.base.name
    }

    /// What it was made from.
    pub fn config(&self) -> &AxVMCrateConfig {
        &self.config
    }

    /// How many vCPUs it has.
    pub fn vcpu_num(&self) -> usize {
        self.vcpus.len()
    }

    /// One of its vCPUs.
    pub fn vcpu(&self, vcpu_id: usize) -> Option<&Arc<AxVCpu<A>>> {
        self.vcpus.get(vcpu_id).map(|seat| &seat.vcpu)
    }

    /// Its vCPUs.
    pub fn vcpu_list(&self) -> impl Iterator<Item = &Arc<AxVCpu<A>>> {
        self.vcpus.iter().map(|seat| &seat.vcpu)
    }

    /// The root of its second stage of translation.
    pub fn ept_root(&self) -> axaddrspace::HostPhysAddr {
        self.machine.space.page_table_root()
    }

    /// Host memory it uses for translation tables, in bytes.
    pub fn table_bytes(&self) -> usize {
        self.machine.space.table_frames().saturating_mul(4096)
    }

    /// How often vCPU `vcpu` has left the guest since the VM was started, and for what.
    pub fn exits(&self, vcpu: usize) -> impl Iterator<Item = (ExitKind, u64)> {
        let seat = self.vcpus.get(vcpu);
        ExitKind::ALL
            .into_iter()
            .map(move |kind| (kind, seat.map_or(0, |seat| seat.exits.get(kind))))
    }

    /// Switches the recording of its exits on or off, for each vCPU from its next run on. What was recorded stays.
    pub fn record_exits(&self, on: bool) {
        self.vcpus.iter().for_each(|seat| seat.record.switch(on));
    }

    /// Whether its exits are recorded.
    pub fn records_exits(&self) -> bool {
        self.vcpus.iter().any(|seat| seat.record.is_on())
    }

    /// The last recorded exits of vCPU `vcpu`, the newest last.
    pub fn recorded(&self, vcpu: usize) -> Vec<Recorded> {
        self.vcpus.get(vcpu).map_or_else(Vec::new, |seat| seat.record.read())
    }

    /// The windows its devices answer at.
    pub fn devices(&self) -> impl Iterator<Item = axdevice::Window<'_>> {
        self.machine.bus.windows()
    }

    /// The memory it shares with other VMs, in the order of its configuration.
    pub fn channels(&self) -> impl Iterator<Item = ChannelView<'_>> {
        let channels = self.config.devices.channels.iter().zip(&self.machine.channels);
        channels.map(|(config, own)| ChannelView { config, peers_present: own.others() })
    }

    /// The state it is in at this moment.
    pub fn state(&self) -> State {
        self.life.lock().clone()
    }

    /// The same, if nobody is changing it.
    pub fn try_state(&self) -> Option<State> {
        self.life.try_lock().map(|life| life.clone())
    }

    /// Whether its vCPUs run.
    pub fn running(&self) -> bool {
        *self.life.lock() == State::Running
    }

    /// Does `act` unless it does not run, or stops or pauses before; `act` may take what comes behind `life`.
    pub(crate) fn while_running<R>(&self, act: impl FnOnce() -> R) -> Option<R> {
        let life = self.life.lock();
        (*life == State::Running).then(act)
    }

    /// Makes the interrupt of a host's device that it is given pending; the guest's end of it deactivates the
    /// physical one, which has to be active until then. False if it is none of its.
    pub fn host_interrupt(&self, intid: u32) -> bool {
        let linked = self.machine.linked.contains(&intid);
        if linked {
            self.machine.vgic.pulse_spi(intid);
        }
        linked
    }

    /// Types `bytes` at its console; gives how many were taken.
    pub fn console_input(&self, bytes: &[u8]) -> usize {
        self.machine.models.uarts.first().map_or(0, |uart| uart.receive(bytes))
    }

    /// Reads guest memory.
    ///
    /// # Errors
    /// Addresses outside of the guest's memory.
    pub fn read_guest(&self, gpa: GuestPhysAddr, out: &mut [u8]) -> Result<(), AxVMError> {
        Ok(self.machine.space.read(gpa, out)?)
    }

    /// Writes guest memory.
    ///
    /// # Errors
    /// Addresses outside of the guest's memory, or that it may not write.
    pub fn write_guest(&self, gpa: GuestPhysAddr, data: &[u8]) -> Result<(), AxVMError> {
        Ok(self.machine.space.write(gpa, data)?)
    }

    /// Makes interrupt `intid` of the VM pending once (an edge).
    pub fn inject_interrupt(&self, intid: u32) {
        self.machine.vgic.pulse_spi(intid);
    }

    /// The physical counter value at which vCPU `vcpu` last came back from the guest, without what the host did since.
    pub fn left_at(&self, vcpu: usize) -> u64 {
        self.vcpus.get(vcpu).map_or(0, |seat| seat.left_at.load(Ordering::Relaxed))
    }

    /// The guest's counter now.
    pub(crate) fn guest_counter(&self) -> u64 {
        self.machine.clock.now()
    }

    /// The physical counter value at which the guest's counter reads `guest_counter`; the end of time
    /// if it never will.
    pub(crate) fn physical_counter_at(&self, guest_counter: u64) -> u64 {
        guest_counter.saturating_add(self.machine.clock.offset())
    }
}

impl<A: GuestCpu> Seat<A> {
    fn new(
        vm_id: usize,
        vcpu: usize,
        mask: Option<usize>,
        vmid: &Vmid,
        loaded_with: &Arc<LoadedWith<A>>,
    ) -> Result<Self, AxVMError> {
        let config =
            Aarch64VCpuCreateConfig { mpidr_el1: mpidr_of(vcpu), dtb_addr: 0, vmid: vmid.get() };
        let favor = mask.map_or(0, |mask| mask.trailing_zeros() as usize);
        let vcpu = AxVCpu::new(vm_id, vcpu, favor, mask, config).map_err(AxVMError::Vcpu)?;
        Ok(Self {
            vcpu: Arc::new(vcpu.with_attachment(loaded_with.clone())),
            power: AtomicU8::new(PowerState::Off as u8),
            leave: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            exits: ExitCounts::default(),
            record: Record::default(),
            timer: PhysicalTimer::default(),
            wake_at: AtomicU64::new(0),
            left_at: AtomicU64::new(0),
        })
    }

    fn power(&self) -> PowerState {
        match self.power.load(Ordering::Acquire) {
            0 => PowerState::Off,
            1 => PowerState::OnPending,
            _ => PowerState::On,
        }
    }
}
