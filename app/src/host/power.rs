//! Switching the machine off and on again.

/// Ends output and switches the machine off.
pub(crate) fn off() -> ! {
    ax_runtime::terminate()
}

/// Resets the machine.
pub(crate) fn reset() -> ! {
    if let Ok(output) = ax_runtime::console::output() {
        let _ = output.drain();
    }
    ax_hal::power::system_reset()
}
