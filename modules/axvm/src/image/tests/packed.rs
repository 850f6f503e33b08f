//! Compressed kernels: right ones, and every way to be wrong.

use super::{super::source::Source, *};
use alloc::{string::String, vec, vec::Vec};
use miniz_oxide::deflate;
use ruzstd::encoding::{self, CompressionLevel};

/// More than any test unpacks.
const ROOM: usize = 64 * MIB;

/// A gzip file of `data` by another program's rules: a name, a comment and extra bytes in its header.
fn gzip_with(data: &[u8], flags: u8, between: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 2, 3];
    file.extend(between);
    file.extend(deflate::compress_to_vec(data, 6));
    file.extend(crc(data).to_le_bytes());
    file.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    file
}

fn gzip(data: &[u8]) -> Vec<u8> {
    gzip_with(data, 0, &[])
}

/// The CRC bit by bit.
fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 }
        })
    })
}

fn zstd(data: &[u8]) -> Vec<u8> {
    encoding::compress_to_vec(data, CompressionLevel::Fastest)
}

/// What `file` unpacks to.
fn unpack(file: &[u8]) -> Result<Vec<u8>, ImageError> {
    let source = Source::open(file, ROOM)?;
    let mut all = Vec::new();
    source.read(|at, bytes| {
        assert_eq!(at, all.len());
        assert!(!bytes.is_empty());
        all.extend_from_slice(bytes);
        Ok::<_, ImageError>(())
    })?;
    assert_eq!(all.len(), source.size());
    assert!(all.starts_with(source.head()));
    Ok(all)
}

