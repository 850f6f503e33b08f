//! The run queue of one physical CPU: weighted fair queueing by virtual run time.
//!
//! Every runnable vCPU has a virtual time, and the one that is furthest behind runs next. The floor is the smallest
//! virtual time among the runnable ones and never goes back; it is where newcomers start and what sleepers are
//! held to. A queue holds few vCPUs, so a scan of one small array beats a tree, and nobody is moved in it for a turn.
//!
//! The current vCPU may run for hours without an exit when it is alone. Whoever wakes another one on this CPU
//! therefore first brings the current one's virtual time up to now ([`RunQueue::wake`]); the later
//! [`RunQueue::charge`] for the same stretch counts only what is missing.

use alloc::vec::Vec;

use crate::CpuMask;
use crate::entity::{Entity, Terms, clamp_weight, distance};

/// The time in which every runnable vCPU should run once, in ns; slices are shares of it.
pub const PERIOD_NS: u64 = 12_000_000;
/// The shortest slice, in ns.
pub const MIN_SLICE_NS: u64 = 1_000_000;
/// The longest slice, in ns.
pub const MAX_SLICE_NS: u64 = 10_000_000;
/// How far behind the floor a vCPU may be when it wakes, in ns of virtual time.
pub const SLEEPER_CREDIT_NS: u64 = 3_000_000;
/// How far the virtual times of two CPUs may be apart, in ns, so that this is what a vCPU can be owed when it moves.
pub const LEASH_NS: u64 = 30_000_000;
/// How far ahead of the floor a vCPU may be that wakes or comes from another CPU, in ns of virtual time.
const MAX_DEBT_NS: u64 = 1_000_000_000;
/// By how much a woken vCPU must be behind the current one to interrupt its slice, in ns of virtual time.
const PREEMPT_MARGIN_NS: i64 = 1_000_000;

/// Why a vCPU could not be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// The queue already holds as many as it was made for.
    Full,
    /// It is in this queue already.
    Present,
}

/// What to run next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked<T> {
    /// Who runs.
    pub key: T,
    /// For how long, in ns; `None` when nobody else waits and no slice timer is wanted.
    pub slice_ns: Option<u64>,
    /// How long it was ready and did not run, in ns: its steal time since it last ran.
    pub waited_ns: u64,
    /// It runs for the first time since it was woken, so that the wait is the latency of its wake-up.
    pub woken: bool,
    /// Where it may run.
    pub affinity: CpuMask,
}

/// Nobody is current: no place among those of a queue.
const NOBODY: usize = usize::MAX;

/// The runnable vCPUs of one physical CPU, the current one included.
#[derive(Debug)]
pub struct RunQueue<T: Copy + Eq> {
    /// All of them, in no order: nobody changes places when another one becomes the current one.
    runnable: Vec<Entity<T>>,
    /// The place of the current one.
    current: usize,
    /// Up to when the current one's run time is in its virtual time.
    counted_to_ns: u64,
    /// Run time of the current one that was counted before its charge came, at least: some may have been the host's.
    ahead_ns: u64,
    capacity: usize,
    floor_ns: u64,
    /// Sum of the weights of all.
    load: u64,
}

