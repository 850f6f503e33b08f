"""One Linux twice, in a VM and without a hypervisor: the same kernel, command line, RAM disk and device tree.

The RAM disk is the tree's own with more files laid over it. The VM shows its device tree, and the other machine gets that.
"""

import gzip
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from . import counted, marks, tree
from .initramfs import Newc
from .marks import Passage

CONFIG = "linux-aarch64"
# A script shows the device tree so, once it is a process, and ends so.
SHOW_TREE = """mount -t sysfs sysfs /sys
echo TREE
od -An -v -tx1 /sys/firmware/fdt
echo END
"""
POWER_OFF = "busybox poweroff -f\n"
TREE = re.compile(r"^TREE\n(.*?)^END$", re.MULTILINE | re.DOTALL)


@dataclass
class Side:
    """What one of the two said, and where it passed the marks."""

    said: str
    passages: list[Passage]


def guest(name: str, files: dict[str, bytes], words: list[str]) -> counted.Guest:
    """The tree's Linux as `name`, one CPU, with executable `files` by path, and `words` more on its command line."""
    plain = counted.guest_named(CONFIG)
    disk = counted.OUT / f"{name}.cpio.gz"
    cpio = Newc()
    for path, body in files.items():
        cpio.add(path, stat.S_IFREG | 0o755, body)
    cpio.add("TRAILER!!!", 0)
    # A later archive's files replace earlier ones.
    disk.write_bytes(plain.ramdisk.read_bytes() + gzip.compress(bytes(cpio.data), mtime=0))
    return replace(plain, name=name, cpus=1, ramdisk=disk, cmdline=" ".join(filter(None, [plain.cmdline, *words])))


def seen(run: counted.Run) -> Side:
    """What `run` said and passed; its log may be big, and goes."""
    with run.log.open(errors="replace") as lines:
        found = Side(run.text, marks.passages(lines))
    run.log.unlink()
    return found


def both(linux: counted.Guest, addresses: list[int], with_exits: bool) -> tuple[Side, Side]:
    """Runs `linux` without a hypervisor and in a VM, in this order of the result; `addresses` are the marks."""
    raw = counted.make_image(linux.name, [linux])
    watch = marks.watching(raw.with_suffix(".elf"), *addresses)
    run = counted.under_axle(linux, raw, 1, trace=[*watch, *(["-d", "int,plugin"] if with_exits else [])])
    dump = TREE.search(run.text)
    if not dump:
        tree.die(f"Linux did not show its device tree; its console is in {tree.shown(counted.OUT)}.")
    blob = counted.OUT / f"{linux.name}.dtb"
    blob.write_bytes(bytes.fromhex(dump[1]))
    vm, native = seen(run), seen(counted.natively(linux, blob, trace=watch))
    if any(passage.own for passage in native.passages):
        tree.die("instructions of a Linux without a hypervisor were taken for the hypervisor's: something of it has these addresses.")
    return native, vm
