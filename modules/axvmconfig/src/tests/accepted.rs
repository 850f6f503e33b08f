//! Files that are right, in the long form and in the short one.

use std::{string::String, vec, vec::Vec};

use super::{SMALLEST, vm, vm_with};
use crate::{
    BoardConfig, BundleIndex, EmulatedDeviceType, GicVersion, ImageLocation, InterruptMode,
    MapType, RegionFlags, RestartPolicy, VmMemConfig, VmType,
};

/// Every key, as the sections have them.
pub(super) const LONG: &str = r#"
[base]
id = 3
name = "guest-3"
vm_type = 1
cpu_num = 2
phys_cpu_ids = [0x0, 0x100]
phys_cpu_sets = [1, 2]
weight = 200
restart = "on-failure"

[kernel]
entry_point = 0x8020_0000
kernel_path = "guest.bin"
kernel_load_addr = 0x8020_0000
bios_path = "bios.bin"
bios_load_addr = 0x8000_0000
dtb_path = "guest.dtb"
dtb_load_addr = 0x8100_0000
ramdisk_path = "rootfs.cpio"
ramdisk_load_addr = 0x8200_0000
disk_path = "disk.img"
image_location = "fs"
cmdline = "root=/dev/vda"
memory_regions = [
  [0x8000_0000, 0x0400_0000, 0x7, 1],
  [0xa000_0000, 0x1000, 0x13, 2],
]

[devices]
emu_devices = [
  ["gicd", 0x0800_0000, 0x1_0000, 0, 0x21, []],
  ["gicr", 0x080a_0000, 0x4_0000, 0, 0x20, [2, 0x2_0000, 0]],
  ["serial", 0x0900_0000, 0x1000, 33, 0x2],
]
passthrough_devices = [
  ["rtc", 0x0901_0000, 0x0902_0000, 0x1000, 34],
]
interrupt_mode = "passthrough"
power_button = false
gic = "v3"
"#;

#[test]
fn the_sections_give_what_they_say() {
    let vm = vm(LONG);
    assert_eq!(vm.base.id, Some(3));
    assert_eq!(vm.base.name, "guest-3");
    assert_eq!(vm.base.vm_type, VmType::Rtos);
    assert_eq!(vm.base.weight, 200);
    assert_eq!(vm.base.restart, RestartPolicy::OnFailure);
    assert_eq!(vm.vcpu_affinities(), vec![(0, Some(1), 0), (1, Some(2), 0x100)]);
    assert_eq!(vm.kernel.entry_point, Some(0x8020_0000));
    assert_eq!(vm.kernel.image_location, ImageLocation::Fs);
    assert_eq!(
        vm.image_paths().collect::<Vec<_>>(),
        ["guest.bin", "bios.bin", "guest.dtb", "rootfs.cpio", "disk.img"]
    );
    assert_eq!(vm.memory_total(), 0x0400_1000);
    assert_eq!(
        vm.memory_regions[1],
        VmMemConfig {
            gpa: 0xa000_0000,
            size: 0x1000,
            flags: RegionFlags::READ | RegionFlags::WRITE | RegionFlags::DEVICE,
            map_type: MapType::Reserved,
        }
    );
    assert_eq!(vm.devices.interrupt_mode, InterruptMode::Passthrough);
    assert_eq!(vm.devices.gic, Some(GicVersion::V3));
    assert_eq!(vm.devices.emu_devices.len(), 3, "no second console is added");
    assert_eq!(vm.devices.emu_devices[1].emu_type, EmulatedDeviceType::GicRedistributor);
    assert_eq!(vm.devices.emu_devices[1].cfg_list, [2, 0x2_0000, 0]);
    assert_eq!(vm.devices.passthrough_devices[0].base_hpa, 0x0902_0000);
    assert_eq!(vm.devices.passthrough_devices[0].irq_id, 34);
}

#[test]
fn name_kernel_and_memory_are_enough() {
    let vm = vm(SMALLEST);
    assert_eq!(vm.base.id, None);
    assert_eq!(vm.base.cpu_num, 1);
    assert_eq!(vm.base.weight, 100);
    assert_eq!(vm.base.restart, RestartPolicy::Never);
    assert_eq!(vm.vcpu_affinities(), vec![(0, None, 0)]);
    assert_eq!(vm.kernel.kernel_path, "Image");
    assert_eq!(vm.kernel.kernel_load_addr, None);
    assert_eq!(vm.kernel.cmdline, "");
    assert_eq!(
        vm.memory_regions,
        [VmMemConfig {
            gpa: 0x4000_0000,
            size: 512 << 20,
            flags: RegionFlags::RWX,
            map_type: MapType::Alloc
        }]
    );
    assert_eq!(vm.devices.interrupt_mode, InterruptMode::Emulated);
    let console = &vm.devices.emu_devices[0];
    assert_eq!((console.base_gpa, console.length, console.irq_id), (0x0900_0000, 0x1000, 33));
    let button = &vm.devices.emu_devices[1];
    assert_eq!(button.emu_type, EmulatedDeviceType::PowerButton);
    assert_eq!((button.base_gpa, button.length, button.irq_id), (0x0903_0000, 0x1000, 39));
}

