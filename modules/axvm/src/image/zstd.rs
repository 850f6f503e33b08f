//! A zstd file of one frame, unpacked in chunks.
//!
//! RFC 8878; the decoder is the crate's work. It keeps the frame's window and grows it by doubling,
//! so that the window is what bounds its memory.

use super::{
    ImageError,
    source::{Packing, broken},
};
use alloc::{boxed::Box, vec, vec::Vec};
use ruzstd::{
    decoding::{BlockDecodingStrategy, FrameDecoder, errors::FrameDecoderError},
    io::Read,
};

/// What a frame begins with (3.1.1).
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The biggest window: what every decoder should take (3.1.1.1.2), and what `zstd -19` needs.
const WINDOW_MAX: usize = 8 << 20;
/// More host memory than a decoder takes: while the window's buffer grows, the one of half its size is
/// there as well; blocks and tables are less than 1 MiB.
const HEAP_MAX: usize = 2 * WINDOW_MAX;
/// What has to be left beside it for everybody else.
const HEAP_LEFT: usize = 16 << 20;
/// The size of a chunk.
const CHUNK: usize = 64 << 10;

const fn error(what: &'static str) -> ImageError {
    broken(Packing::Zstd, what)
}

/// A zstd file that is being unpacked.
pub(super) struct Zstd<'a> {
    /// What has not been read yet.
    rest: &'a [u8],
    decoder: Box<FrameDecoder>,
    chunk: Vec<u8>,
}

impl<'a> Zstd<'a> {
    /// Reads the header of the frame in `file`.
    ///
    /// # Errors
    /// A header that is broken, or asks for a dictionary or a big window; too little host memory.
    pub(super) fn open(file: &'a [u8]) -> Result<Self, ImageError> {
        check_heap()?;
        let mut decoder = Box::new(FrameDecoder::new());
        decoder.set_max_window_size(WINDOW_MAX as u64);
        let mut rest = file;
        decoder.init(&mut rest).map_err(|error| blame(&error))?;
        Ok(Self { rest, decoder, chunk: vec![0; CHUNK] })
    }

    /// Frame_Content_Size, which a frame need not have.
    pub(super) fn declared_size(&self) -> Option<usize> {
        // A kernel of no bytes is as good as one of unknown size: unpacking it tells.
        usize::try_from(self.decoder.content_size()).ok().filter(|&size| size != 0)
    }

    /// The next bytes, or `None` at the end.
    ///
    /// # Errors
    /// Data that is broken or cut off, a wrong checksum, something behind the frame.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, ImageError> {
        // Every turn reads a block of the file, or is the last.
        while self.decoder.can_collect() == 0 {
            if self.decoder.is_finished() {
                return self.check_end().map(|()| None);
            }
            self.decoder
                .decode_blocks(&mut self.rest, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(|error| blame(&error))?;
        }
        let got =
            self.decoder.read(&mut self.chunk).map_err(|_| error("its data makes no sense"))?;
        Ok(self.chunk.get(..got).filter(|chunk| !chunk.is_empty()))
    }

    /// Compares the checksum, if the frame has one.
    fn check_end(&self) -> Result<(), ImageError> {
        let told = self.decoder.get_checksum_from_data();
        if told.is_some() && told != self.decoder.get_calculated_checksum() {
            return Err(error("its checksum is wrong"));
        }
        if self.rest.is_empty() { Ok(()) } else { Err(error("something follows its end")) }
    }
}

/// Refuses to begin when the host's memory cannot be enough: the decoder has no way to say so.
fn check_heap() -> Result<(), ImageError> {
    let mut trials: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    // Without this the compiler may leave out what is only taken and given back.
    let mut both = core::hint::black_box(&mut trials).iter_mut().zip([HEAP_MAX, HEAP_LEFT]);
    both.try_for_each(|(trial, bytes)| trial.try_reserve_exact(bytes))
        .map_err(|_| ImageError::NoHeap { needed: HEAP_MAX })
}

/// What the decoder's error means to the operator.
fn blame(failed: &FrameDecoderError) -> ImageError {
    match failed {
        FrameDecoderError::WindowSizeTooBig { requested, .. } => {
            ImageError::WindowTooBig { window: *requested, limit: WINDOW_MAX }
        }
        FrameDecoderError::DictNotProvided { .. } => error("it needs a dictionary"),
        FrameDecoderError::ReadFrameHeaderError(_)
        | FrameDecoderError::FrameHeaderError(_)
        | FrameDecoderError::FailedToInitialize(_) => error("its header makes no sense"),
        FrameDecoderError::FailedToReadChecksum(_)
        | FrameDecoderError::FailedToReadBlockHeader(_)
        | FrameDecoderError::FailedToReadBlockBody(_)
        | FrameDecoderError::DictionaryDecodeError(_)
        | FrameDecoderError::FailedToDrainDecodebuffer(_)
        | FrameDecoderError::NotYetInitialized
        | FrameDecoderError::FailedToSkipFrame
        | FrameDecoderError::TargetTooSmall
        | _ => error("it is cut off or its data makes no sense"),
    }
}
