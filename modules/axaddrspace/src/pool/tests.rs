//! The frame pool against a bitmap, and its manners.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

use std::{format, vec, vec::Vec};

use super::{FramePool, GIB, MIB_2, PAGE, PoolError};
use crate::{HostPhysAddr, fake::Random};

fn pa(address: usize) -> HostPhysAddr {
    address.into()
}

fn pool(ranges: &[(usize, usize)]) -> FramePool {
    let mut pool = FramePool::new();
    for (base, size) in ranges {
        pool.donate(pa(*base), *size).unwrap();
    }
    pool
}

fn ranges(pool: &FramePool) -> Vec<(usize, usize)> {
    pool.free_ranges().map(|(base, size)| (base.as_usize(), size)).collect()
}

/// One `bool` for each frame, searched from end to end.
struct Bitmap(Vec<bool>);

impl Bitmap {
    const BASE: usize = 0x4000_0000 - 64 * PAGE;
    const FRAMES: usize = 2048;

    fn frames(base: usize, size: usize) -> core::ops::Range<usize> {
        let first = (base - Self::BASE) / PAGE;
        first..first + size / PAGE
    }

    fn is_free(&self, base: usize, size: usize) -> bool {
        self.0[Self::frames(base, size)].iter().all(|free| *free)
    }

    fn is_taken(&self, base: usize, size: usize) -> bool {
        self.0[Self::frames(base, size)].iter().all(|free| !*free)
    }

    fn set(&mut self, base: usize, size: usize, free: bool) {
        self.0[Self::frames(base, size)].fill(free);
    }

    fn has_place(&self, size: usize, align: usize) -> bool {
        let end = Self::BASE + Self::FRAMES * PAGE;
        let mut at = Self::BASE.next_multiple_of(align);
        while at + size <= end {
            if self.is_free(at, size) {
                return true;
            }
            at += align;
        }
        false
    }

    fn runs(&self) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = vec![];
        for (frame, _) in self.0.iter().enumerate().filter(|(_, free)| **free) {
            let at = Self::BASE + frame * PAGE;
            match runs.last_mut() {
                Some((base, size)) if *base + *size == at => *size += PAGE,
                _ => runs.push((at, PAGE)),
            }
        }
        runs
    }
}

#[test]
#[cfg_attr(miri, ignore = "thousands of steps in code without unsafe")]
fn a_long_random_life_agrees_with_a_bitmap() {
    for seed in 1..=8 {
        let mut random = Random(seed);
        let mut model = Bitmap(vec![true; Bitmap::FRAMES]);
        let mut pool = pool(&[(Bitmap::BASE, Bitmap::FRAMES * PAGE)]);
        for _ in 0..3000 {
            step(&mut random, &mut pool, &mut model);
            assert_eq!(ranges(&pool), model.runs());
        }
        let runs = model.runs();
        assert_eq!(pool.free_bytes(), runs.iter().map(|run| run.1).sum::<usize>());
        assert_eq!(pool.largest_free_block(), runs.iter().map(|run| run.1).max().unwrap_or(0));
        assert_eq!(pool.total_bytes(), Bitmap::FRAMES * PAGE);
    }
}

fn step(random: &mut Random, pool: &mut FramePool, model: &mut Bitmap) {
    let most = [1, 4, 64, 600][random.below(4)];
    let frames = 1 + random.below(most);
    let size = frames * PAGE;
    let first = random.below(Bitmap::FRAMES - frames + 1);
    let base = Bitmap::BASE + first * PAGE;
    match random.below(3) {
        0 => {
            let align = [1, PAGE, 16 * PAGE, MIB_2][random.below(4)];
            let possible = model.has_place(size, align.max(PAGE));
            let taken = pool.alloc(size - random.below(PAGE), align);
            assert_eq!(taken.is_some(), possible);
            if let Some(at) = taken {
                assert!(at.as_usize().is_multiple_of(align));
                assert!(model.is_free(at.as_usize(), size));
                model.set(at.as_usize(), size, false);
            }
        }
        1 => {
            let possible = model.is_free(base, size);
            assert_eq!(pool.alloc_at(pa(base), size).is_ok(), possible);
            if possible {
                model.set(base, size, false);
            }
        }
        _ => {
            let possible = model.is_taken(base, size);
            assert_eq!(pool.free(pa(base), size).is_ok(), possible);
            if possible {
                model.set(base, size, true);
            }
        }
    }
}

#[test]
fn neighbours_merge_whatever_the_order_of_donation() {
    let pool = pool(&[(0x8000_0000, MIB_2), (0x8040_0000, MIB_2), (0x8020_0000, MIB_2)]);
    assert_eq!(ranges(&pool), [(0x8000_0000, 3 * MIB_2)]);
    assert_eq!(pool.total_bytes(), 3 * MIB_2);
}

#[test]
fn memory_is_donated_once() {
    let mut pool = pool(&[(0x8000_0000, MIB_2)]);
    pool.alloc(MIB_2, PAGE).unwrap();
    for base in [0x8000_0000, 0x7ff0_0000, 0x801f_f000] {
        let refused = pool.donate(pa(base), MIB_2);
        assert_eq!(refused, Err(PoolError::AlreadyDonated { base: pa(base), size: MIB_2 }));
    }
    assert_eq!((pool.free_bytes(), pool.total_bytes()), (0, MIB_2));
}