#[test]
fn short_names_stand_for_long_ones() {
    let short = "name = \"a\"\ncpus = 2\nmemory = 0x100000\nkernel = \"k\"\nramdisk = \"r\"\ndtb = \"d\"\nbootargs = \"x\"";
    let long = "[base]\nname = \"a\"\ncpu_num = 2\nmemory = \"1M\"\n[kernel]\nkernel_path = \"k\"\nramdisk_path = \"r\"\n\
                dtb_path = \"d\"\ncmdline = \"x\"";
    assert_eq!(vm(short), vm(long));
}

#[test]
fn sizes_take_units() {
    for (written, bytes) in [
        ("4096", 4096),
        ("\"4K\"", 4096),
        ("\"8192\"", 8192),
        ("\"1g\"", 1 << 30),
        ("\"2MiB\"", 2 << 20),
    ] {
        let text = std::format!("name = \"a\"\nkernel = \"k\"\nmemory = {written}");
        assert_eq!(vm(&text).memory_total(), bytes, "{written}");
    }
}

#[test]
fn a_vm_may_have_its_cpus_alone() {
    assert!(!vm_with("affinity = [1]").base.exclusive);
    assert!(vm_with("affinity = [1]\nexclusive = true").base.exclusive);
    assert!(vm_with("phys_cpu_sets = [2]\nexclusive = true").base.exclusive);
    assert!(!vm_with("exclusive = false").base.exclusive);
}

#[test]
fn affinity_is_a_list_for_all_or_one_for_each() {
    let all = vm_with("cpus = 2\naffinity = [0, 2]");
    assert_eq!(all.base.phys_cpu_sets, Some(vec![0b101, 0b101]));
    let each = vm_with("cpus = 2\naffinity = [[0], [1, 63]]");
    assert_eq!(each.base.phys_cpu_sets, Some(vec![1, 1 << 63 | 2]));
}

#[test]
fn regions_add_to_memory() {
    let vm = vm_with(
        "[[region]]\nbase = 0x8000_0000\nsize = \"64M\"\nflags = \"rw\"\ntype = \"identical\"\n\
         [[region]]\nbase = 0x9000_0000\nsize = \"4K\"",
    );
    assert_eq!(vm.memory_regions.len(), 3);
    assert_eq!(vm.memory_regions[1].map_type, MapType::Identical);
    assert_eq!(vm.memory_regions[1].flags, RegionFlags::READ | RegionFlags::WRITE);
    assert_eq!(vm.memory_regions[2].flags, RegionFlags::RWX);
    assert_eq!(vm.memory_total(), (576 << 20) + 4096);
}

#[test]
fn virtio_devices_find_their_own_slot() {
    let vm = vm_with(
        "[[device]]\ntype = \"virtio-blk\"\n[[device]]\ntype = \"virtio-net\"\n[[device]]\ntype = \"virtio-blk\"",
    );
    let places: Vec<_> = vm.devices.emu_devices[2..]
        .iter()
        .map(|device| (device.name.as_str(), device.base_gpa, device.irq_id))
        .collect();
    assert_eq!(
        places,
        [
            ("virtio-blk", 0x0a00_0000, 48),
            ("virtio-net", 0x0a00_0200, 49),
            ("virtio-blk-2", 0x0a00_0400, 50)
        ]
    );
}

#[test]
fn the_console_can_be_left_out_or_moved() {
    let kinds = |more| {
        let devices = vm_with(more).devices.emu_devices;
        devices.into_iter().map(|one| (one.emu_type, one.base_gpa)).collect::<Vec<_>>()
    };
    let button = (EmulatedDeviceType::PowerButton, 0x0903_0000);
    assert_eq!(kinds("console = false"), [button]);
    let moved = "[[device]]\ntype = \"console\"\nbase = 0x0910_0000";
    assert_eq!(kinds(moved), [button, (EmulatedDeviceType::Console, 0x0910_0000)]);
}

#[test]
fn the_power_button_can_be_left_out_or_moved() {
    let buttons = |more: &str| {
        let devices = vm_with(&std::format!("console = false\n{more}")).devices.emu_devices;
        devices.into_iter().map(|one| (one.base_gpa, one.irq_id)).collect::<Vec<_>>()
    };
    assert_eq!(buttons("power_button = false"), []);
    assert_eq!(buttons("power_button = true"), [(0x0903_0000, 39)]);
    let moved = "[[device]]\ntype = \"power-button\"\nbase = 0x0910_0000\nirq = 50";
    assert_eq!(buttons(moved), [(0x0910_0000, 50)]);
    // What it leaves is free.
    let clock = "power_button = false\n[[device]]\ntype = \"dummy\"\nbase = 0x0903_0000\nlength = 8\nirq = 39";
    assert_eq!(buttons(clock), [(0x0903_0000, 39)]);
}

