//! Making a VM of its configuration, or refusing to and keeping nothing.

use std::string::ToString;
use std::sync::atomic::Ordering::SeqCst;
use std::vec::Vec;

use axaddrspace::AddrSpaceError;
use axdevice::BusError;
use axvmconfig::{
    AxVMCrateConfig, EmulatedDeviceConfig, EmulatedDeviceType, GicVersion, MapType,
    PassThroughDeviceConfig, RegionFlags, VmMemConfig,
};

use super::bench::*;
use super::host::{HOST_RAM, HOST_RAM_SIZE, Host, all_vmids, some_vmids};
use crate::{AxVMError, vmids_in_use};

const MIB: usize = 1 << 20;

fn region(gpa: usize, size: usize, map_type: MapType) -> VmMemConfig {
    VmMemConfig { gpa, size, flags: RegionFlags::RWX, map_type }
}

fn with_regions(regions: &[VmMemConfig]) -> AxVMCrateConfig {
    let mut config = config(1, "");
    config.memory_regions = regions.to_vec();
    config
}

fn device(base_gpa: usize, length: usize, emu_type: EmulatedDeviceType) -> EmulatedDeviceConfig {
    let name = "extra".to_string();
    EmulatedDeviceConfig { name, base_gpa, length, irq_id: 0, emu_type, cfg_list: Vec::new() }
}

fn with_device(extra: EmulatedDeviceConfig) -> AxVMCrateConfig {
    let mut config = config(1, "");
    config.devices.emu_devices.push(extra);
    config
}

#[test]
fn allocated_memory_comes_from_anywhere_and_goes_back() {
    let _vmids = some_vmids();
    let host = Host::new();
    let regions = [region(RAM, 4 * MIB, MapType::Alloc), region(1 << 38, MIB, MapType::Alloc)];
    let vm = make(1, with_regions(&regions), IMAGES).unwrap();
    let tables = vm.table_bytes();
    assert_eq!(HOST_RAM_SIZE - host.free_bytes(), 5 * MIB + tables);
    drop(vm);
    assert_eq!(host.free_bytes(), HOST_RAM_SIZE);
}

#[test]
fn identical_memory_is_taken_where_it_is_zeroed_and_goes_back() {
    let _vmids = some_vmids();
    let host = Host::new();
    let base = HOST_RAM + 4 * MIB;
    let vm = make(1, with_regions(&[region(base, 4 * MIB, MapType::Identical)]), IMAGES).unwrap();
    let (hpa, ..) = vm.machine.space.translate(gpa(base + 0x1234)).unwrap();
    assert_eq!(hpa.as_usize(), base + 0x1234);
    assert_eq!(host.word(base + 0x1000).load(SeqCst), 0);
    vm.write_guest(gpa(base), &[7; 8]).unwrap();
    drop(vm);
    assert_eq!(host.word(base).load(SeqCst), 0, "nobody finds what the guest left");
    assert_eq!(host.free_bytes(), HOST_RAM_SIZE);
}

#[test]
fn identical_memory_that_is_not_free_is_an_error_that_names_it() {
    let _vmids = some_vmids();
    let host = Host::new();
    host.take(HOST_RAM + 6 * MIB, 4096);
    let regions = [
        region(RAM, 2 * MIB, MapType::Alloc),
        region(HOST_RAM + 10 * MIB, 2 * MIB, MapType::Identical),
        region(HOST_RAM + 4 * MIB, 4 * MIB, MapType::Identical),
    ];
    let error = refused(&host, with_regions(&regions), IMAGES);
    let base = (HOST_RAM + 4 * MIB).into();
    assert_eq!(error, AxVMError::NotFree { base, size: 4 * MIB });
    assert_eq!(
        sentence(&error),
        "the host has no 0x400000 free bytes at 0x80400000; see `host mem` for what is free"
    );
    assert_eq!(axerrno::AxError::from(error), axerrno::AxError::NoMemory);
    let outside = [region(0x7000_0000, 4 * MIB, MapType::Identical)];
    let error = refused(&host, with_regions(&outside), IMAGES);
    assert!(sentence(&error).contains("0x70000000"), "{error}");
}

#[test]
fn reserved_memory_is_not_supported_and_says_what_is() {
    let _vmids = some_vmids();
    let host = Host::new();
    let base = HOST_RAM + 8 * MIB;
    let regions = [region(RAM, 4 * MIB, MapType::Alloc), region(base, 4 * MIB, MapType::Reserved)];
    let error = refused(&host, with_regions(&regions), IMAGES);
    let AxVMError::Unsupported(text) = &error else { panic!("{error}") };
    assert!(text.contains("0x80800000") && text.contains("\"identical\""), "{text}");
}

