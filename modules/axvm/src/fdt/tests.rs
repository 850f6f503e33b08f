//! What is built is read back by another crate; what is given may be anything.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use alloc::{
    string::{String, ToString},
    vec,
    vec::Vec,
};
use axaddrspace::GuestPhysAddr;
use vm_fdt::FdtWriter;

fn gpa(address: usize) -> GuestPhysAddr {
    address.into()
}

const V3: Gic = Gic::V3 {
    gicd: GuestPhysAddr::from_usize(0x0800_0000),
    gicr: GuestPhysAddr::from_usize(0x080a_0000),
    gicr_size: 0x4_0000,
};
const V2: Gic = Gic::V2 {
    gicd: GuestPhysAddr::from_usize(0x0800_0000),
    gicc: GuestPhysAddr::from_usize(0x0801_0000),
};

fn board(gic: Gic) -> GuestBoard<'static> {
    const RAM: [(GuestPhysAddr, usize); 1] = [(GuestPhysAddr::from_usize(0x4000_0000), 512 << 20)];
    const UARTS: [(GuestPhysAddr, u32); 1] = [(GuestPhysAddr::from_usize(0x0900_0000), 33)];
    const VIRTIO: [(GuestPhysAddr, usize, u32); 2] = [
        (GuestPhysAddr::from_usize(0x0a00_0000), 0x200, 48),
        (GuestPhysAddr::from_usize(0x0a00_0200), 0x200, 49),
    ];
    GuestBoard {
        ram: &RAM,
        cpus: &[0, 1],
        gic,
        uarts: &UARTS,
        virtio_mmio: &VIRTIO,
        devices: &[],
        power_button: Some((GuestPhysAddr::from_usize(0x0903_0000), 39)),
        watchdog: Some((GuestPhysAddr::from_usize(0x090c_0000), 42)),
        channels: &[],
        bootargs: "console=ttyAMA0",
        initrd: Some(gpa(0x4400_0000)..gpa(0x4410_0000)),
    }
}

/// What another crate reads in the property `name` of the node called `node`.
fn read(blob: &[u8], node: &str, name: &str) -> Option<Vec<u8>> {
    let fdt = fdt_parser::base::Fdt::from_bytes(blob).unwrap();
    let node = fdt.all_nodes().map(|n| n.unwrap()).find(|n| n.name() == node)?;
    node.find_property(name).ok().map(|property| property.raw_value().to_vec())
}

/// A property of cells.
fn cells(blob: &[u8], node: &str, name: &str) -> Vec<u32> {
    let value = read(blob, node, name).unwrap_or_else(|| panic!("{node} has no {name}"));
    value.chunks(4).map(|cell| u32::from_be_bytes(cell.try_into().unwrap())).collect()
}

/// A property of text without the NULs at its end: the reader shows what pads it to a word as well.
fn text(blob: &[u8], node: &str, name: &str) -> String {
    let value = read(blob, node, name).unwrap_or_else(|| panic!("{node} has no {name}"));
    String::from_utf8(value).unwrap().trim_end_matches('\0').to_string()
}

#[test]
fn another_reader_finds_what_the_board_has() {
    let blob = build(&board(V3)).unwrap();
    assert_eq!(text(&blob, "/", "compatible"), "axle,virt\0linux,dummy-virt");
    assert_eq!(text(&blob, "chosen", "bootargs"), "console=ttyAMA0");
    assert_eq!(text(&blob, "chosen", "stdout-path"), "/pl011@9000000");
    assert_eq!(cells(&blob, "chosen", "linux,initrd-start"), [0, 0x4400_0000]);
    assert_eq!(cells(&blob, "chosen", "linux,initrd-end"), [0, 0x4410_0000]);
    assert_eq!(text(&blob, "aliases", "serial0"), "/pl011@9000000");
    assert_eq!(cells(&blob, "memory@40000000", "reg"), [0, 0x4000_0000, 0, 512 << 20]);
    assert_eq!(text(&blob, "psci", "compatible"), "arm,psci-1.0\0arm,psci-0.2");
    assert_eq!(text(&blob, "psci", "method"), "hvc");
    assert_eq!(cells(&blob, "pl011@9000000", "reg"), [0, 0x0900_0000, 0, 0x1000]);
    assert_eq!(cells(&blob, "pl011@9000000", "interrupts"), [0, 1, 4]);
    assert_eq!(
        cells(&blob, "pl011@9000000", "clocks"),
        cells(&blob, "apb-pclk", "phandle").repeat(2)
    );
    assert_eq!(cells(&blob, "virtio_mmio@a000200", "reg"), [0, 0x0a00_0200, 0, 0x200]);
    assert_eq!(cells(&blob, "virtio_mmio@a000200", "interrupts"), [0, 17, 4]);
}

