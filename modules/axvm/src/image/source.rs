//! The kernel's file, unpacked on the way if it is compressed.
//!
//! A compressed kernel is never in host memory as a whole: its first bytes say what it is and where it
//! goes, and a second pass hands it on in chunks.

use super::{Image, ImageError, Part, gzip::Gzip, has, parse, zboot, zstd::Zstd};
use alloc::{borrow::Cow, vec::Vec};
use core::fmt;

/// How much of a compressed kernel is unpacked to find out what it is; all headers must lie in it.
pub const HEAD_SIZE: usize = 64 << 10;

/// How a kernel's file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// What a file that cannot be unpacked here begins with.
const UNKNOWN: [(&[u8], &str); 5] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "lzma"),
];

/// A kernel that can be read from its first byte to its last, as often as needed.
#[derive(Clone)]
pub struct Source<'a> {
    packing: Packing,
    /// What is packed, without what is around it.
    file: &'a [u8],
    head: Cow<'a, [u8]>,
    size: usize,
}

impl<'a> Source<'a> {
    /// Looks into the kernel in `file`: a kernel, a compressed one, or an EFI zboot program around one.
    ///
    /// A file that does not say how big the kernel in it is, or says that it is bigger than `limit`
    /// bytes, which is what the VM has room for, gets unpacked once, to count; not beyond `limit`.
    ///
    /// # Errors
    /// A file that is empty, or compressed in a way that is not known, broken, or too big.
    pub fn open(file: &'a [u8], limit: usize) -> Result<Self, ImageError> {
        let wrapped = zboot::is_zboot(file);
        let file = if wrapped { zboot::payload(file)? } else { file };
        let Some(mut stream) = Stream::open(file)? else {
            if wrapped {
                return Err(ImageError::Compressed("EFI zboot around something else"));
            }
            return Ok(Self { packing: Packing::Plain, file, head: file.into(), size: file.len() });
        };
        let packing = stream.packing();
        // The size of a file that is cut off is any number.
        let declared = stream.declared_size().filter(|&size| size <= limit);
        let mut head = Vec::with_capacity(HEAD_SIZE);
        let mut size = 0_usize;
        while let Some(chunk) = stream.next()? {
            let wanted = chunk.len().min(HEAD_SIZE.saturating_sub(head.len()));
            head.extend_from_slice(chunk.get(..wanted).unwrap_or(chunk));
            size = size.saturating_add(chunk.len());
            if size > declared.unwrap_or(limit) {
                return Err(too_big(packing, declared, limit));
            }
            if declared.is_some() && head.len() == HEAD_SIZE {
                break;
            }
        }
        Ok(Self { packing, file, head: head.into(), size: declared.unwrap_or(size) })
    }

    /// The first bytes of the kernel: all of them if it is not compressed, else up to [`HEAD_SIZE`].
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// How many bytes the kernel has once it is unpacked, as the file says.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How the file is compressed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// What kind of kernel it is.
    ///
    /// # Errors
    /// Those of [`parse`].
    pub fn image(&self) -> Result<Image, ImageError> {
        parse(&self.head, self.size)
    }

    /// Gives all bytes of the kernel to `sink`, in order, each chunk with its offset; in one piece and
    /// without a copy if it is not compressed. Memory use is bounded by the compression's window.
    ///
    /// # Errors
    /// Those of `sink`. A compressed kernel that is broken, whose checksum is wrong or whose size is
    /// not what it said: found out only when part of it has been given away.
    pub fn read<E: From<ImageError>>(
        &self,
        mut sink: impl FnMut(usize, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(mut stream) = Stream::open_as(self.packing, self.file)? else {
            return sink(0, self.file);
        };
        let mut at = 0_usize;
        while let Some(chunk) = stream.next()? {
            let end = at.saturating_add(chunk.len());
            if end > self.size {
                return Err(too_big(self.packing, Some(self.size), self.size).into());
            }
            sink(at, chunk)?;
            at = end;
        }
        if at < self.size {
            return Err(broken(self.packing, "it ends before the size it declares").into());
        }
        Ok(())
    }

    /// Unpacks everything and keeps nothing, to see that it can be done.
    ///
    /// # Errors
    /// A compressed kernel that is broken.
    pub fn verify(&self) -> Result<(), ImageError> {
        self.read(|_, _| Ok::<_, ImageError>(()))
    }
}

/// A decoder that has not come to the end.
enum Stream<'a> {
    Gzip(Gzip<'a>),
    Zstd(Zstd<'a>),
}

impl<'a> Stream<'a> {
    /// A decoder for what `file` begins with; `None` if it is not compressed.
    fn open(file: &'a [u8]) -> Result<Option<Self>, ImageError> {
        if file.is_empty() {
            return Err(ImageError::Empty(Part::Kernel));
        }
        if let Some((_, how)) = UNKNOWN.iter().find(|(magic, _)| file.starts_with(magic)) {
            return Err(ImageError::Compressed(how));
        }
        let packing = if has(file, 0, &super::gzip::MAGIC) {
            Packing::Gzip
        } else if has(file, 0, &super::zstd::MAGIC) {
            Packing::Zstd
        } else {
            Packing::Plain
        };
        Self::open_as(packing, file)
    }

    fn open_as(packing: Packing, file: &'a [u8]) -> Result<Option<Self>, ImageError> {
        Ok(match packing {
            Packing::Plain => None,
            Packing::Gzip => Some(Self::Gzip(Gzip::open(file)?)),
            Packing::Zstd => Some(Self::Zstd(Zstd::open(file)?)),
        })
    }

    fn packing(&self) -> Packing {
        match self {
            Self::Gzip(_) => Packing::Gzip,
            Self::Zstd(_) => Packing::Zstd,
        }
    }

    fn declared_size(&self) -> Option<usize> {
        match self {
            Self::Gzip(gzip) => gzip.declared_size(),
            Self::Zstd(zstd) => zstd.declared_size(),
        }
    }

    /// The next bytes, not none; `None` at the end, when all checks have been passed.
    fn next(&mut self) -> Result<Option<&[u8]>, ImageError> {
        match self {
            Self::Gzip(gzip) => gzip.next(),
            Self::Zstd(zstd) => zstd.next(),
        }
    }
}

/// The stream goes on beyond what it declared, or beyond what the VM has room for.
fn too_big(packing: Packing, declared: Option<usize>, limit: usize) -> ImageError {
    match declared {
        Some(_) => broken(packing, "it goes on beyond the size it declares"),
        None => ImageError::UnpacksTooBig { packing, limit },
    }
}

/// What is wrong with the compressed data.
pub(super) const fn broken(packing: Packing, what: &'static str) -> ImageError {
    ImageError::BadPacking { packing, what }
}
