//! The values one guest keeps in its registers, made from the word that names it.

use crate::gic;
use crate::registers::{self, Generals, Vectors};
use crate::report::{Failure, Outcome, check};
use crate::sysreg::{
    AFSR0_EL1, AFSR1_EL1, AMAIR_EL1, CNTKCTL_EL1, CONTEXTIDR_EL1, CSSELR_EL1, ESR_EL1, FAR_EL1,
    FPCR, FPSR, PAR_EL1, SP_EL0, TPIDR_EL0, TPIDR_EL1, TPIDRRO_EL0, TTBR1_EL1,
};

/// What a register makes of a write.
#[derive(PartialEq)]
enum Kind {
    /// It keeps the bits.
    Storage,
    /// It may be fixed on some CPUs; what it reads as when filled is what it must keep.
    Perhaps,
}

/// A system register: its name, its accessors, what this guest writes: the bits of `always` and some of `free`.
struct Cell {
    name: &'static str,
    read: fn() -> u64,
    write: fn(u64),
    kind: Kind,
    always: u64,
    free: u64,
}

macro_rules! cells {
    ($($name:ident: $kind:ident $always:literal $free:expr,)*) => {
        [$(Cell {
            name: stringify!($name),
            read: $name::read,
            write: $name::write,
            kind: Kind::$kind,
            always: $always,
            free: $free,
        }),*]
    };
}

const ALL: u64 = u64::MAX;

/// Implemented bits only, and none with a side effect on this guest: no event stream, TTBR1 is not walked, priorities
/// above 0x80 stay open.
const CELLS: [Cell; 18] = cells! {
    SP_EL0: Storage 0 ALL,
    TPIDR_EL0: Storage 0 ALL,
    TPIDR_EL1: Storage 0 ALL,
    TPIDRRO_EL0: Storage 0 ALL,
    CONTEXTIDR_EL1: Storage 0 0xffff_ffff,
    CNTKCTL_EL1: Storage 0 0x3f3,
    PAR_EL1: Storage 0 0x0000_ffff_ffff_f000,
    TTBR1_EL1: Storage 0 0x0000_00ff_ffff_f000,
    AMAIR_EL1: Perhaps 0 ALL,
    AFSR0_EL1: Perhaps 0 0xffff_ffff,
    AFSR1_EL1: Perhaps 0 0xffff_ffff,
    ESR_EL1: Storage 0 0xffff_ffff,
    FAR_EL1: Storage 0 ALL,
    CSSELR_EL1: Storage 0 1,
    FPCR: Storage 0 0x07c0_0000,
    FPSR: Storage 0 0x0800_009f,
    Pmr: Storage 0xc0 0x30,
    Bpr: Storage 4 1,
};

/// The CPU interface's priority mask.
enum Pmr {}

impl Pmr {
    fn read() -> u64 {
        gic::priority_mask()
    }

    fn write(value: u64) {
        gic::set_priority_mask(value as u8);
    }
}

/// The CPU interface's binary point.
enum Bpr {}

impl Bpr {
    fn read() -> u64 {
        gic::binary_point()
    }

    fn write(value: u64) {
        gic::set_binary_point(value as u8);
    }
}

/// Everything one guest expects to find.
pub(in crate::cases) struct Contents {
    seed: u64,
    vectors: Vectors,
    generals: Generals,
    cells: [u64; CELLS.len()],
}

/// FNV-1a, 64 bits.
fn hash(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// A different value for each register of each guest.
fn value(seed: u64, place: u64) -> u64 {
    let mixed =
        (seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ mixed >> 29
}

impl Cell {
    /// Writes what `value` has for it, and returns what it must read as from now on.
    fn load(&self, value: u64) -> u64 {
        let wanted = self.always | value & self.free;
        (self.write)(wanted);
        if self.kind == Kind::Perhaps { (self.read)() } else { wanted }
    }
}

impl Contents {
    /// What the guest called `word` keeps; every register is loaded with it.
    pub(in crate::cases) fn load(word: &str) -> Contents {
        let seed = hash(word);
        let vectors = core::array::from_fn(|place| value(seed, place as u64));
        registers::set_vectors(&vectors);
        Contents {
            seed,
            vectors,
            generals: core::array::from_fn(|place| value(seed, 100 + place as u64)),
            cells: core::array::from_fn(|place| CELLS[place].load(value(seed, 200 + place as u64))),
        }
    }

    /// Its own timer priority: group bits that every binary point of `CELLS` leaves whole.
    pub(super) fn timer_priority(&self) -> u8 {
        if self.seed & 1 == 0 { 0x40 } else { 0x80 }
    }

    /// Its own deadline, in a far future.
    pub(super) fn deadline(&self) -> u64 {
        value(self.seed, 300) >> 1
    }

    /// Spins until the counter is at `until` with the pattern in the general registers.
    pub(super) fn spin(&self, until: u64) -> Outcome {
        let got = registers::spin(until, self.generals);
        same("a general register", &got, &self.generals)
    }

    /// Every register still holds what `load` put there.
    pub(in crate::cases) fn verify(&self) -> Outcome {
        same("a vector register", &registers::vectors(), &self.vectors)?;
        for (cell, value) in CELLS.iter().zip(self.cells) {
            check(cell.name, (cell.read)(), value)?;
        }
        Ok(())
    }
}

fn same(what: &'static str, got: &[u64], wanted: &[u64]) -> Result<(), Failure> {
    got.iter().zip(wanted).try_for_each(|(&got, &wanted)| check(what, got, wanted))
}
