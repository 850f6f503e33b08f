//! Asking a guest to power off.

use std::vec::Vec;

use axvmconfig::EmulatedDeviceType;

use super::bench::*;
use crate::{Departure, State, StopReason};

/// Registers of the GPIO controller.
const IEV: usize = 0x40c;
const IE: usize = 0x410;
const RIS: usize = 0x414;
const IC: usize = 0x41c;
/// The key's input.
const KEY: u64 = 1 << 3;
/// GICD_ISENABLER and the INTID of the key.
const ENABLE: usize = 0x100;
const INTID: usize = 39;

/// A guest that takes the key's interrupt.
fn listening() -> Bench {
    let mut bench = Bench::new(1);
    bench.enable_interrupts();
    bench.store(0, GICD + 0x80 + INTID / 32 * 4, 1 << (INTID % 32));
    bench.store(0, GICD + ENABLE + INTID / 32 * 4, 1 << (INTID % 32));
    bench.store(0, POWER_BUTTON + IEV, KEY);
    bench.store(0, POWER_BUTTON + IE, KEY);
    bench
}

fn listed(bench: &mut Bench) -> Vec<u32> {
    bench.run(0).unwrap();
    bench.cpu.listed().into_iter().map(|(intid, _)| intid).collect()
}

#[test]
fn a_guest_that_listens_is_interrupted_once_for_a_press() {
    let mut bench = listening();
    assert_eq!(listed(&mut bench), []);
    assert!(bench.vm.press_power_key());
    assert_eq!(listed(&mut bench), [39]);
    assert_eq!(bench.load(0, POWER_BUTTON + (KEY as usize) * 4), KEY, "the key is down");
    assert_eq!(bench.load(0, POWER_BUTTON + RIS), KEY);
    bench.store(0, POWER_BUTTON + IC, KEY);
    bench.vm.release_power_key();
    assert_eq!(bench.load(0, POWER_BUTTON + RIS), 0, "letting go is another edge");
    assert_eq!(bench.load(0, POWER_BUTTON + (KEY as usize) * 4), 0);
}

#[test]
fn a_guest_that_does_not_listen_cannot_be_asked() {
    let mut bench = Bench::new(1);
    assert!(!bench.vm.press_power_key());
    bench.store(0, POWER_BUTTON + IE, !KEY);
    assert!(!bench.vm.press_power_key());
    bench.store(0, POWER_BUTTON + IE, KEY);
    assert!(bench.vm.press_power_key());
}

#[test]
fn a_vm_that_does_not_run_cannot_be_asked() {
    let mut bench = listening();
    bench.vm.pause().unwrap();
    assert!(!bench.vm.press_power_key());
    assert_eq!(bench.vm.departure(0), Departure::Parks);
    bench.slot.evict().unwrap();
    bench.vm.vcpu_parked(0);
    assert_eq!(bench.vm.state(), State::Paused);
    assert!(!bench.vm.press_power_key());
    bench.vm.resume().unwrap();
    assert!(bench.vm.press_power_key());
    bench.stop(StopReason::Operator);
    assert!(!bench.vm.press_power_key());
}

#[test]
fn the_next_run_begins_with_the_key_up_and_nobody_listening() {
    let mut bench = listening();
    assert!(bench.vm.press_power_key());
    bench.stop(StopReason::Operator);
    bench.boot();
    assert_eq!(bench.load(0, POWER_BUTTON + (KEY as usize) * 4), 0);
    assert!(!bench.vm.press_power_key());
    bench.vm.release_power_key();
}

#[test]
fn a_vm_without_a_power_button_cannot_be_asked() {
    let bench = Bench::with(1, "power_button = false");
    let mut devices = bench.vm.config().devices.emu_devices.iter();
    assert!(devices.all(|device| device.emu_type != EmulatedDeviceType::PowerButton));
    assert!(!bench.vm.press_power_key());
    bench.vm.release_power_key();
}
