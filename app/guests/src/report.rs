//! How a case ends: checks that name what they expected, and the verdict line.

use crate::{println, psci};
use core::fmt::{self, Display, Formatter};

/// The first thing that was not as it should be.
pub(crate) struct Failure {
    what: &'static str,
    got: u64,
    want: u64,
}

impl Failure {
    /// One without figures.
    pub(crate) fn of(what: &'static str) -> Failure {
        Failure { what, got: 0, want: 1 }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Failure { what, got: 0, want: 1 } => f.write_str(what),
            Failure { what, got, want } => write!(f, "{what}: got {got:#x}, expected {want:#x}"),
        }
    }
}

/// A case's result.
pub(crate) type Outcome = Result<(), Failure>;

/// Fails without figures.
pub(crate) fn fail(what: &'static str) -> Outcome {
    Err(Failure::of(what))
}

/// Fails unless `got` equals `want`.
pub(crate) fn check(what: &'static str, got: impl Into<Word>, want: impl Into<Word>) -> Outcome {
    let (Word(got), Word(want)) = (got.into(), want.into());
    if got == want { Ok(()) } else { Err(Failure { what, got, want }) }
}

/// Fails unless `holds`.
pub(crate) fn ensure(what: &'static str, holds: bool) -> Outcome {
    if holds { Ok(()) } else { fail(what) }
}

/// Anything a failure can print.
pub(crate) struct Word(pub(crate) u64);

macro_rules! words {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Word {
            fn from(value: $kind) -> Word {
                Word(value as u64)
            }
        }
    )*};
}

words!(bool, u8, i32, u32, u64, usize);

/// Prints the line the host looks for and powers the machine off.
pub(crate) fn verdict(case: impl Display, outcome: Outcome) -> ! {
    match outcome {
        Ok(()) => println!("VERDICT {case} PASS"),
        Err(failure) => println!("VERDICT {case} FAIL {failure}"),
    }
    psci::system_off()
}
