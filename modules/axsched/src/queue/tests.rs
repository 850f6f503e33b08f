//! Tests of the run queue: shares, sleepers and the wrap, over simulated time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;

const MS: u64 = 1_000_000;

fn terms(weight: u32) -> Terms {
    Terms { weight, affinity: CpuMask::ALL }
}

/// A vCPU of a simulation: it sleeps for `sleep_ns` after each `burst_ns` of run time, or never for 0.
#[derive(Clone, Copy)]
struct Load {
    weight: u32,
    burst_ns: u64,
    sleep_ns: u64,
}

const fn busy(weight: u32) -> Load {
    Load { weight, burst_ns: u64::MAX, sleep_ns: 0 }
}

struct Vcpu {
    load: Load,
    left_ns: u64,
    asleep: Option<(u64, u64)>,
    ran_ns: u64,
    longest_wait_ns: u64,
}

/// Runs `loads` on one CPU for `for_ns` from a queue whose floor is `floor_ns`.
fn simulate(loads: &[Load], for_ns: u64, floor_ns: u64) -> Vec<Vcpu> {
    let mut queue = RunQueue::with_floor(loads.len(), floor_ns);
    let new = |load: &Load| Vcpu {
        load: *load,
        left_ns: load.burst_ns,
        asleep: None,
        ran_ns: 0,
        longest_wait_ns: 0,
    };
    let mut vcpus: Vec<Vcpu> = loads.iter().map(new).collect();
    for (key, load) in loads.iter().enumerate() {
        queue.wake(key, terms(load.weight), None, 0).unwrap();
    }
    let mut now = 0;
    while now < for_ns {
        wake_due(&mut queue, &mut vcpus, now);
        let next_wake = vcpus.iter().filter_map(|vcpu| vcpu.asleep).map(|(at, _)| at).min();
        let Some(picked) = queue.pick(now) else {
            now = next_wake.unwrap();
            continue;
        };
        let vcpu = &mut vcpus[picked.key];
        vcpu.longest_wait_ns = vcpu.longest_wait_ns.max(picked.waited_ns);
        let mut ran = picked.slice_ns.unwrap_or(u64::MAX).min(vcpu.left_ns);
        ran = ran.min(next_wake.unwrap_or(u64::MAX) - now).min(for_ns - now);
        now += ran;
        vcpu.ran_ns += ran;
        queue.charge(picked.key, ran);
        if vcpu.load.sleep_ns > 0 {
            vcpu.left_ns -= ran;
        }
        if vcpu.left_ns == 0 {
            vcpu.left_ns = vcpu.load.burst_ns;
            vcpu.asleep = Some((now + vcpu.load.sleep_ns, queue.block(picked.key).unwrap()));
        } else {
            queue.put_back(picked.key, now);
        }
    }
    vcpus
}

fn wake_due(queue: &mut RunQueue<usize>, vcpus: &mut [Vcpu], now: u64) {
    for (key, vcpu) in vcpus.iter_mut().enumerate() {
        if let Some((_, saved)) = vcpu.asleep.take_if(|(at, _)| *at <= now) {
            queue.wake(key, terms(vcpu.load.weight), Some(saved), now).unwrap();
        }
    }
}

fn assert_share(vcpu: &Vcpu, of_ns: u64, permille: u64) {
    let got = vcpu.ran_ns * 1000 / of_ns;
    assert!(got.abs_diff(permille) <= permille / 20 + 1, "share {got} permille, wanted {permille}");
}

#[test]
fn equal_weights_share_equally() {
    for count in 1..=8 {
        let vcpus = simulate(&vec![busy(100); count], 2000 * MS, 0);
        for vcpu in &vcpus {
            assert_share(vcpu, 2000 * MS, 1000 / count as u64);
        }
    }
}

#[test]
fn what_the_host_takes_within_a_turn_is_charged_to_nobody() {
    let mut queue = RunQueue::with_capacity(2);
    for key in [0, 1] {
        queue.wake(key, terms(100), None, 0).unwrap();
    }
    let (mut ran, mut now) = ([0u64; 2], 0);
    while now < 2000 * MS {
        let picked = queue.pick(now).unwrap();
        let slice = picked.slice_ns.unwrap();
        now += slice;
        if picked.key == 0 {
            // The host takes the CPU before the turn is charged, and somebody looks at the queue meanwhile.
            now += 5 * slice;
            queue.floor_at(now);
        }
        queue.charge(picked.key, slice);
        ran[picked.key] += slice;
        queue.put_back(picked.key, now);
    }
    assert!(ran[0].abs_diff(ran[1]) <= MAX_SLICE_NS, "{ran:?}");
}

