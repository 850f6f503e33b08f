//! Headers that are right, headers that lie, and where things go.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

mod packed;

use super::*;
use alloc::{format, string::ToString, vec, vec::Vec};
use axaddrspace::GuestPhysAddr;
use core::ops::Range;

const MIB: usize = 1 << 20;
const RAM: usize = 0x4000_0000;

fn gpa(address: usize) -> GuestPhysAddr {
    address.into()
}

fn gpas(range: Range<usize>) -> Range<GuestPhysAddr> {
    gpa(range.start)..gpa(range.end)
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// A Linux Image without EFI stub.
fn linux(file: usize, text_offset: u64, image_size: u64, flags: u64) -> Vec<u8> {
    let mut bytes = vec![0xaa; file.max(64)];
    put(&mut bytes, 8, &text_offset.to_le_bytes());
    put(&mut bytes, 16, &image_size.to_le_bytes());
    put(&mut bytes, 24, &flags.to_le_bytes());
    put(&mut bytes, 0x38, b"ARM\x64");
    bytes
}

/// A Linux Image whose PE headers have two sections, the last of which ends at `end`.
fn linux_with_stub(file: usize, end: u32) -> Vec<u8> {
    let mut bytes = linux(file.max(0x400), 0, 8 * MIB as u64, 0xa);
    put(&mut bytes, 0, b"MZ");
    put(&mut bytes, 0x3c, &0x40_u32.to_le_bytes());
    put(&mut bytes, 0x40, b"PE\0\0\x64\xaa\x02\0");
    put(&mut bytes, 0x40 + 20, &0xa0_u16.to_le_bytes());
    let table = 0x40 + 24 + 0xa0;
    put(&mut bytes, table, &[0; 80]);
    put(&mut bytes, table + 16, &0x100_u32.to_le_bytes());
    put(&mut bytes, table + 20, &0x200_u32.to_le_bytes());
    put(&mut bytes, table + 40 + 16, &(end - 0x300).to_le_bytes());
    put(&mut bytes, table + 40 + 20, &0x300_u32.to_le_bytes());
    bytes.truncate(file);
    bytes
}

/// One program header.
#[derive(Clone, Copy)]
struct Header {
    offset: u64,
    vaddr: u64,
    paddr: u64,
    filesz: u64,
    memsz: u64,
}

const HEADER: Header =
    Header { offset: 0x1000, vaddr: 0x4020_0000, paddr: 0x4020_0000, filesz: 0x800, memsz: 0x3000 };

fn elf(kind: u16, entry: u64, headers: &[Header]) -> Vec<u8> {
    let mut bytes = vec![0; 0x2000];
    put(&mut bytes, 0, b"\x7fELF\x02\x01\x01");
    put(&mut bytes, 16, &kind.to_le_bytes());
    put(&mut bytes, 18, &183_u16.to_le_bytes());
    put(&mut bytes, 20, &1_u32.to_le_bytes());
    put(&mut bytes, 24, &entry.to_le_bytes());
    put(&mut bytes, 32, &64_u64.to_le_bytes());
    put(&mut bytes, 52, &64_u16.to_le_bytes());
    put(&mut bytes, 54, &56_u16.to_le_bytes());
    put(&mut bytes, 56, &u16::try_from(headers.len()).unwrap().to_le_bytes());
    put(&mut bytes, 58, &64_u16.to_le_bytes());
    for (i, header) in headers.iter().enumerate() {
        let at = 64 + 56 * i;
        bytes.resize(bytes.len().max(at + 56), 0);
        put(&mut bytes, at, &1_u32.to_le_bytes());
        let fields =
            [header.offset, header.vaddr, header.paddr, header.filesz, header.memsz, 0x1000];
        for (j, field) in fields.iter().enumerate() {
            put(&mut bytes, at + 8 + 8 * j, &field.to_le_bytes());
        }
    }
    bytes
}

const FLAT: Image = Image::Flat { size: 4 };
const EXEC: u16 = 2;
const DYN: u16 = 3;

/// What kind of kernel `file` is; all of it is there.
fn parse(file: &[u8]) -> Result<Image, ImageError> {
    super::parse(file, file.len())
}

fn request<'r>(ram: &'r [(GuestPhysAddr, usize)], kernel: &'r Image) -> LoadRequest<'r> {
    LoadRequest {
        ram,
        rom: &[],
        kernel,
        ramdisk_size: Some(MIB),
        device_tree_size: Some(0x1_0000),
        overrides: Overrides::default(),
    }
}

#[test]
fn a_linux_image_is_recognised_with_all_its_fields() {
    let file = linux(4096, 0x8_0000, 0x20_0000, 0b0110);
    let Image::Linux(image) = parse(&file).unwrap() else { panic!("not Linux") };
    assert_eq!(image.text_offset, 0x8_0000);
    assert_eq!(image.image_size, Some(0x20_0000));
    assert_eq!(image.page_size, PageSize::Size64K);
}

#[test]
fn an_old_linux_image_without_size_has_the_old_text_offset() {
    let file = linux(4096, 0, 0, 0);
    let Image::Linux(image) = parse(&file).unwrap() else { panic!("not Linux") };
    assert_eq!((image.text_offset, image.image_size), (0x8_0000, None));
}

#[test]
fn a_big_endian_or_senseless_linux_image_is_refused() {
    assert_eq!(parse(&linux(64, 0, 4096, 1)), Err(ImageError::BigEndian));
    assert!(matches!(parse(&linux(64, 0x20_0000, 4096, 0)), Err(ImageError::BadLinux(_))));
    assert!(matches!(parse(&linux(64, 0x8_0002, 4096, 0)), Err(ImageError::BadLinux(_))));
    assert!(matches!(parse(&linux(64, u64::MAX, 4096, 0)), Err(ImageError::BadLinux(_))));
}

#[test]
fn a_linux_image_shorter_than_its_header_is_refused() {
    let file = linux(64, 0, 4096, 0);
    assert_eq!(parse(&file[..60]), Err(ImageError::Truncated { have: 60, promised: 64 }));
    assert!(parse(&file).is_ok());
}

#[test]
fn a_linux_image_shorter_than_its_sections_is_refused() {
    let whole = linux_with_stub(0x4000, 0x4000);
    assert!(parse(&whole).is_ok());
    let cut = linux_with_stub(0x3fff, 0x4000);
    let error = parse(&cut).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel image is truncated: 16383 bytes, its header promises 16384"
    );
    for length in 64..0x4000 {
        assert!(
            matches!(parse(&whole[..length]), Err(ImageError::Truncated { .. })),
            "{length} bytes"
        );
    }
}