/// Text that compresses, and then bytes that do not.
fn sample(size: usize) -> Vec<u8> {
    let mut noise = 0x2545_f491_u32;
    let byte = move |i: usize| {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        if i % 4096 < 2048 { b"a kernel is long "[i % 17] } else { noise.to_le_bytes()[1] }
    };
    (0..size).map(byte).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// [`lines`] by `zstd -19`: one segment, its size, a checksum.
const ZSTD_DECLARED: &str = "\
    28b52ffda4aaaa020084050042cc1c13b0193aa72169f8c38a4a29934c29962f998b01737dc2b7ec8f6a8ec770e5a5da\
    c0709597bdaa5d0121f990c84216edd26dd04f66696f09d5908e4c8d50eb34963c7edaa47b1169211aca2920ae7a65bf\
    2a5c605a297e1d9cb1d9915f7e855f79808300a110188680b01883c4080c01a2700861a82130bbfb6fa05db603124810\
    780581e9f7bff6efb6f74a68016583060bb6a4c4183cb883b5e381044ed8c5aa1f5406464c0e26218800590555000000\
    0100a72a777c5d0301fa2a62a7\
    ";
/// [`lines`] piped through `zstd -19`: a window of 8 MiB, no size, a checksum.
const ZSTD_UNDECLARED: &str = "\
    28b52ffd046884050042cc1c13b0193aa72169f8c38a4a29934c29962f998b01737dc2b7ec8f6a8ec770e5a5dac07095\
    97bdaa5d0121f990c84216edd26dd04f66696f09d5908e4c8d50eb34963c7edaa47b1169211aca2920ae7a65bf2a5c60\
    5a297e1d9cb1d9915f7e855f79808300a110188680b01883c4080c01a2700861a82130bbfb6fa05db603124810780581\
    e9f7bff6efb6f74a68016583060bb6a4c4183cb883b5e381044ed8c5aa1f5406464c0e262188005905550000000100a7\
    2a777c5d0301fa2a62a7\
    ";

fn lines() -> Vec<u8> {
    let lines: String = (0..8000).map(|i| format!("line {} of the kernel\n", i * i % 97)).collect();
    lines.into_bytes()
}

#[test]
fn what_is_packed_comes_out_whole() {
    for size in [1, 100, HEAD_SIZE - 1, HEAD_SIZE, HEAD_SIZE + 1, 3 * MIB + 5] {
        let data = sample(size);
        assert!(unpack(&data).unwrap() == data, "plain {size}");
        assert!(unpack(&gzip(&data)).unwrap() == data, "gzip {size}");
        assert!(unpack(&zstd(&data)).unwrap() == data, "zstd {size}");
    }
}

#[test]
fn what_the_zstd_program_packed_comes_out_whole() {
    assert!(unpack(&bytes(ZSTD_DECLARED)).unwrap() == lines());
    assert!(unpack(&bytes(ZSTD_UNDECLARED)).unwrap() == lines());
}

#[test]
fn all_that_a_gzip_header_may_hold_is_passed() {
    let data = sample(5000);
    for (flags, between) in [
        (0x04, &b"\x03\0abc"[..]),
        (0x08, b"Image\0"),
        (0x10, b"a comment\0"),
        (0x02, b"\xab\xcd"),
        (0x1f, b"\0\0Image\0a comment\0\xab\xcd"),
    ] {
        assert!(unpack(&gzip_with(&data, flags, between)).unwrap() == data, "flags {flags:#x}");
    }
    for flags in [0x20, 0x40, 0x80] {
        assert!(unpack(&gzip_with(&data, flags, &[])).is_err(), "flags {flags:#x}");
    }
    assert!(unpack(&gzip_with(&data, 0x04, b"\xff\xff")).is_err());
}

#[test]
fn a_packed_kernel_is_placed_as_if_it_were_not() {
    let ram = [(gpa(RAM), 64 * MIB)];
    let mut linux = linux_with_stub(0x4_0000, 0x4_0000);
    linux[0x1000..].copy_from_slice(&sample(0x3_f000));
    let mut elf = elf(
        EXEC,
        HEADER.vaddr + 8,
        &[HEADER, Header { offset: 0x1_8000, paddr: 0x4030_0000, ..HEADER }],
    );
    elf.extend(sample(0x2_0000));
    let flat = sample(0x2_0000);
    for file in [linux, elf, flat] {
        let plain = parse(&file).unwrap();
        let expected = layout(&request(&ram, &plain)).unwrap();
        for packed in [gzip(&file), zstd(&file)] {
            let source = Source::open(&packed, ROOM).unwrap();
            let image = source.image().unwrap();
            assert_eq!(image, plain);
            let placed = layout(&request(&ram, &image)).unwrap();
            assert_eq!(placed, expected);
            assert!(loaded(&placed, &source) == loaded(&placed, &Source::open(&file, 0).unwrap()));
        }
    }
}

/// The guest's first 16 MiB with the kernel in it.
fn loaded(layout: &Layout, source: &Source<'_>) -> Vec<u8> {
    let mut memory = vec![0; 16 * MIB];
    source
        .read(|at, bytes| {
            for (gpa, part) in layout.places(at, bytes) {
                put(&mut memory, gpa.as_usize() - RAM, part);
            }
            Ok::<_, ImageError>(())
        })
        .unwrap();
    memory
}

#[test]
fn a_plain_kernel_is_handed_on_in_one_piece_and_not_copied() {
    let file = sample(3 * MIB);
    let mut chunks = Vec::new();
    let source = Source::open(&file, 0).unwrap();
    source
        .read(|at, bytes| {
            chunks.push((at, bytes.as_ptr(), bytes.len()));
            Ok::<_, ImageError>(())
        })
        .unwrap();
    assert_eq!(chunks, [(0, file.as_ptr(), file.len())]);
}

#[test]
fn an_efi_zboot_program_gives_the_kernel_in_it() {
    let data = sample(HEAD_SIZE);
    for (packed, name) in
        [(gzip(&data), &b"gzip\0"[..]), (zstd(&data), b"zstd\0"), (zstd(&data), b"zstd22\0")]
    {
        let mut file = vec![0; 0x200];
        put(&mut file, 0, b"MZ\0\0zimg");
        put(&mut file, 8, &0x200_u32.to_le_bytes());
        put(&mut file, 12, &u32::try_from(packed.len()).unwrap().to_le_bytes());
        put(&mut file, 24, name);
        file.extend(&packed);
        file.extend(b"sections behind it");
        assert!(unpack(&file).unwrap() == data);
        for at in 0..40 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = file.clone();
                bad[at] = value;
                drop(unpack(&bad));
            }
        }
        for length in 1..0x200 {
            drop(unpack(&file[..length]));
        }
        put(&mut file, 24, b"lzma\0");
        let message = unpack(&file).unwrap_err().to_string();
        assert!(message.contains("EFI zboot"), "{message}");
    }
}

