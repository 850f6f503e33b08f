//! Several CPUs over simulated time: shares of every two seconds, while vCPUs move as the hypervisor moves them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

extern crate std;

use std::vec;
use std::vec::Vec;

use crate::{Clock, CpuMask, RunQueue, Terms, align, overdue};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const STEP_NS: u64 = 200 * US;
/// As often a CPU looks whether it falls behind.
const LOOK_NS: u64 = 5 * MS;
const SAMPLE_NS: u64 = 50 * MS;
const WINDOW_NS: u64 = 2_000 * MS;
/// What is seen before is not judged.
const SETTLED_NS: u64 = 300 * MS;

/// One vCPU that always wants to run, from some moment on.
#[derive(Clone, Copy)]
struct Busy {
    weight: u32,
    affinity: CpuMask,
    from_ns: u64,
}

fn busy(weight: u32, affinity: u64) -> Busy {
    Busy { weight, affinity: CpuMask(affinity), from_ns: 0 }
}

struct Cpu {
    queue: RunQueue<usize>,
    held: Option<usize>,
    turn_began_ns: u64,
    turn_ends_ns: u64,
    looked_ns: u64,
    /// The host has it until then.
    taken_until_ns: u64,
}

struct Machine {
    cpus: Vec<Cpu>,
    vcpus: Vec<Busy>,
    ran_ns: Vec<u64>,
    moves: usize,
    now: u64,
}

/// A small generator of numbers that look random (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

impl Machine {
    fn new(cpus: usize, vcpus: &[Busy]) -> Self {
        let cpu = |_| Cpu {
            queue: RunQueue::with_capacity(vcpus.len()),
            held: None,
            turn_began_ns: 0,
            turn_ends_ns: 0,
            looked_ns: 0,
            taken_until_ns: 0,
        };
        Self {
            cpus: (0..cpus).map(cpu).collect(),
            vcpus: vcpus.to_vec(),
            ran_ns: vec![0; vcpus.len()],
            moves: 0,
            now: 0,
        }
    }

    fn start_due(&mut self) {
        for (key, vcpu) in self.vcpus.iter().enumerate() {
            if !(self.now..self.now + STEP_NS).contains(&vcpu.from_ns) {
                continue;
            }
            let allowed = (0..self.cpus.len()).filter(|cpu| vcpu.affinity.contains(*cpu));
            let home = allowed.min_by_key(|cpu| self.cpus[*cpu].queue.load()).unwrap();
            let terms = Terms { weight: vcpu.weight, affinity: vcpu.affinity };
            self.cpus[home].queue.wake(key, terms, None, self.now).unwrap();
            self.cpus[home].turn_ends_ns = self.now;
        }
    }

    fn step(&mut self) {
        self.start_due();
        for cpu in 0..self.cpus.len() {
            self.end_turn(cpu);
            if self.cpus[cpu].queue.current().is_none() && self.cpus[cpu].taken_until_ns <= self.now
            {
                self.look(cpu);
                self.begin_turn(cpu);
            }
        }
        self.now += STEP_NS;
    }

    fn end_turn(&mut self, at: usize) {
        let cpu = &mut self.cpus[at];
        let Some(key) = cpu.queue.current() else {
            return;
        };
        if self.now >= cpu.turn_ends_ns || cpu.taken_until_ns > self.now {
            let ran = self.now - cpu.turn_began_ns;
            self.ran_ns[key] += ran;
            cpu.queue.charge(key, ran);
            cpu.queue.put_back(key, self.now);
        }
    }

    fn begin_turn(&mut self, at: usize) {
        if self.cpus[at].queue.is_empty() {
            self.fetch(at);
        }
        let now = self.now;
        let cpu = &mut self.cpus[at];
        if let Some(picked) = cpu.queue.pick(now) {
            assert!(self.vcpus[picked.key].affinity.contains(at), "affinity is obeyed");
            cpu.held = Some(picked.key);
            cpu.turn_began_ns = now;
            cpu.turn_ends_ns = picked.slice_ns.map_or(u64::MAX, |slice| now + slice);
        }
    }

