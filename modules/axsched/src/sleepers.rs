//! Who sleeps until a moment of a counter that only rises.

use alloc::vec::Vec;

/// Sleepers, each with the counter value at which it is to be woken.
#[derive(Debug)]
pub struct Sleepers<T: Copy + Eq> {
    sleepers: Vec<(u64, T)>,
    /// The least of these values; [`NEVER`] when nobody sleeps.
    soonest: u64,
}

/// No sleeper is due before the end of time.
const NEVER: u64 = u64::MAX;

impl<T: Copy + Eq> Sleepers<T> {
    /// Nobody, with room for `capacity`; the only operation that allocates.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { sleepers: Vec::with_capacity(capacity), soonest: NEVER }
    }

    /// Lets `key` sleep until the counter reads `deadline`; false if there is no room, and it will not be woken.
    #[inline]
    pub fn add(&mut self, key: T, deadline: u64) -> bool {
        let has_room = self.sleepers.len() < self.sleepers.capacity();
        if has_room {
            self.sleepers.push((deadline, key));
            self.soonest = self.soonest.min(deadline);
        }
        has_room
    }

    /// Nobody has to wake `key` any more.
    #[inline]
    pub fn forget(&mut self, key: T) {
        if let Some(place) = self.sleepers.iter().position(|(_, sleeper)| *sleeper == key) {
            self.take(place);
        }
    }

    /// Takes one out that is due at `now`, if any is.
    #[inline]
    pub fn due(&mut self, now: u64) -> Option<T> {
        if now < self.soonest {
            return None;
        }
        let place = self.sleepers.iter().position(|(deadline, _)| *deadline <= now)?;
        self.take(place)
    }

    /// When the next one is due, if anybody sleeps.
    #[inline]
    pub fn soonest(&self) -> Option<u64> {
        (self.soonest != NEVER).then_some(self.soonest)
    }

    /// Takes the one at `place` out; the last one fills the gap.
    fn take(&mut self, place: usize) -> Option<T> {
        let last = self.sleepers.pop()?;
        let (_, key) = match self.sleepers.get_mut(place) {
            Some(gap) => core::mem::replace(gap, last),
            None => last,
        };
        self.soonest = self.sleepers.iter().map(|(deadline, _)| *deadline).min().unwrap_or(NEVER);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_once_and_not_before_its_time() {
        let mut sleepers = Sleepers::with_capacity(4);
        assert_eq!((sleepers.soonest(), sleepers.due(u64::MAX)), (None, None));
        for (key, deadline) in [('a', 30), ('b', 10), ('c', 20)] {
            assert!(sleepers.add(key, deadline));
        }
        assert_eq!((sleepers.soonest(), sleepers.due(9)), (Some(10), None));
        assert_eq!((sleepers.due(10), sleepers.due(10)), (Some('b'), None));
        assert_eq!(sleepers.soonest(), Some(20));
        let mut both = [sleepers.due(30), sleepers.due(30)];
        both.sort_unstable();
        assert_eq!((both, sleepers.due(30)), ([Some('a'), Some('c')], None));
        assert_eq!(sleepers.soonest(), None);
    }

    #[test]
    fn who_is_forgotten_is_never_due() {
        let mut sleepers = Sleepers::with_capacity(3);
        for (key, deadline) in [('a', 10), ('b', 20), ('c', 30)] {
            sleepers.add(key, deadline);
        }
        sleepers.forget('a');
        sleepers.forget('x');
        assert_eq!((sleepers.soonest(), sleepers.due(19)), (Some(20), None));
        sleepers.forget('c');
        assert_eq!((sleepers.due(99), sleepers.due(99)), (Some('b'), None));
    }

    #[test]
    fn there_are_never_more_than_there_is_room_for() {
        let mut sleepers = Sleepers::with_capacity(1);
        let room = sleepers.sleepers.capacity() as u64;
        assert!((0..room).all(|key| sleepers.add(key, key)));
        assert!(!sleepers.add(room, 0));
        assert_eq!(sleepers.soonest(), Some(0));
    }
}
