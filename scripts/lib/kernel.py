#!/usr/bin/env python3
"""Turns the kernel file of a Debian package into the plain arm64 Image.

Usage: kernel.py VMLINUZ IMAGE. Linux, Documentation/arch/arm64/booting.rst: the Image header has "ARM\\x64" at
offset 56. A kernel may also be that Image gzipped, or gzipped inside an EFI program ("zimg" at offset 4).
"""

import gzip
import struct
import sys
from pathlib import Path

MAGIC = b"ARM\x64"


def plain(data: bytes) -> bytes:
    """The Image inside `data`, unpacked as often as needed."""
    if data[56:60] == MAGIC:
        return data
    if data[:2] == b"\x1f\x8b":
        return plain(gzip.decompress(data))
    if data[4:8] == b"zimg":
        at, size = struct.unpack_from("<II", data, 8)
        kind = data[24:56].split(b"\0")[0]
        if kind == b"gzip":
            return plain(gzip.decompress(data[at : at + size]))
        sys.exit(f"kernel.py: the kernel is packed with {kind.decode()}, which is not known here")
    sys.exit("kernel.py: this is not an arm64 kernel image")


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    part = target.with_suffix(".part")
    part.write_bytes(plain(source.read_bytes()))
    part.replace(target)


if __name__ == "__main__":
    main()
