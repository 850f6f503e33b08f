//! Devices of the host: which are found and given, which are refused, and how their interrupts go.

use std::string::{String, ToString};
use std::sync::atomic::Ordering::SeqCst;
use std::vec::Vec;

use arm_vcpu::gic::GICV2;
use axaddrspace::GuestPhysAddr;
use axvcpu::AxVCpuExitReason::ExternalInterrupt;
use axvmconfig::AxVMCrateConfig;

use super::bench::*;
use super::host::Irq::{Acknowledged, Dropped};
use crate::{HostDevice, HostInterrupt, HostNode, resolve_host_devices};

const CLOCK: &str = "[[passthrough]]\npath = \"/rtc@9010000\"";
const PENDING: u64 = 1;
const LINKED: u64 = 1 << 61;

fn node(path: &str, compatible: &str, base: usize, size: usize, intid: u32) -> HostNode {
    let interrupts =
        if intid == 0 { Vec::new() } else { Vec::from([HostInterrupt { intid, edge: false }]) };
    HostNode {
        path: path.to_string(),
        compatible: Vec::from([compatible.to_string()]),
        windows: std::iter::once(base..base + size).collect(),
        interrupts,
        ..HostNode::default()
    }
}

fn tree() -> Vec<HostNode> {
    let mut memory = node("/memory@40000000", "", 0x4000_0000, 1 << 30, 0);
    memory.owner = Some("the host's memory");
    let mut bus = node("/soc", "simple-bus", 0x0c00_0000, 0x1000, 0);
    bus.is_parent = true;
    let mut net = node("/net@b000000", "arm,pl011", 0x0b00_0000, 0x1000, 50);
    net.bus_master = Some("iommus");
    let mut wide = node("/wide@d000000", "arm,pl061", 0x0d00_0000, 0x1000, 0);
    wide.windows.push(0x0d10_0000..0x0d10_1000);
    Vec::from([
        memory,
        bus,
        net,
        wide,
        node("/rtc@9010000", "arm,pl031", 0x0901_0000, 0x1000, 34),
        node("/slot@a000000", "arm,pl031", 0x0a00_0000, 0x200, 48),
        node("/slot@a000200", "arm,pl031", 0x0a00_0200, 0x200, 49),
        node("/bell@c100000", "arm,pl031", 0x0c10_0000, 0x1000, 240),
        node("/mac@e000000", "vendor,mac", 0x0e00_0000, 0x1000, 60),
        node("/one@f000000", "arm,pl031", 0x0f00_0000, 0x1000, 61),
        node("/two@f001000", "arm,pl031", 0x0f00_1000, 0x1000, 61),
    ])
}

fn found(more: &str) -> Result<Vec<HostDevice>, String> {
    resolve_host_devices(&config(1, more), &tree()).map_err(|error| error.to_string())
}

#[test]
fn a_device_is_found_by_its_path_and_by_its_address() {
    let [by_path] = &found(CLOCK).unwrap()[..] else { panic!("one") };
    assert_eq!(
        (by_path.base_gpa, by_path.base_hpa, by_path.size),
        (0x901_0000, 0x901_0000, 0x1000)
    );
    assert_eq!((by_path.node.as_str(), by_path.interrupts[0].intid), ("rtc", 34));
    let text =
        "[[passthrough]]\nbase = 0x0b01_0000\nbase_hpa = 0x0901_0000\nlength = 0x1000\nirq = 34";
    let [by_address] = &found(text).unwrap()[..] else { panic!("one") };
    assert_eq!(by_address.base_gpa, 0x0b01_0000);
    assert_eq!(by_address.interrupts, by_path.interrupts);
    assert_eq!(by_address.compatible, ["arm,pl031"]);
    assert_eq!(by_address.shares_with(by_path).unwrap(), "the page at 0x9010000");
    // Without the interrupt it is given without.
    assert!(found(&text.replace("irq = 34", "")).unwrap()[0].interrupts.is_empty());
}

