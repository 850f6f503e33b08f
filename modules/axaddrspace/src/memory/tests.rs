//! Copies across pages and regions, and everything that must be refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

use std::{vec, vec::Vec};

use axerrno::AxError;

use super::*;
use crate::fake::{Event, Fake, Machine, RAM_BASE, Random};
use crate::stage2::PAGE;

const MIB_2: usize = 1 << 21;
const BASE: usize = 0x4000_0000;
const DEVICE: usize = 0x900_0000;
const ROM: usize = 0x800_0000;
const RW: MappingFlags = MappingFlags::READ.union(MappingFlags::WRITE);

fn gpa(address: usize) -> GuestPhysAddr {
    address.into()
}

/// RAM of four regions without a gap from `BASE` to `BASE` + 10 MiB, a read-only page, a device.
fn guest() -> (Machine, AddrSpace<Fake>) {
    let machine = Machine::new(16 * MIB_2);
    machine.take(RAM_BASE + 15 * MIB_2, MIB_2);
    let mut space = AddrSpace::new_empty(gpa(0), 1 << 39).unwrap();
    space.map_alloc(gpa(BASE), 3 * MIB_2 - PAGE, RW).unwrap();
    let linear = (RAM_BASE + 15 * MIB_2).into();
    space.map_linear(gpa(BASE + 3 * MIB_2 - PAGE), linear, MIB_2, RW).unwrap();
    space.map_alloc(gpa(BASE + 4 * MIB_2 - PAGE), PAGE, RW).unwrap();
    space.map_alloc(gpa(BASE + 4 * MIB_2), MIB_2, RW).unwrap();
    space.map_alloc(gpa(ROM), PAGE, MappingFlags::READ).unwrap();
    space.map_linear(gpa(DEVICE), 0.into(), PAGE, RW | MappingFlags::DEVICE).unwrap();
    machine.events();
    (machine, space)
}

#[test]
#[cfg_attr(miri, ignore = "it copies hundreds of megabytes")]
fn copies_cross_pages_blocks_and_regions() {
    let (_machine, space) = guest();
    let mut random = Random(7);
    let size = 5 * MIB_2;
    let mut model = vec![0u8; size];
    for round in 0..200u8 {
        let at = random.below(size);
        let most = [16, 5000, MIB_2 * 2][random.below(3)];
        let length = 1 + random.below((size - at).min(most));
        if random.below(2) == 0 {
            let data: Vec<u8> =
                (0..length).map(|i| round.wrapping_add(i.to_le_bytes()[0])).collect();
            space.write(gpa(BASE + at), &data).unwrap();
            model[at..at + length].copy_from_slice(&data);
        } else {
            let mut out = vec![0xee; length];
            space.read(gpa(BASE + at), &mut out).unwrap();
            assert!(out == model[at..at + length]);
        }
    }
    let mut all = vec![0xee; size];
    space.read(gpa(BASE), &mut all).unwrap();
    assert!(all == model);
}

