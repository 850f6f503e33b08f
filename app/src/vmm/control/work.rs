//! Long work for one VM: in a thread beside the guests, while the shell is told how it gets on.

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

struct Job<R> {
    result: SpinNoIrq<Option<R>>,
    bell: Bell,
}

/// Does `work` in a thread of its own; `what` is its name, and `done` gives the bytes done and the bytes there are.
///
/// # Errors
/// A sentence: the host cannot start a thread.
pub(super) fn run<R: Send + 'static>(
    what: &'static str,
    done: impl Fn() -> (u64, u64),
    progress: OnProgress<'_>,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, &'static str> {
    let job = Arc::new(Job { result: SpinNoIrq::new(None), bell: Bell::new() });
    let theirs = job.clone();
    let start = now_ns();
    let started = thread::spawn("shell-work", Rank::Guests, None, move || {
        let result = work();
        *theirs.result.lock() = Some(result);
        theirs.bell.ring();
    });
    if !started {
        return Err("the host has no thread left for this: delete a VM first");
    }
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