#[test]
fn pe_headers_that_lie_are_refused() {
    let mut file = linux_with_stub(0x4000, 0x4000);
    put(&mut file, 0x3c, &u32::MAX.to_le_bytes());
    assert!(matches!(parse(&file), Err(ImageError::Truncated { .. })));
    put(&mut file, 0x3c, &0x44_u32.to_le_bytes());
    assert!(matches!(parse(&file), Err(ImageError::BadLinux(_))));
    let mut file = linux_with_stub(0x4000, 0x4000);
    put(&mut file, 0x46, &u16::MAX.to_le_bytes());
    assert!(matches!(parse(&file), Err(ImageError::BadLinux(_))));
}

#[test]
fn what_cannot_run_is_named() {
    let mut x86 = vec![0; 1024];
    put(&mut x86, 0x202, b"HdrS");
    let mut riscv = vec![0; 64];
    put(&mut riscv, 0x38, b"RSC\x05");
    for (file, word) in [
        (&b""[..], "empty"),
        (b"\x1f\x8b\x08", "twice"),
        (b"\x28\xb5\x2f\xfd....", "twice"),
        (b"MZ\0\0zimg", "twice"),
        (b"\xd0\x0d\xfe\xed", "device tree"),
        (b"ANDROID!", "Android"),
        (&x86, "x86"),
        (&riscv, "riscv"),
    ] {
        let message = parse(file).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(parse(b"anything"), Ok(Image::Flat { size: 8 }));
}

#[test]
fn an_elf_file_gives_its_segments_and_its_physical_entry() {
    let high = Header { vaddr: 0xffff_0000_0000_0000, ..HEADER };
    let file = elf(EXEC, high.vaddr + 0x40, &[high]);
    let Image::Elf(image) = parse(&file).unwrap() else { panic!("not ELF") };
    assert_eq!(image.entry, 0x4020_0040);
    assert_eq!(
        image.segments,
        [ElfSegment { address: 0x4020_0000, file: 0x1000..0x1800, size: 0x3000 }]
    );
}

#[test]
fn an_elf_file_that_lies_is_refused() {
    let cases: [(Header, u64); 9] = [
        (Header { offset: u64::MAX - 4, ..HEADER }, HEADER.vaddr),
        (Header { offset: 0x1f00, ..HEADER }, HEADER.vaddr),
        (Header { filesz: 0x4000, ..HEADER }, HEADER.vaddr),
        (Header { paddr: u64::MAX - 0x100, ..HEADER }, HEADER.vaddr),
        (Header { memsz: 0, ..HEADER }, HEADER.vaddr),
        (HEADER, HEADER.vaddr - 1),
        (HEADER, HEADER.vaddr + HEADER.memsz),
        (HEADER, HEADER.vaddr + HEADER.filesz),
        (HEADER, HEADER.vaddr + 2),
    ];
    for (number, (header, entry)) in cases.into_iter().enumerate() {
        assert!(parse(&elf(EXEC, entry, &[header])).is_err(), "case {number}");
    }
}

#[test]
fn an_elf_file_with_too_many_program_headers_is_refused() {
    assert!(parse(&elf(EXEC, HEADER.vaddr, &[HEADER; 64])).is_ok());
    let many = elf(EXEC, HEADER.vaddr, &[HEADER; 65]);
    assert_eq!(parse(&many), Err(ImageError::TooManySegments { have: 65, limit: 64 }));
    assert!(parse(&elf(EXEC, HEADER.vaddr, &vec![HEADER; 65_534])).is_err());
    let mut claims = elf(EXEC, HEADER.vaddr, &[HEADER]);
    put(&mut claims, 56, &u16::MAX.to_le_bytes());
    assert!(parse(&claims).is_err());
}

#[test]
fn an_elf_file_for_another_machine_is_refused() {
    let good = elf(EXEC, HEADER.vaddr, &[HEADER]);
    for (at, value) in [(4, 1), (5, 2), (16, 1), (18, 62)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(parse(&bad).is_err(), "byte {at}");
    }
}

#[test]
fn no_single_wrong_byte_in_a_header_makes_anything_panic() {
    let ram = [(gpa(RAM), 64 * MIB)];
    for file in [
        linux_with_stub(0x1000, 0x1000),
        elf(EXEC, HEADER.vaddr, &[HEADER; 2]),
        elf(DYN, 0x40, &[HEADER]),
    ] {
        for at in 0..0x200 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = file.clone();
                bad[at] = value;
                if let Err(error) = parse(&bad).and_then(|image| layout(&request(&ram, &image))) {
                    assert!(!error.to_string().is_empty());
                }
            }
        }
        for length in 0..file.len() {
            drop(parse(&file[..length]).and_then(|image| layout(&request(&ram, &image))));
        }
    }
}

