//! Reading and writing system registers by name; on a host that is not aarch64 there are none.

/// Reads a system register: `mrs!("ESR_EL2")`. A name may come in pieces.
macro_rules! mrs {
    ($($name:literal),+) => {{
        #[cfg(target_arch = "aarch64")]
        {
            let value: u64;
            // SAFETY: reading a system register at EL2 has no effect on memory; every register
            // named in this crate exists on the CPUs that `hardware_enable` accepts.
            unsafe {
                core::arch::asm!(concat!("mrs {}, ", $($name),+), out(reg) value, options(nomem, nostack));
            }
            value
        }
        #[cfg(not(target_arch = "aarch64"))]
        {
            0u64
        }
    }};
}

/// Writes a system register of the guest or of the virtualisation controls: `msr!("VTTBR_EL2", value)`.
macro_rules! msr {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the registers this crate writes configure lower exception levels, their interrupts
        // and their translation; none changes how EL2's own Rust code or stack is reached, except
        // VBAR_EL2 and SP_EL0, whose writers say why they may.
        unsafe {
            core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack));
        }
        #[cfg(not(target_arch = "aarch64"))]
        let _ = value;
    }};
}

/// Runs an instruction that has no operand or a fixed one: `barrier!("isb")`.
macro_rules! barrier {
    ($text:literal) => {{
        #[cfg(target_arch = "aarch64")]
        // SAFETY: barriers, hints, interrupt masking and maintenance by no address change no memory.
        unsafe {
            core::arch::asm!($text, options(nostack));
        }
    }};
}

pub(crate) use {barrier, mrs, msr};

/// A register's value as a size or an address.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "usize has the 64 bits of an aarch64 register")]
pub(crate) const fn size(value: u64) -> usize {
    const { assert!(usize::BITS == u64::BITS) };
    value as usize
}

/// Bits 31:0 of a register.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the upper half is what is dropped")]
pub(crate) const fn low_word(value: u64) -> u32 {
    value as u32
}
