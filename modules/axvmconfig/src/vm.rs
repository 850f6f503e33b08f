//! One VM: `configs/vms/*.toml`.

use alloc::{format, string::String, vec::Vec};

use crate::{
    channel::{self, ChannelConfig},
    choice::{GicVersion, ImageLocation, InterruptMode, RestartPolicy, VmType},
    claims, cpus,
    device::{self, EmulatedDeviceConfig},
    error::ConfigError,
    fields::Fields,
    keys::{KEYS, MAX_CMDLINE, MAX_WEIGHT},
    node::Node,
    passthrough::{self, PassThroughDeviceConfig},
    region::{self, VmMemConfig},
    source::Source,
    taken::Taken,
};

/// The most vCPUs a VM may have: what a 64-bit CPU mask holds.
pub const MAX_VCPUS: usize = 64;
/// GICv2 has eight CPU interfaces.
const MAX_VCPUS_GICV2: usize = 8;

/// A VM as its TOML file describes it, checked and with every default filled in that the file decides.
///
/// Every key may stand at the top of the file or in its section (`[base]`, `[kernel]`, `[devices]`).
///
/// ```
/// let text = r#"
/// name = "linux"
/// cpus = 2
/// memory = "512M"
/// kernel = "Image"
/// ramdisk = "initramfs.cpio.gz"
/// cmdline = "console=ttyAMA0"
/// affinity = [0, 1]            # host CPUs
///
/// [[device]]
/// type = "virtio-blk"          # takes the first free slot
/// "#;
/// let vm = axvmconfig::AxVMCrateConfig::from_toml("linux.toml", text)?;
/// assert_eq!(vm.memory_total(), 512 << 20);
/// assert_eq!(vm.vcpu_affinities(), [(0, Some(0b11), 0), (1, Some(0b11), 1)]);
/// # Ok::<(), axvmconfig::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxVMCrateConfig {
    /// Who the VM is and how it is scheduled: `[base]`.
    pub base: BaseConfig,
    /// What it boots: `[kernel]`.
    pub kernel: KernelConfig,
    /// Its memory, in the order of the file; disjoint, at least one region.
    pub memory_regions: Vec<VmMemConfig>,
    /// Its devices: `[devices]`.
    pub devices: DevicesConfig,
}

/// Who a VM is and how it is scheduled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseConfig {
    /// Its number; without one the hypervisor chooses.
    pub id: Option<usize>,
    /// Its name: 1 to 32 letters, digits, `_` and `-`.
    pub name: String,
    /// What kind of guest it is.
    pub vm_type: VmType,
    /// How many vCPUs it has, 1 to [`MAX_VCPUS`]; `cpus` in short.
    pub cpu_num: usize,
    /// Each vCPU's number as the guest sees it (MPIDR affinity, APIC id, hart id); distinct, one per vCPU.
    pub phys_cpu_ids: Option<Vec<usize>>,
    /// Each vCPU's host CPUs as a mask, never zero, one per vCPU; `affinity` is the readable form.
    pub phys_cpu_sets: Option<Vec<usize>>,
    /// Its share of CPU time relative to other VMs, 1 to 10000; 100 by default.
    pub weight: u32,
    /// Whether its host CPUs, which the file names then, are its alone.
    pub exclusive: bool,
    /// What happens when it has ended by itself.
    pub restart: RestartPolicy,
}

/// What a VM boots. Paths are as written in the file, relative to it; addresses are guest-physical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelConfig {
    /// Where the first vCPU starts; without one the image says.
    pub entry_point: Option<usize>,
    /// The kernel image; `kernel` in short.
    pub kernel_path: String,
    /// Where the kernel goes; without one the image says.
    pub kernel_load_addr: Option<usize>,
    /// Firmware that runs before the kernel; `bios` in short.
    pub bios_path: Option<String>,
    /// Where the firmware goes.
    pub bios_load_addr: Option<usize>,
    /// A device tree instead of the generated one; `dtb` in short.
    pub dtb_path: Option<String>,
    /// Where the device tree goes; without one, at the start of memory.
    pub dtb_load_addr: Option<usize>,
    /// The initial ramdisk; `ramdisk` in short.
    pub ramdisk_path: Option<String>,
    /// Where the ramdisk goes; without one, behind the kernel.
    pub ramdisk_load_addr: Option<usize>,
    /// A disk image; `disk` in short.
    pub disk_path: Option<String>,
    /// Where the images are found.
    pub image_location: ImageLocation,
    /// What the kernel is told; `bootargs` as well. Empty by default, 2047 bytes at most.
    pub cmdline: String,
}

