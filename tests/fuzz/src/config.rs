//! The files of an operator: VM, board and bundle. What is accepted is sound, what is refused is shown where it is.

use std::collections::BTreeSet;
use std::ops::Range;

use axvm::{Images, KnownHost};
use axvmconfig::{
    AxVMCrateConfig, BoardConfig, BundleIndex, ConfigError, GicVersion, MAX_CHANNELS, MAX_PEERS,
    MAX_VCPUS, Overrides, RegionFlags,
};

use crate::input::Input;

const SPACE_END: usize = 1 << 48;
/// The most that an error shows.
const SHOWN: usize = 2500;
/// A kernel of four bytes.
const IMAGES: Images = Images { kernel: b"flat", ramdisk: Some(b"files"), device_tree: None };

/// The first byte says what the others are.
pub(crate) fn run(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let text = &*String::from_utf8_lossy(text);
    match kind {
        b'b' => refused(text, BoardConfig::from_toml("f", text).err()),
        b'i' => refused(text, BundleIndex::from_toml(text).err()),
        _ => vm(text),
    }
}

fn vm(text: &str) {
    match AxVMCrateConfig::from_toml("f", text) {
        Ok(config) => {
            check(&config);
            assert_eq!(AxVMCrateConfig::from_toml("f", text).as_ref(), Ok(&config));
            describe(&config);
            changed(&config, text.as_bytes());
        }
        Err(error) => refused(text, Some(error)),
    }
}

/// The place of an error is in the file, and what is shown of it can do a terminal no harm.
fn refused(text: &str, error: Option<ConfigError>) {
    let Some(error) = error else { return };
    let shown = error.to_string();
    assert!(shown.len() < SHOWN, "{} bytes are shown", shown.len());
    assert!(!shown.chars().any(|char| char.is_control() && char != '\n'), "{shown:?}");
    assert!(!error.message.is_empty() && !error.message.contains('\n'), "{shown}");
    let line = text.split('\n').nth(error.line.checked_sub(1).expect("lines begin with 1"));
    let line = line.unwrap_or_else(|| panic!("line {} is not in the file", error.line));
    let column = error.column.checked_sub(1).expect("columns begin with 1");
    assert!(column <= line.chars().count(), "column {} is not on the line", error.column);
}

fn name_is_sound(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(fits)
}

/// What every accepted VM has.
fn check(config: &AxVMCrateConfig) {
    let AxVMCrateConfig { base, kernel, memory_regions, devices } = config;
    assert!(name_is_sound(&base.name));
    assert!((1..=MAX_VCPUS).contains(&base.cpu_num) && (1..=10_000).contains(&base.weight));
    assert!(devices.gic != Some(GicVersion::V2) || base.cpu_num <= 8);
    assert!(!base.exclusive || base.phys_cpu_sets.is_some());
    if let Some(sets) = &base.phys_cpu_sets {
        assert!(sets.len() == base.cpu_num && sets.iter().all(|set| *set != 0));
    }
    if let Some(ids) = &base.phys_cpu_ids {
        assert!(ids.len() == base.cpu_num);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }
    assert!(kernel.cmdline.len() < 2048 && !kernel.cmdline.contains(char::is_control));
    assert!(config.image_paths().all(|path| !path.is_empty() && !path.contains(char::is_control)));
    for region in memory_regions {
        assert!(region.gpa % 4096 == 0 && region.size % 4096 == 0 && region.size != 0);
        assert!(region.flags.contains(RegionFlags::READ));
    }
    let addresses = [
        kernel.entry_point,
        kernel.kernel_load_addr,
        kernel.dtb_load_addr,
        kernel.ramdisk_load_addr,
    ];
    let memory: Vec<_> =
        memory_regions.iter().map(|region| range(region.gpa, region.size)).collect();
    assert!(!memory.is_empty());
    assert!(addresses.iter().flatten().all(|at| memory.iter().any(|range| range.contains(at))));
    check_devices(config, memory);
}

/// No two share an address, a name or an interrupt.
fn check_devices(config: &AxVMCrateConfig, mut ranges: Vec<Range<usize>>) {
    let devices = &config.devices;
    let mut names = BTreeSet::new();
    let mut irqs = BTreeSet::new();
    let mut interrupt = |irq: usize| {
        assert!(irq == 0 || (32..1020).contains(&irq) && irqs.insert(irq), "interrupt {irq}");
    };
    for device in &devices.emu_devices {
        assert!(names.insert(&device.name), "two devices called {:?}", device.name);
        interrupt(device.irq_id);
        ranges.push(range(device.base_gpa, device.length));
    }
    for device in &devices.passthrough_devices {
        assert!(names.insert(&device.name), "two devices called {:?}", device.name);
        if device.path.is_none() {
            interrupt(device.irq_id);
            assert_eq!(device.base_gpa % 4096, device.base_hpa % 4096);
        }
    }
    assert!(devices.channels.len() <= MAX_CHANNELS);
    for channel in &devices.channels {
        assert!(name_is_sound(&channel.name) && channel.size % 4096 == 0 && channel.size != 0);
        assert!((1..=MAX_PEERS).contains(&channel.peers.len()));
        assert_eq!(channel.peers.iter().collect::<BTreeSet<_>>().len(), channel.peers.len());
        assert!(!channel.peers.contains(&config.base.name));
        interrupt(channel.irq_id);
        ranges.push(range(channel.gpa, channel.size));
    }
    ranges.sort_by_key(|range| range.start);
    for pair in ranges.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:x?} overlap");
    }
}

fn range(base: usize, size: usize) -> Range<usize> {
    assert!(size != 0 && base.checked_add(size).is_some_and(|end| end <= SPACE_END));
    base..base + size
}

/// What a VM made of it would be: a sentence, or a board with everything in its place and a device tree.
fn describe(config: &AxVMCrateConfig) {
    match axvm::describe(config, &IMAGES, &KnownHost::default()) {
        Ok(board) => {
            assert!(!board.to_string().is_empty());
            assert!(board.kernel.contains(&board.entry));
            assert!(board.windows.is_sorted_by_key(|window| window.gpa));
            axvm::fdt::check_given(&board.tree, axvm::image::DEVICE_TREE_MAX)
                .expect("our own tree");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// With changes of the operator's, taken from the text's last bytes, it is as sound, but for places.
fn changed(config: &AxVMCrateConfig, text: &[u8]) {
    let mut input = Input::new(&text[text.len().saturating_sub(8)..]);
    let overrides = Overrides {
        name: input.bool().then(|| "other".into()),
        memory: Some(u64::from(input.u16()) << 12),
        cpus: Some(input.below(80)),
        cmdline: input.bool().then(|| "quiet".into()),
    };
    match config.clone().with_overrides(&overrides) {
        Ok(changed) => {
            assert!((1..=MAX_VCPUS).contains(&changed.base.cpu_num));
            assert_eq!(changed.vcpu_affinities().len(), changed.base.cpu_num);
            assert!(changed.memory_total() > 0);
            describe(&changed);
        }
        Err(message) => assert!(!message.is_empty() && !message.contains('\n')),
    }
}
