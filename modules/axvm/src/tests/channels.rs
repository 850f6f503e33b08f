//! Memory that VMs share: who gets in, who hears the doorbell, what is left when everybody is gone.

use std::format;
use std::string::String;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::vec::Vec;

use axaddrspace::AccessWidth::Dword;
use axaddrspace::MappingFlags;
use axdevice::Near;
use axvmconfig::AxVMCrateConfig;

use super::bench::*;
use super::calls::code;
use super::guest::FakeCpu;
use super::host::{FakeHost, HOST_RAM_SIZE, Host, some_vmids};
use crate::channel::{ChannelError, MAX_HOST_CHANNELS};
use crate::ivc::{IVC_NOTIFY, IVC_STATUS};
use crate::{AxVMError, AxVMRef, Boot, Ports};

const WINDOW: usize = 0x0b00_0000;
const NOT_PERMITTED: u64 = code(-3);
const DOORBELL: u64 = 1 << 16;
/// The word of SPIs 224 to 255 in a bank of the distributor.
const WORD: usize = 28;

/// A VM with lines of channels.
fn member(name: &str, channels: &str) -> AxVMCrateConfig {
    let text = format!("name = \"{name}\"\nmemory = \"4M\"\nkernel = \"k\"\n{channels}");
    AxVMCrateConfig::from_toml("test.toml", &text).unwrap()
}

fn channel(name: &str, peers: &str, more: &str) -> String {
    format!("[[channel]]\nname = \"{name}\"\nsize = \"8K\"\npeers = [{peers}]\n{more}\n")
}

/// A booted VM beside that of a bench, and the way to its vCPUs.
fn second(host: &Host, config: AxVMCrateConfig) -> (AxVMRef<FakeHost, FakeCpu>, Arc<Port>) {
    let port = Arc::new(Port::default());
    let ports = Ports {
        console: port.clone(),
        vcpus: port.clone(),
        channels: host.channels,
        devices: std::vec::Vec::new(),
    };
    let vm = Vm::new(2, config, IMAGES, ports).unwrap();
    vm.boot(Boot::Operator).unwrap();
    (vm, port)
}

fn load(vm: &Vm, addr: usize) -> u64 {
    vm.machine.bus.read(&mut Near::default(), gpa(addr), Dword, 0).unwrap()
}

fn store(vm: &Vm, addr: usize, value: u64) {
    vm.machine.bus.write(&mut Near::default(), gpa(addr), Dword, value, 0).unwrap();
}

/// Makes the first doorbell of `vm` one that reaches its vCPU.
fn listen(vm: &Vm) {
    store(vm, GICD, 0b10);
    store(vm, GICD + 0x80 + WORD, DOORBELL);
    store(vm, GICD + 0x100 + WORD, DOORBELL);
}

