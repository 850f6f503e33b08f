//! Files that are wrong: where the error points and what it says.

use std::string::ToString;

use super::{SMALLEST, refusal};
use crate::{BoardConfig, BundleIndex};

/// The refusal of the smallest file with `text` behind it; lines of `text` count from 4.
fn refusal_with(text: &str) -> crate::ConfigError {
    refusal(&std::format!("{SMALLEST}{text}"))
}

/// Checks place, message and hint of each refusal.
#[track_caller]
fn refused(cases: &[(&str, (usize, usize), &str, &str)]) {
    for (text, place, message, hint) in cases {
        let error = refusal_with(text);
        let shown = error.to_string();
        assert_eq!((error.line, error.column), *place, "{text}: {shown}");
        assert_eq!(error.message, *message, "{text}: {shown}");
        assert!(error.hint.contains(hint), "{text}: {shown}");
    }
}

#[test]
fn an_error_shows_the_line_with_a_caret_and_what_is_allowed() {
    let text = "name = \"a\"\nkernel = \"k\"\n\n\n\n\n\n\n[[region]]\nbase = 0x4000_0000\nsize = \"1M\"\ntype = \"MapFoo\"\n";
    let expected = "vm.toml:12:8: unknown map type \"MapFoo\"\n\
                    \x20 12 | type = \"MapFoo\"\n\
                    \x20    |        ^^^^^^^^ allowed: \"alloc\", \"identical\", \"reserved\" (0, 1, 2)";
    let error = refusal(text);
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.key, "region[0].type");
    assert_eq!(error.file, "vm.toml");
}

#[test]
fn unknown_keys_are_refused_with_a_guess() {
    refused(&[
        ("cpu = 2", (4, 1), "unknown key \"cpu\"", "did you mean \"cpus\"?"),
        ("colour = 2", (4, 1), "unknown key \"colour\"", "allowed: affinity, bios_load_addr"),
        ("[devices]\ncpus = 2", (5, 1), "unknown key \"cpus\"", "it belongs in [base]"),
        ("[devices]\nconsol = true", (5, 1), "unknown key \"consol\"", "did you mean \"console\"?"),
        ("[kernal]\ncmdline = \"\"", (4, 2), "unknown key \"kernal\"", "did you mean \"kernel\"?"),
        (
            "[[region]]\nbase = 0\nsise = 1",
            (6, 1),
            "unknown key \"sise\"",
            "did you mean \"size\"?",
        ),
        ("base = 1", (4, 1), "unknown key \"base\"", "allowed: "),
    ]);
}

#[test]
fn missing_keys_are_refused_with_an_example() {
    for (text, message, hint) in [
        ("", "name is missing", "write: name = \"linux\""),
        ("name = \"a\"", "kernel_path is missing", "write: kernel = \"Image\""),
        ("name = \"a\"\nkernel = \"k\"", "memory is missing", "write: memory = \"512M\""),
    ] {
        let error = refusal(text);
        assert_eq!((error.line, error.column), (1, 1));
        assert_eq!((error.message.as_str(), error.hint.as_str()), (message, hint));
    }
    refused(&[
        ("[[region]]\nsize = 4096", (4, 1), "region[0] has no gpa", "base = "),
        ("[[device]]\nname = \"a\"", (4, 1), "device[0] has no emu_type", "type = "),
        ("[[device]]\ntype = \"dummy\"", (4, 1), "device[0] has no base", "base = "),
        (
            "[[passthrough]]\npath = \"/a\"\nirq = 40",
            (6, 7),
            "passthrough[0].irq and passthrough[0].path cannot both be given",
            "line 5",
        ),
        (
            "[[passthrough]]\npath = \"a\"",
            (5, 8),
            "passthrough[0].path cannot be \"a\"",
            "from / on",
        ),
        ("[[passthrough]]\nbase = 0x1000", (4, 1), "passthrough[0] has no length", "length = "),
    ]);
}

