//! Mapping, splitting and giving back, on a host made of heap.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

use std::{collections::BTreeMap, string::ToString, vec::Vec};

use axerrno::AxError;

use super::*;
use crate::fake::{Event, Fake, Machine, RAM_BASE, Random};

const MIB_2: usize = 1 << 21;
const GIB: usize = 1 << 30;
const BASE: usize = 0x4000_0000;
const RW: MappingFlags = MappingFlags::READ.union(MappingFlags::WRITE);
const RWX: MappingFlags = RW.union(MappingFlags::EXECUTE);
/// Host memory nobody ever touches, for linear mappings.
const ELSEWHERE: usize = 0x80_0000_0000;

fn gpa(address: usize) -> GuestPhysAddr {
    address.into()
}

fn space() -> AddrSpace<Fake> {
    AddrSpace::new_empty(gpa(0), 1 << IPA_BITS).unwrap()
}

fn host(space: &AddrSpace<Fake>, at: usize) -> Option<usize> {
    space.translate(gpa(at)).map(|(hpa, ..)| hpa.as_usize())
}

fn page_size(space: &AddrSpace<Fake>, at: usize) -> Option<PageSize> {
    space.translate(gpa(at)).map(|(.., size)| size)
}

#[test]
fn a_linear_mapping_uses_the_biggest_blocks() {
    let machine = Machine::new(64 * PAGE);
    let mut space = space();
    let size = GIB + 2 * MIB_2 + 2 * PAGE;
    let start = BASE - MIB_2 - PAGE;
    space.map_linear(gpa(start), (ELSEWHERE - MIB_2 - PAGE).into(), size, RW).unwrap();
    for (at, expected) in [
        (BASE - MIB_2 - PAGE, PageSize::Size4K),
        (BASE - MIB_2, PageSize::Size2M),
        (BASE, PageSize::Size1G),
        (BASE + GIB, PageSize::Size2M),
    ] {
        assert_eq!(page_size(&space, at), Some(expected), "{at:#x}");
    }
    for at in [start, BASE - 1, BASE + 0x1234_5678, start + size - 1] {
        assert_eq!(host(&space, at), Some(ELSEWHERE + at - BASE));
    }
    assert_eq!((host(&space, start - 1), host(&space, start + size)), (None, None));
    drop(space);
    assert_eq!(machine.used_bytes(), 0);
}

#[test]
fn blocks_need_both_addresses_aligned() {
    let _machine = Machine::new(2048 * PAGE);
    let mut space = space();
    space.map_linear(gpa(BASE), (ELSEWHERE + PAGE).into(), MIB_2, RW).unwrap();
    space.map_linear(gpa(2 * GIB), (ELSEWHERE + MIB_2).into(), GIB, RW).unwrap();
    assert_eq!(page_size(&space, BASE), Some(PageSize::Size4K));
    assert_eq!(page_size(&space, 2 * GIB), Some(PageSize::Size2M));
}

#[test]
fn allocated_memory_comes_in_the_biggest_blocks_and_goes_back() {
    let machine = Machine::new(GIB + 4 * MIB_2);
    let mut space = space();
    space.map_alloc(gpa(BASE), GIB + MIB_2 + PAGE, RWX).unwrap();
    assert_eq!(page_size(&space, BASE), Some(PageSize::Size1G));
    assert_eq!(page_size(&space, BASE + GIB), Some(PageSize::Size2M));
    assert_eq!(page_size(&space, BASE + GIB + MIB_2), Some(PageSize::Size4K));
    assert_eq!(space.table_frames(), 3);
    assert_eq!(machine.used_bytes(), GIB + MIB_2 + PAGE + 3 * PAGE);
    drop(space);
    assert_eq!(machine.used_bytes(), 0);
}

#[test]
fn smaller_blocks_serve_where_bigger_ones_are_not_free() {
    let machine = Machine::new(4 * MIB_2);
    for block in 0..4 {
        machine.take(RAM_BASE + block * MIB_2, PAGE);
    }
    let mut space = space();
    space.map_alloc(gpa(BASE), MIB_2, RW).unwrap();
    assert_eq!(page_size(&space, BASE), Some(PageSize::Size4K));
    drop(space);
    assert_eq!(machine.used_bytes(), 4 * PAGE);
}

