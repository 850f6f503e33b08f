//! A gzip file of one member, unpacked in chunks.
//!
//! RFC 1952, whose section numbers are given; the DEFLATE data in it is the crate's work.

use super::{
    ImageError,
    bytes::{u32_at, usize_at},
    source::{Packing, broken},
};
use alloc::{boxed::Box, vec, vec::Vec};
use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress},
};

/// What a gzip file begins with: ID1, ID2.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The fixed part of the header (2.3).
const HEADER_SIZE: usize = 10;
/// CRC32 and ISIZE behind the data (2.3.1).
const TRAILER_SIZE: usize = 8;
/// CM of DEFLATE.
const DEFLATE: u8 = 8;
/// FLG.FHCRC, FEXTRA, FNAME, FCOMMENT: what follows the fixed part.
const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
/// Bits of FLG that must be zero.
const RESERVED: u8 = 0xe0;
/// A power of two that holds what DEFLATE refers back to (32 KiB).
const WINDOW: usize = 64 << 10;

const CUT_OFF: ImageError = error("it is cut off");

const fn error(what: &'static str) -> ImageError {
    broken(Packing::Gzip, what)
}

/// A gzip file that is being unpacked.
pub(super) struct Gzip<'a> {
    /// What has not been read yet, from the DEFLATE data on to the end of the file.
    rest: &'a [u8],
    /// ISIZE.
    declared: Option<usize>,
    inflater: Box<DecompressorOxide>,
    window: Vec<u8>,
    at: usize,
    crc: Crc32,
    total: usize,
    done: bool,
}

impl<'a> Gzip<'a> {
    /// Reads the header of `file`.
    ///
    /// # Errors
    /// A header that is cut off or not of DEFLATE.
    pub(super) fn open(file: &'a [u8]) -> Result<Self, ImageError> {
        let data = skip_header(file)?;
        let trailer = data.len().checked_sub(TRAILER_SIZE).ok_or(CUT_OFF)?;
        Ok(Self {
            rest: data,
            declared: usize_at(data, trailer.saturating_add(4)),
            inflater: Box::default(),
            window: vec![0; WINDOW],
            at: 0,
            crc: Crc32::default(),
            total: 0,
            done: false,
        })
    }

    /// ISIZE, the size modulo 2^32: a file that unpacks to more is refused when it does.
    pub(super) fn declared_size(&self) -> Option<usize> {
        self.declared
    }

    /// The next bytes, or `None` at the end.
    ///
    /// # Errors
    /// Data that is broken, cut off, or not what the trailer says.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, ImageError> {
        if self.done {
            return Ok(None);
        }
        let from = self.at;
        let (status, read, written) =
            decompress(&mut self.inflater, self.rest, &mut self.window, from, 0);
        self.rest = self.rest.get(read..).unwrap_or(&[]);
        self.at = from.saturating_add(written) % WINDOW;
        let chunk = self.window.get(from..from.saturating_add(written)).unwrap_or(&[]);
        self.crc.add(chunk);
        self.total = self.total.saturating_add(written);
        match status {
            TINFLStatus::Done => {
                self.done = true;
                check_trailer(self.rest, &self.crc, self.total)?;
            }
            TINFLStatus::HasMoreOutput if written != 0 => {}
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
                return Err(CUT_OFF);
            }
            TINFLStatus::HasMoreOutput
            | TINFLStatus::BadParam
            | TINFLStatus::Adler32Mismatch
            | TINFLStatus::Failed
            | _ => return Err(error("its data makes no sense")),
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

/// What follows the header (2.3).
fn skip_header(file: &[u8]) -> Result<&[u8], ImageError> {
    let (fixed, mut rest) = file.split_at_checked(HEADER_SIZE).ok_or(CUT_OFF)?;
    let [_, _, method, flags, ..] = *fixed else {
        return Err(CUT_OFF);
    };
    if method != DEFLATE || flags & RESERVED != 0 {
        return Err(error("its header is of no known kind"));
    }
    if flags & FEXTRA != 0 {
        let (length, extra) = rest.split_first_chunk::<2>().ok_or(CUT_OFF)?;
        rest = extra.get(usize::from(u16::from_le_bytes(*length))..).ok_or(CUT_OFF)?;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|&byte| byte == 0).ok_or(CUT_OFF)?;
            rest = rest.get(end.saturating_add(1)..).ok_or(CUT_OFF)?;
        }
    }
    if flags & FHCRC != 0 {
        rest = rest.get(2..).ok_or(CUT_OFF)?;
    }
    Ok(rest)
}

/// Compares CRC32 and ISIZE, behind which nothing may follow: another member, or anything else, would
/// be part of no kernel.
fn check_trailer(trailer: &[u8], crc: &Crc32, total: usize) -> Result<(), ImageError> {
    if trailer.len() > TRAILER_SIZE {
        return Err(error("something follows its end"));
    }
    let (sum, size) = (u32_at(trailer, 0).ok_or(CUT_OFF)?, usize_at(trailer, 4).ok_or(CUT_OFF)?);
    if sum != crc.value() {
        return Err(error("its checksum is wrong"));
    }
    if size != total {
        return Err(error("its size is not what it declares"));
    }
    Ok(())
}

/// The CRC of section 8, with the reflected polynomial 0xedb88320.
struct Crc32(u32);

impl Default for Crc32 {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Crc32 {
    const TABLE: [u32; 256] = Self::table();

    #[expect(
        clippy::indexing_slicing,
        reason = "evaluated by the compiler, which checks the bound"
    )]
    const fn table() -> [u32; 256] {
        let mut table = [0; 256];
        let mut byte = 0_u32;
        while byte < 256 {
            let mut value = byte;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 0 { value >> 1 } else { value >> 1 ^ 0xedb8_8320 };
                bit = u32::wrapping_add(bit, 1);
            }
            table[byte as usize] = value;
            byte = byte.wrapping_add(1);
        }
        table
    }

    fn add(&mut self, bytes: &[u8]) {
        let step = |value: u32, byte: &u8| {
            let [low, ..] = value.to_le_bytes();
            value >> 8 ^ Self::TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0)
        };
        self.0 = bytes.iter().fold(self.0, step);
    }

    fn value(&self) -> u32 {
        !self.0
    }
}