#[test]
fn a_setting_is_given_once() {
    refused(&[
        (
            "cpus = 1\ncpu_num = 1",
            (5, 1),
            "cpu_num says what cpus said before",
            "cpus is on line 4",
        ),
        ("[base]\nname = \"b\"", (5, 1), "name says what name said before", "name is on line 1"),
        (
            "affinity = [0]\nphys_cpu_sets = [1]",
            (4, 12),
            "affinity and phys_cpu_sets cannot both be given",
            "line 5",
        ),
        ("weight = 1\nweight = 2", (5, 1), "duplicate key", ""),
    ]);
}

#[test]
fn wrong_types_are_refused() {
    refused(&[
        ("cpus = \"two\"", (4, 8), "cpus cannot be a string", "allowed: an integer"),
        ("weight = 1.5", (4, 10), "weight cannot be a fraction", "allowed: an integer"),
        ("console = 1", (4, 11), "console cannot be an integer", "allowed: true or false"),
        ("cmdline = 1979-05-27", (4, 11), "cmdline cannot be a date or time", "a string"),
        ("ramdisk = []", (4, 11), "ramdisk cannot be a list", "a string"),
        ("restart = true", (4, 11), "restart cannot be true or false", "\"never\", \"on-failure\""),
        ("affinity = 0", (4, 12), "affinity cannot be an integer", "a list"),
        ("emu_devices = [1]", (4, 16), "emu_devices[0] cannot be an integer", "a list"),
        (
            "memory_regions = [[0, {}, 7, 0]]",
            (4, 23),
            "memory_regions[0].size cannot be a table",
            "\"512M\"",
        ),
    ]);
}

#[test]
fn values_out_of_range_are_refused() {
    refused(&[
        ("cpus = 0", (4, 8), "cpus cannot be 0", "allowed: 1 to 64"),
        ("cpus = 65", (4, 8), "cpus cannot be 65", "allowed: 1 to 64"),
        ("id = -1", (4, 6), "id cannot be \"-1\"", "allowed: 0 to"),
        ("id = 0x1_0000_0000_0000_0000", (4, 6), "id cannot be \"10000000000000000\"", "0xffff_"),
        ("weight = 10001", (4, 10), "weight cannot be 10001", "allowed: 1 to 10000"),
        ("exclusive = true", (4, 13), "exclusive without the CPUs", "affinity = [1]"),
        ("affinity = [64]", (4, 13), "affinity[0] cannot be 64", "allowed: 0 to 63"),
        ("affinity = []", (4, 12), "affinity names no CPU", "[0, 1]"),
        ("affinity = [[0]]\ncpus = 2", (4, 12), "affinity has 1 items for 2 vCPUs", "allowed: 2"),
        ("phys_cpu_sets = [0]", (4, 18), "phys_cpu_sets[0] cannot be 0", "a mask"),
        (
            "phys_cpu_ids = [1, 1]\ncpus = 2",
            (4, 20),
            "phys_cpu_ids[1] is 0x1, as another vCPU's",
            "different",
        ),
        (
            "phys_cpu_ids = [1]\ncpus = 2",
            (4, 16),
            "phys_cpu_ids has 1 items for 2 vCPUs",
            "allowed: 2",
        ),
        ("gic = \"v2\"\ncpus = 9", (4, 7), "a GICv2 has no room for 9 vCPUs", "\"v3\""),
        ("gic = 4", (4, 7), "unknown GIC version 0x4", "\"v2\", \"v3\" (2, 3)"),
        ("ramdisk = \"\"", (4, 11), "ramdisk has 0 bytes", "1 to 255"),
        ("cmdline = \"a\\nb\"", (4, 11), "cmdline has a control character in it", "one line"),
        (
            "entry_point = 0x1000",
            (4, 15),
            "entry_point is 0x1000, where the guest has no memory",
            "0x40000000-0x5fffffff",
        ),
    ]);
}

#[test]
fn names_are_plain_words() {
    for name in ["", "a b", "a/b", "\\u00e9", "123456789012345678901234567890123"] {
        let error = refusal(&std::format!("name = \"{name}\"\nkernel = \"k\"\nmemory = \"1M\""));
        assert_eq!((error.line, error.column), (1, 8), "{error}");
        assert!(error.hint.contains("1 to 32 letters"), "{error}");
    }
}

