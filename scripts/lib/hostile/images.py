"""Images and configurations that are wrong on purpose: what `vm create` or `vm start` shall refuse.

`make` writes them into a folder, a TOML file for each; tests/hostile.toml says which is refused with which words.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from lib import tree

GOOD = tree.OUT / "guests" / "aarch64" / "testguest.bin"


def fdt(structure: bytes, strings: bytes = b"#address-cells\0", **header: int) -> bytes:
    """A flattened device tree (Devicetree Specification, chapter 5) with some header fields replaced."""
    reservations = bytes(16)
    at_structure = 40 + len(reservations)
    at_strings = at_structure + len(structure)
    fields = {"magic": 0xD00DFEED, "totalsize": at_strings + len(strings), "off_struct": at_structure,
              "off_strings": at_strings, "off_reserved": 40, "version": 17, "compatible": 16, "boot_cpu": 0,
              "size_strings": len(strings), "size_struct": len(structure)} | header
    return struct.pack(">10I", *fields.values()) + reservations + structure + strings


def node(content: bytes = b"") -> bytes:
    return struct.pack(">I", 1) + bytes(4) + content + struct.pack(">I", 2)


END = struct.pack(">I", 9)


def prop(value: bytes, length: int | None = None, name: int = 0) -> bytes:
    return struct.pack(">III", 3, len(value) if length is None else length, name) + value


def device_trees() -> Iterator[tuple[str, bytes]]:
    """G69."""
    good = node() + END
    yield "size-large", fdt(good, totalsize=0x10000)
    yield "size-huge", fdt(good, totalsize=0xFFFF_FFFF)
    yield "size-small", fdt(good, totalsize=16)
    yield "struct-outside", fdt(good, off_struct=0xFFFF_FFF0)
    yield "strings-outside", fdt(good, size_strings=0xFFFF_FFFF)
    yield "deep", fdt(struct.pack(">II", 1, 0) * 10_000 + struct.pack(">I", 2) * 10_000 + END)
    yield "cells", fdt(node(prop(struct.pack(">I", 0xFFFF_FFFF))) + END)
    yield "property", fdt(node(prop(b"", 0xFFFF_FFFC)) + END)
    yield "name", fdt(node(prop(b"", name=0xFFFF_0000)) + END)
    yield "open", fdt(struct.pack(">II", 1, 0) + END)
    yield "token", fdt(node(struct.pack(">I", 0x77)) + END)
    yield "endless", fdt(struct.pack(">I", 4) * 100_000)


def elf(entry: int = 0x4020_0000, count: int = 1, at: int = 64, entry_size: int = 56, **segment: int) -> bytes:
    """An aarch64 ELF file with one program header, some fields replaced."""
    fields = {"type": 1, "flags": 7, "offset": 0, "vaddr": 0x4020_0000, "paddr": 0x4020_0000, "filesz": 120,
              "memsz": 4096, "align": 4096} | segment
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, entry, at, 0, 0, 64, entry_size, count, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", *fields.values())


def linux(size: int, offset: int = 0, flags: int = 0xA) -> bytes:
    """A Linux Image header with a word of code."""
    return struct.pack("<IIQQQQQQII", 0x14000000, 0, offset, size, flags, 0, 0, 0, 0x644D5241, 0) + bytes(64)


def kernels() -> Iterator[tuple[str, bytes]]:
    """G70."""
    yield "linux-size", linux(1 << 40)
    yield "linux-size-wrap", linux((1 << 64) - 1)
    yield "linux-offset", linux(0x10000, offset=(1 << 64) - 0x1000)
    yield "linux-endian", linux(0x10000, flags=0xB)
    yield "elf-headers-outside", elf(at=(1 << 64) - 8)
    yield "elf-headers-many", elf(count=65535)
    yield "elf-header-size", elf(entry_size=1)
    yield "elf-offset-wrap", elf(offset=(1 << 64) - 16)
    yield "elf-file-size", elf(filesz=(1 << 64) - 1)
    yield "elf-file-over-memory", elf(filesz=120, memsz=1)
    yield "elf-address-wrap", elf(vaddr=(1 << 64) - 4096, paddr=(1 << 64) - 4096)
    yield "elf-memory-wrap", elf(memsz=(1 << 64) - 1)
    yield "elf-in-device", elf(entry=0x0900_0000, vaddr=0x0900_0000, paddr=0x0900_0000)
    yield "elf-entry", elf(entry=0x3000_0000)
    yield "elf-empty", elf(type=0)


def bombs() -> Iterator[tuple[str, bytes]]:
    """G71: a gibibyte of zeros, once and in a file of many members."""
    packer = zlib.compressobj(9, wbits=31)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    yield "bomb", data
    yield "bomb-members", gzip.compress(bytes(1 << 20)) * 256


def halves() -> Iterator[tuple[str, bytes]]:
    """G75: kernels that turn out to be broken at their end, after most of them is in memory."""
    good = bytearray(gzip.compress(GOOD.read_bytes() + bytes(1 << 20)))
    yield "half-cut", bytes(good[:-2000])
    good[-6] ^= 1
    yield "half-checksum", bytes(good)


CONFIGS = {
    "type": 'memory = 16\nkernel = "k.bin"\nname = "x"\ncpus = "two"\n',
    "unknown": 'name = "x"\nmemroy = "16M"\nkernel = "k.bin"\n',
    "overlap-ram": 'name = "x"\nkernel = "k.bin"\nmemory = "16M"\n[[region]]\nbase = 0x4080_0000\nsize = "16M"\n',
    "overlap-device": 'name = "x"\nkernel = "k.bin"\nmemory = "16M"\n[[device]]\ntype = "dummy"\nbase = 0x4000_0000\nlength = 0x1000\n',
    "overlap-gic": 'name = "x"\nkernel = "k.bin"\nmemory = "16M"\n[[region]]\nbase = 0x0800_0000\nsize = "64K"\n',
    "wrap": 'name = "x"\nkernel = "k.bin"\n[[region]]\nbase = 0x7fff_ffff_ffff_f000\nsize = "16M"\n',
    "beyond": 'name = "x"\nkernel = "k.bin"\n[[region]]\nbase = 0x80_0000_0000\nsize = "16M"\n',
    "zero": 'name = "x"\nkernel = "k.bin"\nmemory = 0\n',
    "vcpus": 'name = "x"\nkernel = "k.bin"\nmemory = "16M"\ncpus = 65\n',
    "twice": 'name = "x"\nname = "y"\nkernel = "k.bin"\nmemory = "16M"\n',
    "deep": 'name = "x"\nkernel = "k.bin"\nmemory = ' + "[" * 5000 + "]" * 5000 + "\n",
    "control": 'name = "x\\u001b[2J"\nkernel = "k.bin"\nmemory = "16M"\n',
}
CHANNELS = 'name = "x"\nkernel = "k.bin"\nmemory = "16M"\n' + "".join(
    f'[[channel]]\nname = "c{n}"\nsize = "4K"\npeers = ["y"]\n' for n in range(17))
CHANNEL_BYTES = 'name = "x"\nkernel = "k.bin"\nmemory = "16M"\n[[channel]]\nname = "c"\nsize = "17M"\npeers = ["y"]\n'


def make(folder: Path) -> list[Path]:
    """Writes all of them; gives the configurations."""
    folder.mkdir(parents=True, exist_ok=True)
    configs = {f"g72-{name}": text for name, text in CONFIGS.items()}
    configs |= {"e59-channels": CHANNELS, "e59-bytes": CHANNEL_BYTES}
    (folder / "k.bin").write_bytes(GOOD.read_bytes())
    for name, data in device_trees():
        (folder / f"{name}.dtb").write_bytes(data)
        configs[f"g69-{name}"] = f'name = "x"\nmemory = "16M"\nkernel = "k.bin"\ndtb = "{name}.dtb"\n'
    for case, made in [("g70", kernels()), ("g71", bombs()), ("g75", halves())]:
        for name, data in made:
            (folder / f"{name}.img").write_bytes(data)
            configs[f"{case}-{name}"] = f'name = "x"\nmemory = "16M"\nkernel = "{name}.img"\n'
    for name, text in configs.items():
        (folder / f"{name}.toml").write_text(text)
    return [folder / f"{name}.toml" for name in configs]
