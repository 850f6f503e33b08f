//! What the operator is told without having asked: one line each, shown by the shell.

use alloc::collections::VecDeque;
use alloc::string::String;

use kspin::SpinNoIrq;

/// Notices nobody has read are not kept for ever.
const KEPT: usize = 64;

static NOTICES: SpinNoIrq<VecDeque<String>> = SpinNoIrq::new(VecDeque::new());

/// Tells the operator.
pub(crate) fn post(text: String) {
    let mut notices = NOTICES.lock();
    if notices.len() == KEPT {
        notices.pop_front();
    }
    notices.push_back(text);
}

/// The oldest notice nobody has read.
pub(crate) fn take() -> Option<String> {
    NOTICES.lock().pop_front()
}