#[test]
fn linux_goes_behind_the_device_tree_and_the_ramdisk_behind_linux() {
    let file = parse(&linux(4096, 0, 3 * MIB as u64, 0xa)).unwrap();
    let ram = [(gpa(RAM), 64 * MIB)];
    let layout = layout(&request(&ram, &file)).unwrap();
    assert_eq!(layout.segments, [Segment { gpa: gpa(0x4020_0000), file: 0..4096 }]);
    assert_eq!(layout.entry, gpa(0x4020_0000));
    assert_eq!(layout.kernel, gpas(0x4020_0000..0x4050_0000));
    assert_eq!(layout.zero, [gpas(0x4020_1000..0x4050_0000)]);
    assert_eq!(layout.device_tree, Some(gpas(0x4000_0000..0x4001_0000)));
    assert_eq!(layout.ramdisk, Some(gpas(0x4050_0000..0x4060_0000)));
}

#[test]
fn a_text_offset_is_kept() {
    let file = parse(&linux(4096, 0x8_0000, 0x10_0000, 0)).unwrap();
    let ram = [(gpa(RAM), 64 * MIB)];
    let mut request = request(&ram, &file);
    assert_eq!(layout(&request).unwrap().entry, gpa(0x4028_0000));
    request.overrides.kernel = Some(gpa(0x4040_0000));
    let error = layout(&request).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel cannot be loaded at 0x40400000; write kernel_load_addr = 0x40280000"
    );
    request.overrides.kernel = Some(gpa(0x4048_0000));
    assert_eq!(layout(&request).unwrap().entry, gpa(0x4048_0000));
}