#[test]
fn each_gic_has_its_own_frames_and_timer_flags() {
    let v3 = build(&board(V3)).unwrap();
    assert_eq!(text(&v3, "intc@8000000", "compatible"), "arm,gic-v3");
    assert_eq!(
        cells(&v3, "intc@8000000", "reg"),
        [0, 0x0800_0000, 0, 0x1_0000, 0, 0x080a_0000, 0, 0x4_0000]
    );
    assert_eq!(cells(&v3, "/", "interrupt-parent"), cells(&v3, "intc@8000000", "phandle"));
    assert_eq!(cells(&v3, "timer", "interrupts"), [1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]);
    let v2 = build(&board(V2)).unwrap();
    assert_eq!(text(&v2, "intc@8000000", "compatible"), "arm,cortex-a15-gic");
    assert_eq!(
        cells(&v2, "intc@8000000", "reg"),
        [0, 0x0800_0000, 0, 0x1000, 0, 0x0801_0000, 0, 0x2000]
    );
    assert_eq!(cells(&v2, "timer", "interrupts")[..3], [1, 13, 0x304]);
    let eight = build(&GuestBoard { cpus: &[0, 1, 2, 3, 4, 5, 6, 7, 8], ..board(V2) }).unwrap();
    assert_eq!(cells(&eight, "timer", "interrupts")[..3], [1, 13, 0xff04]);
}

#[test]
fn cpus_are_named_by_their_affinity() {
    let blob = build(&GuestBoard { cpus: &[0, 0x100], ..board(V3) }).unwrap();
    assert_eq!(cells(&blob, "cpus", "#address-cells"), [1]);
    assert_eq!(cells(&blob, "cpu@100", "reg"), [0x100]);
    assert_eq!(text(&blob, "cpu@100", "enable-method"), "psci");
    let blob = build(&GuestBoard { cpus: &[0, 0x1_0000_0000], ..board(V3) }).unwrap();
    assert_eq!(cells(&blob, "cpus", "#address-cells"), [2]);
    assert_eq!(cells(&blob, "cpu@100000000", "reg"), [1, 0]);
    assert_eq!(cells(&blob, "cpu@0", "reg"), [0, 0]);
}

#[test]
fn a_device_of_any_kind_has_a_node() {
    let rtc = Device {
        name: "rtc",
        compatible: &["arm,pl031", "arm,primecell"],
        base: gpa(0x0901_0000),
        size: 0x1000,
        intids: &[34, 35],
        clock_names: &["apb_pclk"],
    };
    let plain = Device {
        name: "dev",
        compatible: &[],
        base: gpa(0xc00_0000),
        size: 0x2000,
        intids: &[],
        clock_names: &[],
    };
    let blob = build(&GuestBoard { devices: &[rtc, plain], ..board(V3) }).unwrap();
    assert_eq!(text(&blob, "rtc@9010000", "compatible"), "arm,pl031\0arm,primecell");
    assert_eq!(cells(&blob, "rtc@9010000", "interrupts"), [0, 2, 4, 0, 3, 4]);
    assert_eq!(cells(&blob, "dev@c000000", "reg"), [0, 0x0c00_0000, 0, 0x2000]);
    assert_eq!(read(&blob, "dev@c000000", "interrupts"), None);
}