/// The devices of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicesConfig {
    /// What is emulated. The serial console and the power button are among them unless the file says
    /// `console = false` and `power_button = false`.
    pub emu_devices: Vec<EmulatedDeviceConfig>,
    /// What the guest gets of the host's devices.
    pub passthrough_devices: Vec<PassThroughDeviceConfig>,
    /// The memory it shares with other VMs.
    pub channels: Vec<ChannelConfig>,
    /// Who handles interrupts.
    pub interrupt_mode: InterruptMode,
    /// Which GIC the guest is shown; without one, that of the host.
    pub gic: Option<GicVersion>,
}

impl AxVMCrateConfig {
    /// The VM that `text` describes; `file_name` is for errors only.
    ///
    /// # Errors
    /// The first mistake in the file, with its place and what is allowed there.
    pub fn from_toml(file_name: &str, text: &str) -> Result<Self, ConfigError> {
        let source = Source::new(file_name, text);
        let tree = source.parse()?;
        let fields = Fields::of_file(&source, tree.get_ref(), KEYS)?;
        let base = read_base(&fields)?;
        let kernel = read_kernel(&fields)?;
        let mut claims = Vec::new();
        let memory_regions = region::read(&fields, &mut claims)?;
        for name in ADDRESSES {
            fields.read(name, |node| claims::check_in_memory(node, &claims))?;
        }
        let devices = read_devices(&fields, &base.name, &mut claims)?;
        check_gic(&fields, &base, devices.gic)?;
        claims.extend(claims::gic(
            devices.interrupt_mode,
            devices.gic,
            base.cpu_num,
            &devices.emu_devices,
        ));
        claims::check(&source, claims)?;
        Ok(Self { base, kernel, memory_regions, devices })
    }

    /// Every file the VM needs, as written: kernel, firmware, device tree, ramdisk, disk.
    pub fn image_paths(&self) -> impl Iterator<Item = &str> {
        let kernel = &self.kernel;
        let others = [&kernel.bios_path, &kernel.dtb_path, &kernel.ramdisk_path, &kernel.disk_path];
        core::iter::once(kernel.kernel_path.as_str())
            .chain(others.into_iter().filter_map(Option::as_deref))
    }

    /// The bytes of all memory regions together.
    #[must_use]
    pub fn memory_total(&self) -> usize {
        // Regions are disjoint and lie within 48 bits: the sum cannot saturate.
        self.memory_regions.iter().fold(0, |sum, region| sum.saturating_add(region.size))
    }

    /// For each vCPU: its number, the mask of host CPUs it may run on if the file says, and its number as the
    /// guest sees it (MPIDR affinity, APIC id, hart id), which is the vCPU's number unless the file says otherwise.
    #[must_use]
    pub fn vcpu_affinities(&self) -> Vec<(usize, Option<usize>, usize)> {
        let given = |list: &Option<Vec<usize>>, vcpu| list.as_ref()?.get(vcpu).copied();
        (0..self.base.cpu_num)
            .map(|vcpu| {
                let mask = given(&self.base.phys_cpu_sets, vcpu);
                let id = given(&self.base.phys_cpu_ids, vcpu).unwrap_or(vcpu);
                (vcpu, mask, id)
            })
            .collect()
    }
}

/// The addresses that have to lie in guest memory.
const ADDRESSES: &[&str] =
    &["entry_point", "kernel_load_addr", "bios_load_addr", "dtb_load_addr", "ramdisk_load_addr"];