#[test]
fn the_seeds_addresses_are_taken_as_they_are() {
    let file = parse(&linux(4096, 0, MIB as u64, 0xa)).unwrap();
    let ram = [(gpa(0x8000_0000), 256 * MIB)];
    let mut request = request(&ram, &file);
    request.overrides = Overrides {
        kernel: Some(gpa(0x8020_0000)),
        entry: Some(gpa(0x8020_0000)),
        ramdisk: Some(gpa(0x8800_0000)),
        device_tree: Some(gpa(0x8000_0000)),
    };
    let layout = layout(&request).unwrap();
    assert_eq!(layout.entry, gpa(0x8020_0000));
    assert_eq!(layout.ramdisk.unwrap().start, gpa(0x8800_0000));
    assert_eq!(layout.device_tree.unwrap().start, gpa(0x8000_0000));
}

#[test]
fn a_kernel_takes_the_first_region_it_fits_in() {
    let file = parse(&linux(4096, 0, 8 * MIB as u64, 0xa)).unwrap();
    let ram = [(gpa(RAM), 8 * MIB), (gpa(0x8000_0000), 32 * MIB)];
    let layout = layout(&request(&ram, &file)).unwrap();
    assert_eq!(layout.entry, gpa(0x8020_0000));
    assert_eq!(layout.device_tree.unwrap().start, gpa(0x8000_0000));
}

#[test]
fn regions_that_touch_are_one() {
    let file = parse(&linux(4096, 0, 8 * MIB as u64, 0xa)).unwrap();
    let ram = [(gpa(RAM + 4 * MIB), 8 * MIB), (gpa(RAM), 4 * MIB)];
    assert_eq!(layout(&request(&ram, &file)).unwrap().entry, gpa(0x4020_0000));
}

#[test]
fn too_little_ram_says_how_much_is_missing() {
    let ram = [(gpa(RAM), 8 * MIB)];
    let file = parse(&linux(4096, 0, 8 * MIB as u64, 0xa)).unwrap();
    let error = layout(&request(&ram, &file)).unwrap_err();
    assert_eq!(error.to_string(), "the kernel (8 MiB) does not fit; give the VM 2 MiB more memory");
    let file = parse(&linux(4096, 0, 6 * MIB as u64, 0xa)).unwrap();
    let error = layout(&request(&ram, &file)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the ramdisk (1 MiB) does not fit; give the VM 1 MiB more memory"
    );
    let file = parse(&linux(4096, 0, u64::MAX, 0xa)).unwrap();
    assert!(matches!(layout(&request(&ram, &file)), Err(ImageError::NoRoom { .. })));
}

#[test]
fn parts_may_not_overlap_or_leave_ram() {
    let file = parse(&linux(4096, 0, MIB as u64, 0xa)).unwrap();
    let ram = [(gpa(RAM), 64 * MIB)];
    let mut overlap = request(&ram, &file);
    overlap.overrides.ramdisk = Some(gpa(0x4028_0000));
    let error = layout(&overlap).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the ramdisk at 0x40280000..0x40380000 overlaps the kernel, which ends at 0x40300000; change ramdisk_load_addr"
    );
    for start in [RAM - 4096, RAM + 64 * MIB - 4096, 0, usize::MAX & !7] {
        let mut outside = request(&ram, &file);
        outside.overrides.device_tree = Some(gpa(start));
        assert!(matches!(
            layout(&outside),
            Err(ImageError::OutsideRam { part: Part::DeviceTree, .. })
        ));
        let mut outside = request(&ram, &file);
        outside.overrides.kernel = Some(gpa(start & !(2 * MIB - 1)));
        if start & !(2 * MIB - 1) != RAM + 62 * MIB {
            assert!(matches!(
                layout(&outside),
                Err(ImageError::OutsideRam { part: Part::Kernel, .. })
            ));
        }
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let ram = [(gpa(RAM), 64 * MIB)];
    let mut bad = request(&ram, &FLAT);
    bad.device_tree_size = Some(2 * MIB + 1);
    assert_eq!(layout(&bad), Err(ImageError::DeviceTreeTooBig(2 * MIB + 1)));
    bad.device_tree_size = Some(0);
    assert_eq!(layout(&bad), Err(ImageError::Empty(Part::DeviceTree)));
    bad.device_tree_size = None;
    bad.ramdisk_size = Some(usize::MAX);
    assert!(matches!(layout(&bad), Err(ImageError::NoRoom { .. })));
    bad.ramdisk_size = Some(0);
    assert_eq!(layout(&bad), Err(ImageError::Empty(Part::Ramdisk)));
    for ram in [&[][..], &[(gpa(RAM), 0)], &[(gpa(usize::MAX - 4095), 8192)]] {
        assert_eq!(layout(&request(ram, &FLAT)), Err(ImageError::BadRam));
    }
}

