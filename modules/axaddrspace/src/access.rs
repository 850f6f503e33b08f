//! The width of one memory access.

/// How many bytes one access moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessWidth {
    /// One byte.
    Byte,
    /// Two bytes.
    Word,
    /// Four bytes.
    Dword,
    /// Eight bytes.
    Qword,
}

impl AccessWidth {
    /// The width in bytes.
    #[inline]
    pub const fn bytes(self) -> usize {
        1 << self as usize
    }

    /// A mask of the bits the access covers.
    #[inline]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64_u32.wrapping_sub(8 << self as u32))
    }
}