#[test]
fn sizes_and_addresses_fit_pages_and_the_address_space() {
    for (memory, message) in [
        ("0", "memory cannot be 0"),
        ("4097", "memory cannot be 0x1001"),
        ("\"12Q\"", "memory cannot be \"12Q\""),
        ("\"M\"", "memory cannot be \"M\""),
        ("\"+1M\"", "memory cannot be \"+1M\""),
        ("\"99999999999G\"", "memory cannot be \"99999999999G\""),
        ("\"512 M\"", "memory cannot be \"512 M\""),
    ] {
        let error = refusal(&std::format!("name = \"a\"\nkernel = \"k\"\nmemory = {memory}"));
        assert_eq!((error.line, error.column), (3, 10), "{error}");
        assert_eq!(error.message, message);
    }
    let beyond = "memory ends beyond the guest-physical space: 0x40000000 + 0x1000000000000";
    let error = refusal("name = \"a\"\nkernel = \"k\"\nmemory = 0x1_0000_0000_0000");
    assert_eq!(error.message, beyond);
    refused(&[
        (
            "memory_regions = [[0x8000_0001, 0x1000, 7, 0]]",
            (4, 20),
            "memory_regions[0].gpa cannot be 0x80000001",
            "4 KiB",
        ),
        (
            "memory_regions = [[0x8000_0000, 0, 7, 0]]",
            (4, 33),
            "memory_regions[0].size cannot be 0",
            "4 KiB",
        ),
        (
            "memory_regions = [[0x8000_0000, 0x1000, 2, 0]]",
            (4, 41),
            "memory_regions[0].flags cannot be 0x2",
            "reading",
        ),
        (
            "memory_regions = [[0x8000_0000, 0x1000, 64, 0]]",
            (4, 41),
            "memory_regions[0].flags cannot be 0x40",
            "32 (uncached)",
        ),
        (
            "memory_regions = [[0x8000_0000, 0x1000, \"rr\", 0]]",
            (4, 41),
            "memory_regions[0].flags cannot be \"rr\"",
            "\"rwx\"",
        ),
        (
            "memory_regions = [[0x8000_0000, 0x1000, 7, 3]]",
            (4, 44),
            "unknown map type 0x3",
            "(0, 1, 2)",
        ),
        (
            "memory_regions = [[0x8000_0000, 0x1000, 7]]",
            (4, 19),
            "memory_regions[0] has 3 items",
            "[gpa, size, flags, map_type]",
        ),
        (
            "memory_regions = [[0xffff_ffff_ffff_f000, 0x1000, 7, 0]]",
            (4, 19),
            "memory_regions[0] ends beyond the guest-physical space: 0xfffffffffffff000 + 0x1000",
            "allowed: an end",
        ),
        (
            "memory_regions = [[0x7f_ffff_f000, 0x2000, 7, 0]]",
            (4, 19),
            "memory_regions[0] ends beyond the guest-physical space: 0x7ffffff000 + 0x2000",
            "allowed: an end of 0x80_0000_0000",
        ),
    ]);
}