#[test]
fn a_flat_binary_starts_where_it_is_put() {
    let ram = [(gpa(RAM), 64 * MIB)];
    let mut flat = request(&ram, &Image::Flat { size: 64 });
    assert_eq!(layout(&flat).unwrap().entry, gpa(0x4020_0000));
    flat.overrides.kernel = Some(gpa(RAM));
    let at_start = layout(&flat).unwrap();
    assert_eq!(at_start.entry, gpa(RAM));
    assert_eq!(at_start.device_tree.unwrap().start, gpa(RAM + 0x1_0000), "it makes way");
    flat.overrides.entry = Some(gpa(RAM + 60));
    assert_eq!(layout(&flat).unwrap().entry, gpa(RAM + 60));
    for entry in [RAM + 64, RAM + 2, RAM - 4, 0, usize::MAX] {
        flat.overrides.entry = Some(gpa(entry));
        assert_eq!(layout(&flat), Err(ImageError::BadEntry(entry)));
    }
}

#[test]
fn a_flat_binary_may_be_put_into_read_only_memory() {
    let ram = [(gpa(0x8000_0000), 64 * MIB), (gpa(RAM), 64 * MIB)];
    let rom = [(gpa(0), MIB)];
    let firmware = Image::Flat { size: 64 << 10 };
    let mut flat = LoadRequest { rom: &rom, ..request(&ram, &firmware) };
    let chosen = layout(&flat).unwrap();
    assert_eq!(chosen.entry, gpa(RAM + 2 * MIB), "not by itself");
    flat.overrides.kernel = Some(gpa(0));
    let placed = layout(&flat).unwrap();
    assert_eq!((placed.entry, placed.kernel), (gpa(0), gpas(0..64 << 10)));
    assert_eq!(placed.device_tree.unwrap().start, gpa(RAM), "the rest goes to RAM");
    assert_eq!(placed.ramdisk.unwrap().start, gpa(RAM + 0x1_0000));
    flat.overrides.device_tree = Some(gpa(0x8_0000));
    assert!(matches!(layout(&flat), Err(ImageError::OutsideRam { part: Part::DeviceTree, .. })));
    flat.overrides = Overrides { kernel: Some(gpa(MIB - 4096)), ..Overrides::default() };
    assert!(matches!(layout(&flat), Err(ImageError::OutsideRam { part: Part::Kernel, .. })));
}

#[test]
fn a_kernel_that_writes_behind_its_bytes_may_not_be_put_into_read_only_memory() {
    let (ram, rom) = ([(gpa(RAM), 64 * MIB)], [(gpa(0x1000_0000), 64 * MIB)]);
    let linux = parse(&linux(4096, 0, 3 * MIB as u64, 0xa)).unwrap();
    let mut request = LoadRequest { rom: &rom, ..request(&ram, &linux) };
    request.overrides.kernel = Some(gpa(0x1000_0000));
    assert!(matches!(layout(&request), Err(ImageError::OutsideRam { part: Part::Kernel, .. })));
}