fn read_base(fields: &Fields<'_>) -> Result<BaseConfig, ConfigError> {
    let cpu_num = fields.read("cpu_num", |node| node.integer_in(1..MAX_VCPUS + 1))?.unwrap_or(1);
    fields.exclude("affinity", "phys_cpu_sets")?;
    let sets = match fields.get("affinity") {
        Some(node) => Some(cpus::affinity(node, cpu_num)?),
        None => fields.read("phys_cpu_sets", |node| cpus::masks(node, cpu_num))?,
    };
    let exclusive = fields.read("exclusive", Node::boolean)?.unwrap_or(false);
    if exclusive && sets.is_none() {
        let node = fields.require("exclusive", "")?;
        return Err(
            node.error("exclusive without the CPUs", "write them beside it: affinity = [1]")
        );
    }
    let weight = fields.read("weight", |node| node.integer_in(1..MAX_WEIGHT + 1))?;
    Ok(BaseConfig {
        id: fields.read("id", Node::integer)?,
        name: fields.require("name", "name = \"linux\"")?.name()?,
        vm_type: fields.read("vm_type", Node::choice)?.unwrap_or_default(),
        cpu_num,
        phys_cpu_ids: fields.read("phys_cpu_ids", |node| cpus::distinct(node, cpu_num))?,
        phys_cpu_sets: sets,
        weight: weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(100),
        exclusive,
        restart: fields.read("restart", Node::choice)?.unwrap_or_default(),
    })
}

fn read_kernel(fields: &Fields<'_>) -> Result<KernelConfig, ConfigError> {
    let path = |name| fields.read(name, Node::path);
    let address = |name| fields.read(name, Node::integer);
    let cmdline = fields.read("cmdline", |node| node.string(0, MAX_CMDLINE))?;
    Ok(KernelConfig {
        entry_point: address("entry_point")?,
        kernel_path: fields.require("kernel_path", "kernel = \"Image\"")?.path()?,
        kernel_load_addr: address("kernel_load_addr")?,
        bios_path: path("bios_path")?,
        bios_load_addr: address("bios_load_addr")?,
        dtb_path: path("dtb_path")?,
        dtb_load_addr: address("dtb_load_addr")?,
        ramdisk_path: path("ramdisk_path")?,
        ramdisk_load_addr: address("ramdisk_load_addr")?,
        disk_path: path("disk_path")?,
        image_location: fields.read("image_location", Node::choice)?.unwrap_or_default(),
        cmdline: cmdline.unwrap_or_default().into(),
    })
}

fn read_devices(
    fields: &Fields<'_>,
    vm_name: &str,
    claims: &mut Vec<claims::Claim>,
) -> Result<DevicesConfig, ConfigError> {
    let interrupt_mode = fields.read("interrupt_mode", Node::choice)?.unwrap_or_default();
    let mut taken = Taken::new(interrupt_mode);
    let mut emu_devices = device::read(fields, claims, &mut taken)?;
    if interrupt_mode == InterruptMode::None {
        check_no_gic(fields, &emu_devices)?;
        // Those that the file asks for were refused: these are the board's.
        emu_devices.iter_mut().for_each(|device| device.irq_id = 0);
    }
    Ok(DevicesConfig {
        emu_devices,
        passthrough_devices: passthrough::read(fields, claims, &mut taken)?,
        channels: channel::read(fields, vm_name, claims, &mut taken)?,
        interrupt_mode,
        gic: fields.read("gic", Node::choice)?,
    })
}

fn check_no_gic(fields: &Fields<'_>, devices: &[EmulatedDeviceConfig]) -> Result<(), ConfigError> {
    let Some(gic) = devices.iter().find(|device| device.emu_type.is_interrupt_controller()) else {
        return Ok(());
    };
    let message = format!("interrupt_mode is none, but {} is an interrupt controller", gic.name);
    Err(fields.require("interrupt_mode", "")?.error(message, "allowed: \"emulated\""))
}

fn check_gic(
    fields: &Fields<'_>,
    base: &BaseConfig,
    gic: Option<GicVersion>,
) -> Result<(), ConfigError> {
    if gic != Some(GicVersion::V2) || base.cpu_num <= MAX_VCPUS_GICV2 {
        return Ok(());
    }
    let message = format!("a GICv2 has no room for {} vCPUs", base.cpu_num);
    let node = fields.require("gic", "")?;
    Err(node.error(message, "allowed: \"v3\", or 8 vCPUs at most"))
}