#[test]
#[cfg_attr(miri, ignore = "it looks at megabytes byte by byte")]
fn memory_is_zero_before_a_guest_sees_it_and_after_it_is_gone() {
    let machine = Machine::new(4 * MIB_2);
    machine.scribble(RAM_BASE, 4 * MIB_2, 0xa5);
    let mut space = space();
    space.map_alloc(gpa(BASE), MIB_2 + PAGE, RW).unwrap();
    space.map_alloc(gpa(GIB * 2), PAGE, RW).unwrap();
    let blocks = [(BASE, MIB_2), (BASE + MIB_2, PAGE), (GIB * 2, PAGE)]
        .map(|(at, size)| (host(&space, at).unwrap(), size));
    for (base, size) in blocks {
        assert!(machine.peek(base, size).iter().all(|byte| *byte == 0));
        machine.scribble(base, size, 0x5a);
    }
    space.unmap(gpa(BASE), MIB_2 + PAGE).unwrap();
    drop(space);
    for (base, size) in blocks {
        assert!(machine.peek(base, size).iter().all(|byte| *byte == 0));
    }
}

#[test]
fn memory_is_freed_only_after_the_tlbs_forgot_it() {
    let machine = Machine::new(4 * MIB_2);
    let mut space = space();
    space.map_alloc(gpa(BASE), MIB_2, RW).unwrap();
    let block = host(&space, BASE).unwrap();
    machine.events();
    space.unmap(gpa(BASE), MIB_2).unwrap();
    let events = machine.events();
    assert_eq!(events[..2], [Event::Invalidate(BASE, MIB_2), Event::Zero(block, MIB_2)]);
    assert_eq!(events[2], Event::Free(block, MIB_2));
    assert!(events[3..].iter().all(|event| matches!(event, Event::Free(_, PAGE))));
    assert_eq!(space.table_frames(), 1);
}

#[test]
#[cfg_attr(miri, ignore = "it looks at megabytes byte by byte")]
fn a_linear_mapping_never_touches_the_memory_behind_it() {
    let machine = Machine::new(4 * MIB_2);
    machine.take(RAM_BASE + 2 * MIB_2, MIB_2);
    machine.scribble(RAM_BASE + 2 * MIB_2, MIB_2, 0x77);
    let mut space = space();
    space.map_linear(gpa(BASE), (RAM_BASE + 2 * MIB_2).into(), MIB_2, RW).unwrap();
    space.unmap(gpa(BASE), MIB_2).unwrap();
    assert!(machine.peek(RAM_BASE + 2 * MIB_2, MIB_2).iter().all(|byte| *byte == 0x77));
    drop(space);
    assert_eq!(machine.used_bytes(), MIB_2);
}

#[test]
fn a_block_is_split_where_part_of_it_is_unmapped() {
    let machine = Machine::new(GIB + 4 * MIB_2);
    let mut space = space();
    space.map_alloc(gpa(BASE), GIB, RWX).unwrap();
    let block = host(&space, BASE).unwrap();
    let hole = BASE + 5 * MIB_2 + 3 * PAGE;
    machine.events();
    space.unmap(gpa(hole), 2 * PAGE).unwrap();
    let invalidated: Vec<_> =
        machine.events().into_iter().filter(|e| matches!(e, Event::Invalidate(..))).collect();
    assert_eq!(
        invalidated,
        [
            Event::Invalidate(BASE, GIB),
            Event::Invalidate(BASE + 5 * MIB_2, MIB_2),
            Event::Invalidate(hole, 2 * PAGE)
        ]
    );
    assert_eq!((host(&space, hole), host(&space, hole + PAGE)), (None, None));
    for at in [BASE, hole - 1, hole + 2 * PAGE, BASE + GIB - 1] {
        let (hpa, flags, _) = space.translate(gpa(at)).unwrap();
        assert_eq!((hpa.as_usize(), flags), (block + at - BASE, RWX));
    }
    assert_eq!(page_size(&space, BASE), Some(PageSize::Size2M));
    assert_eq!(machine.used_bytes(), GIB - 2 * PAGE + 3 * PAGE);
    let regions: Vec<_> = space.regions().map(|r| (r.base.as_usize(), r.size)).collect();
    assert_eq!(regions, [(BASE, hole - BASE), (hole + 2 * PAGE, BASE + GIB - hole - 2 * PAGE)]);
    drop(space);
    assert_eq!(machine.used_bytes(), 0);
}