    fn fetch(&mut self, to: usize) {
        let surplus = |cpu: &Cpu| cpu.queue.surplus(to, cpu.held).map(|one| one.key);
        let others = self.cpus.iter().enumerate().filter(|(cpu, _)| *cpu != to);
        let can = others.filter_map(|(at, cpu)| Some((cpu.queue.load(), at, surplus(cpu)?)));
        if let Some((_, from, key)) = can.max() {
            self.hand_over(from, key, to);
        }
    }

    fn look(&mut self, at: usize) {
        let now = self.now;
        if now - self.cpus[at].looked_ns < LOOK_NS || self.cpus[at].queue.len() < 2 {
            return;
        }
        self.cpus[at].looked_ns = now;
        let clock = |cpu: &mut Cpu| match cpu.queue.is_empty() {
            true => Clock::Idle,
            false => Clock::At(cpu.queue.floor_at(now)),
        };
        let mut clocks: Vec<Clock> = self.cpus.iter_mut().map(clock).collect();
        let raises = align(&clocks);
        for ((cpu, clock), by) in self.cpus.iter_mut().zip(&mut clocks).zip(raises) {
            cpu.queue.raise(by);
            if let Clock::At(ns) = clock {
                *ns = ns.wrapping_add(by);
            }
        }
        let cpu = &self.cpus[at];
        if let Some((key, to)) = overdue(at, &cpu.queue, cpu.held, &clocks) {
            self.hand_over(at, key, to);
        }
    }

    fn hand_over(&mut self, from: usize, key: usize, to: usize) {
        assert_ne!(self.cpus[from].held, Some(key), "only saved vCPUs move");
        let entity = self.cpus[from].queue.remove(key).unwrap();
        let target = &mut self.cpus[to];
        target.queue.adopt(entity, self.now).unwrap();
        if target.queue.len() <= 2 || target.queue.preempts(key) {
            target.turn_ends_ns = self.now;
        }
        self.moves += 1;
    }

    /// The run time of each, with the present turns.
    fn sample(&self) -> Vec<u64> {
        let mut ran = self.ran_ns.clone();
        for cpu in &self.cpus {
            if let Some(key) = cpu.queue.current() {
                ran[key] += self.now - cpu.turn_began_ns;
            }
        }
        ran
    }

    /// Runs for `for_ns`, disturbed by `disturb`; gives each one's run time in every window of two seconds.
    fn windows(&mut self, for_ns: u64, mut disturb: impl FnMut(&mut Self)) -> Vec<Vec<u64>> {
        let mut samples = Vec::new();
        while self.now < for_ns {
            disturb(self);
            self.step();
            if self.now >= SETTLED_NS && self.now.is_multiple_of(SAMPLE_NS) {
                samples.push(self.sample());
            }
        }
        let span = usize::try_from(WINDOW_NS / SAMPLE_NS).unwrap();
        let window = |ends: &[Vec<u64>]| {
            ends[span].iter().zip(&ends[0]).map(|(end, start)| end - start).collect()
        };
        samples.windows(span + 1).map(window).collect()
    }
}

/// Each one's share of a CPU in every window is within 5 % of `permille`.
fn assert_shares(cpus: usize, vcpus: &[Busy], permille: &[u64]) -> usize {
    let mut machine = Machine::new(cpus, vcpus);
    let windows = machine.windows(8_000 * MS, |_| ());
    assert!(windows.len() > 50);
    for window in windows {
        for (ran, permille) in window.iter().zip(permille) {
            let wanted = WINDOW_NS * permille / 1000;
            assert!(ran.abs_diff(wanted) <= wanted / 20, "{window:?}, wanted {permille:?}");
        }
    }
    machine.moves
}

const ANY: u64 = u64::MAX;

