//! Device trees: those that an operator gives, and those that are made for a board.

use std::ops::Range;

use axaddrspace::GuestPhysAddr;
use axvm::fdt::{self, Device, FdtError, Gic, GuestBoard};
use axvm::image::DEVICE_TREE_MAX;

use crate::input::Input;

/// The most that is shown of a tree, and what a line may go beyond it.
const TEXT_MAX: usize = (512 << 10) + (4 << 20);

/// A node as another reader finds it: its path, and its properties.
struct Node {
    path: String,
    properties: Vec<(String, Vec<u8>)>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Up to the NUL at or behind `at`.
fn text(bytes: &[u8], at: usize) -> String {
    let end = at + bytes[at..].iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8_lossy(&bytes[at..end]).into_owned()
}

/// A reader that trusts the tree: it panics where one that was accepted is not sound.
fn nodes(tree: &[u8]) -> Vec<Node> {
    let (structure, strings) = (word(tree, 8) as usize, word(tree, 12) as usize);
    let end = structure + word(tree, 36) as usize;
    let strings = &tree[strings..strings + word(tree, 32) as usize];
    let mut nodes: Vec<Node> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = structure;
    loop {
        assert!(at + 4 <= end);
        let token = word(tree, at);
        at += 4;
        match token {
            1 => {
                let name = text(&tree[..end], at);
                let above = open.last().map_or("", |above| &nodes[*above].path);
                let path = if open.is_empty() { String::new() } else { format!("{above}/{name}") };
                at += tree[at..].iter().position(|byte| *byte == 0).unwrap() + 1;
                open.push(nodes.len());
                nodes.push(Node { path, properties: Vec::new() });
            }
            2 => drop(open.pop().expect("a node is open")),
            3 => {
                let (length, name) = (word(tree, at) as usize, word(tree, at + 4) as usize);
                let value = tree[..end][at + 8..at + 8 + length].to_vec();
                let node = &mut nodes[*open.last().expect("a node is open")];
                node.properties.push((text(strings, name), value));
                at += 8 + length;
            }
            4 => {}
            9 => break assert!(open.is_empty()),
            other => panic!("token {other}"),
        }
        at = structure + (at - structure).next_multiple_of(4);
    }
    nodes
}

fn malformed_is_shown(error: &FdtError) {
    let shown = error.to_string();
    assert!(
        !shown.is_empty() && shown.len() < 1000 && !shown.contains(char::is_control),
        "{shown:?}"
    );
}

/// A tree that is given.
pub(crate) fn given(data: &[u8]) {
    let limit = DEVICE_TREE_MAX.min(64 << 10);
    let tree = match fdt::check_given(data, limit) {
        Ok(tree) => tree,
        Err(error) => return malformed_is_shown(&error),
    };
    assert!(tree.len() <= limit && data.starts_with(tree));
    assert_eq!(fdt::check_given(tree, limit), Ok(tree));
    assert!(fdt::check_given(&tree[..tree.len() - 1], limit).is_err());
    let nodes = nodes(tree);
    let shown = fdt::to_dts(tree).expect("it was checked");
    assert!(shown.len() < TEXT_MAX && shown.is_ascii());
    assert!(!shown.contains(|char: char| char.is_control() && !"\n\t".contains(char)));
    if !shown.ends_with("// the rest is left out\n") {
        let lines = |end: &str| shown.lines().filter(|line| line.ends_with(end)).count();
        assert_eq!(lines("{"), nodes.len(), "{shown}");
        let properties: usize = nodes.iter().map(|node| node.properties.len()).sum();
        let others =
            nodes.len() + shown.lines().filter(|line| line.starts_with("/memreserve/")).count();
        assert_eq!(lines(";"), properties + others + 1, "{shown}");
    }
}

/// A board, and the tree that is made for it.
pub(crate) fn made(data: &[u8]) {
    let mut input = Input::new(data);
    let gpa = |input: &mut Input<'_>| GuestPhysAddr::from_usize(input.number() as usize);
    let mut list = |most: usize| -> Vec<(GuestPhysAddr, usize, u32)> {
        let count = input.below(most);
        (0..count)
            .map(|_| (gpa(&mut input), input.number() as usize, input.number() as u32))
            .collect()
    };
    let (ram, uarts, virtio, others) = (list(4), list(4), list(6), list(6));
    let ram: Vec<_> = ram.iter().map(|&(base, size, _)| (base, size)).collect();
    let uarts: Vec<_> = uarts.iter().map(|&(base, _, intid)| (base, intid)).collect();
    let cpus: Vec<u64> = (0..input.below(9)).map(|_| input.number() & 0xff_00ff_ffff).collect();
    let gic = match input.below(5) {
        0 => Gic::Absent,
        1 | 2 => Gic::V3 {
            gicd: gpa(&mut input),
            gicr: gpa(&mut input),
            gicr_size: input.number() as usize,
        },
        _ => Gic::V2 { gicd: gpa(&mut input), gicc: gpa(&mut input) },
    };
    let place = |input: &mut Input<'_>| input.bool().then(|| (gpa(input), input.number() as u32));
    let (power_button, watchdog) = (place(&mut input), place(&mut input));
    let initrd = input.bool().then(|| gpa(&mut input)..gpa(&mut input));
    let mut words = || {
        String::from_utf8_lossy({
            let count = input.below(64);
            input.bytes(count)
        })
        .into_owned()
    };
    let (name, compatible, clock, bootargs) = (words(), words(), words(), words());
    let (compatible, clock_names) = ([&*compatible], [&*clock]);
    let devices: Vec<Device<'_>> = others
        .iter()
        .map(|(base, size, intid)| Device {
            name: &name,
            compatible: &compatible[..size & 1],
            base: *base,
            size: *size,
            intids: if intid & 1 == 0 { &[] } else { std::slice::from_ref(intid) },
            clock_names: &clock_names[..size >> 1 & 1],
        })
        .collect();
    let board = GuestBoard {
        ram: &ram,
        cpus: &cpus,
        gic,
        uarts: &uarts,
        virtio_mmio: &virtio,
        devices: &devices,
        power_button,
        watchdog,
        channels: &[],
        bootargs: &bootargs,
        initrd: initrd.clone(),
    };
    let tree = match fdt::build(&board) {
        Ok(tree) => tree,
        Err(error) => {
            assert!(error != FdtError::NoMachine || ram.is_empty() || cpus.is_empty());
            return assert!(!error.to_string().is_empty());
        }
    };
    assert_eq!(fdt::check_given(&tree, DEVICE_TREE_MAX), Ok(&*tree));
    compare(&nodes(&tree), &board, initrd);
}

fn compare(nodes: &[Node], board: &GuestBoard<'_>, initrd: Option<Range<GuestPhysAddr>>) {
    let value = |node: &Node, name: &str| {
        let mut found = node.properties.iter().filter(|(known, _)| known == name);
        let first = found.next().map(|(_, value)| value.clone());
        assert!(found.next().is_none(), "{} has two {name}", node.path);
        first
    };
    let wide = |numbers: &[usize]| -> Vec<u8> {
        numbers.iter().flat_map(|number| (*number as u64).to_be_bytes()).collect()
    };
    let of_type = |wanted: &str| {
        let wanted = format!("{wanted}\0").into_bytes();
        nodes.iter().filter(move |node| value(node, "device_type").as_deref() == Some(&*wanted))
    };
    let memory: Vec<_> = of_type("memory").map(|node| value(node, "reg").unwrap()).collect();
    let ram: Vec<_> =
        board.ram.iter().map(|&(base, size)| wide(&[base.as_usize(), size])).collect();
    assert_eq!(memory, ram);
    assert_eq!(of_type("cpu").count(), board.cpus.len());
    let chosen = nodes.iter().find(|node| node.path == "/chosen").expect("there is a /chosen");
    let bootargs = format!("{}\0", board.bootargs).into_bytes();
    assert_eq!(value(chosen, "bootargs"), (bootargs.len() > 1).then_some(bootargs));
    let start = initrd.map(|initrd| wide(&[initrd.start.as_usize()]));
    assert_eq!(value(chosen, "linux,initrd-start"), start);
}
