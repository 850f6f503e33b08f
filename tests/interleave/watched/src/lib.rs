//! Atomics and locks whose every use is a place where another thread may go on.

pub use loom::sync::MutexGuard as SpinNoIrqGuard;
pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

/// A lock with the interface of the spin lock.
pub struct SpinNoIrq<T>(loom::sync::Mutex<T>);

impl<T> SpinNoIrq<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> SpinNoIrqGuard<'_, T> {
        self.0.lock().expect("nobody panics with it")
    }

    /// Takes the lock if nobody has it.
    pub fn try_lock(&self) -> Option<SpinNoIrqGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}