#[test]
fn an_elf_file_may_have_its_code_in_read_only_memory_and_its_data_in_ram() {
    let (ram, rom) = ([(gpa(RAM), 64 * MIB)], [(gpa(0x1000_0000), MIB)]);
    let code = Header { vaddr: 0x1000_0000, paddr: 0x1000_0000, memsz: 0x800, ..HEADER };
    let image = parse(&elf(EXEC, code.vaddr, &[code, HEADER])).unwrap();
    let split = LoadRequest { rom: &rom, ..request(&ram, &image) };
    let placed = layout(&split).unwrap();
    assert_eq!(placed.entry, gpa(0x1000_0000));
    assert_eq!(placed.zero, [gpas(0x4020_0800..0x4020_3000)]);
    assert!(layout(&LoadRequest { rom: &[], ..split }).is_err());
    let image = parse(&elf(EXEC, code.vaddr, &[Header { memsz: 0x801, ..code }])).unwrap();
    assert!(layout(&LoadRequest { rom: &rom, ..request(&ram, &image) }).is_err());
}

#[test]
fn an_elf_file_goes_to_its_own_addresses() {
    let data = Header { vaddr: 0x4030_0000, paddr: 0x4030_0000, filesz: 0, ..HEADER };
    let file = parse(&elf(EXEC, HEADER.vaddr + 8, &[HEADER, data])).unwrap();
    let ram = [(gpa(RAM), 64 * MIB)];
    let mut elf = request(&ram, &file);
    let placed = layout(&elf).unwrap();
    assert_eq!(placed.entry, gpa(0x4020_0008));
    assert_eq!(placed.segments, [Segment { gpa: gpa(0x4020_0000), file: 0x1000..0x1800 }]);
    assert_eq!(placed.zero, [gpas(0x4020_0800..0x4020_3000), gpas(0x4030_0000..0x4030_3000)]);
    assert_eq!(placed.ramdisk.unwrap().start, gpa(0x4031_0000));
    elf.overrides.kernel = Some(gpa(0x4040_0000));
    assert_eq!(
        layout(&elf),
        Err(ImageError::FixedAddress { linked: 0x4020_0000, given: 0x4040_0000 })
    );
}

#[test]
fn an_elf_file_with_segments_over_each_other_is_refused() {
    let file = parse(&elf(EXEC, HEADER.vaddr, &[HEADER, Header { paddr: 0x4020_2000, ..HEADER }]))
        .unwrap();
    let ram = [(gpa(RAM), 64 * MIB)];
    assert!(matches!(layout(&request(&ram, &file)), Err(ImageError::Overlap { .. })));
}

#[test]
fn an_elf_file_that_relocates_itself_is_moved() {
    let file = parse(&elf(DYN, 0x40, &[Header { vaddr: 0, paddr: 0, ..HEADER }])).unwrap();
    let ram = [(gpa(RAM), 64 * MIB)];
    let mut elf = request(&ram, &file);
    assert_eq!(layout(&elf).unwrap().entry, gpa(0x4020_0040));
    elf.overrides.kernel = Some(gpa(0x4081_0000));
    assert_eq!(layout(&elf).unwrap().entry, gpa(0x4081_0040));
}

#[test]
fn a_ramdisk_out_of_linux_reach_is_refused() {
    let file = parse(&linux(4096, 0, MIB as u64, 0xa)).unwrap();
    let ram = [(gpa(RAM), 64 << 30)];
    let mut far = request(&ram, &file);
    far.overrides.ramdisk = Some(gpa(RAM + (32 << 30) - MIB));
    assert!(layout(&far).is_ok());
    far.overrides.ramdisk = Some(gpa(RAM + (32 << 30)));
    assert_eq!(layout(&far), Err(ImageError::RamdiskTooFar));
}

#[test]
fn every_error_is_one_sentence() {
    let errors = [
        ImageError::Compressed("xz"),
        ImageError::Foreign("something"),
        ImageError::BigEndian,
        ImageError::BadElf("x"),
        ImageError::BadRam,
        ImageError::BadPacking { packing: Packing::Gzip, what: "x" },
        ImageError::UnpacksTooBig { packing: Packing::Zstd, limit: MIB },
        ImageError::WindowTooBig { window: u64::MAX, limit: MIB },
        ImageError::NoHeap { needed: MIB },
        ImageError::RamdiskTooFar,
        ImageError::OutsideRam { part: Part::Ramdisk, start: 1, size: 2 },
    ];
    for error in errors {
        let message = format!("{error}");
        assert!(
            !message.ends_with('.') && !message.contains(". ") && message.contains(' '),
            "{message}"
        );
    }
}
