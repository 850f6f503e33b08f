"""How many instructions Linux takes to its first process, in a VM and without a hypervisor.

The first instruction of another /init ends the count.

The kernel's own work varies by whole ticks, 4 ms, with the moment its timer first fires, so one pair of boots says little:
words that mean nothing shift that moment, and the mean over all shifts is compared. What the hypervisor executed
meanwhile is counted beside it, and has no such noise.
"""

import collections
from pathlib import Path

from . import counted, initramfs, linuxrun, tree
from .marks import Passage

SOURCE = Path(__file__).with_name("bootinit.s")
# Where the kernel is put: QEMU's choice and Axle's, RAM's start and 2 MiB.
KERNEL = 0x4020_0000
SHIFTS = ["", "shift=1", "shift=22", "shift=333", "shift=4444"]
REPORT = f"#!/bin/sh\n{linuxrun.SHOW_TREE}{linuxrun.POWER_OFF}"


def prepared(name: str, words: list[str]) -> tuple[counted.Guest, int]:
    """Linux with that /init, and the address of its first instruction."""
    program = initramfs.program(SOURCE)
    return linuxrun.guest(name, {"init": program, "report": REPORT.encode()}, words), initramfs.entry(program)


def stretch(passages: list[Passage], end: int, where: str) -> Passage:
    """From the kernel's first instruction to /init's first. The hypervisor's image may begin at the address that the kernel does."""
    start, exits = None, collections.Counter()
    for passage in passages:
        exits += passage.exits
        if passage.address == end and start:
            return Passage(end, passage.total - start.total, passage.own - start.own, exits)
        if passage.address == KERNEL:
            start, exits = passage, collections.Counter()
    tree.die(f"Linux did not reach its first process {where}; its console is in {tree.shown(counted.OUT)}.")


def one(words: list[str], with_exits: bool) -> dict:
    """Boots with `words` on the command line, both ways."""
    linux, end = prepared("boot", words)
    native, vm = linuxrun.both(linux, [KERNEL, end], with_exits)
    alone, hosted = stretch(native.passages, end, "without a hypervisor"), stretch(vm.passages, end, "in its VM")
    return {"native": alone.total, "axle": hosted.total, "hypervisor": hosted.own, "exits": dict(hosted.exits.most_common())}


def measure(budget: dict) -> dict:
    """Boots with the kernel words and the limit that `budget` names, each SHIFTS once, both ways."""
    boots = [one([budget["words"], shift], number == 0) for number, shift in enumerate(SHIFTS)]
    native, axle, own = (sum(boot[key] for boot in boots) // len(boots) for key in ("native", "axle", "hypervisor"))
    spread = max(boot["native"] for boot in boots) / min(boot["native"] for boot in boots) - 1
    return {"native": native, "native_spread": round(spread, 5), "axle": axle, "ratio": round(axle / native, 5), "hypervisor": own,
            "share": round(axle / (axle - own), 5), "budget": budget["budget"], "exits": boots[0]["exits"]}
