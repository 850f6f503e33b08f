//! Configurations and what becomes of them, without a host.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::expect_used
)]

use super::*;
use crate::{HostDevice, fdt};
use alloc::{format, string::ToString, vec, vec::Vec};

const RAM: usize = 0x4000_0000;

fn config(more: &str) -> AxVMCrateConfig {
    let text = format!("name = \"test\"\nkernel = \"k\"\n{more}");
    AxVMCrateConfig::from_toml("test.toml", &text).unwrap()
}

fn images(kernel: &'static [u8]) -> Images {
    Images { kernel, ramdisk: None, device_tree: None }
}

/// A flat kernel of 8 bytes, described with `more` lines.
fn flat(more: &str) -> Result<BoardMap, AxVMError> {
    describe(&config(more), &images(b"flat...."), &KnownHost::default()).inspect(|map| {
        assert!(fdt::check_given(&map.tree, 2 << 20).is_ok());
    })
}

/// The memory nodes of the device tree: lines with `reg`.
fn memory_of(map: &BoardMap) -> Vec<String> {
    let text = fdt::to_dts(&map.tree).unwrap();
    let nodes = text.split("\tmemory@").skip(1);
    nodes
        .map(|node| node.split("reg = ").nth(1).unwrap().split(';').next().unwrap().into())
        .collect()
}

#[test]
fn a_board_is_shown_in_the_order_of_its_addresses() {
    static RAMDISK: [u8; 0x5000] = [1; 0x5000];
    let images = Images { ramdisk: Some(&RAMDISK), ..images(b"flat....") };
    let map =
        describe(&config("memory = \"64M\"\ncpus = 2"), &images, &KnownHost::default()).unwrap();
    let shown = map.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "test: 2 vCPUs, starts at 0x40200000");
    assert_eq!(lines[1], "  0x08000000-0x0800ffff     64 KiB  device gicd");
    assert_eq!(lines[2], "  0x080a0000-0x080dffff    256 KiB  device gicr");
    assert_eq!(lines[3], "  0x09000000-0x09000fff      4 KiB  device console, interrupt 33");
    assert_eq!(lines[4], "  0x09030000-0x09030fff      4 KiB  device power-button, interrupt 39");
    assert_eq!(lines[5], "  0x40000000-0x43ffffff     64 MiB  memory rwx (alloc)");
    assert!(lines[6].starts_with("  0x40000000-") && lines[6].ends_with("    device tree"));
    assert_eq!(lines[7], "  0x40200000-0x40200007        8 B    kernel (flat binary)");
    assert_eq!(lines[8], "  0x41210000-0x41214fff     20 KiB    ramdisk");
    assert_eq!(lines.len(), 9);
    let tree = map.device_tree.unwrap();
    assert_eq!(tree.end.as_usize() - tree.start.as_usize(), map.tree.len());
}

#[test]
fn only_what_is_all_of_rwx_is_memory_in_the_device_tree() {
    let regions = "memory = \"64M\"\n\
        [[region]]\nbase = 0x8000_0000\nsize = \"32M\"\n\
        [[region]]\nbase = 0x9000_0000\nsize = \"1M\"\nflags = \"rx\"\n\
        [[region]]\nbase = 0xa000_0000\nsize = \"1M\"\nflags = \"r\"\n\
        [[region]]\nbase = 0xb000_0000\nsize = \"1M\"\nflags = \"rw\"\n\
        [[region]]\nbase = 0xc000_0000\nsize = \"1M\"\nflags = 0x13\ntype = \"reserved\"\n\
        [[region]]\nbase = 0xd000_0000\nsize = \"1M\"\nflags = 0x27\ntype = \"identical\"\n";
    let map = flat(regions).unwrap();
    assert_eq!(
        memory_of(&map),
        [
            "<0x0 0x40000000 0x0 0x4000000>",
            "<0x0 0x80000000 0x0 0x2000000>",
            "<0x0 0xd0000000 0x0 0x100000>"
        ]
    );
    let shown = map.to_string();
    for word in [
        "memory rx (alloc)",
        "memory r (alloc)",
        "memory rw (alloc)",
        "memory rw device (reserved)",
        "memory rwx uncached (identical)",
    ] {
        assert!(shown.contains(word), "{shown}");
    }
}

