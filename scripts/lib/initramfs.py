#!/usr/bin/env python3
"""Writes the test guest's user space: busybox, its names, an /init that says when it is ready, and what answers the power key.

Usage: initramfs.py BUSYBOX ARCHIVE [MODULE.ko.xz...]. Kernel modules go to /lib, for insmod. The archive is a gzipped cpio of the "newc" kind (Linux,
Documentation/driver-api/early-userspace/buffer-format.rst). It is written entry by entry, so that device nodes need
no root and the same busybox always gives the same bytes.
"""

import gzip
import lzma
import stat
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

INIT = """#!/bin/sh
# The first process: file systems, one line for whoever waits, and a shell on the console for ever.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
hostname guest
export PATH=/bin HOME=/root ENV=/etc/shell
powerkey &
echo "GUEST-READY cpus=$(nproc)"
while :; do
    setsid cttyhack sh
done
"""

# The first process is a script, so nobody would answer what busybox's own power commands ask for without -f.
SHELL = """PS1='guest# '
poweroff() { busybox poweroff -f; }
reboot() { busybox reboot -f; }
halt() { busybox halt -f; }
"""

POWER_KEY = Path(__file__).with_name("powerkey.s")
DIRECTORIES = ["bin", "dev", "etc", "lib", "proc", "root", "sys", "tmp"]


def applets(busybox: bytes) -> list[str]:
    """The names busybox answers to: a run of NUL-ended words that starts with "[" and "[["."""
    start = busybox.find(b"[\0[[\0")
    if start < 0:
        sys.exit("initramfs.py: no list of applets in this busybox")
    end = busybox.index(b"\0\0", start)
    return [name.decode() for name in busybox[start:end].split(b"\0")]


def program(source: Path, *words: str) -> bytes:
    """The one file of assembly `source` as a static program of arm64 Linux; `words` are more for the linker."""
    with tempfile.TemporaryDirectory() as folder:
        plain, linked = Path(folder) / "plain.o", Path(folder) / "program"
        assemble = ["llvm-mc", "-filetype=obj", "-triple=aarch64", "-o", plain, source]
        subprocess.run(assemble, check=True)
        subprocess.run(["ld.lld", "--strip-all", "-z", "noseparate-code", *words, "-o", linked, plain], check=True)
        return linked.read_bytes()


def entry(elf: bytes) -> int:
    """The address of a 64-bit program's first instruction: e_entry."""
    return struct.unpack_from("<Q", elf, 24)[0]


class Newc:
    """A cpio archive of the newc kind, in memory."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.inode = 0

    def add(self, name: str, mode: int, body: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self.inode += 1
        fields = [self.inode, mode, 0, 0, 1, 0, len(body), 0, 0, *device, len(name) + 1, 0]
        self.data += b"070701" + b"".join(b"%08x" % field for field in fields)
        self.data += name.encode() + b"\0"
        self._align()
        self.data += body
        self._align()

    def _align(self) -> None:
        self.data += bytes(-len(self.data) % 4)


def archive(busybox: bytes, modules: list[Path]) -> bytes:
    cpio = Newc()
    for name in DIRECTORIES:
        cpio.add(name, stat.S_IFDIR | 0o755)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    cpio.add("dev/null", stat.S_IFCHR | 0o666, device=(1, 3))
    cpio.add("init", stat.S_IFREG | 0o755, INIT.encode())
    cpio.add("etc/shell", stat.S_IFREG | 0o644, SHELL.encode())
    cpio.add("bin/powerkey", stat.S_IFREG | 0o755, program(POWER_KEY))
    for module in modules:
        cpio.add(f"lib/{module.stem}", stat.S_IFREG | 0o644, lzma.decompress(module.read_bytes()))
    cpio.add("bin/busybox", stat.S_IFREG | 0o755, busybox)
    for name in applets(busybox):
        if name != "busybox":
            cpio.add(f"bin/{name}", stat.S_IFLNK | 0o777, b"busybox")
    cpio.add("TRAILER!!!", 0)
    return bytes(cpio.data)


def main() -> None:
    source, target, *modules = map(Path, sys.argv[1:])
    part = target.with_suffix(".part")
    part.write_bytes(gzip.compress(archive(source.read_bytes(), modules), mtime=0))
    part.replace(target)


if __name__ == "__main__":
    main()
