//! The images of a guest: readers of every format, and the layout.

use std::ops::Range;

use axaddrspace::GuestPhysAddr;
use axvm::image::{Image, ImageError, LoadRequest, Overrides, Packing, Source, layout};

use crate::input::Input;

/// What the VM has room for: nothing unpacks to more.
const LIMIT: usize = 256 << 10;

/// The first byte says what is around the others: nothing, or a compression that is sound.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.u8();
    let places = input.bytes(if how & 1 == 0 { 24 } else { 0 });
    let file = input.rest();
    match how >> 1 & 3 {
        0 => read(file, places, None),
        1 => read(&gzip(file), places, Some(file)),
        2 => read(&zboot(&gzip(file)), places, Some(file)),
        _ => read(&zboot(file), places, None),
    }
}

/// Opens, reads and places `file`; what is in it is known if it is `expected`.
fn read(file: &[u8], places: &[u8], expected: Option<&[u8]>) {
    let source = match Source::open(file, LIMIT) {
        Ok(source) => source,
        Err(error) => {
            // What is around nothing, or around too much, is refused.
            assert!(
                expected.is_none_or(|inner| inner.is_empty() || inner.len() > LIMIT),
                "{error}"
            );
            return assert!(!error.to_string().is_empty());
        }
    };
    let packed = source.packing() != Packing::Plain;
    assert!(source.size() <= if packed { LIMIT } else { file.len() });
    assert!(source.head().len() <= source.size().max(1));
    let mut whole = Vec::new();
    let result = source.read(|at, chunk| {
        assert_eq!(at, whole.len(), "chunks follow each other");
        assert!(whole.len() + chunk.len() <= source.size());
        whole.extend_from_slice(chunk);
        Ok::<_, ImageError>(())
    });
    assert_eq!(result, source.verify());
    if result.is_ok() {
        assert_eq!(whole.len(), source.size());
        assert!(whole.starts_with(source.head()));
    }
    if let Some(inner) = expected {
        assert_eq!((result, &*whole), (Ok(()), inner));
    }
    match source.image() {
        Ok(image) => place(&image, &whole, source.size(), places),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Lays the kernel out in any memory. Nothing lies over anything else, or outside of memory.
fn place(image: &Image, whole: &[u8], size: usize, places: &[u8]) {
    let mut input = Input::new(places);
    let gpa = |page: u16| GuestPhysAddr::from_usize(usize::from(page) << 16);
    let pages = |input: &mut Input<'_>| usize::from(input.u16()) << 14;
    let ram: Vec<_> = (0..input.below(3)).map(|_| (gpa(input.u16()), pages(&mut input))).collect();
    let ram = if places.is_empty() { vec![(gpa(0x4000), 256 << 20)] } else { ram };
    let rom: Vec<_> = (0..input.below(2)).map(|_| (gpa(input.u16()), pages(&mut input))).collect();
    let place = |input: &mut Input<'_>| {
        let at = usize::from(input.u16()) << 14 | usize::from(input.u8());
        (at & 1 == 1).then(|| GuestPhysAddr::from_usize(at & !1))
    };
    let overrides = Overrides {
        kernel: place(&mut input),
        entry: place(&mut input),
        ramdisk: place(&mut input),
        device_tree: None,
    };
    let sizes =
        [input.u16(), input.u16()].map(|size| (size != 0).then_some(usize::from(size) << 6));
    let [ramdisk_size, device_tree_size] = sizes;
    let request = LoadRequest {
        ram: &ram,
        rom: &rom,
        kernel: image,
        ramdisk_size,
        device_tree_size,
        overrides,
    };
    let layout = match layout(&request) {
        Ok(layout) => layout,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let range = |range: &Range<GuestPhysAddr>| range.start.as_usize()..range.end.as_usize();
    let file = |segment: &axvm::image::Segment| {
        assert!(segment.file.end <= size, "a segment's bytes are in the file");
        let start = segment.gpa.as_usize();
        start..start + segment.file.len()
    };
    let mut parts: Vec<_> = layout.segments.iter().map(file).collect();
    let entry = layout.entry.as_usize();
    assert!(entry % 4 == 0 && parts.iter().any(|part| part.contains(&entry)));
    parts.extend(layout.zero.iter().map(range));
    parts.extend(layout.ramdisk.iter().chain(&layout.device_tree).map(range));
    parts.retain(|part| !part.is_empty());
    parts.sort_by_key(|part| part.start);
    assert!(parts.windows(2).all(|two| two[0].end <= two[1].start), "{parts:x?}");
    let memory: Vec<_> = ram
        .iter()
        .chain(&rom)
        .map(|(base, size)| base.as_usize()..base.as_usize() + size)
        .collect();
    // Regions that touch are one, so that each page is looked for by itself.
    let is_memory = |at: usize| memory.iter().any(|region| region.contains(&at));
    for part in &parts {
        assert!(is_memory(part.start) && is_memory(part.end - 1), "{part:x?} in {memory:x?}");
    }
    let placed: usize = layout.places(0, whole).map(|(_, part)| part.len()).sum();
    assert!(placed <= whole.len().saturating_mul(layout.segments.len().max(1)));
}

/// A gzip file around `inner`.
fn gzip(inner: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend(miniz_oxide::deflate::compress_to_vec(inner, 1));
    file.extend(crc32(inner).to_le_bytes());
    file.extend((inner.len() as u32).to_le_bytes());
    file
}

/// The EFI program around `inner`.
fn zboot(inner: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..8].copy_from_slice(b"MZ\0\0zimg");
    file[8..12].copy_from_slice(&64_u32.to_le_bytes());
    file[12..16].copy_from_slice(&(inner.len() as u32).to_le_bytes());
    file[24..29].copy_from_slice(b"gzip\0");
    file.extend_from_slice(inner);
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 }
        })
    })
}