#[test]
fn memory_over_a_device_is_refused_by_name() {
    let _vmids = some_vmids();
    let host = Host::new();
    for (base, size, device) in [
        (GICD - MIB, MIB + 4096, "gicd"),
        (GICD + 0xf000, 4096, "gicd"),
        (GICR + 0x1_f000, MIB, "gicr"),
        (UART, 4096, "console"),
    ] {
        let regions = [region(RAM, 4 * MIB, MapType::Alloc), region(base, size, MapType::Alloc)];
        let error = refused(&host, with_regions(&regions), IMAGES);
        assert!(sentence(&error).contains(device), "{error}");
    }
    let beside = [region(RAM, 4 * MIB, MapType::Alloc), region(UART + 4096, 4096, MapType::Alloc)];
    drop(make(1, with_regions(&beside), IMAGES).unwrap());
}

#[test]
fn the_flags_of_a_region_are_kept() {
    let _vmids = some_vmids();
    let _host = Host::new();
    let mut regions =
        [region(RAM, 4 * MIB, MapType::Alloc), region(0x5000_0000, MIB, MapType::Alloc)];
    regions[1].flags = RegionFlags::READ;
    let vm = make(1, with_regions(&regions), IMAGES).unwrap();
    let (_, flags, _) = vm.machine.space.translate(gpa(0x5000_0000)).unwrap();
    assert_eq!(flags & !axaddrspace::MappingFlags::USER, axaddrspace::MappingFlags::READ);
    assert!(vm.write_guest(gpa(0x5000_0000), &[0]).is_err());
}

#[test]
fn regions_that_overlap_are_refused_by_name() {
    let _vmids = some_vmids();
    let host = Host::new();
    for second in [MapType::Alloc, MapType::Identical] {
        let regions = [
            region(HOST_RAM, 4 * MIB, MapType::Alloc),
            region(HOST_RAM + 2 * MIB, 4 * MIB, second),
        ];
        let error = refused(&host, with_regions(&regions), IMAGES);
        assert!(!sentence(&error).is_empty());
        if second != MapType::Identical {
            let AxVMError::Memory(AddrSpaceError::Overlap { gpa: wanted, with, .. }) = error else {
                panic!("{error}");
            };
            assert_eq!(wanted, gpa(HOST_RAM + 2 * MIB));
            assert_eq!(with, gpa(HOST_RAM));
        }
    }
}

#[test]
fn memory_beyond_what_can_be_translated_is_refused() {
    let _vmids = some_vmids();
    let host = Host::new();
    for (base, size) in [(1 << 39, MIB), ((1 << 39) - MIB, 2 * MIB), (1 << 40, MIB)] {
        let regions = [region(RAM, 4 * MIB, MapType::Alloc), region(base, size, MapType::Alloc)];
        let error = refused(&host, with_regions(&regions), IMAGES);
        assert!(matches!(error, AxVMError::Memory(AddrSpaceError::OutOfRange { .. })), "{error}");
    }
}

#[test]
fn more_memory_than_the_host_has_is_refused() {
    let _vmids = some_vmids();
    let host = Host::new();
    let error = refused(&host, with_regions(&[region(RAM, 64 * MIB, MapType::Alloc)]), IMAGES);
    assert!(matches!(error, AxVMError::Memory(AddrSpaceError::NoMemory { .. })), "{error}");
    host.exhaust();
    let error = refused(&host, config(1, ""), IMAGES);
    assert!(matches!(error, AxVMError::Memory(AddrSpaceError::NoMemory { .. })), "{error}");
}

#[test]
fn vms_until_memory_ends_and_one_deleted_makes_room_for_one() {
    let _vmids = some_vmids();
    let host = Host::new();
    let mut vms = Vec::new();
    let error = loop {
        match make(vms.len(), config(1, ""), IMAGES) {
            Ok(vm) => vms.push(vm),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AxVMError::Memory(_)), "{error}");
    assert_eq!(vms.len(), 3);
    vms.remove(1);
    vms.push(make(7, config(1, ""), IMAGES).unwrap());
    drop(vms);
    assert_eq!(host.free_bytes(), HOST_RAM_SIZE);
}