#[test]
fn unequal_weights_share_by_weight() {
    let vcpus = simulate(&[busy(100), busy(200), busy(300), busy(50)], 2000 * MS, 0);
    for (vcpu, permille) in vcpus.iter().zip([154, 308, 462, 77]) {
        assert_share(vcpu, 2000 * MS, permille);
    }
}

#[test]
fn a_sleeper_gets_no_more_than_its_share_and_the_others_split_the_rest() {
    let sleeper = Load { weight: 100, burst_ns: 2 * MS, sleep_ns: 20 * MS };
    let vcpus = simulate(&[busy(100), busy(100), sleeper], 2000 * MS, 0);
    let sleeper_permille = vcpus[2].ran_ns * 1000 / (2000 * MS);
    assert!(sleeper_permille <= 100, "sleeper got {sleeper_permille}");
    assert!(sleeper_permille >= 70, "sleeper got {sleeper_permille}");
    assert_share(&vcpus[0], 2000 * MS, (1000 - sleeper_permille) / 2);
    assert_share(&vcpus[1], 2000 * MS, (1000 - sleeper_permille) / 2);
}

#[test]
fn greedy_sleepers_do_not_beat_a_busy_neighbour() {
    let greedy = Load { weight: 100, burst_ns: 9 * MS, sleep_ns: MS };
    let vcpus = simulate(&[busy(100), greedy], 2000 * MS, 0);
    assert_share(&vcpus[0], 2000 * MS, 500);
}

#[test]
fn nobody_starves_beside_the_heaviest() {
    let vcpus = simulate(&[busy(MAX), busy(1), busy(100)], 40_000 * MS, 0);
    assert!(vcpus.iter().all(|vcpu| vcpu.ran_ns > 0));
    let vcpus = simulate(&[busy(100); 20], 2000 * MS, 0);
    assert!(vcpus.iter().all(|vcpu| vcpu.longest_wait_ns <= 21 * MS));
}

const MAX: u32 = crate::MAX_WEIGHT;

#[test]
fn shares_hold_while_virtual_time_wraps() {
    let vcpus = simulate(&[busy(100), busy(300)], 2000 * MS, u64::MAX - 300 * MS);
    assert_share(&vcpus[0], 2000 * MS, 250);
    assert_share(&vcpus[1], 2000 * MS, 750);
}

#[test]
fn a_long_sleep_earns_bounded_credit() {
    let mut queue = RunQueue::with_capacity(2);
    queue.wake('a', terms(100), None, 0).unwrap();
    queue.pick(0);
    queue.charge('a', 50_000 * MS);
    queue.wake('b', terms(100), Some(0), 50_000 * MS).unwrap();
    let b = queue.waiting().next().unwrap();
    assert_eq!(queue.floor_ns() - b.vruntime_ns, SLEEPER_CREDIT_NS);
    assert!(queue.preempts('b'));
}

#[test]
fn an_hour_alone_without_a_charge_is_no_debt_when_company_comes() {
    let mut queue = RunQueue::with_capacity(2);
    queue.wake('a', terms(1), None, 0).unwrap();
    assert_eq!(queue.pick(0).unwrap().slice_ns, None);
    let hour = 3_600_000 * MS;
    queue.wake('b', terms(1), None, hour).unwrap();
    queue.charge('a', hour + MS);
    queue.put_back('a', hour + MS);
    assert_eq!(queue.pick(hour + MS).unwrap().key, 'b');
    queue.charge('b', 2 * MS);
    assert_eq!(queue.pick(hour + 3 * MS).unwrap().key, 'a');
}

#[test]
fn run_time_is_counted_once_when_a_wake_comes_in_between() {
    let mut queue = RunQueue::with_capacity(3);
    queue.wake('a', terms(100), None, 0).unwrap();
    queue.pick(0);
    queue.wake('b', terms(100), None, 4 * MS).unwrap();
    queue.wake('c', terms(100), None, 5 * MS).unwrap();
    queue.charge('a', 5 * MS);
    queue.charge('a', MS);
    assert_eq!(queue.block('a'), Some(6 * MS));
}