#[test]
fn what_is_not_a_device_of_ones_own_is_refused_in_words() {
    let twice = std::format!("{CLOCK}\n[[passthrough]]\nbase = 0x0901_0000\nlength = 0x1000");
    let at = |address: usize, more: &str| {
        std::format!(
            "[[passthrough]]\nbase = 0x1000_0000\nbase_hpa = {address}\nlength = 0x1000\n{more}"
        )
    };
    let path = |path: &str, more: &str| std::format!("[[passthrough]]\npath = \"{path}\"\n{more}");
    for (text, words) in [
        (path("/nothing", ""), "has no device /nothing"),
        (path("/memory@40000000", "unsafe = true"), "is the host's memory"),
        (at(0x4567_8000, "unsafe = true"), "is the host's memory"),
        (path("/soc", "unsafe = true"), "devices below it"),
        (path("/net@b000000", ""), "accesses memory by itself (iommus)"),
        (path("/mac@e000000", ""), "may access memory by itself"),
        (path("/wide@d000000", ""), "several ranges"),
        (path("/slot@a000000", ""), "shares a page of registers with /slot@a000200"),
        (path("/one@f000000", ""), "shares interrupt 61 with /two@f001000"),
        (path("/rtc@9010000", "base = 0x0b00_0004"), "same low 12 bits"),
        (at(0x0800_0000, ""), "has no device at 0x8000000"),
        (at(0x0901_0000, "irq = 35"), "/rtc@9010000 has no interrupt 35"),
        (at(0x0700_0000, "unsafe = true\nirq = 34"), "interrupt 34 is that of /rtc@9010000"),
        (at(0x0901_0000, "").replace("length = 0x1000", "length = 0x2000"), "more than"),
        (twice, "both have the page at 0x9010000"),
    ] {
        let error = found(&text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn the_operator_may_answer_for_a_device() {
    for text in [
        "path = \"/net@b000000\"\nunsafe = true",
        "path = \"/mac@e000000\"\nunsafe = true",
        "base = 0x0700_0000\nlength = 0x1000\nunsafe = true\nirq = 70",
    ] {
        assert_eq!(found(&std::format!("[[passthrough]]\n{text}")).unwrap().len(), 1, "{text}");
    }
}

fn given() -> (AxVMCrateConfig, Vec<HostDevice>) {
    let text = std::format!("{CLOCK}\nbase = 0x0b01_0000");
    let devices = found(&text).unwrap();
    (config(1, &text), devices)
}

fn bench() -> Bench {
    let (config, devices) = given();
    Bench::given(config, devices)
}

#[test]
fn its_registers_are_mapped_where_the_guest_is_to_see_them() {
    let bench = bench();
    let (hpa, flags, _) =
        bench.vm.machine.space.translate(GuestPhysAddr::from_usize(0x0b01_0000)).unwrap();
    assert_eq!(hpa.as_usize(), 0x0901_0000);
    assert!(flags.contains(axaddrspace::MappingFlags::DEVICE));
    assert!(!flags.contains(axaddrspace::MappingFlags::EXECUTE));
    assert!(bench.vm.machine.space.translate(GuestPhysAddr::from_usize(0x0901_0000)).is_none());
}

#[test]
fn its_interrupt_stays_active_until_the_guest_ends_it() {
    let mut bench = bench();
    bench.enable_interrupts();
    // GICD_ISENABLER1.
    bench.store(0, 0x0800_0104, 1 << 2);
    bench.cpu.irqs();
    bench.cpu.pending.lock().unwrap().push_back(34);
    assert_eq!(bench.leaves(0, ExternalInterrupt { vector: 34 }), host_interrupt());
    let linked = handed_over(&bench);
    assert_eq!((linked & LINKED, linked >> 32 & 0x1fff), (LINKED, 34));
    assert!(!bench.vm.host_interrupt(35));
}

#[test]
fn it_does_so_on_a_gicv2_too() {
    let (config, devices) = given();
    let mut bench = Bench::given_on_gicv2(config, devices);
    bench.store(0, GICD, 1);
    bench.store(0, GICD + 0x104, 1 << 2);
    bench.cpu.irqs();
    bench.cpu.pending.lock().unwrap().push_back(34);
    assert_eq!(bench.leaves(0, ExternalInterrupt { vector: GICV2 | 34 }), host_interrupt());
    let linked = handed_over(&bench);
    assert_eq!((linked & LINKED, linked >> 32 & 0x1fff), (LINKED, 34));
}

/// The list register with interrupt 34, which is pending for the guest and active physically.
fn handed_over(bench: &Bench) -> u64 {
    assert_eq!(bench.cpu.irqs(), [Acknowledged(34), Dropped(34)]);
    assert_eq!(bench.cpu.listed(), [(34, PENDING)]);
    bench.cpu.lrs.iter().map(|lr| lr.load(SeqCst)).find(|lr| *lr as u32 == 34).unwrap()
}

#[test]
fn an_interrupt_that_the_guest_takes_back_is_released() {
    let mut bench = bench();
    bench.enable_interrupts();
    assert!(bench.vm.host_interrupt(34));
    // GICD_ICPENDR1: nobody will end what was never listed.
    bench.store(0, 0x0800_0284, 1 << 2);
    assert_eq!(bench.cpu.released(), [34]);
    bench.store(0, 0x0800_0284, 1 << 2);
    assert_eq!(bench.cpu.released(), []);
}

#[test]
fn a_doorbell_cannot_ring_with_the_interrupt_of_a_device() {
    let _vmids = super::host::some_vmids();
    let _host = super::host::Host::new();
    let bell = "[[channel]]\nname = \"c\"\nsize = \"4K\"\npeers = [\"b\"]";
    let text = std::format!("{bell}\n[[passthrough]]\npath = \"/bell@c100000\"");
    let error = make_given(config(1, &text), found(&text).unwrap()).err().unwrap();
    let words = "device passthrough has interrupt 240, which channel c rings: \
                 a VM can have one of them only";
    assert!(error.to_string().ends_with(words), "{error}");
}

#[test]
fn a_vm_without_interrupts_has_devices_without_them() {
    let _vmids = super::host::some_vmids();
    let _host = super::host::Host::new();
    let quiet = std::format!("interrupt_mode = \"none\"\n{CLOCK}");
    let error = make_given(config(1, &quiet), found(&quiet).unwrap()).err().unwrap().to_string();
    let words = "device passthrough has interrupt 34, and with interrupt_mode = \"none\" there is \
                 nothing to interrupt: give it by address, without irq";
    assert!(error.ends_with(words), "{error}");
    let quiet = "interrupt_mode = \"none\"\n[[passthrough]]\nbase = 0x0901_0000\nlength = 0x1000";
    let bench = Bench::given(config(1, quiet), found(quiet).unwrap());
    assert!(!bench.vm.host_interrupt(34));
    let space = &bench.vm.machine.space;
    assert!(space.translate(GuestPhysAddr::from_usize(0x0901_0000)).is_some());
    assert!(bench.vm.machine.bus.find(GuestPhysAddr::from_usize(GICD)).is_none());
}

#[test]
fn passthrough_is_what_emulated_is() {
    let given = std::format!("interrupt_mode = \"passthrough\"\n{CLOCK}");
    let bench = Bench::given(config(1, &given), found(&given).unwrap());
    assert!(bench.vm.host_interrupt(34));
    assert!(bench.vm.machine.bus.find(GuestPhysAddr::from_usize(GICD)).is_some());
}

#[test]
fn an_emulated_device_cannot_have_the_same_interrupt_or_addresses() {
    let _vmids = super::host::some_vmids();
    let _host = super::host::Host::new();
    for (more, words) in [
        ("type = \"console\"\nbase = 0x0a00_0000\nirq = 34", "both have interrupt 34"),
        ("type = \"dummy\"\nbase = 0x0901_0800\nlength = 8", "covers the device"),
    ] {
        let text = std::format!("[[device]]\n{more}\n{CLOCK}");
        let error = make_given(config(1, &text), found(&text).unwrap()).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}