#[test]
fn any_number_of_equals_shares_any_number_of_cpus_equally() {
    for cpus in 1..=4 {
        for count in 1..=9 {
            let permille = (1000 * cpus as u64 / count as u64).min(1000);
            assert_shares(cpus, &vec![busy(100, ANY); count], &vec![permille; count]);
        }
    }
}

#[test]
fn equals_share_equally_whenever_they_start_and_whatever_the_host_takes() {
    for seed in 1..=12usize {
        let mut dice = Dice(seed as u64 * 0x9e37_79b9);
        let cpus = 2 + seed % 3;
        let count = cpus + 1 + seed % 5;
        let mut start = || Busy { from_ns: dice.below(200) * MS, ..busy(100, ANY) };
        let vcpus: Vec<Busy> = (0..count).map(|_| start()).collect();
        let mut machine = Machine::new(cpus, &vcpus);
        // The host takes 2 ms of CPU 0 now and then, a tenth of it in all.
        let windows = machine.windows(8_000 * MS, |machine| {
            if dice.below(100) == 0 {
                machine.cpus[0].taken_until_ns = machine.now + 2 * MS;
            }
        });
        for window in windows {
            let mean = window.iter().sum::<u64>() / count as u64;
            let even = |ran: &u64| ran.abs_diff(mean) <= mean / 20;
            assert!(window.iter().all(even), "seed {seed}: {window:?}");
        }
    }
}

#[test]
fn weights_count_across_cpus_as_far_as_one_cpu_reaches() {
    let weights = |weights: &[u32]| weights.iter().map(|w| busy(*w, ANY)).collect::<Vec<_>>();
    assert_shares(2, &weights(&[200, 100, 100, 100]), &[800, 400, 400, 400]);
    assert_shares(2, &weights(&[100, 200, 400]), &[333, 667, 1000]);
    assert_shares(2, &weights(&[400, 200, 100]), &[1000, 667, 333]);
    assert_shares(1, &weights(&[100, 200, 400]), &[143, 286, 571]);
    assert_shares(3, &weights(&[300, 300, 200, 200, 200]), &[750, 750, 500, 500, 500]);
}

#[test]
fn the_pinned_get_their_share_and_the_others_make_the_best_of_the_rest() {
    let (first, second) = (0b01, 0b10);
    assert_shares(2, &[busy(100, first), busy(100, ANY), busy(100, ANY)], &[667; 3]);
    let crowd = [first, first, first, first, ANY, ANY].map(|affinity| busy(100, affinity));
    assert_shares(2, &crowd, &[250, 250, 250, 250, 500, 500]);
    assert_shares(2, &[first, first, second].map(|mask| busy(100, mask)), &[500, 500, 1000]);
    assert_shares(2, &[busy(100, first); 5], &[200; 5]);
}

#[test]
fn what_was_missed_while_nobody_could_move_is_forgotten() {
    // For four seconds one is alone on CPU 1 and two are pinned to CPU 0; then two more come that may run anywhere.
    let late = Busy { from_ns: 4_000 * MS, ..busy(100, ANY) };
    let vcpus = [busy(100, 0b01), busy(100, 0b01), busy(100, 0b10), late, late];
    let mut machine = Machine::new(2, &vcpus);
    let windows = machine.windows(10_000 * MS, |_| ());
    let settled = windows.iter().skip(usize::try_from(4_000 * MS / SAMPLE_NS).unwrap());
    for window in settled {
        let even = |ran: &u64| ran.abs_diff(WINDOW_NS * 2 / 5) <= WINDOW_NS / 50;
        assert!(window.iter().all(even), "{window:?}");
    }
}

#[test]
fn moves_are_few_and_none_where_they_change_nothing() {
    let odd = assert_shares(2, &[busy(100, ANY); 3], &[667; 3]);
    assert!((100..600).contains(&odd), "{odd} moves in 8 s");
    let even = assert_shares(2, &[busy(100, ANY); 4], &[500; 4]);
    assert!(even < 20, "{even} moves in 8 s");
}
