//! What guests see, on simulated list registers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
#![allow(clippy::cast_possible_truncation)]

mod bounds;
mod delivery;
mod fake;
mod gicv2;
mod private;
mod random;
mod registers;
