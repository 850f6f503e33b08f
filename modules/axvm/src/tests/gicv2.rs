//! VMs on a host with a GICv2, which is what they get.

use std::vec;
use std::vec::Vec;

use arm_vcpu::{SliceTimer, gic::GICV2};
use arm_vgic::TIMER_PPI;
use axaddrspace::MappingFlags;
use axvcpu::AxVCpuExitReason::{self, AcknowledgedInterrupt, ExternalInterrupt, Nothing};
use axvmconfig::GicVersion;

use super::bench::*;
use super::host::Irq::{Acknowledged, Deactivated, Dropped};
use super::host::{Host, some_vmids};
use crate::{AxVMError, KICK_SGI, MAINTENANCE_PPI};

impl Bench {
    /// The guest is interrupted by `peeked`, and `acknowledged` is what there is by then.
    fn interrupted_on_gicv2(&mut self, peeked: u32, acknowledged: Option<u32>) -> AxVCpuExitReason {
        self.cpu.pending.lock().unwrap().extend(acknowledged);
        self.leaves(0, ExternalInterrupt { vector: GICV2 | u64::from(peeked) })
    }
}

#[test]
fn the_guest_has_the_hosts_virtual_cpu_interface_as_its_own() {
    let bench = Bench::gicv2(2);
    for page in [0, 0x1000] {
        let (hpa, flags, _) = bench.vm.machine.space.translate(gpa(GICC + page)).unwrap();
        assert_eq!(hpa.as_usize(), GICV + page);
        assert_eq!(flags, MappingFlags::READ | MappingFlags::WRITE | MappingFlags::DEVICE);
    }
    assert!(bench.vm.machine.space.translate(gpa(GICC + 0x2000)).is_none());
    assert!(bench.vm.read_guest(gpa(GICC), &mut [0; 4]).is_err(), "it is no memory");
    let windows: Vec<_> = bench.vm.devices().map(|window| window.gpa.as_usize()).collect();
    assert_eq!(windows, [GICD, UART, POWER_BUTTON]);
}

#[test]
fn the_device_tree_says_so() {
    let bench = Bench::gicv2(2);
    let mut tree = vec![0; 64 << 10];
    bench.vm.read_guest(gpa(RAM), &mut tree).unwrap();
    let fdt = fdt_parser::Fdt::from_bytes(&tree).unwrap();
    let gic = fdt.find_compatible(&["arm,cortex-a15-gic"]).pop().unwrap();
    let windows: Vec<_> = gic.reg().unwrap().iter().map(|reg| (reg.address, reg.size)).collect();
    assert_eq!(windows, [(GICD as u64, Some(0x1000)), (GICC as u64, Some(0x2000))]);
}

#[test]
fn an_sgi_between_vcpus_goes_through_the_distributor() {
    let mut bench = Bench::gicv2(2);
    bench.store(0, GICD, 1);
    bench.port.kicks();
    assert_eq!(bench.load(0, GICD + 0x800), 0x0101_0101);
    bench.store(0, GICD + 0xf00, 0x0001_0003);
    assert_eq!(bench.cpu.listed(), [(3, 1)]);
    bench.store(0, GICD + 0xf00, 0x0002_0003);
    assert_eq!(bench.cpu.listed(), [(3, 1)]);
    assert!(bench.vm.has_interrupt(1));
}

#[test]
fn an_interrupt_is_ended_with_the_sender_it_was_taken_with() {
    let mut bench = Bench::gicv2(1);
    let kick = KICK_SGI | 5 << 10;
    assert_eq!(bench.interrupted_on_gicv2(KICK_SGI, Some(kick)), host_interrupt());
    assert_eq!(bench.cpu.irqs(), [Acknowledged(kick), Dropped(kick), Deactivated(kick)]);
    let host = 7 << 10;
    let reason = bench.interrupted_on_gicv2(KICK_SGI, Some(host));
    assert_eq!(reason, AcknowledgedInterrupt { vector: u64::from(host) });
    assert_eq!(bench.cpu.irqs(), [Acknowledged(host)], "the rest is the host's");
}

#[test]
fn the_other_interrupts_are_those_of_any_host() {
    let mut bench = Bench::gicv2(1);
    bench.store(0, GICD, 1);
    bench.store(0, GICD + 0x100, 1 << TIMER_PPI);
    assert_eq!(bench.interrupted_on_gicv2(TIMER_PPI, Some(TIMER_PPI)), host_interrupt());
    assert_eq!(bench.cpu.irqs(), [Acknowledged(27), Dropped(27)]);
    assert_eq!(bench.cpu.listed(), [(TIMER_PPI, 1)]);
    let maintenance = Some(MAINTENANCE_PPI);
    assert_eq!(bench.interrupted_on_gicv2(MAINTENANCE_PPI, maintenance), host_interrupt());
    assert_eq!(bench.cpu.irqs(), [Acknowledged(25), Dropped(25), Deactivated(25)]);
    assert_eq!(bench.interrupted_on_gicv2(SliceTimer::INTID, None), Nothing);
    assert_eq!(bench.interrupted_on_gicv2(TIMER_PPI, Some(1023)), host_interrupt());
    for intid in [0, 26, 33, 1019, 1023] {
        let vector = u64::from(intid);
        assert_eq!(bench.interrupted_on_gicv2(intid, None), ExternalInterrupt { vector });
    }
    assert_eq!(bench.cpu.irqs(), []);
}

#[test]
fn what_a_gicv2_cannot_be_is_refused_in_words() {
    let _vmids = some_vmids();
    let host = Host::new();
    *host.gicv.lock().unwrap() = Some(GICV.into());
    let text = |config| match refused(&host, config, IMAGES) {
        AxVMError::Unsupported(text) => text,
        error => panic!("{error}"),
    };
    assert_eq!(text(config(9, "")), "a GICv2 serves 1 to 8 vCPUs, not 9");
    let mut v3 = config(1, "");
    v3.devices.gic = Some(GicVersion::V3);
    assert!(text(v3).contains("gic must be \"v2\" on this host"));
}