#[test]
fn a_kernel_goes_to_read_only_memory_when_it_is_told_to() {
    let rom = "memory = \"64M\"\n[[region]]\nbase = 0x9000_0000\nsize = \"1M\"\nflags = \"rx\"\n";
    assert_eq!(flat(rom).unwrap().entry.as_usize(), RAM + (2 << 20));
    let told = flat(&format!("kernel_load_addr = 0x9000_0000\n{rom}")).unwrap();
    assert_eq!(told.entry.as_usize(), 0x9000_0000);
    assert_eq!(told.device_tree.unwrap().start.as_usize(), RAM);
    for flags in ["r", "rw"] {
        let other = format!("kernel_load_addr = 0x9000_0000\n{}", rom.replace("rx", flags));
        let error = flat(&other).unwrap_err().to_string();
        assert!(error.contains("not all RAM"), "{error}");
    }
}

#[test]
fn a_vm_without_memory_to_run_in_is_refused() {
    let error = flat("[[region]]\nbase = 0x4000_0000\nsize = \"64M\"\nflags = \"rw\"").unwrap_err();
    assert_eq!(error.to_string(), "the VM has no usable RAM; check memory_regions");
}

#[test]
fn what_creating_the_vm_refuses_is_refused() {
    for (more, word) in [
        ("memory = \"1M\"", "does not fit"),
        ("memory = \"64M\"\n[[device]]\ntype = \"virtio-blk\"", "not supported yet"),
        (
            "memory = \"64M\"\n[[device]]\ntype = \"dummy\"\nname = \"a\"\nbase = 0x0b00_0000\nlength = 0x20\n\
             [[device]]\ntype = \"gicr\"\nname = \"b\"\nbase = 0x0aff_0000\nlength = 0x100",
            "overlap",
        ),
        (
            "memory = \"64M\"\n[[device]]\ntype = \"gicd\"\nbase = 0x3fff_f000\nlength = 0x1000",
            "covers the device",
        ),
    ] {
        let error = flat(more).unwrap_err().to_string();
        assert!(error.contains(word), "{more}: {error}");
    }
    let too_much = axvmconfig::Overrides { memory: Some(1 << 39), ..Default::default() };
    let config = config("memory = \"64M\"").with_overrides(&too_much).unwrap();
    let error =
        describe(&config, &images(b"flat...."), &KnownHost::default()).unwrap_err().to_string();
    assert!(error.contains("address space"), "{error}");
}

#[test]
fn a_gicv2_is_shown_where_the_configuration_wants_one() {
    let map = flat("memory = \"64M\"\ngic = \"v2\"").unwrap();
    let windows: Vec<_> =
        map.windows.iter().map(|window| (&window.name[..], window.size)).collect();
    assert_eq!(
        windows,
        [("gicd", 0x1000), ("gicc", 0x2000), ("console", 0x1000), ("power-button", 0x1000)]
    );
}

#[test]
fn a_given_device_tree_is_shown_as_it_is() {
    let tree: &'static [u8] = flat("memory = \"64M\"").unwrap().tree.leak();
    let images = Images { device_tree: Some(tree), ..images(b"flat....") };
    let map = describe(&config("memory = \"32M\""), &images, &KnownHost::default()).unwrap();
    assert_eq!(map.tree, tree);
    assert_eq!(memory_of(&map), ["<0x0 0x40000000 0x0 0x4000000>"]);
}

#[test]
fn a_compressed_kernel_is_told_apart() {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    // One stored block.
    file.extend([1, 4, 0, 0xfb, 0xff]);
    file.extend(b"flat");
    file.extend(0x554a_aa44_u32.to_le_bytes());
    file.extend(4_u32.to_le_bytes());
    let map =
        describe(&config("memory = \"64M\""), &images(file.leak()), &KnownHost::default()).unwrap();
    assert!(map.to_string().contains("kernel (flat binary, gzip)"), "{map}");
    assert_eq!(map.kernel.end.as_usize() - map.kernel.start.as_usize(), 4);
}