#[test]
fn overlaps_are_blamed_on_the_later_one() {
    refused(&[
        (
            "[[region]]\nbase = 0x5fff_f000\nsize = 0x1000",
            (4, 1),
            "region[0] overlaps memory: 0x5ffff000-0x5fffffff and 0x40000000-0x5fffffff",
            "memory is on line 3",
        ),
        (
            "memory_regions = [[0x0800_f000, 0x1000, 7, 0]]",
            (4, 19),
            "memory_regions[0] overlaps the GIC distributor: 0x800f000-0x800ffff and 0x8000000-0x800ffff",
            "cannot be moved",
        ),
        (
            "memory_regions = [[0x080a_0000, 0x1000, 7, 0]]",
            (4, 19),
            "memory_regions[0] overlaps the GICv3 redistributors: 0x80a0000-0x80a0fff and 0x80a0000-0x80bffff",
            "cannot be moved",
        ),
        (
            "memory_regions = [[0x0900_0000, 0x1000, 7, 0]]",
            (4, 19),
            "memory_regions[0] overlaps the console: 0x9000000-0x9000fff and 0x9000000-0x9000fff",
            "console = false takes the console away",
        ),
        (
            "[[device]]\ntype = \"dummy\"\nbase = 0x0903_0800\nlength = 8",
            (4, 1),
            "device[0] overlaps the power button: 0x9030800-0x9030807 and 0x9030000-0x9030fff",
            "power_button = false takes the power button away",
        ),
        (
            "[[device]]\ntype = \"dummy\"\nbase = 0x4000_0008\nlength = 8",
            (4, 1),
            "device[0] overlaps memory: 0x40000008-0x4000000f and 0x40000000-0x5fffffff",
            "memory is on line 3",
        ),
        (
            "[[device]]\ntype = \"dummy\"\nbase = 0x1000_0800\nlength = 8\n[[passthrough]]\nbase = 0x1000_0000\nlength = 8",
            (8, 1),
            "passthrough[0] overlaps device[0]: 0x10000000-0x10000007 and 0x10000800-0x10000807",
            "device[0] is on line 4",
        ),
        (
            "passthrough_devices = [[\"a\", 0x1000, 0x1000, 8, 0], [\"b\", 0x1000, 0x2000, 8, 0]]",
            (4, 53),
            "passthrough_devices[1] overlaps passthrough_devices[0]: 0x1000-0x1007 and 0x1000-0x1007",
            "is on line 4",
        ),
    ]);
}

#[test]
fn the_board_is_not_to_blame_even_for_the_first_line() {
    let error = refusal(
        "[[region]]\nbase = 0x0800_0000\nsize = \"4K\"\n[base]\nname = \"a\"\n[kernel]\nkernel = \"k\"",
    );
    assert_eq!((error.line, error.column), (1, 1));
    assert!(error.message.contains("the GIC distributor"), "{error}");
}

#[test]
fn devices_have_their_own_names_and_interrupts() {
    refused(&[
        (
            "[[device]]\ntype = \"virtio-blk\"\nname = \"a\"\n[[device]]\ntype = \"virtio-blk\"\nname = \"a\"",
            (9, 8),
            "two devices are called \"a\"",
            "the other is device[0]",
        ),
        (
            "[[device]]\ntype = \"virtio-blk\"\nirq = 33",
            (6, 7),
            "interrupt 33 is taken",
            "the console (console = false takes it away) has it",
        ),
        (
            "[[device]]\ntype = \"virtio-blk\"\nirq = 1",
            (6, 7),
            "device[0].irq cannot be 1",
            "SPI n is INTID n + 32",
        ),
        (
            "[[device]]\ntype = \"dummy\"\nbase = 0\nlength = 8\nirq = 48\n[[device]]\ntype = \"virtio-net\"",
            (9, 1),
            "interrupt 48 is taken",
            "write: irq = ",
        ),
        (
            "[[device]]\ntype = \"floppy\"",
            (5, 8),
            "unknown device type \"floppy\"",
            "\"virtio-blk\"",
        ),
        (
            "[[device]]\ntype = \"dummy\"\nbase = 0x1004\nlength = 8",
            (6, 8),
            "device[0].base cannot be 0x1004",
            "multiple of 8",
        ),
        (
            "[[device]]\ntype = \"dummy\"\nbase = 0x1000\nlength = 0",
            (7, 10),
            "device[0].length cannot be 0",
            "1 or more",
        ),
        (
            "[[device]]\ntype = \"console\"\n[devices]\nconsole = false",
            (7, 11),
            "console is false, but a console is listed",
            "true",
        ),
        (
            "power_button = false\n[[device]]\ntype = \"power-button\"",
            (4, 16),
            "power_button is false, but a power-button is listed",
            "true",
        ),
        (
            "[[device]]\ntype = \"power-button\"\n[[device]]\ntype = \"pl061\"\nbase = 0x0910_0000\nirq = 50",
            (6, 1),
            "a second power-button",
            "a VM has one, and power-button is it",
        ),
        (
            "[[device]]\ntype = \"watchdog\"\n[[device]]\ntype = \"watchdog\"",
            (6, 1),
            "a second watchdog",
            "a VM has one, and watchdog is it",
        ),
        (
            "[[device]]\ntype = \"watchdog\"\nlength = 0x1000",
            (4, 1),
            "a watchdog cannot have 0x1000 bytes",
            "0x2_0000",
        ),
        (
            "[[passthrough]]\nbase = 0x1000\nbase_hpa = 0x1008\nlength = 8",
            (6, 12),
            "0x1008 does not lie in its page where 0x1000 does",
            "low 12 bits",
        ),
    ]);
}