#[test]
fn table_frames_leave_the_big_blocks_whole() {
    // 0x4400_0000 up to 0xc000_0000, a plausible pool: one whole GiB at 0x8000_0000.
    let mut pool = pool(&[(0x4400_0000, 0x7c00_0000)]);
    for _ in 0..1000 {
        assert!(pool.alloc(PAGE, PAGE).unwrap().as_usize() < 0x4440_0000);
    }
    assert_eq!(pool.alloc(GIB, GIB), Some(pa(0x8000_0000)));
    let blocks = (0..).take_while(|_| pool.alloc(MIB_2, MIB_2).is_some()).count();
    assert_eq!(blocks, (0x8000_0000 - 0x4440_0000) / MIB_2);
}

#[test]
fn a_ragged_end_is_used_first_even_when_it_is_the_upper_one() {
    let mut pool = pool(&[(0x8000_0000, GIB + MIB_2 + 4 * PAGE)]);
    assert_eq!(pool.alloc(PAGE, PAGE), Some(pa(0xc020_3000)));
    assert_eq!(pool.alloc(MIB_2, MIB_2), Some(pa(0xc000_0000)));
    assert_eq!(pool.alloc(GIB, GIB), Some(pa(0x8000_0000)));
}

#[test]
fn a_hole_that_fits_is_preferred_to_a_fresh_block() {
    let mut pool = pool(&[(0x8000_0000, 4 * MIB_2)]);
    pool.alloc_at(pa(0x8000_0000), 3 * MIB_2).unwrap();
    pool.free(pa(0x8000_3000), 2 * PAGE).unwrap();
    assert_eq!(pool.alloc(2 * PAGE, PAGE), Some(pa(0x8000_3000)));
}

#[test]
fn a_refused_address_says_what_is_free() {
    let mut pool = pool(&[(0x8000_0000, GIB), (0x4000_0000, MIB_2)]);
    pool.alloc_at(pa(0x8000_0000), MIB_2).unwrap();
    let refused = pool.alloc_at(pa(0x8000_0000), 2 * MIB_2);
    let upper = (pa(0x8020_0000), GIB - MIB_2);
    assert_eq!(
        refused,
        Err(PoolError::NotFree {
            base: pa(0x8000_0000),
            size: 2 * MIB_2,
            nearest: Some(upper),
            largest: Some(upper)
        })
    );
    assert!(format!("{}", refused.unwrap_err()).contains("0x80200000 to 0xc0000000 (1046528 KiB)"));
    let beyond = pool.alloc_at(pa(0x1_0000_0000), PAGE).unwrap_err();
    assert!(matches!(beyond, PoolError::NotFree { nearest: Some(near), .. } if near == upper));
}

#[test]
fn a_wrong_free_changes_nothing() {
    let mut pool = pool(&[(0x8000_0000, MIB_2)]);
    let frame = pool.alloc(PAGE, PAGE).unwrap();
    let before = ranges(&pool);
    let never = pa(0x9000_0000);
    assert_eq!(pool.free(never, PAGE), Err(PoolError::NotDonated { base: never, size: PAGE }));
    assert_eq!(
        pool.free(frame, MIB_2 + PAGE),
        Err(PoolError::NotDonated { base: frame, size: MIB_2 + PAGE })
    );
    assert_eq!(
        pool.free(frame, 2 * PAGE),
        Err(PoolError::DoubleFree { base: frame, size: 2 * PAGE })
    );
    assert_eq!(ranges(&pool), before);
    pool.free(frame, PAGE).unwrap();
    assert_eq!(pool.free(frame, PAGE), Err(PoolError::DoubleFree { base: frame, size: PAGE }));
    assert_eq!(pool.free_bytes(), MIB_2);
}

#[test]
fn senseless_requests_are_refused() {
    let mut pool = pool(&[(0x8000_0000, MIB_2)]);
    let top = usize::MAX & !(PAGE - 1);
    assert_eq!(pool.alloc(0, PAGE), None);
    assert_eq!(pool.alloc(PAGE, 0), None);
    assert_eq!(pool.alloc(PAGE, 3 * PAGE), None);
    assert_eq!(pool.alloc(usize::MAX, PAGE), None);
    assert_eq!(pool.alloc(PAGE, 1 << 63), None);
    for (base, size) in [(0x8000_0001, PAGE), (0x8000_0000, 0), (top, 2 * PAGE), (0, usize::MAX)] {
        let bad = Err(PoolError::BadRange { base: pa(base), size });
        assert_eq!(pool.alloc_at(pa(base), size), bad);
        assert_eq!(pool.free(pa(base), size), bad);
        assert_eq!(pool.donate(pa(base), size), bad);
    }
    assert_eq!(
        pool.donate(pa(0x9000_0000), PAGE + 1),
        Err(PoolError::BadRange { base: pa(0x9000_0000), size: PAGE + 1 })
    );
}

#[test]
fn an_empty_pool_has_nothing() {
    let mut pool = FramePool::new();
    assert_eq!(pool.alloc(PAGE, PAGE), None);
    assert_eq!((pool.free_bytes(), pool.total_bytes(), pool.largest_free_block()), (0, 0, 0));
    let refused = pool.alloc_at(pa(0x8000_0000), PAGE).unwrap_err();
    assert!(
        format!("{refused}").ends_with("free nearby is nothing, the largest free range is nothing")
    );
}