#[test]
fn the_power_key_is_found_as_on_the_virt_board() {
    let blob = build(&board(V3)).unwrap();
    assert_eq!(text(&blob, "pl061@9030000", "compatible"), "arm,pl061\0arm,primecell");
    assert_eq!(cells(&blob, "pl061@9030000", "reg"), [0, 0x0903_0000, 0, 0x1000]);
    assert_eq!(cells(&blob, "pl061@9030000", "interrupts"), [0, 7, 4]);
    assert_eq!(cells(&blob, "pl061@9030000", "#gpio-cells"), [2]);
    assert_eq!(cells(&blob, "pl061@9030000", "clocks"), cells(&blob, "apb-pclk", "phandle"));
    assert_eq!(text(&blob, "gpio-keys", "compatible"), "gpio-keys");
    let [controller] = cells(&blob, "pl061@9030000", "phandle")[..] else { panic!("one phandle") };
    assert_eq!(cells(&blob, "poweroff", "gpios"), [controller, 3, 0]);
    assert_eq!(cells(&blob, "poweroff", "linux,code"), [116]);
    let quiet = GuestBoard { power_button: Some((gpa(0x1000), 0)), uarts: &[], ..board(V3) };
    let blob = build(&quiet).unwrap();
    assert_eq!(read(&blob, "pl061@1000", "interrupts"), None);
    assert_eq!(cells(&blob, "pl061@1000", "clocks"), cells(&blob, "apb-pclk", "phandle"));
}

#[test]
fn the_watchdog_has_two_frames() {
    let blob = build(&board(V3)).unwrap();
    assert_eq!(text(&blob, "watchdog@90c0000", "compatible"), "arm,sbsa-gwdt");
    assert_eq!(
        cells(&blob, "watchdog@90c0000", "reg"),
        [0, 0x090c_0000, 0, 0x1_0000, 0, 0x090d_0000, 0, 0x1_0000]
    );
    assert_eq!(cells(&blob, "watchdog@90c0000", "interrupts"), [0, 10, 4]);
    let quiet = GuestBoard { watchdog: Some((gpa(0x1_0000), 0)), ..board(V3) };
    assert_eq!(read(&build(&quiet).unwrap(), "watchdog@10000", "interrupts"), None);
}

#[test]
fn what_is_not_there_has_no_node() {
    let bare = GuestBoard {
        uarts: &[],
        virtio_mmio: &[],
        power_button: None,
        watchdog: None,
        bootargs: "",
        initrd: None,
        ..board(V3)
    };
    let blob = build(&bare).unwrap();
    for (node, name) in [
        ("chosen", "bootargs"),
        ("chosen", "stdout-path"),
        ("chosen", "linux,initrd-start"),
        ("aliases", "serial0"),
        ("apb-pclk", "phandle"),
        ("pl061@9030000", "reg"),
        ("gpio-keys", "compatible"),
        ("watchdog@90c0000", "reg"),
    ] {
        assert_eq!(read(&blob, node, name), None, "{node} {name}");
    }
}

#[test]
fn what_a_tree_cannot_hold_is_an_error() {
    let bad = |name| Device {
        name,
        compatible: &[],
        base: gpa(0),
        size: 1,
        intids: &[],
        clock_names: &[],
    };
    for name in
        ["", "1st", "a b", "a@b", "a/b", "nul\0", "a-name-with-more-than-thirty-one-letters"]
    {
        let board = GuestBoard { devices: &[bad(name)], ..board(V3) };
        assert!(matches!(build(&board), Err(FdtError::BadName(_))), "{name:?}");
    }
    for intid in [1, 31, 1020, u32::MAX] {
        let board = GuestBoard { uarts: &[(gpa(0), intid)], ..board(V3) };
        assert_eq!(build(&board), Err(FdtError::BadInterrupt(intid)));
    }
    assert_eq!(build(&GuestBoard { bootargs: "a\0b", ..board(V3) }), Err(FdtError::BadCommandLine));
    assert_eq!(build(&GuestBoard { cpus: &[], ..board(V3) }), Err(FdtError::NoMachine));
    assert_eq!(build(&GuestBoard { ram: &[], ..board(V3) }), Err(FdtError::NoMachine));
    let endless = "x".repeat(2 << 20);
    let error = build(&GuestBoard { bootargs: &endless, ..board(V3) }).unwrap_err();
    assert!(matches!(error, FdtError::TooBig { .. }));
}

const LIMIT: usize = 2 << 20;

#[test]
fn a_tree_of_our_own_is_accepted_without_what_follows_it() {
    let mut blob = build(&board(V3)).unwrap();
    let size = blob.len();
    blob.extend([0xff; 100]);
    assert_eq!(check_given(&blob, LIMIT).unwrap().len(), size);
    assert_eq!(check_given(&blob, size - 1), Err(FdtError::TooBig { size, limit: size - 1 }));
}