#[test]
fn what_cannot_be_unpacked_is_named() {
    for (file, word) in [
        (&b""[..], "empty"),
        (b"\xfd7zXZ\0....", "xz"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"BZh9", "bzip2"),
        (b"MZ\0\0zimg", "truncated"),
    ] {
        let message = unpack(file).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
    let twice = gzip(&gzip(&sample(100)));
    let source = Source::open(&twice, ROOM).unwrap();
    assert_eq!(source.image(), Err(ImageError::Compressed("twice")));
}

/// Checks that `file` is refused with one sentence with `word` in it.
#[track_caller]
fn refused(file: &[u8], word: &str) {
    let message = unpack(file).unwrap_err().to_string();
    assert!(message.contains(word) && !message.contains(". "), "{message}");
}

#[test]
fn a_wrong_checksum_or_size_is_refused() {
    let good = gzip(&sample(200_000));
    let end = good.len();
    let changed = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    refused(&changed(end - 8), "checksum");
    refused(&changed(end - 4), "size");
    let mut small = good.clone();
    small[end - 4..].copy_from_slice(&1000_u32.to_le_bytes());
    refused(&small, "beyond the size it declares");
    let mut big = good.clone();
    big[end - 1] = 1;
    refused(&big, "size");
    refused(&[&good[..], b"more"].concat(), "something follows its end");
    refused(&[&good[..], &good[..]].concat(), "something follows its end");
    let mut zstd = bytes(ZSTD_DECLARED);
    *zstd.last_mut().unwrap() ^= 1;
    refused(&zstd, "checksum");
    zstd.push(0);
    refused(&zstd, "zstd data of the kernel is broken");
}

#[test]
fn a_packed_kernel_that_is_cut_off_is_refused() {
    let data = sample(20_000);
    for file in [gzip(&data), zstd(&data), bytes(ZSTD_DECLARED), bytes(ZSTD_UNDECLARED)] {
        for length in 4..file.len() {
            assert!(unpack(&file[..length]).is_err(), "{length} of {} bytes", file.len());
        }
    }
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let bomb = gzip(&vec![0; 32 * MIB]);
    let error = Source::open(&bomb, 16 * MIB).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the kernel (gzip) unpacks to more than the VM's 16 MiB of RAM; give it more, or another kernel"
    );
    let source = Source::open(&bomb, 32 * MIB).unwrap();
    let ram = [(gpa(RAM), 16 * MIB)];
    let image = source.image().unwrap();
    let error = layout(&request(&ram, &image)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel (32 MiB) does not fit; give the VM 18 MiB more memory"
    );
    // A frame without size, with a window of 1 MiB, and blocks of three bytes and a fourth for 128 KiB of it.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 10 << 3];
    frame.extend([2, 0, 16, b'x'].repeat(100_000));
    let error = Source::open(&frame, 16 * MIB).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the kernel (zstd) unpacks to more than the VM's 16 MiB of RAM; give it more, or another kernel"
    );
}

#[test]
fn a_big_window_is_refused() {
    // Exponent 14: 16 MiB.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 14 << 3, 1, 0, 0];
    refused(&frame, "needs a window of 16 MiB, and at most 8 MiB are given");
    for descriptor in 0..=u8::MAX {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 1, 0, 0];
        drop(unpack(&frame));
        let frame = [
            0x28, 0xb5, 0x2f, 0xfd, descriptor, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            0, 0,
        ];
        drop(unpack(&frame));
    }
}

#[test]
fn headers_behind_the_head_are_refused_in_a_packed_kernel_only() {
    let mut file = elf(EXEC, HEADER.vaddr, &[HEADER]);
    file.resize(3 * HEAD_SIZE, 0);
    let header = file[64..120].to_vec();
    put(&mut file, 2 * HEAD_SIZE, &header);
    put(&mut file, 32, &(2 * HEAD_SIZE as u64).to_le_bytes());
    assert!(parse(&file).is_ok());
    let packed = gzip(&file);
    let error = Source::open(&packed, ROOM).unwrap().image().unwrap_err();
    assert!(error.to_string().contains("first 64 KiB"), "{error}");
    let mut file = linux_with_stub(0x4_0000, 0x4_0000);
    put(&mut file, 0x3c, &0x3_0000_u32.to_le_bytes());
    let packed = zstd(&file);
    let error = Source::open(&packed, ROOM).unwrap().image().unwrap_err();
    assert!(error.to_string().contains("first 64 KiB"), "{error}");
}

#[test]
fn no_single_wrong_byte_in_a_packed_kernel_makes_anything_panic() {
    let data = sample(2500);
    let streams = [gzip(&data), zstd(&data), bytes(ZSTD_DECLARED), bytes(ZSTD_UNDECLARED)];
    for file in streams {
        for at in 0..file.len() {
            for value in [0, 0x7f, 0xff, file[at] ^ 0x10] {
                let mut bad = file.clone();
                bad[at] = value;
                if let Err(error) = unpack(&bad) {
                    assert!(!error.to_string().is_empty());
                }
            }
        }
    }
}

#[test]
fn noise_behind_a_right_header_makes_nothing_panic() {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()[3]
    };
    for header in [
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..],
        &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x50, 0x05, 0x10, 0],
        &[0x28, 0xb5, 0x2f, 0xfd, 0x24, 0xff],
    ] {
        for _ in 0..3000 {
            let length = usize::from(next());
            let file: Vec<u8> = header.iter().copied().chain((0..length).map(|_| next())).collect();
            drop(unpack(&file));
        }
    }
}
