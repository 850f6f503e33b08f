//! What a device is given to reach the world: small traits, implemented above.

/// A wire to an interrupt controller.
pub trait InterruptLine: Send + Sync {
    /// Drives a level-triggered line; calling it again with the same level changes nothing.
    fn set_level(&self, high: bool);
}

/// A counter that a device goes by. May be read from exit code.
pub trait Clock: Send + Sync {
    /// Its value now, in ticks; it does not go backwards while the device can be accessed.
    fn now(&self) -> u64;
}

/// Where a console device's output goes. Called with interrupts masked: bounded work, no host calls.
pub trait ByteSink: Send + Sync {
    /// Takes one byte; a full sink drops its oldest byte, the guest never waits.
    fn put(&self, byte: u8);
}