#[test]
fn a_watchdog_is_there_when_it_is_listed() {
    let dogs = |more: &str| {
        let devices = vm_with(more).devices.emu_devices.into_iter();
        let dogs = devices.filter(|one| one.emu_type == EmulatedDeviceType::Watchdog);
        dogs.map(|one| (one.base_gpa, one.length, one.irq_id)).collect::<Vec<_>>()
    };
    assert_eq!(dogs(""), []);
    assert_eq!(dogs("[[device]]\ntype = \"watchdog\""), [(0x090c_0000, 0x2_0000, 42)]);
    let moved = "[[device]]\ntype = \"watchdog\"\nbase = 0x0c00_0000\nirq = 0";
    assert_eq!(dogs(moved), [(0x0c00_0000, 0x2_0000, 0)]);
}

#[test]
fn passed_through_devices_may_share_a_page() {
    let vm = vm_with(
        "[[passthrough]]\nbase = 0x1000_0010\nlength = 0x10\n[[passthrough]]\nbase = 0x1000_0020\nsize = 0x10\nirq = 40",
    );
    let devices = &vm.devices.passthrough_devices;
    assert_eq!(devices[1].base_hpa, 0x1000_0020);
    assert_eq!((devices[0].irq_id, devices[1].irq_id), (0, 40));
    assert_ne!(devices[0].name, devices[1].name);
}

#[test]
fn without_interrupts_the_gic_windows_are_free() {
    let vm = vm_with("interrupt_mode = \"no_irq\"\n[[region]]\nbase = 0x0800_0000\nsize = \"64K\"");
    assert_eq!(vm.devices.interrupt_mode, InterruptMode::None);
}

#[test]
fn without_interrupts_the_devices_of_the_board_have_none() {
    let vm = vm_with(
        "interrupt_mode = \"none\"\n[[device]]\ntype = \"console\"\n\
         [[device]]\ntype = \"console\"\nbase = 0x0910_0000\nirq = 0",
    );
    assert!(vm.devices.emu_devices.iter().all(|device| device.irq_id == 0));
    assert_eq!(vm_with("interrupt_mode = \"none\"").devices.emu_devices[0].irq_id, 0);
}

#[test]
fn a_board_fills_in_what_it_can() {
    let text = "name = \"b\"\narch = \"aarch64\"\ntarget = \"aarch64-unknown-none\"\n";
    let board = BoardConfig::from_toml("b.toml", text).unwrap();
    assert_eq!(board.platform, "dyn");
    assert_eq!(board.host_heap, 64 << 20);
    assert_eq!(board.qemu, None);
    let text = std::format!("{text}[qemu]\nmachine = \"virt\"\ncpu = \"max\"\nmemory = \"2G\"");
    let qemu = BoardConfig::from_toml("b.toml", &text).unwrap().qemu.unwrap();
    assert_eq!((qemu.smp, qemu.memory), (1, 2 << 30));
}

#[test]
fn a_bundle_index_leads_from_paths_to_entries() {
    let text = r#"
board = "qemu-aarch64"
[[vm]]
name = "linux-aarch64"
config = "vms/linux-aarch64.toml"
autostart = true
[vm.files]
"../../target/guests/aarch64/Image" = "blobs/0-Image"
[[vm]]
name = "hello"
config = "vms/hello.toml"
"#;
    let index = BundleIndex::from_toml(text).unwrap();
    assert_eq!(index.board, "qemu-aarch64");
    let linux = index.vm("linux-aarch64").unwrap();
    assert!(linux.autostart);
    assert_eq!(linux.config, "vms/linux-aarch64.toml");
    assert_eq!(linux.entry("../../target/guests/aarch64/Image"), Some("blobs/0-Image"));
    assert_eq!(linux.entry("Image"), None);
    assert!(!index.vm("hello").unwrap().autostart);
    assert!(index.vm("nobody").is_none());
}

#[test]
fn words_are_shown_as_they_are_written() {
    let shown: String = std::format!("{:>10}|{}", MapType::Identical, RestartPolicy::OnFailure);
    assert_eq!(shown, " identical|on-failure");
}

#[test]
fn a_device_of_the_host_may_be_named_by_its_path_in_the_device_tree() {
    let vm = vm_with(
        "[[passthrough]]\npath = \"/pl031@9010000\"\n[[passthrough]]\npath = \"/a\"\nbase = 0x1000\nunsafe = true",
    );
    let [rtc, other] = &vm.devices.passthrough_devices[..] else { panic!("two devices") };
    assert_eq!(rtc.path.as_deref(), Some("/pl031@9010000"));
    assert_eq!((rtc.base_gpa, rtc.base_hpa, rtc.length, rtc.irq_id), (0, 0, 0, 0));
    assert!(!rtc.allow_unsafe);
    assert!(other.allow_unsafe);
    assert_eq!(other.base_gpa, 0x1000);
}