#[test]
fn values_have_the_guests_byte_order() {
    let (_machine, space) = guest();
    space.write(gpa(BASE), &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    assert_eq!(space.read_of::<u8>(gpa(BASE + 7)), Ok(8));
    assert_eq!(space.read_of::<u16>(gpa(BASE + 2)), Ok(0x0403));
    assert_eq!(space.read_of::<u32>(gpa(BASE + 4)), Ok(0x0807_0605));
    assert_eq!(space.read_of::<u64>(gpa(BASE)), Ok(0x0807_0605_0403_0201));
}

#[test]
fn a_misaligned_value_is_refused() {
    let (_machine, space) = guest();
    for offset in 1..8 {
        let at = gpa(BASE + offset);
        let refused = AddrSpaceError::MisalignedValue { gpa: at, size: 8 };
        assert_eq!(space.read_of::<u64>(at), Err(refused));
        assert_eq!(space.write_of(at, 0u64), Err(refused));
        assert_eq!(AxError::from(refused), AxError::InvalidInput);
    }
}

#[test]
fn nothing_is_copied_when_part_of_the_range_is_not_memory() {
    let (_machine, space) = guest();
    let end = BASE + 5 * MIB_2;
    let mut out = [9; 64];
    let refused = AddrSpaceError::NotMapped { gpa: gpa(end) };
    assert_eq!(space.read(gpa(end - 32), &mut out), Err(refused));
    assert_eq!(out, [9; 64]);
    assert_eq!(space.write(gpa(end - 32), &out), Err(refused));
    assert_eq!(space.read_of::<u64>(gpa(end - 8)), Ok(0));
    assert_eq!(AxError::from(refused), AxError::InvalidInput);
}

#[test]
fn ranges_that_wrap_are_refused() {
    let (_machine, space) = guest();
    for at in [usize::MAX, usize::MAX - 7, 1 << 39, (1 << 39) - 4, 1 << 63] {
        let mut out = [0; 16];
        assert!(space.read(gpa(at), &mut out).is_err(), "{at:#x}");
        assert!(space.write(gpa(at), &out).is_err(), "{at:#x}");
        assert!(space.write_image(gpa(at), &out).is_err(), "{at:#x}");
    }
    assert!(space.read_of::<u64>(gpa(usize::MAX - 7)).is_err());
    assert!(space.read_of::<u8>(gpa(usize::MAX)).is_err());
    assert_eq!(space.read(gpa(usize::MAX), &mut []), Ok(()));
}

#[test]
fn a_passthrough_device_is_not_memory() {
    let (_machine, space) = guest();
    let refused = AddrSpaceError::NotRam { gpa: gpa(DEVICE) };
    assert_eq!(space.read_of::<u32>(gpa(DEVICE)), Err(refused));
    assert_eq!(space.write_of(gpa(DEVICE), 1u8), Err(refused));
    assert_eq!(space.write_image(gpa(DEVICE), &[1]), Err(refused));
}

#[test]
fn read_only_memory_is_written_by_the_loader_alone() {
    let (_machine, space) = guest();
    let refused = AddrSpaceError::ReadOnly { gpa: gpa(ROM) };
    assert_eq!(space.write(gpa(ROM), &[1]), Err(refused));
    assert_eq!(space.write_of(gpa(ROM), 1u32), Err(refused));
    assert_eq!(AxError::from(refused), AxError::PermissionDenied);
    space.write_image(gpa(ROM), b"firmware").unwrap();
    assert_eq!(space.read_of::<u64>(gpa(ROM)), Ok(u64::from_le_bytes(*b"firmware")));
}

#[test]
fn a_copy_is_right_however_its_two_sides_are_aligned() {
    let (_machine, space) = guest();
    let data: Vec<u8> = (0..128).collect();
    // Miri is slow.
    let step = if cfg!(miri) { 7 } else { 1 };
    let below = |end: usize| (0..end).step_by(step);
    for (from, to, length) in below(17)
        .flat_map(|from| below(17).flat_map(move |to| below(67).map(move |len| (from, to, len))))
    {
        space.write(gpa(BASE), &[0xee; 128]).unwrap();
        space.write(gpa(BASE + to), &data[from..from + length]).unwrap();
        let mut out = [0; 128];
        space.read(gpa(BASE), &mut out).unwrap();
        assert_eq!(out[to..to + length], data[from..from + length]);
        assert!(out[..to].iter().chain(&out[to + length..]).all(|byte| *byte == 0xee));
    }
}

#[test]
fn an_image_is_published_byte_for_byte() {
    let (machine, space) = guest();
    let start = BASE + 2 * MIB_2 - 0x18;
    space.write_image(gpa(start), &[0x5a; 0x1018]).unwrap();
    let published: usize = machine
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Publish(_, size) => size,
            other @ (Event::Zero(..) | Event::Invalidate(..) | Event::Free(..)) => {
                panic!("{other:?}")
            }
        })
        .sum();
    assert_eq!(published, 0x1018);
    space.write(gpa(start), &[0; 0x1018]).unwrap();
    assert_eq!(machine.events(), []);
}