#[test]
fn an_unmap_without_frames_for_a_split_changes_nothing() {
    let machine = Machine::new(MIB_2 + 2 * PAGE);
    let mut space = space();
    space.map_linear(gpa(BASE), ELSEWHERE.into(), GIB, RW).unwrap();
    machine.take(RAM_BASE, MIB_2);
    let refused = space.unmap(gpa(BASE + PAGE), PAGE);
    assert_eq!(refused, Err(AddrSpaceError::NoMemory { gpa: gpa(BASE + PAGE) }));
    assert_eq!(space.regions().count(), 1);
    for at in [BASE, BASE + PAGE, BASE + GIB - 1] {
        assert_eq!(host(&space, at), Some(ELSEWHERE + at - BASE));
    }
    space.unmap(gpa(BASE), GIB).unwrap();
    assert_eq!(space.table_frames(), 1);
}

#[test]
fn blocks_can_be_mapped_again_where_pages_were() {
    let _machine = Machine::new(4 * MIB_2);
    let mut space = space();
    for _ in 0..3 {
        space.map_linear(gpa(BASE), (ELSEWHERE + PAGE).into(), MIB_2, RW).unwrap();
        space.unmap(gpa(BASE), MIB_2).unwrap();
        space.map_linear(gpa(BASE), ELSEWHERE.into(), GIB, RW).unwrap();
        assert_eq!(page_size(&space, BASE), Some(PageSize::Size1G));
        space.unmap(gpa(BASE), GIB).unwrap();
    }
    assert_eq!(space.table_frames(), 1);
}

#[test]
fn a_mapping_that_fails_half_way_gives_everything_back() {
    let machine = Machine::new(4 * MIB_2);
    let mut space = space();
    let before = machine.used_bytes();
    let refused = space.map_alloc(gpa(BASE), 8 * MIB_2, RW);
    assert!(matches!(refused, Err(AddrSpaceError::NoMemory { .. })));
    assert_eq!(
        (machine.used_bytes(), space.table_frames(), space.regions().count()),
        (before, 1, 0)
    );
    let refused = space.map_linear(gpa(BASE), (ELSEWHERE + PAGE).into(), 8 * GIB, RW);
    assert!(matches!(refused, Err(AddrSpaceError::NoMemory { .. })));
    assert_eq!(
        (machine.used_bytes(), space.table_frames(), space.regions().count()),
        (before, 1, 0)
    );
    space.map_alloc(gpa(BASE), MIB_2, RW).unwrap();
}

#[test]
fn without_a_single_frame_there_is_no_address_space() {
    let machine = Machine::new(PAGE);
    machine.take(RAM_BASE, PAGE);
    let refused = AddrSpace::<Fake>::new_empty(gpa(BASE), GIB).err();
    assert_eq!(refused, Some(AddrSpaceError::NoMemory { gpa: gpa(BASE) }));
}

#[test]
fn flags_reach_the_tables() {
    let _machine = Machine::new(8 * MIB_2);
    let mut space = space();
    for (index, flags) in [MappingFlags::READ, RW, RWX, MappingFlags::READ | MappingFlags::EXECUTE]
        .into_iter()
        .enumerate()
    {
        let at = BASE + index * PAGE;
        space.map_alloc(gpa(at), PAGE, flags).unwrap();
        assert_eq!(space.translate(gpa(at)).unwrap().1, flags);
    }
    space.map_linear(gpa(2 * GIB), ELSEWHERE.into(), PAGE, RWX | MappingFlags::DEVICE).unwrap();
    let region = space.regions().last().unwrap();
    assert_eq!(region.flags, RW | MappingFlags::DEVICE);
    assert_eq!(space.translate(gpa(2 * GIB)).unwrap().1, region.flags);
}