#[test]
fn a_tree_cut_off_anywhere_is_refused() {
    let blob = build(&board(V2)).unwrap();
    for length in 0..blob.len() {
        assert!(check_given(&blob[..length], LIMIT).is_err(), "{length} bytes");
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let good = build(&board(V3)).unwrap();
    for field in [0, 4, 8, 12, 16, 20, 24, 32, 36] {
        for value in [0, 1, 0x7fff_ffff, u32::MAX] {
            // Reservations may be read from anywhere that has an end.
            if (field, value) == (16, 0) {
                continue;
            }
            let mut bad = good.clone();
            bad[field..field + 4].copy_from_slice(&u32::to_be_bytes(value));
            // A newer version that says it is compatible with 17 is fine.
            let newer = field == 20 && value > 17;
            assert_eq!(check_given(&bad, usize::MAX).is_ok(), newer, "{field} {value:#x}");
        }
    }
}

#[test]
fn no_single_wrong_byte_makes_anything_panic() {
    let good = build(&board(V3)).unwrap();
    for at in 0..good.len() {
        for value in [0, 1, 2, 3, 4, 9, 0x7f, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            if let Err(error) = check_given(&bad, LIMIT) {
                assert!(error.to_string().starts_with("the device tree"), "{error}");
            }
        }
    }
}

/// A blob with the given structure and strings.
fn raw(structure: &[u32], strings: &[u8]) -> Vec<u8> {
    let size = |bytes: usize| u32::try_from(bytes).unwrap();
    let (start, length) = (56, size(structure.len() * 4));
    let total = start + length + size(strings.len());
    let header =
        [0xd00d_feed, total, start, start + length, 40, 17, 16, 0, size(strings.len()), length];
    let words = header.into_iter().chain([0; 4]).chain(structure.iter().copied());
    words.flat_map(u32::to_be_bytes).chain(strings.iter().copied()).collect()
}

fn refusal(structure: &[u32], strings: &[u8]) -> String {
    check_given(&raw(structure, strings), LIMIT).unwrap_err().to_string()
}

#[test]
fn ten_thousand_levels_are_refused_with_the_spot() {
    let mut structure = vec![1, 0];
    structure.extend([1, u32::from_be_bytes(*b"deep"), 0].repeat(10_000));
    let message = refusal(&structure, b"");
    assert!(message.contains("nested deeper") && message.contains("/deep/deep"), "{message}");
    assert!(message.len() < 300);
    let open = [1, 0].repeat(64);
    let close = [2].repeat(64);
    assert!(check_given(&raw(&[open, close, vec![9]].concat(), b""), LIMIT).is_ok());
}

#[test]
fn huge_cells_are_refused_with_the_spot() {
    let bus = u32::from_be_bytes(*b"bus\0");
    for (cells, fine) in [(0, true), (4, true), (5, false), (u32::MAX, false)] {
        let structure = [1, 0, 1, bus, 3, 4, 0, cells, 2, 2, 9];
        let blob = raw(&structure, b"#size-cells\0");
        assert_eq!(check_given(&blob, LIMIT).is_ok(), fine, "{cells}");
    }
    let message = refusal(&[1, 0, 1, bus, 3, 4, 0, 5, 2, 2, 9], b"#address-cells\0");
    assert_eq!(
        message,
        "the device tree is broken at byte 0x48, in /bus: #address-cells or #size-cells is not a number up to 4"
    );
    assert!(refusal(&[1, 0, 3, 8, 0, 0, 1, 2, 9], b"#size-cells\0").contains("number up to 4"));
}

#[test]
fn tokens_out_of_place_are_refused() {
    for (structure, word) in [
        (&[9][..], "exactly one root"),
        (&[1, 0, 2, 1, 0, 2, 9], "exactly one root"),
        (&[2, 9], "did not begin"),
        (&[1, 0, 9], "ends within a node"),
        (&[1, 0, 2], "without an end"),
        (&[3, 0, 0, 9], "in no node"),
        (&[1, 0, 5, 2, 9], "no such token"),
        (&[1, 0, 3, u32::MAX, 0, 2, 9], "longer than the tree"),
        (&[1, 0, 3, 0, 1000, 2, 9], "outside of the strings"),
        (&[1, 0, 3, 0, u32::MAX, 2, 9], "outside of the strings"),
        (&[1, 0x6161_6161], "name is too long"),
    ] {
        let message = refusal(structure, b"a\0");
        assert!(message.contains(word), "{message}");
    }
    assert!(check_given(&raw(&[4, 1, 0, 4, 3, 1, 0, 0, 2, 4, 9], b"a\0"), LIMIT).is_ok());
}

#[test]
fn one_long_name_shared_by_all_properties_takes_no_time() {
    let properties = [3, 0, 0].repeat(80_000);
    let structure = [vec![1, 0], properties, vec![2, 9]].concat();
    let mut strings = vec![b'a'; 1 << 20];
    strings.push(0);
    assert!(check_given(&raw(&structure, &strings), LIMIT).is_err());
}

#[test]
fn trees_of_other_writers_are_accepted() {
    let mut other =
        FdtWriter::new_with_mem_reserv(&[
            vm_fdt::FdtReserveEntry::new(0x4000_0000, 0x1000).unwrap()
        ])
        .unwrap();
    let root = other.begin_node("").unwrap();
    other.property_u32("#address-cells", 2).unwrap();
    other.property_string("odd", "123").unwrap();
    other.end_node(root).unwrap();
    assert!(check_given(&other.finish().unwrap(), LIMIT).is_ok());
}

#[test]
fn a_tree_is_shown_as_source() {
    let blob = raw(
        &[
            vec![1, 0, 3, 4, 0, 1, 3, 0, 2],
            vec![3, 8, 4, u32::from_be_bytes(*b"a\"b\0"), u32::from_be_bytes(*b"c d\0")],
            vec![1, u32::from_be_bytes(*b"n@1\0"), 4, 3, 3, 0, 0x0102_0300, 2, 2, 9],
        ]
        .concat(),
        b"x\0y\0z\0",
    );
    let expected = "/dts-v1/;\n/ {\n\tx = <0x1>;\n\ty;\n\tz = \"a\\\"b\", \"c d\";\n\
                    \tn@1 {\n\t\tx = [01 02 03];\n\t};\n};\n";
    assert_eq!(to_dts(&blob).unwrap(), expected);
}

#[test]
fn the_source_of_a_board_names_what_it_has() {
    let text = to_dts(&build(&board(V3)).unwrap()).unwrap();
    for line in [
        "\tcompatible = \"axle,virt\", \"linux,dummy-virt\";\n",
        "\tmemory@40000000 {\n\t\tdevice_type = \"memory\";\n\t\treg = <0x0 0x40000000 0x0 0x20000000>;\n\t};\n",
        "\t\tbootargs = \"console=ttyAMA0\";\n",
        "\t\talways-on;\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert_eq!(text.matches('{').count(), text.matches("};").count());
}

#[test]
fn reservations_are_shown() {
    let entry = vm_fdt::FdtReserveEntry::new(0x4000_0000, 0x1000).unwrap();
    let mut other = FdtWriter::new_with_mem_reserv(&[entry]).unwrap();
    let root = other.begin_node("").unwrap();
    other.end_node(root).unwrap();
    let text = to_dts(&other.finish().unwrap()).unwrap();
    assert_eq!(text, "/dts-v1/;\n/memreserve/ 0x40000000 0x1000;\n/ {\n};\n");
}

#[test]
fn the_source_is_bounded_and_clean_whatever_the_tree() {
    let good = build(&board(V3)).unwrap();
    for at in 0..good.len() {
        for value in [0, 1, 3, 4, 0x1b, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            if let Ok(text) = to_dts(&bad) {
                assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            }
        }
    }
    let properties = [3, 0, 0].repeat(80_000);
    let structure = [vec![1, 0], properties, vec![2, 9]].concat();
    let name = [vec![b'a'; 200], vec![0]].concat();
    let text = to_dts(&raw(&structure, &name)).unwrap();
    assert!(text.len() < 600 << 10 && text.ends_with("left out\n"), "{}", text.len());
}

#[test]
fn a_serial_port_may_be_without_interrupt() {
    let blob = build(&GuestBoard { uarts: &[(gpa(0x0900_0000), 0)], ..board(V3) }).unwrap();
    assert_eq!(read(&blob, "pl011@9000000", "interrupts"), None);
    assert_eq!(cells(&blob, "pl011@9000000", "reg"), [0, 0x0900_0000, 0, 0x1000]);
}
