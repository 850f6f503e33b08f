"""How many instructions Linux takes to its first process, in a VM and without a hypervisor.

The kernel, its command line, its RAM disk and its device tree are the same both times. The RAM disk is the tree's own
with another /init laid over it, whose first instruction ends the count, and which then shows the device tree.

The kernel's own work varies by whole ticks, 4 ms, with the moment its timer first fires, so one pair of boots says little:
words that mean nothing shift that moment, and the mean over all shifts is compared. What the hypervisor executed
meanwhile is counted beside it, and has no such noise.
"""

import collections
import gzip
import re
import stat
from dataclasses import replace
from pathlib import Path

from . import counted, image, marks, tree
from .initramfs import Newc

CONFIG = "linux-aarch64"
SOURCE = Path(__file__).with_name("bootinit.s")
# Where the kernel is put: QEMU's choice and Axle's, RAM's start and 2 MiB.
KERNEL = 0x4020_0000
SHIFTS = ["", "shift=1", "shift=22", "shift=333", "shift=4444"]
REPORT = """#!/bin/sh
mount -t sysfs sysfs /sys
echo TREE
od -An -v -tx1 /sys/firmware/fdt
echo END
busybox poweroff -f
"""
TREE = re.compile(r"^TREE\n(.*?)^END$", re.MULTILINE | re.DOTALL)

# ESR_EL2.EC of what leads to EL2; the syndrome of a trapped register has Op0, Op2, Op1, CRn, Rt, CRm, direction.
CLASSES = {0x01: "WFI or WFE", 0x16: "HVC", 0x17: "SMC", 0x20: "instruction abort", 0x24: "data abort"}
REGISTERS = {(3, 0, 0, 6, 0): "ID_AA64ISAR0_EL1", (3, 0, 12, 11, 5): "ICC_SGI1R_EL1"}


def overlay(original: Path) -> tuple[Path, Path]:
    """The program that becomes /init, and `original` with it laid over: a later archive's files replace earlier ones."""
    program, disk = counted.OUT / "init.elf", counted.OUT / "boot.cpio.gz"
    plain = program.with_suffix(".o")
    tree.run(["llvm-mc", "-filetype=obj", "-triple=aarch64", "-o", plain, SOURCE])
    tree.run(["ld.lld", "-z", "noseparate-code", "-o", program, plain])
    cpio = Newc()
    cpio.add("init", stat.S_IFREG | 0o755, program.read_bytes())
    cpio.add("report", stat.S_IFREG | 0o755, REPORT.encode())
    cpio.add("TRAILER!!!", 0)
    disk.write_bytes(original.read_bytes() + gzip.compress(bytes(cpio.data), mtime=0))
    return program, disk


def register(iss: int) -> str:
    """The register of a trap's syndrome, by name or by encoding."""
    op0, op2, op1, crn, crm = iss >> 20 & 3, iss >> 17 & 7, iss >> 14 & 7, iss >> 10 & 15, iss >> 1 & 15
    known = REGISTERS.get((op0, op1, crn, crm, op2))
    if not known and (op0, op1, crn) == (3, 0, 0):
        known = "other ID registers"
    return f"{known or f'S{op0}_{op1}_C{crn}_C{crm}_{op2}'} {'read' if iss & 1 else 'write'}"


def exits(log: Path, end: int) -> dict[str, int]:
    """What led from the guest to EL2 and how often until /init, most frequent first, from QEMU's log of exceptions."""
    found: collections.Counter[str] = collections.Counter()
    kind, origin, syndrome = "", "", 0
    with log.open(errors="replace") as lines:
        for text in lines:
            if text.startswith("Taking exception"):
                kind = text.split("[")[1].split("]")[0]
            elif text.startswith("...from"):
                origin = text.strip()
            elif text.startswith("...with ESR"):
                syndrome = int(text.split("/")[-1], 16)
            elif text.startswith(f"PASSED {end:x}"):
                break
            elif text.startswith("...to EL2") and "from EL2" not in origin:
                found[named(kind, syndrome)] += 1
    return dict(found.most_common())


def named(kind: str, syndrome: int) -> str:
    """One exit in words."""
    if kind in ("IRQ", "FIQ", "SError"):
        return kind
    ec, iss = syndrome >> 26, syndrome & 0x1ffffff
    if ec == 0x18:
        return register(iss)
    word = CLASSES.get(ec, f"class {ec:#x}")
    return f"{word}, {'write' if iss & 0x40 else 'read'}" if ec == 0x24 else word


def executed(log: Path, end: int, where: str) -> tuple[int, int]:
    """Instructions from the kernel's first to /init's first, and how many of them were the hypervisor's."""
    start = None
    for passage in marks.passages(log.read_text(errors="replace")):
        if passage.address == end and start:
            return passage.total - start.total, passage.own - start.own
        start = passage if passage.address == KERNEL else start
    tree.die(f"Linux did not reach its first process {where}; its console is in {tree.shown(counted.OUT)}.")


def one(guest: counted.Guest, program: Path, with_exits: bool) -> dict:
    """Boots `guest` both ways."""
    raw = counted.make_image(guest.name, [guest])
    end, = image.symbols(program, ["_start"])
    flags = ["-d", "int,plugin"] if with_exits else []
    run = counted.under_axle(guest, raw, 1, trace=[*marks.watching(raw.with_suffix(".elf"), KERNEL, end), *flags])
    dump = TREE.search(run.text)
    if not dump:
        tree.die(f"Linux did not show its device tree; its console is in {tree.shown(counted.OUT)}.")
    blob = counted.OUT / f"{guest.name}.dtb"
    blob.write_bytes(bytes.fromhex(dump[1]))
    total, own = executed(run.log, end, "in its VM")
    counts = exits(run.log, end) if with_exits else {}
    run.log.unlink()
    run = counted.natively(guest, blob, trace=marks.watching(None, KERNEL, end))
    native, _ = executed(run.log, end, "without a hypervisor")
    run.log.unlink()
    return {"native": native, "axle": total, "hypervisor": own, "exits": counts}


def measure(budget: dict) -> dict:
    """Boots with the kernel words and the limit that `budget` names, each SHIFTS once, both ways."""
    plain = counted.guest_named(CONFIG)
    program, disk = overlay(plain.ramdisk)
    boots = []
    for number, shift in enumerate(SHIFTS):
        words = " ".join(filter(None, [plain.cmdline, budget["words"], shift]))
        boots.append(one(replace(plain, name="boot", cpus=1, ramdisk=disk, cmdline=words), program, number == 0))
    native, axle, own = (sum(boot[key] for boot in boots) // len(boots) for key in ("native", "axle", "hypervisor"))
    spread = max(boot["native"] for boot in boots) / min(boot["native"] for boot in boots) - 1
    return {"native": native, "native_spread": round(spread, 5), "axle": axle, "ratio": round(axle / native, 5), "hypervisor": own,
            "share": round(axle / (axle - own), 5), "budget": budget["budget"], "exits": boots[0]["exits"]}