#[test]
fn senseless_mappings_are_refused_with_a_reason() {
    let _machine = Machine::new(8 * MIB_2);
    let mut space = AddrSpace::<Fake>::new_empty(gpa(BASE), GIB).unwrap();
    space.map_alloc(gpa(BASE + MIB_2), MIB_2, RW).unwrap();
    let top = usize::MAX & !(PAGE - 1);
    let map = |space: &mut AddrSpace<Fake>, at: usize, to: usize, size: usize, flags| {
        let error = space.map_linear(gpa(at), to.into(), size, flags).unwrap_err();
        (error.to_string(), AxError::from(error))
    };
    for (at, to, size, flags, says, code) in [
        (BASE + 1, 0, PAGE, RW, "0x40000001 is not a multiple of 4 KiB", AxError::InvalidInput),
        (BASE, 0, 5, RW, "0x5 is not a multiple of 4 KiB", AxError::InvalidInput),
        (BASE, 0x801, PAGE, RW, "0x801 is not a multiple of 4 KiB", AxError::InvalidInput),
        (BASE, 0, 0, RW, "the range at GPA:0x40000000 is empty", AxError::InvalidInput),
        (
            BASE - PAGE,
            0,
            PAGE,
            RW,
            "leaves the address space GPA:0x40000000 to GPA:0x80000000",
            AxError::InvalidInput,
        ),
        (BASE, 0, GIB + PAGE, RW, "leaves the address space", AxError::InvalidInput),
        (top, 0, 2 * PAGE, RW, "leaves the address space", AxError::InvalidInput),
        (BASE, 1 << 48, PAGE, RW, "beyond the 48 bits", AxError::InvalidInput),
        (BASE, top, PAGE, RW, "beyond the 48 bits", AxError::InvalidInput),
        (
            BASE,
            0,
            PAGE,
            MappingFlags::UNCACHED,
            "the flags UNCACHED make no sense",
            AxError::InvalidInput,
        ),
        (
            BASE,
            0,
            2 * MIB_2,
            RW,
            "overlaps the region at GPA:0x40200000 of 0x200000 bytes",
            AxError::AlreadyExists,
        ),
        (BASE + MIB_2 + PAGE, 0, PAGE, RW, "overlaps the region", AxError::AlreadyExists),
    ] {
        let (said, coded) = map(&mut space, at, to, size, flags);
        assert!(said.contains(says), "{said}");
        assert_eq!(coded, code, "{said}");
    }
    let refused = space.map_alloc(gpa(BASE), PAGE, RW | MappingFlags::DEVICE);
    assert!(matches!(refused, Err(AddrSpaceError::BadFlags { .. })));
    assert_eq!(space.regions().count(), 1);
    assert!(AddrSpace::<Fake>::new_empty(gpa(0), (1 << IPA_BITS) + PAGE).is_err());
}

#[test]
fn only_what_is_mapped_can_be_unmapped() {
    let _machine = Machine::new(8 * MIB_2);
    let mut space = space();
    space.map_alloc(gpa(BASE), MIB_2, RW).unwrap();
    space.map_alloc(gpa(BASE + 2 * MIB_2), MIB_2, RW).unwrap();
    let refused = space.unmap(gpa(BASE), 3 * MIB_2);
    assert_eq!(refused, Err(AddrSpaceError::NotMapped { gpa: gpa(BASE + MIB_2) }));
    assert!(host(&space, BASE).is_some());
    assert!(space.unmap(gpa(BASE + 5), PAGE).is_err());
    assert!(space.unmap(gpa(BASE), 0).is_err());
}

#[test]
fn one_unmap_spans_regions_of_every_kind() {
    let machine = Machine::new(8 * MIB_2);
    let mut space = space();
    space.map_alloc(gpa(BASE), MIB_2, RW).unwrap();
    space.map_linear(gpa(BASE + MIB_2), ELSEWHERE.into(), MIB_2, RW).unwrap();
    space.map_alloc(gpa(BASE + 2 * MIB_2), MIB_2, RW).unwrap();
    space.unmap(gpa(BASE + PAGE), 3 * MIB_2 - 2 * PAGE).unwrap();
    let left: Vec<_> = space.regions().map(|r| (r.base.as_usize(), r.size)).collect();
    assert_eq!(left, [(BASE, PAGE), (BASE + 3 * MIB_2 - PAGE, PAGE)]);
    assert!(host(&space, BASE).is_some());
    assert_eq!(host(&space, BASE + PAGE), None);
    assert!(host(&space, BASE + 3 * MIB_2 - 1).is_some());
    drop(space);
    assert_eq!(machine.used_bytes(), 0);
}