#[test]
fn slices_follow_weights_within_their_bounds() {
    let slice = |mine: u32, other: u32| {
        let mut queue = RunQueue::with_capacity(2);
        queue.wake(0, terms(mine), None, 0).unwrap();
        queue.pick(0);
        queue.wake(1, terms(other), None, 0).unwrap();
        queue.slice_ns()
    };
    assert_eq!(slice(100, 100), Some(6 * MS));
    assert_eq!(slice(100, 200), Some(4 * MS));
    assert_eq!(slice(1, 10_000), Some(MIN_SLICE_NS));
    assert_eq!(slice(10_000, 1), Some(MAX_SLICE_NS));
    assert_eq!(slice(0, u32::MAX), Some(MIN_SLICE_NS));
}

#[test]
fn a_full_queue_says_so_and_never_grows() {
    let mut queue = RunQueue::with_capacity(2);
    queue.wake(1, terms(100), None, 0).unwrap();
    assert_eq!(queue.wake(1, terms(100), None, 0), Err(QueueError::Present));
    queue.pick(0);
    assert_eq!(queue.wake(1, terms(100), None, 0), Err(QueueError::Present));
    queue.wake(2, terms(100), None, 0).unwrap();
    assert_eq!(queue.wake(3, terms(100), None, 0), Err(QueueError::Full));
    let room = queue.runnable.capacity();
    for now in 0..100 {
        queue.pick(now);
    }
    assert_eq!(queue.runnable.capacity(), room);
    assert_eq!(RunQueue::with_capacity(0).wake(1, terms(100), None, 0), Err(QueueError::Full));
}

#[test]
fn load_and_membership_follow_every_change() {
    let mut queue = RunQueue::with_capacity(4);
    queue.wake('a', terms(100), None, 0).unwrap();
    assert!(queue.alone() && queue.contains('a') && !queue.is_empty());
    queue.wake('b', terms(250), None, 0).unwrap();
    assert_eq!((queue.load(), queue.len(), queue.alone()), (350, 2, false));
    assert_eq!(queue.pick(0).map(|picked| picked.key), Some('a'));
    assert_eq!(queue.current(), Some('a'));
    assert_eq!(queue.remove('a').map(|entity| entity.weight), Some(100));
    assert_eq!((queue.load(), queue.current()), (250, None));
    assert_eq!(queue.block('b'), Some(0));
    assert!(queue.is_empty());
    assert_eq!((queue.load(), queue.pick(0), queue.block('b')), (0, None, None));
    assert!(!queue.put_back('a', 0));
}

#[test]
fn whoever_leaves_the_current_one_stays_the_current_one() {
    // The current one is the last, or not.
    for (gone, comes_back) in [('a', false), ('b', false), ('a', true), ('b', true), ('d', true)] {
        let mut queue = RunQueue::with_capacity(4);
        let keys = ['a', 'b', 'c', 'd'];
        keys.iter().for_each(|key| queue.wake(*key, terms(100), None, 0).unwrap());
        keys.into_iter().zip([30, 20, 10, 0]).for_each(|(key, ran_ns)| queue.charge(key, ran_ns));
        queue.remove('d').unwrap();
        assert_eq!(queue.pick(0).map(|picked| picked.key), Some('c'));
        if comes_back {
            queue.wake('d', terms(100), Some(40), 0).unwrap();
        }
        let left = queue.len() - 1;
        assert_eq!(queue.remove(gone).map(|entity| entity.key), Some(gone));
        assert_eq!((queue.current(), queue.len()), (Some('c'), left));
        assert!(queue.waiting().all(|one| one.key != 'c' && one.key != gone));
        assert_eq!(queue.remove('c').map(|entity| entity.key), Some('c'));
        assert_eq!((queue.current(), queue.waiting().count()), (None, left - 1));
    }
}

#[test]
fn equals_run_in_the_order_they_came() {
    let mut queue = RunQueue::with_capacity(3);
    for key in ['a', 'b', 'c'] {
        queue.wake(key, terms(100), None, 0).unwrap();
    }
    let mut order = Vec::new();
    for now in 0..6 {
        let picked = queue.pick(now * MS).unwrap();
        order.push(picked.key);
        queue.charge(picked.key, MS);
    }
    assert_eq!(order, ['a', 'b', 'c', 'a', 'b', 'c']);
}

#[test]
fn waiting_time_is_reported_as_steal() {
    let mut queue = RunQueue::with_capacity(2);
    queue.wake('a', terms(100), None, 0).unwrap();
    queue.wake('b', terms(100), None, 0).unwrap();
    assert_eq!(queue.pick(MS).unwrap().waited_ns, MS);
    queue.charge('a', 6 * MS);
    assert_eq!(queue.pick(7 * MS).unwrap().waited_ns, 7 * MS);
    queue.block('b');
    assert_eq!(queue.pick(9 * MS).unwrap().waited_ns, 2 * MS);
}