impl<T: Copy + Eq> RunQueue<T> {
    /// An empty queue for up to `capacity` vCPUs; the only operation that allocates.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::with_floor(capacity, 0)
    }

    fn with_floor(capacity: usize, floor_ns: u64) -> Self {
        let runnable = Vec::with_capacity(capacity);
        let (current, counted_to_ns, ahead_ns, load) = (NOBODY, 0, 0, 0);
        Self { runnable, current, counted_to_ns, ahead_ns, capacity, floor_ns, load }
    }

    /// Makes `key` runnable on `terms`, its weight clamped, at `now_ns`.
    ///
    /// `saved_ns` is what [`block`](Self::block) or [`remove`](Self::remove) gave, here or on another queue that
    /// [`align`](crate::align) keeps in step, or `None` for a newcomer, who starts at the floor. However long it
    /// slept, it comes back at most [`SLEEPER_CREDIT_NS`] behind the floor.
    ///
    /// # Errors
    /// [`QueueError::Present`] when it is queued here already, [`QueueError::Full`] beyond the capacity.
    pub fn wake(
        &mut self,
        key: T,
        terms: Terms,
        saved_ns: Option<u64>,
        now_ns: u64,
    ) -> Result<(), QueueError> {
        let floor_ns = self.floor_at(now_ns);
        let bounded = |saved| bounded(saved, floor_ns, SLEEPER_CREDIT_NS);
        self.insert(Entity {
            key,
            weight: clamp_weight(terms.weight),
            affinity: terms.affinity,
            vruntime_ns: saved_ns.map_or(floor_ns, bounded),
            ready_since_ns: now_ns,
            woken: true,
        })
    }

    /// Takes in what [`remove`](Self::remove) gave on another queue, with what it is owed, which is at most
    /// [`LEASH_NS`], and with the time since when it waits.
    ///
    /// # Errors
    /// As [`wake`](Self::wake).
    pub fn adopt(&mut self, entity: Entity<T>, now_ns: u64) -> Result<(), QueueError> {
        let floor_ns = self.floor_at(now_ns);
        let vruntime_ns = bounded(entity.vruntime_ns, floor_ns, LEASH_NS);
        self.insert(Entity { vruntime_ns, ..entity })
    }

    fn insert(&mut self, entity: Entity<T>) -> Result<(), QueueError> {
        if self.contains(entity.key) {
            return Err(QueueError::Present);
        }
        if self.len() >= self.capacity {
            return Err(QueueError::Full);
        }
        // That an exit which wakes somebody never takes memory is seen from this alone.
        if self.runnable.len() < self.runnable.capacity() {
            self.load = self.load.saturating_add(u64::from(entity.weight));
            self.runnable.push(entity);
        }
        Ok(())
    }

    /// The place of `key`; the current one's is looked at first.
    #[inline]
    fn place(&self, key: T) -> Option<usize> {
        if self.runnable.get(self.current).is_some_and(|entity| entity.key == key) {
            return Some(self.current);
        }
        self.runnable.iter().position(|entity| entity.key == key)
    }

    /// Takes the vCPU that is furthest behind as the current one; `None` when nobody is runnable.
    ///
    /// A current vCPU that was neither blocked nor put back is put back first.
    #[inline]
    pub fn pick(&mut self, now_ns: u64) -> Option<Picked<T>> {
        if let Some(key) = self.current() {
            self.put_back(key, now_ns);
        }
        self.current = self.furthest_behind()?;
        (self.counted_to_ns, self.ahead_ns) = (now_ns, 0);
        let entity = self.runnable.get(self.current)?;
        let picked = Picked {
            key: entity.key,
            slice_ns: self.slice_ns(),
            waited_ns: now_ns.saturating_sub(entity.ready_since_ns),
            woken: entity.woken,
            affinity: entity.affinity,
        };
        self.raise_floor_to(entity.vruntime_ns);
        Some(picked)
    }

    /// Adds `ran_ns` of run time to `key`, normally the current one; nothing happens when it is not here.
    #[inline]
    pub fn charge(&mut self, key: T, ran_ns: u64) {
        let Some(place) = self.place(key) else {
            return;
        };
        let Some(entity) = self.runnable.get_mut(place) else {
            return;
        };
        if place != self.current {
            return entity.advance(ran_ns);
        }
        if let Some(missing_ns) = ran_ns.checked_sub(self.ahead_ns) {
            entity.advance(missing_ns);
            self.counted_to_ns = self.counted_to_ns.saturating_add(missing_ns);
        } else {
            let excess_ns = self.ahead_ns.saturating_sub(ran_ns);
            entity.give_back(excess_ns);
            self.counted_to_ns = self.counted_to_ns.saturating_sub(excess_ns);
        }
        self.ahead_ns = 0;
    }

    /// Ends the turn of `key`, which stays runnable; false when it is not the current one.
    #[inline]
    pub fn put_back(&mut self, key: T, now_ns: u64) -> bool {
        let Some(entity) = self.runnable.get_mut(self.current).filter(|entity| entity.key == key)
        else {
            return false;
        };
        entity.ready_since_ns = now_ns;
        entity.woken = false;
        self.current = NOBODY;
        true
    }

    /// Takes `key` out because it waits for something; gives its virtual time for the next [`wake`](Self::wake).
    #[inline]
    pub fn block(&mut self, key: T) -> Option<u64> {
        self.remove(key).map(|entity| entity.vruntime_ns)
    }

    /// Takes `key` out for good, or to move it to another queue; `None` when it is not here.
    #[inline]
    pub fn remove(&mut self, key: T) -> Option<Entity<T>> {
        let place = self.place(key)?;
        // The last one fills the gap.
        let last = self.runnable.pop()?;
        let entity = match self.runnable.get_mut(place) {
            Some(gap) => core::mem::replace(gap, last),
            None => last,
        };
        if self.current == place {
            self.current = NOBODY;
        } else if self.current == self.runnable.len() {
            self.current = place;
        }
        self.load = self.load.saturating_sub(u64::from(entity.weight));
        self.raise_floor();
        Some(entity)
    }

    /// Asks `may_run_on` anew where each one here may run.
    pub fn renew_affinities(&mut self, may_run_on: impl Fn(T) -> CpuMask) {
        for entity in &mut self.runnable {
            entity.affinity = may_run_on(entity.key);
        }
    }

    /// Who can go from here to `cpu` and leave somebody here to run: of those that wait and may run there the
    /// furthest behind, but for `held`, whose registers this CPU still has.
    pub fn surplus(&self, cpu: usize, held: Option<T>) -> Option<&Entity<T>> {
        if self.len() < 2 {
            return None;
        }
        let goes = |one: &&Entity<T>| Some(one.key) != held && one.affinity.contains(cpu);
        self.waiting().filter(goes).min_by_key(|one| self.rank(one))
    }

    /// Moves every virtual time here `by_ns` ahead, which changes nothing among those here.
    pub fn raise(&mut self, by_ns: u64) {
        for entity in &mut self.runnable {
            entity.vruntime_ns = entity.vruntime_ns.wrapping_add(by_ns);
        }
        self.floor_ns = self.floor_ns.wrapping_add(by_ns);
    }

    /// Whether `key`, just woken, is so far behind the current vCPU that it should run at once.
    ///
    /// True as well when nobody is current. With false, the current one keeps what is left of
    /// [`slice_ns`](Self::slice_ns), for which it needs a timer if it was alone until now.
    pub fn preempts(&self, key: T) -> bool {
        let Some(woken) = self.waiting().find(|entity| entity.key == key) else {
            return false;
        };
        self.runnable.get(self.current).is_none_or(|current| {
            distance(current.vruntime_ns, woken.vruntime_ns) > PREEMPT_MARGIN_NS
        })
    }

    /// The slice of the current vCPU in ns: its share of [`PERIOD_NS`] within [`MIN_SLICE_NS`]`..=`[`MAX_SLICE_NS`].
    ///
    /// `None` when nobody is current or nobody else waits.
    pub fn slice_ns(&self) -> Option<u64> {
        let current = self.runnable.get(self.current)?;
        if self.runnable.len() < 2 {
            return None;
        }
        let share_ns = PERIOD_NS.saturating_mul(u64::from(current.weight));
        let share_ns = share_ns.checked_div(self.load.max(1)).unwrap_or(0);
        Some(share_ns.clamp(MIN_SLICE_NS, MAX_SLICE_NS))
    }

    /// Who runs.
    pub fn current(&self) -> Option<T> {
        self.runnable.get(self.current).map(|current| current.key)
    }

    /// How many are runnable, the current one included.
    pub fn len(&self) -> usize {
        self.runnable.len()
    }

    /// Whether nobody is runnable.
    pub fn is_empty(&self) -> bool {
        self.runnable.is_empty()
    }

    /// Whether exactly one is runnable, so that no slice timer is wanted.
    pub fn alone(&self) -> bool {
        self.len() == 1
    }

    /// Whether `key` is runnable here.
    pub fn contains(&self, key: T) -> bool {
        self.place(key).is_some()
    }

    /// Those that are ready and do not run, in no order.
    pub fn waiting(&self) -> impl Iterator<Item = &Entity<T>> {
        let all = self.runnable.iter().enumerate();
        all.filter(|(place, _)| *place != self.current).map(|(_, entity)| entity)
    }

    /// The sum of the weights of all that are runnable here.
    pub fn load(&self) -> u64 {
        self.load
    }

    /// The virtual time newcomers start at, in ns.
    pub fn floor_ns(&self) -> u64 {
        self.floor_ns
    }

    /// The same at `now_ns`, with what the current one has run since it was last charged.
    pub fn floor_at(&mut self, now_ns: u64) -> u64 {
        if let Some(current) = self.runnable.get_mut(self.current) {
            let ran_ns = now_ns.saturating_sub(self.counted_to_ns);
            current.advance(ran_ns);
            self.counted_to_ns = now_ns.max(self.counted_to_ns);
            self.ahead_ns = self.ahead_ns.saturating_add(ran_ns);
        }
        self.raise_floor();
        self.floor_ns
    }

    /// Smaller for who runs sooner: how far ahead of the floor, then since when it waits.
    #[inline]
    fn rank(&self, entity: &Entity<T>) -> (i64, u64) {
        (distance(entity.vruntime_ns, self.floor_ns), entity.ready_since_ns)
    }

    /// The place of who, of those that wait, has the smallest virtual time; among equals who has waited longest.
    #[inline]
    fn furthest_behind(&self) -> Option<usize> {
        let all = self.runnable.iter().enumerate();
        let waiting = all.filter(|(place, _)| *place != self.current);
        waiting.min_by_key(|(_, entity)| self.rank(entity)).map(|(place, _)| place)
    }

    /// Moves the floor up to the smallest virtual time, never back.
    #[inline]
    fn raise_floor(&mut self) {
        let lead = |entity: &Entity<T>| distance(entity.vruntime_ns, self.floor_ns);
        let least = self.runnable.iter().map(lead).min().unwrap_or(0);
        self.floor_ns = self.floor_ns.wrapping_add_signed(least.max(0));
    }

    /// Moves the floor up to `smallest_ns`, the smallest virtual time, never back.
    fn raise_floor_to(&mut self, smallest_ns: u64) {
        if distance(smallest_ns, self.floor_ns) > 0 {
            self.floor_ns = smallest_ns;
        }
    }
}

/// A virtual time from elsewhere, held to `credit_ns` below the floor and to a bounded debt above it.
fn bounded(vruntime_ns: u64, floor_ns: u64, credit_ns: u64) -> u64 {
    let (credit, debt) = (credit_ns.cast_signed().wrapping_neg(), MAX_DEBT_NS.cast_signed());
    floor_ns.wrapping_add_signed(distance(vruntime_ns, floor_ns).clamp(credit, debt))
}

#[cfg(test)]
mod tests;