#[test]
fn a_cut_linear_region_still_says_where_it_leads() {
    let _machine = Machine::new(8 * MIB_2);
    let mut space = space();
    space.map_linear(gpa(BASE), ELSEWHERE.into(), 4 * PAGE, RW).unwrap();
    space.unmap(gpa(BASE), PAGE).unwrap();
    let region = space.regions().next().unwrap();
    assert_eq!(region.backing, Backing::Linear { hpa: (ELSEWHERE + PAGE).into() });
    assert_eq!(host(&space, region.base.as_usize()), Some(ELSEWHERE + PAGE));
}

/// What a page should be: where it leads if that is known, or that it is allocated.
type Model = BTreeMap<usize, Option<usize>>;

const WINDOW: usize = 6 * MIB_2;

#[test]
#[cfg_attr(miri, ignore = "it looks at megabytes byte by byte")]
fn a_long_random_life_agrees_with_a_page_by_page_model() {
    for seed in 1..=4 {
        let machine = Machine::new(10 * MIB_2);
        machine.scribble(RAM_BASE, 10 * MIB_2, 0xa5);
        let mut random = Random(seed);
        let mut space = space();
        let mut model = Model::new();
        for _ in 0..100 {
            step(&mut random, &mut space, &mut model);
            compare(&machine, &space, &model);
        }
        drop(space);
        assert_eq!(machine.used_bytes(), 0);
    }
}

fn step(random: &mut Random, space: &mut AddrSpace<Fake>, model: &mut Model) {
    let unit = [PAGE, PAGE, MIB_2][random.below(3)];
    let at = BASE + random.below(WINDOW / unit) * unit;
    let longest = (BASE + WINDOW - at) / unit;
    let most = longest.min([1, 40, 600][random.below(3)]);
    let size = (1 + random.below(most)) * unit;
    let pages = (at..at + size).step_by(PAGE);
    let vacant = !pages.clone().any(|page| model.contains_key(&page));
    let covered = pages.clone().all(|page| model.contains_key(&page));
    match random.below(3) {
        0 => {
            let to = ELSEWHERE + random.below(2) * PAGE + (at - BASE);
            let done = space.map_linear(gpa(at), to.into(), size, RWX);
            assert_eq!(done.is_ok(), vacant, "{done:?}");
            if vacant {
                model.extend(pages.map(|page| (page, Some(to + page - at))));
            }
        }
        1 => {
            let done = space.map_alloc(gpa(at), size, RWX);
            assert_eq!(done.is_ok(), vacant, "{done:?}");
            if vacant {
                model.extend(pages.map(|page| (page, None)));
            }
        }
        _ => {
            let done = space.unmap(gpa(at), size);
            assert_eq!(done.is_ok(), covered, "{done:?}");
            if covered {
                model.retain(|page, _| !(at..at + size).contains(page));
            }
        }
    }
}

fn compare(machine: &Machine, space: &AddrSpace<Fake>, model: &Model) {
    let mut owned = BTreeMap::new();
    for at in (BASE..BASE + WINDOW).step_by(PAGE) {
        match (host(space, at), model.get(&at)) {
            (None, None) => {}
            (Some(found), Some(Some(expected))) => assert_eq!(found, *expected),
            (Some(found), Some(None)) => {
                assert_eq!(owned.insert(found, at), None, "one frame at two places");
            }
            (found, expected) => panic!("{at:#x}: {found:x?} instead of {expected:x?}"),
        }
    }
    assert_eq!(machine.used_bytes(), (owned.len() + space.table_frames()) * PAGE);
    let covered: usize = space.regions().map(|region| region.size).sum();
    assert_eq!(covered, model.len() * PAGE, "{:?}", space.regions().collect::<Vec<_>>());
}