#[test]
fn devices_that_overlap_are_refused_by_name() {
    let _vmids = some_vmids();
    let host = Host::new();
    for (base, other) in [(GICD + 0x100, "gicd"), (GICR + 0x1_0000, "gicr"), (UART, "console")] {
        let bad = with_device(device(base, 0x1000, EmulatedDeviceType::Dummy));
        let error = refused(&host, bad, IMAGES);
        let AxVMError::Bus(BusError::Overlap { first, second }) = &error else { panic!("{error}") };
        assert_eq!((first.as_str(), second.as_str()), (other, "extra"));
        assert!(sentence(&error).contains(other));
    }
    let bad = with_device(device(0x0c00_0000, 0, EmulatedDeviceType::Dummy));
    assert!(matches!(refused(&host, bad, IMAGES), AxVMError::Bus(BusError::Empty { .. })));
    let bad = with_device(device(usize::MAX - 7, 64, EmulatedDeviceType::Dummy));
    assert!(matches!(refused(&host, bad, IMAGES), AxVMError::Bus(BusError::PastEnd { .. })));
}

#[test]
fn a_dummy_device_reads_as_zero_and_ignores_writes() {
    let extra = device(0x0c00_0000, 0x1000, EmulatedDeviceType::Dummy);
    let mut bench = Bench::created(with_device(extra), IMAGES);
    bench.boot();
    bench.store(0, 0x0c00_0010, 0xffff_ffff);
    assert_eq!(bench.load(0, 0x0c00_0010), 0);
}

#[test]
fn an_interrupt_controller_goes_where_the_configuration_says() {
    let mut config = config(2, "");
    let (gicd, gicr) = (0x0c00_0000, 0x0d00_0000);
    let mut distributor = device(gicd, 0x1_0000, EmulatedDeviceType::GicDistributor);
    distributor.name = "d".into();
    config.devices.emu_devices.push(distributor);
    config.devices.emu_devices.push(device(gicr, 0x4_0000, EmulatedDeviceType::GicRedistributor));
    let mut bench = Bench::created(config, IMAGES);
    bench.boot();
    bench.store(0, gicd, 0b11);
    assert_eq!(bench.load(0, gicd) & 3, 3);
    assert_eq!(bench.load(0, gicr + 8) >> 4 & 1, 0);
    assert_eq!(bench.load(0, gicr + GICR_STRIDE + 8) >> 4 & 1, 1, "the last one");
    let mut windows = bench.vm.devices().map(|window| window.gpa.as_usize());
    assert!(windows.all(|base| base != GICD && base != GICR));
}

#[test]
fn what_is_not_supported_is_refused_in_words() {
    let _vmids = some_vmids();
    let host = Host::new();
    let text = |config: AxVMCrateConfig| {
        let error = refused(&host, config, IMAGES);
        let AxVMError::Unsupported(text) = &error else { panic!("{error}") };
        assert_eq!(sentence(&error), *text);
        text.clone()
    };
    let mut bad = config(1, "");
    bad.devices.gic = Some(GicVersion::V2);
    assert!(text(bad).contains("gic must be \"v3\" on this host"));
    let mut bad = config(1, "");
    let (base_gpa, base_hpa) = (0x0b00_0000, 0x0b00_0000);
    let name = "net".to_string();
    let net = PassThroughDeviceConfig {
        name,
        base_gpa,
        base_hpa,
        length: 4096,
        irq_id: 0,
        path: None,
        allow_unsafe: false,
    };
    bad.devices.passthrough_devices.push(net);
    assert!(text(bad).contains("passthrough"));
    for model in [
        EmulatedDeviceType::IvcChannel,
        EmulatedDeviceType::GicIts,
        EmulatedDeviceType::Plic,
        EmulatedDeviceType::VirtioBlk,
        EmulatedDeviceType::VirtioNet,
        EmulatedDeviceType::VirtioConsole,
    ] {
        let said = text(with_device(device(0x0c00_0000, 0x1000, model)));
        assert!(said.contains("extra") && said.contains("not supported"), "{said}");
    }
    for vcpus in [0, 65, usize::MAX >> 8] {
        let mut bad = config(1, "");
        bad.base.cpu_num = vcpus;
        assert!(text(bad).contains("1 to 64 vCPUs"), "{vcpus}");
    }
}