const CLOCK: &str =
    "memory = \"64M\"\n[[passthrough]]\npath = \"/rtc@9010000\"\nbase = 0x0b01_0000\n";

/// A host with a GICv2 and a clock that the VM asks for.
fn host(intid: u32) -> KnownHost {
    let clock = HostDevice {
        name: "clock".into(),
        node: "rtc".into(),
        compatible: vec!["arm,pl031".into()],
        clock_names: Vec::new(),
        base_gpa: 0x0b01_0000,
        base_hpa: 0x0901_0000,
        size: 0x1000,
        interrupts: vec![crate::HostInterrupt { intid, edge: false }],
    };
    KnownHost { gic: Some(GicVersion::V2), devices: vec![clock] }
}

#[test]
fn devices_of_the_host_are_shown_as_far_as_it_is_known() {
    let map = flat(CLOCK).unwrap();
    let last = "\n  0x0b010000 and up                 host device /rtc@9010000";
    assert!(map.to_string().ends_with(last), "{map}");
    let elsewhere = flat(&CLOCK.replace("base = 0x0b01_0000", "")).unwrap().to_string();
    assert!(elsewhere.contains("\n  where the host has it "), "{elsewhere}");
    let numbers =
        "memory = \"64M\"\n[[passthrough]]\nbase = 0x0b01_0000\nlength = 0x2000\nirq = 34";
    let line = "0x0b010000-0x0b011fff      8 KiB  host device passthrough, interrupt 34";
    assert!(flat(numbers).unwrap().to_string().contains(line));

    let map = describe(&config(CLOCK), &images(b"flat...."), &host(34)).unwrap();
    let line = "0x0b010000-0x0b010fff      4 KiB  host device clock, interrupt 34";
    assert!(map.to_string().contains(line), "{map}");
    let tree = fdt::to_dts(&map.tree).unwrap();
    assert!(tree.contains("rtc@b010000 {\n\t\tcompatible = \"arm,pl031\";"), "{tree}");
    assert!(map.to_string().contains("device gicc"), "the GIC is the host's");
}

#[test]
fn what_a_device_of_the_host_cannot_share_is_refused_beforehand() {
    let refused = |text: &str, host| match describe(&config(text), &images(b"flat...."), &host) {
        Err(error) => format!("{error}"),
        Ok(map) => panic!("{map}"),
    };
    assert!(refused(CLOCK, host(33)).contains("devices console and clock both have interrupt 33"));
    let region = format!("{CLOCK}[[region]]\nbase = 0x0b00_0000\nsize = \"128K\"\n");
    assert!(refused(&region, host(34)).contains("overlaps the region"));
    let dummy = format!("{CLOCK}[[device]]\ntype = \"dummy\"\nbase = 0x0b01_0800\nlength = 8\n");
    assert!(refused(&dummy, host(34)).contains("covers the device dummy"));
    assert!(
        refused(&format!("gic = \"v3\"\n{CLOCK}"), host(34))
            .contains("must be \"v2\" on this host")
    );
}

#[test]
fn a_vm_without_interrupts_has_no_interrupt_controller() {
    let map = flat("memory = \"64M\"\ninterrupt_mode = \"none\"").unwrap();
    assert!(map.windows.iter().all(|window| window.intid.is_none()), "{map}");
    assert!(!map.to_string().contains("gic"), "{map}");
    assert!(map.to_string().contains("4 KiB  device console\n"), "{map}");
    let tree = fdt::to_dts(&map.tree).unwrap();
    for word in ["interrupt", "arm,gic", "timer"] {
        assert!(!tree.contains(word), "{word}: {tree}");
    }
    assert!(tree.contains("psci {"), "{tree}");
}
