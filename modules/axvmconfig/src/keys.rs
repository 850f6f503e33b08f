//! The keys of a VM's file.

use crate::{
    channel,
    choice::{GicVersion, ImageLocation, InterruptMode, RestartPolicy, VmType},
    cpus, device,
    fields::{Key, key_of},
    kind::{Kind, NUMBER, PATH, Shape, words},
    passthrough, region,
    vm::MAX_VCPUS,
};

/// The biggest weight.
pub(crate) const MAX_WEIGHT: usize = 10_000;
/// Linux takes 2048 bytes on arm64, the closing zero among them.
pub(crate) const MAX_CMDLINE: usize = 2047;

const MASKS: Kind = Kind::List(&NUMBER);
const HOST_CPUS: Kind = Kind::List(&Kind::Integer { least: 0, most: cpus::HOST_CPUS - 1 });

/// Every key of a VM's file but for those of its records.
pub(crate) const KEYS: &[Key] = &[
    key_of("base", "id", &[], NUMBER, "Its number; without one the hypervisor chooses."),
    key_of("base", "name", &[], Kind::Name, "What the shell calls it."),
    key_of(
        "base",
        "vm_type",
        &[],
        Kind::Choice(words::<VmType>),
        "What kind of guest it is; it tells the reader and changes nothing.",
    )
    .or("\"linux\""),
    key_of(
        "base",
        "cpu_num",
        &["cpus"],
        Kind::Integer { least: 1, most: MAX_VCPUS },
        "How many vCPUs it has.",
    )
    .or("1"),
    key_of(
        "base",
        "phys_cpu_ids",
        &[],
        MASKS,
        "Each vCPU's number as the guest sees it; a different one for each vCPU.",
    ),
    key_of(
        "base",
        "phys_cpu_sets",
        &[],
        MASKS,
        "Each vCPU's host CPUs as a mask; affinity says the same as lists.",
    ),
    key_of(
        "base",
        "affinity",
        &[],
        Kind::Either(&[HOST_CPUS, Kind::List(&HOST_CPUS)]),
        "The host CPUs it may run on: one list for all vCPUs, or a list for each.",
    ),
    key_of(
        "base",
        "weight",
        &[],
        Kind::Integer { least: 1, most: MAX_WEIGHT },
        "Its share of CPU time relative to other VMs.",
    )
    .or("100"),
    key_of(
        "base",
        "exclusive",
        &[],
        Kind::Boolean,
        "Whether the host CPUs of its affinity are its alone, as long as it exists.",
    )
    .or("false"),
    key_of(
        "base",
        "restart",
        &[],
        Kind::Choice(words::<RestartPolicy>),
        "What happens when it has ended by itself.",
    )
    .or("\"never\""),
    key_of(
        "base",
        "memory",
        &[],
        Kind::Size,
        "Its RAM at 0x4000_0000; a multiple of 4 KiB. Regions add to it, or take its place.",
    ),
    key_of("kernel", "entry_point", &[], NUMBER, "Where it starts; without one the kernel says."),
    key_of(
        "kernel",
        "kernel_path",
        &["kernel"],
        PATH,
        "The kernel, relative to this file: an arm64 Linux Image, an aarch64 ELF file or a flat binary; plain, gzip or zstd.",
    ),
    key_of(
        "kernel",
        "kernel_load_addr",
        &[],
        NUMBER,
        "Where the kernel goes; without one, where it fits. In memory that is not writable only if it says so.",
    ),
    key_of("kernel", "bios_path", &["bios"], PATH, "Firmware that runs before the kernel."),
    key_of("kernel", "bios_load_addr", &[], NUMBER, "Where the firmware goes."),
    key_of(
        "kernel",
        "dtb_path",
        &["dtb"],
        PATH,
        "A device tree instead of the generated one, relative to this file; at most 2 MiB.",
    ),
    key_of(
        "kernel",
        "dtb_load_addr",
        &[],
        NUMBER,
        "Where the device tree goes; without one, at the start of memory.",
    ),
    key_of(
        "kernel",
        "ramdisk_path",
        &["ramdisk"],
        PATH,
        "The initial ramdisk, relative to this file.",
    ),
    key_of(
        "kernel",
        "ramdisk_load_addr",
        &[],
        NUMBER,
        "Where the ramdisk goes; without one, behind the kernel.",
    ),
    key_of("kernel", "disk_path", &["disk"], PATH, "A disk image, relative to this file."),
    key_of(
        "kernel",
        "image_location",
        &[],
        Kind::Choice(words::<ImageLocation>),
        "Where the images are when the VM is created.",
    )
    .or("\"memory\""),
    key_of(
        "kernel",
        "cmdline",
        &["bootargs"],
        Kind::Text { least: 0, most: MAX_CMDLINE },
        "What the kernel is told.",
    )
    .or("\"\""),
    key_of(
        "kernel",
        "memory_regions",
        &["region"],
        region::REGIONS,
        "Memory regions: tables, or rows of base, size, flags, type.",
    ),
    key_of(
        "devices",
        "emu_devices",
        &["device"],
        device::EMULATED,
        "What is emulated: tables, or rows of name, base, length, irq, type, [numbers].",
    ),
    key_of(
        "devices",
        "passthrough_devices",
        &["passthrough"],
        passthrough::PASSTHROUGH,
        "What the guest gets of the host's devices: tables, or rows of name, base, base_hpa, length, irq.",
    ),
    key_of(
        "devices",
        "channels",
        &["channel"],
        channel::CHANNELS,
        "Memory shared with other VMs, with doorbells: tables, or rows of name, size, peers, access.",
    ),
    key_of(
        "devices",
        "interrupt_mode",
        &[],
        Kind::Choice(words::<InterruptMode>),
        "Who handles its interrupts: nobody, or the hypervisor; devices passed through are linked in the hardware.",
    )
    .or("\"emulated\""),
    key_of(
        "devices",
        "console",
        &[],
        Kind::Boolean,
        "Whether it has a serial console (a PL011 at 0x0900_0000, INTID 33) without listing one.",
    )
    .or("true"),
    key_of(
        "devices",
        "power_button",
        &[],
        Kind::Boolean,
        "Whether it can be asked to power off (a PL061 at 0x0903_0000, INTID 39) without listing one.",
    )
    .or("true"),
    key_of(
        "devices",
        "gic",
        &[],
        Kind::Choice(words::<GicVersion>),
        "Which GIC it is shown; without one, that of the host.",
    ),
];
/// A VM's file.
pub(crate) const SHAPE: Shape =
    Shape { keys: KEYS, required: &[&["name"], &["kernel_path"], &["memory", "memory_regions"]] };