#[test]
fn a_console_with_an_interrupt_nobody_delivers_is_refused() {
    let _vmids = some_vmids();
    let host = Host::new();
    for irq in [256, 1019, 31, 1020, usize::MAX] {
        let mut bad = config(1, "");
        bad.devices.emu_devices[0].irq_id = irq;
        let error = refused(&host, bad, IMAGES);
        assert!(matches!(error, AxVMError::Unsupported(_)), "{error}");
        assert!(sentence(&error).contains(&irq.to_string()), "{error}");
    }
    for irq in [0, 32, 255] {
        let mut good = config(1, "");
        good.devices.emu_devices[0].irq_id = irq;
        drop(make(1, good, IMAGES).unwrap());
    }
}

#[test]
fn a_console_without_an_interrupt_is_asked_by_the_guest() {
    let mut quiet = config(1, "");
    quiet.devices.emu_devices[0].irq_id = 0;
    let mut bench = Bench::created(quiet, IMAGES);
    bench.boot();
    bench.enable_interrupts();
    bench.store(0, UART + 0x38, 1 << 4);
    assert_eq!(bench.vm.console_input(b"x"), 1);
    bench.run(0).unwrap();
    assert_eq!(bench.cpu.listed(), []);
    assert_eq!(bench.load(0, UART), u64::from(b'x'));
}

#[test]
fn a_vcpu_that_cannot_be_made_gives_everything_back() {
    let _vmids = all_vmids();
    let host = Host::new();
    for vcpu in 0..3 {
        host.refuses_vcpu.store(vcpu, SeqCst);
        let before = vmids_in_use();
        let error = refused(&host, config(3, ""), IMAGES);
        assert_eq!(error, AxVMError::Vcpu(axerrno::AxError::NoMemory));
        assert_eq!(vmids_in_use(), before);
    }
}

#[test]
fn every_vm_has_its_own_vmid_and_gives_it_back() {
    let _vmids = all_vmids();
    let host = Host::new();
    assert_eq!(vmids_in_use(), 0);
    let vms: Vec<_> = (1..=3).map(|id| make(id, config(1, ""), IMAGES).unwrap()).collect();
    let mut vmids: Vec<u16> = (1..=3).map(|id| host.guest(id, 0).see().vmid).collect();
    assert_eq!(vmids_in_use(), 3);
    assert_eq!(*host.vmids_forgotten.lock().unwrap(), vmids, "no translation of one before");
    vmids.sort_unstable();
    vmids.dedup();
    assert_eq!(vmids.len(), 3);
    assert!(!vmids.contains(&0));
    drop(vms);
    assert_eq!(vmids_in_use(), 0);
}

#[test]
fn three_hundred_vms_one_after_the_other_never_run_out_of_vmids() {
    let _vmids = all_vmids();
    let host = Host::new();
    let keeps = make(0, config(1, ""), IMAGES).unwrap();
    let kept = host.guest(0, 0).see().vmid;
    for id in 1..=300 {
        drop(make(id, config(1, ""), IMAGES).unwrap());
        assert_ne!(host.guest(id, 0).see().vmid, kept);
    }
    assert_eq!(vmids_in_use(), 1);
    drop(keeps);
    assert_eq!(vmids_in_use(), 0);
}

#[test]
fn vmids_run_out_with_a_sentence() {
    let _vmids = all_vmids();
    let host = Host::new();
    let all: Vec<_> =
        core::iter::from_fn(|| crate::vmid::Vmid::new::<super::guest::FakeCpu>().ok()).collect();
    assert_eq!(all.len(), 255);
    let error = refused(&host, config(1, ""), IMAGES);
    assert_eq!(sentence(&error), "all VMIDs are in use: delete a VM first");
    drop(all);
    drop(make(1, config(1, ""), IMAGES).unwrap());
}

#[test]
fn a_vm_tells_what_it_is() {
    let bench = Bench::created(config(3, "phys_cpu_sets = [1, 2, 12]"), IMAGES);
    let vm = &bench.vm;
    assert_eq!((vm.id(), vm.name(), vm.vcpu_num()), (1, "test", 3));
    assert_eq!(vm.vcpu_list().count(), 3);
    assert_eq!(vm.config().memory_total(), RAM_SIZE);
    let last = vm.vcpu(2).unwrap();
    assert_eq!((last.id(), last.vm_id(), last.is_bsp()), (2, 1, false));
    assert_eq!((last.favor_phys_cpu(), last.phys_cpu_set()), (2, Some(0b1100)));
    assert!(vm.vcpu(0).unwrap().is_bsp());
}

#[test]
fn a_vm_without_a_console_takes_no_input() {
    let bench = Bench::with(1, "console = false");
    assert_eq!(bench.vm.console_input(b"hello"), 0);
}
