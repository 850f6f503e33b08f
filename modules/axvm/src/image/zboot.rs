//! The EFI program that distributions wrap around a compressed kernel.
//!
//! Linux, drivers/firmware/efi/libstub/zboot-header.S: "zimg" at 4, where the packed kernel is at 8, its
//! size at 12, and the name of its compression at 24.

use super::{
    ImageError,
    bytes::{field, usize_at},
    has,
};

/// Whether `file` is such a program.
pub(super) fn is_zboot(file: &[u8]) -> bool {
    file.starts_with(b"MZ") && has(file, 4, b"zimg")
}

/// The compressed kernel in a file that [`is_zboot`].
///
/// # Errors
/// A header that is cut off or points outside of the file; a compression that is not known.
pub(super) fn payload(file: &[u8]) -> Result<&[u8], ImageError> {
    let have = file.len();
    let short = |end: usize| ImageError::Truncated { have, promised: end as u64 };
    let name: [u8; 8] = field(file, 24).ok_or(short(32))?;
    // The kernel's build says zstd22 for the highest level of zstd.
    let known: [&[u8]; 3] = [b"gzip\0", b"zstd\0", b"zstd22\0"];
    if !known.iter().any(|known| name.starts_with(known)) {
        return Err(ImageError::Compressed("EFI zboot around something else"));
    }
    let start = usize_at(file, 8).ok_or(short(16))?;
    let size = usize_at(file, 12).ok_or(short(16))?;
    let end = start.saturating_add(size);
    file.get(start..end).ok_or(short(end))
}