fn error_of(vm: AxVMCrateConfig) -> ChannelError {
    match make(9, vm, IMAGES) {
        Err(AxVMError::Channel(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the VM was made"),
    }
}

#[test]
fn what_one_member_writes_the_others_read_and_nobody_executes() {
    let bench = Bench::created(member("a", &channel("c", "\"b\"", "")), IMAGES);
    let (other, _) = second(&bench.host, member("b", &channel("c", "\"a\"", "access = \"r\"")));
    let mut seen = [1; 8];
    other.read_guest(gpa(WINDOW), &mut seen).unwrap();
    assert_eq!(seen, [0; 8], "it comes zeroed");
    bench.vm.write_guest(gpa(WINDOW + 0x1ff8), b"messages").unwrap();
    other.read_guest(gpa(WINDOW + 0x1ff8), &mut seen).unwrap();
    assert_eq!(&seen, b"messages");
    assert!(other.write_guest(gpa(WINDOW), &seen).is_err(), "it may only read");
    assert!(bench.vm.read_guest(gpa(WINDOW + 0x2000), &mut seen).is_err(), "nothing behind it");
    for (vm, flags) in
        [(&bench.vm, MappingFlags::READ | MappingFlags::WRITE), (&other, MappingFlags::READ)]
    {
        assert_eq!(vm.machine.space.translate(gpa(WINDOW)).unwrap().1, flags);
    }
}

#[test]
fn a_doorbell_rings_at_all_others_and_not_at_the_caller() {
    let mut bench = Bench::created(member("a", &channel("c", "\"b\"", "")), IMAGES);
    bench.boot();
    assert_eq!(bench.calls(0, IVC_STATUS.into(), [0; 3]), 0, "nobody is there yet");
    assert_eq!(bench.calls(0, IVC_NOTIFY.into(), [0; 3]), 0);
    let (other, port) = second(&bench.host, member("b", &channel("c", "\"a\"", "")));
    listen(&other);
    listen(&bench.vm);
    port.kicks();
    assert_eq!(bench.calls(0, IVC_STATUS.into(), [0; 3]), 1);
    assert_eq!(load(&other, GICD + 0x200 + WORD) & DOORBELL, 0);
    assert_eq!(bench.calls(0, IVC_NOTIFY.into(), [0; 3]), 1);
    assert_eq!(port.kicks(), [0]);
    assert_eq!(load(&other, GICD + 0x200 + WORD) & DOORBELL, DOORBELL);
    assert_eq!(load(&bench.vm, GICD + 0x200 + WORD) & DOORBELL, 0);
    drop(other);
    assert_eq!(bench.calls(0, IVC_STATUS.into(), [0; 3]), 0, "it left");
    assert_eq!(bench.calls(0, IVC_NOTIFY.into(), [0; 3]), 0);
}

#[test]
fn a_channel_that_is_not_the_callers_is_not_permitted_whether_it_exists_or_not() {
    let mut bench = Bench::created(member("a", &channel("c", "\"b\"", "")), IMAGES);
    bench.boot();
    let theirs = format!("{}{}", channel("c", "\"a\"", ""), channel("secret", "\"x\"", ""));
    let (other, port) = second(&bench.host, member("b", &theirs));
    port.kicks();
    for forged in [1, 2, 16, 1 << 32, u64::from(u32::MAX), u64::MAX] {
        for call in [IVC_STATUS, IVC_NOTIFY] {
            assert_eq!(bench.calls(0, call.into(), [forged; 3]), NOT_PERMITTED, "{forged:#x}");
        }
    }
    assert_eq!(bench.calls(0, u64::from(IVC_NOTIFY) | 0xdead_beef << 32, [0; 3]), 1, "junk above");
    assert_eq!(load(&other, GICD + 0x200 + WORD) & (DOORBELL << 1), 0);
}

#[test]
fn both_sides_have_to_name_each_other_and_agree_on_the_size() {
    let bench = Bench::created(member("a", &channel("c", "\"b\", \"d\"", "")), IMAGES);
    let free = bench.host.free_bytes();
    let stranger = error_of(member("x", &channel("c", "\"a\"", "")));
    let text = "channel c: a does not share it with x; \
                it would have to be among the peers in a's configuration";
    assert_eq!(format!("{stranger}"), text);
    let shy = error_of(member("b", &channel("c", "\"d\"", "")));
    assert!(
        matches!(shy, ChannelError::NotNamed { stranger, by, .. } if (&*stranger, &*by) == ("a", "b"))
    );
    let bigger = "[[channel]]\nname = \"c\"\nsize = \"64K\"\npeers = [\"a\"]\n";
    let size = error_of(member("b", bigger));
    assert!(matches!(size, ChannelError::Size { size: 0x2000, wanted: 0x1_0000, .. }));
    let twice = error_of(member("a", &channel("c", "\"b\", \"d\"", "")));
    assert!(matches!(twice, ChannelError::Twice { .. }));
    let (_b, _) = second(&bench.host, member("b", &channel("c", "\"a\"", "")));
    let third = error_of(member("d", &channel("c", "\"a\", \"b\"", "")));
    assert!(
        matches!(third, ChannelError::NotNamed { stranger, by, .. } if (&*stranger, &*by) == ("d", "b"))
    );
    drop(_b);
    assert_eq!(bench.host.free_bytes(), free, "who is refused keeps nothing");
    assert_eq!(bench.vm.channels().map(|channel| channel.peers_present).collect::<Vec<_>>(), [0]);
}

#[test]
fn only_the_first_in_a_channel_brings_its_memory() {
    let both = format!("{}{}", channel("c", "\"b\"", ""), channel("d", "\"b\"", ""));
    let wanted = member("a", &both).devices.channels;
    let _vmids = some_vmids();
    let host = Host::new();
    assert_eq!(host.channels.bytes_to_bring(&wanted), 0x4000);
    let other = make(1, member("b", &channel("c", "\"a\"", "")), IMAGES).unwrap();
    assert_eq!(host.channels.bytes_to_bring(&wanted), 0x2000);
    drop(other);
    assert_eq!(host.channels.bytes_to_bring(&wanted), 0x4000);
}

#[test]
fn the_last_one_out_gives_the_memory_back_zeroed() {
    let _vmids = some_vmids();
    let host = Host::new();
    let first = make(1, member("a", &channel("c", "\"b\"", "")), IMAGES).unwrap();
    let (other, _) = second(&host, member("b", &channel("c", "\"a\"", "")));
    let (hpa, ..) = first.machine.space.translate(gpa(WINDOW)).unwrap();
    first.write_guest(gpa(WINDOW), &[7; 8]).unwrap();
    drop(first);
    let mut seen = [0; 8];
    other.read_guest(gpa(WINDOW), &mut seen).unwrap();
    assert_eq!(seen, [7; 8], "it stays while somebody is there");
    let again = make(1, member("a", &channel("c", "\"b\"", "")), IMAGES).unwrap();
    again.read_guest(gpa(WINDOW), &mut seen).unwrap();
    assert_eq!(seen, [7; 8], "who comes back finds it");
    drop((again, other));
    assert_eq!(host.word(hpa.as_usize()).load(SeqCst), 0);
    assert_eq!(host.free_bytes(), HOST_RAM_SIZE);
}

#[test]
fn a_host_has_so_many_channels_and_no_more() {
    let _vmids = some_vmids();
    let host = Host::new();
    let small = |from: usize, count: usize| -> String {
        let names = (from..from + count).map(|number| format!("n{number}"));
        names.map(|name| channel(&name, "\"z\"", "").replace("8K", "4K")).collect()
    };
    let text = |from, count| {
        let memory = "name = \"v\"\nmemory = \"3M\"\nkernel = \"k\"\n";
        AxVMCrateConfig::from_toml("t", &format!("{memory}{}", small(from, count))).unwrap()
    };
    let vms: Vec<_> = (0..MAX_HOST_CHANNELS / 16)
        .map(|vm| make(vm, text(vm * 16, 16), IMAGES).unwrap())
        .collect();
    let free = host.free_bytes();
    let error = error_of(text(900, 2));
    assert!(matches!(error, ChannelError::Quota { .. }));
    assert_eq!(host.free_bytes(), free);
    assert_eq!(axerrno::AxError::from(AxVMError::Channel(error)), axerrno::AxError::ResourceBusy);
    drop(vms);
    assert!(make(1, text(900, 16), IMAGES).is_ok(), "what is gone does not count");
    assert_eq!(host.free_bytes(), HOST_RAM_SIZE);
}

#[test]
fn without_memory_for_a_channel_there_is_no_vm() {
    let _vmids = some_vmids();
    let host = Host::new();
    let big = "[[channel]]\nname = \"c\"\nsize = \"14M\"\npeers = [\"b\"]\n";
    let error = error_of(member("a", big));
    assert!(matches!(error, ChannelError::NoMemory { size: 0xe0_0000, .. }));
    assert_eq!(host.free_bytes(), HOST_RAM_SIZE);
}

#[test]
fn a_reset_silences_a_doorbell_and_keeps_the_memory() {
    let mut bench = Bench::created(member("a", &channel("c", "\"b\"", "")), IMAGES);
    bench.boot();
    let (other, _) = second(&bench.host, member("b", &channel("c", "\"a\"", "")));
    bench.vm.write_guest(gpa(WINDOW), &[7; 8]).unwrap();
    other.machine.channels.first().unwrap().ring_others();
    assert_ne!(load(&bench.vm, GICD + 0x200 + WORD) & DOORBELL, 0);
    bench.stop(crate::StopReason::Operator);
    bench.vm.boot(Boot::Operator).unwrap();
    assert_eq!(load(&bench.vm, GICD + 0x200 + WORD) & DOORBELL, 0);
    let mut seen = [0; 8];
    bench.vm.read_guest(gpa(WINDOW), &mut seen).unwrap();
    assert_eq!(seen, [7; 8]);
}

#[test]
fn the_device_tree_says_where_a_channel_is_and_what_rings() {
    let config = member("a", &channel("c", "\"b\", \"d\"", "access = \"r\""));
    let map = crate::describe(&config, &IMAGES, &crate::KnownHost::default()).unwrap();
    assert!(format!("{map}").contains("channel c (r), interrupt 240"), "{map}");
    let tree = fdt_parser::base::Fdt::from_bytes(&map.tree).unwrap();
    let mut nodes = tree.all_nodes().map(Result::unwrap);
    let node = nodes.find(|node| node.name() == "ivc@b000000").unwrap();
    let raw = |name| node.find_property(name).unwrap().raw_value().to_vec();
    assert_eq!(raw("interrupts"), [0, 0, 0, 0, 0, 0, 0, 208, 0, 0, 0, 1]);
    assert_eq!(raw("axle,channel"), [0; 4]);
    assert_eq!(raw("reg"), [0, 0, 0, 0, 0xb, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0]);
    assert!(raw("axle,peers").starts_with(b"b\0d\0"));
    assert!(node.find_property("read-only").is_ok());
}
