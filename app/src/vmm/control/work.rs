//! Long work for one VM: in a thread beside the guests, while the shell is told how it gets on.
//!
//! The thread is started with the first work and stays: a thread's stack goes back to the heap some time after its end, and
//! then nobody could tell what a VM takes of that.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use axshell::{OnProgress, Progress};
use kspin::SpinNoIrq;

use crate::host::thread::{self, Bell, Rank};
use crate::vmm::time::now_ns;

/// How often somebody is told.
const PERIOD: Duration = Duration::from_millis(100);
/// Work that is done sooner is not worth a word, in ns.
const SOON_NS: u64 = 400_000_000;
/// How long the thread waits for work before it looks whether there is any.
const NEXT_LOOK: Duration = Duration::from_secs(3600);

type Work = Box<dyn FnOnce() + Send>;

/// The thread that does the work of one shell, by where its work is left.
#[derive(Default)]
pub(super) struct Worker(Option<Arc<Mailbox<Work>>>);

/// Room for one thing that a thread leaves for another.
struct Mailbox<T> {
    item: SpinNoIrq<Option<T>>,
    bell: Bell,
}

impl Worker {
    /// Does `work` in the thread; `what` is its name, and `done` gives the bytes done and the bytes there are.
    ///
    /// # Errors
    /// A sentence: the host cannot start a thread.
    pub(super) fn run<R: Send + 'static>(
        &mut self,
        what: &'static str,
        done: impl Fn() -> (u64, u64),
        progress: OnProgress<'_>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, &'static str> {
        let inbox = self.inbox()?;
        let results = Arc::new(Mailbox::new());
        let theirs = results.clone();
        let start = now_ns();
        inbox.put(Box::new(move || theirs.put(work())));
        loop {
            if let Some(result) = results.take_within(PERIOD) {
                return Ok(result);
            }
            let elapsed_ns = now_ns().saturating_sub(start);
            if elapsed_ns >= SOON_NS {
                let (done, total) = done();
                progress(Progress { what, done, total, elapsed_ns });
            }
        }
    }

    /// Where the thread's work is left; starts it if there is none yet.
    fn inbox(&mut self) -> Result<Arc<Mailbox<Work>>, &'static str> {
        if let Some(inbox) = &self.0 {
            return Ok(inbox.clone());
        }
        let inbox = Arc::new(Mailbox::<Work>::new());
        let theirs = inbox.clone();
        let started = thread::spawn("shell-work", Rank::Guests, None, move || {
            thread::stay();
            loop {
                if let Some(work) = theirs.take_within(NEXT_LOOK) {
                    work();
                }
            }
        });
        if !started {
            return Err("the host has no thread left for this: delete a VM first");
        }
        Ok(self.0.insert(inbox).clone())
    }
}

impl<T> Mailbox<T> {
    fn new() -> Self {
        Self { item: SpinNoIrq::new(None), bell: Bell::new() }
    }

    fn put(&self, item: T) {
        *self.item.lock() = Some(item);
        self.bell.ring();
    }

    /// What was left, if anything is within `timeout`.
    fn take_within(&self, timeout: Duration) -> Option<T> {
        self.bell.wait(timeout, || self.item.lock().is_some());
        self.item.lock().take()
    }
}
