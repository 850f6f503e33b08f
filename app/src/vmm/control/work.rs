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

struct Job<R> {
    result: SpinNoIrq<Option<R>>,
    bell: Bell,
}

type Work = Box<dyn FnOnce() + Send>;

/// The thread that does the work of one shell.
#[derive(Default)]
pub(super) struct Worker(Option<Arc<Inbox>>);

/// What the thread is to do next.
struct Inbox {
    work: SpinNoIrq<Option<Work>>,
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
        let job = Arc::new(Job { result: SpinNoIrq::new(None), bell: Bell::new() });
        let theirs = job.clone();
        let start = now_ns();
        *inbox.work.lock() = Some(Box::new(move || {
            let result = work();
            *theirs.result.lock() = Some(result);
            theirs.bell.ring();
        }));
        inbox.bell.ring();
        loop {
            job.bell.wait(PERIOD, || job.result.lock().is_some());
            if let Some(result) = job.result.lock().take() {
                return Ok(result);
            }
            let elapsed_ns = now_ns().saturating_sub(start);
            if elapsed_ns >= SOON_NS {
                let (done, total) = done();
                progress(Progress { what, done, total, elapsed_ns });
            }
        }
    }

    /// The inbox of the thread, which it starts if there is none yet.
    fn inbox(&mut self) -> Result<Arc<Inbox>, &'static str> {
        if let Some(inbox) = &self.0 {
            return Ok(inbox.clone());
        }
        let inbox = Arc::new(Inbox { work: SpinNoIrq::new(None), bell: Bell::new() });
        let theirs = inbox.clone();
        let started = thread::spawn("shell-work", Rank::Guests, None, move || {
            thread::stay();
            theirs.serve();
        });
        if !started {
            return Err("the host has no thread left for this: delete a VM first");
        }
        Ok(self.0.insert(inbox).clone())
    }
}

impl Inbox {
    fn serve(&self) -> ! {
        loop {
            self.bell.wait(NEXT_LOOK, || self.work.lock().is_some());
            let work = self.work.lock().take();
            if let Some(work) = work {
                work();
            }
        }
    }
}