#[test]
fn bad_syntax_is_shown_where_it_is() {
    refused(&[
        ("[kernel]", (4, 2), "duplicate key", "stands above"),
        ("cpus 2", (4, 6), "key with no value", "expected: \"=\""),
        ("[base", (4, 6), "unclosed table", "expected: \"]\""),
    ]);
}

#[test]
fn boards_and_bundles_are_checked_alike() {
    let error = BoardConfig::from_toml("b.toml", "name = \"b\"\narhc = \"x\"").unwrap_err();
    assert_eq!((error.line, error.hint.as_str()), (2, "did you mean \"arch\"?"));
    let error = BundleIndex::from_toml("board = \"b\"\n[[vm]]\nname = \"a\"").unwrap_err();
    assert_eq!(error.message, "vm[0] has no config");
    let twice =
        "board = \"b\"\n[[vm]]\nname = \"a\"\nconfig = \"c\"\n[[vm]]\nname = \"a\"\nconfig = \"d\"";
    let error = BundleIndex::from_toml(twice).unwrap_err();
    assert_eq!((error.line, error.message.as_str()), (5, "two VMs are called \"a\""));
    let error = BundleIndex::from_toml(
        "board = \"b\"\n[[vm]]\nname = \"a\"\nconfig = \"c\"\nfiles = {x = 1}",
    )
    .unwrap_err();
    assert_eq!(error.message, "vm[0].files.\"x\" cannot be an integer");
}

#[test]
fn device_memory_comes_from_nowhere_but_a_device() {
    let region = "[[region]]\nbase = 0x8000_0000\nsize = \"4K\"\nflags = 0x13\n";
    refused(&[(
        region,
        (7, 9),
        "region[0].flags is device memory, which the host's pool has none of",
        "reserved",
    )]);
    let identical = std::format!("{region}type = \"identical\"");
    assert_eq!(refusal_with(&identical).key, "region[0].flags");
    assert!(
        crate::AxVMCrateConfig::from_toml(
            "vm.toml",
            &std::format!("{SMALLEST}{region}type = \"reserved\"")
        )
        .is_ok()
    );
}

#[test]
fn read_only_regions_may_not_overlap_memory_either() {
    let region = "[[region]]\nbase = 0x4000_0000\nsize = \"4K\"\nflags = \"rx\"\n";
    assert!(refusal_with(region).message.contains("overlaps memory"));
}

#[test]
fn what_interrupts_is_refused_where_nothing_can_be_interrupted() {
    const NOTHING: &str = "with interrupt_mode = \"none\" there is nothing to interrupt";
    for more in [
        "[[device]]\ntype = \"console\"\nirq = 40",
        "[[device]]\ntype = \"dummy\"\nbase = 0x0a00_0000\nlength = 8\nirq = 40",
        "[[passthrough]]\nbase = 0x0a00_0000\nlength = 0x1000\nirq = 40",
        "[[channel]]\nname = \"c\"\nsize = \"4K\"\npeers = [\"a\"]",
    ] {
        let text = std::format!("{SMALLEST}interrupt_mode = \"none\"\n{more}\n");
        assert_eq!(refusal(&text).message, NOTHING, "{more}");
    }
    let gic = "[[device]]\ntype = \"gicd\"\nbase = 0x0a00_0000\nlength = 0x1_0000\n";
    let error = refusal(&std::format!("{SMALLEST}interrupt_mode = \"none\"\n{gic}"));
    assert!(error.message.ends_with("gic-distributor is an interrupt controller"), "{error}");
    let region = "[[region]]\nbase = 0x0800_0000\nsize = \"64K\"\n";
    let error = refusal(&std::format!("{SMALLEST}interrupt_mode = \"passthrough\"\n{region}"));
    assert!(error.message.contains("overlaps the GIC distributor"), "{error}");
}
