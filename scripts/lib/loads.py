"""What programs in Linux cost in a VM, beside the same Linux without a hypervisor.

Each is between two runs of a program that does nothing, and the instructions from the first to the second are counted: idle
time is not among them, the shell that starts all three is. Before the first one the kernel's own threads, which try its
cryptography for a while after the boot, have come to rest. What was executed by the hypervisor has no noise; the order in
which the kernel lets processes run has, so each is run several times, with words that mean nothing on the command line.
"""

import re
import subprocess
from pathlib import Path

from . import counted, initramfs, linuxboot, linuxrun, tree
from .linuxrun import Side
from .marks import Passage

HERE = Path(__file__).parent
# Programs always have the same addresses: among random ones are those of the hypervisor, which its instructions are told by.
FIXED = "norandmaps"
SHIFTS = linuxboot.SHIFTS[:3]
# Where no other program has instructions.
MARK_BASE = "0x10000000"
PROGRAMS = tree.OUT / "guests" / "aarch64" / "loads"
LIBRARIES = ["ld-linux-aarch64.so.1", "libc.so.6", "libpthread.so.0"]
ENDED = re.compile(r"^LOAD (\S+) (\d+) ?(.*)$", re.MULTILINE)
INIT = f"""#!/bin/sh
export PATH=/bin
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o size=300m tmpfs /tmp
{linuxrun.SHOW_TREE}sleep 10
"""
ONE = """{before}
mark
{{ {command}; }} >/tmp/said 2>&1
status=$?
mark
echo LOAD {name} $status $(cat /tmp/said)
rm -f /tmp/*
"""


def script(loads: dict[str, dict]) -> str:
    """/init, which runs all of them."""
    runs = [ONE.format(name=name, before=load.get("before", ":"), command=load["command"]) for name, load in loads.items()]
    return INIT + "".join(runs) + linuxrun.POWER_OFF


def prepared(loads: dict[str, dict], shift: str) -> tuple[counted.Guest, int]:
    """Linux with the programs, and the address of the first instruction of what marks begin and end."""
    mark = initramfs.program(HERE / "mark.s", f"--image-base={MARK_BASE}")
    files = {"init": script(loads).encode(), "bin/mark": mark, "bin/pingpong": initramfs.program(HERE / "pingpong.s"),
             "bin/hackbench": (PROGRAMS / "hackbench").read_bytes()}
    files |= {f"lib/{name}": (PROGRAMS / name).read_bytes() for name in LIBRARIES}
    return linuxrun.guest("loads", files, ["quiet", FIXED, shift]), initramfs.entry(mark)


def stretches(loads: dict[str, dict], side: Side, where: str) -> dict[str, Passage]:
    """From each one's begin to its end, when all of them ran and said what they must."""
    ended = {name: (status, said) for name, status, said in ENDED.findall(side.said)}
    for name, load in loads.items():
        status, said = ended.get(name, ("none", ""))
        if status != "0" or not re.fullmatch(load["says"], said):
            tree.die(f"{name} ended with status {status} {where} and said '{said}'; its console is in {tree.shown(counted.OUT)}.")
    begins, ends = side.passages[::2], side.passages[1::2]
    if len(begins) != len(loads) or len(ends) != len(loads):
        tree.die(f"{len(side.passages)} marks of {2 * len(loads)} were passed {where}.")
    return {name: Passage(end.address, end.total - begin.total, end.own - begin.own, end.exits)
            for name, begin, end in zip(loads, begins, ends)}


def compared(pairs: list[tuple[Passage, Passage]]) -> dict:
    """One load's runs, each without a hypervisor and in a VM, as means; `least` and `most` are the ratios of single pairs."""
    native, axle, own = (sum(figures) // len(pairs) for figures in zip(*((alone.total, vm.total, vm.own) for alone, vm in pairs)))
    ratios = [round(vm.total / alone.total, 5) for alone, vm in pairs]
    return {"native": native, "axle": axle, "hypervisor": own, "ratio": round(axle / native, 5), "least": min(ratios),
            "most": max(ratios), "share": round(axle / (axle - own), 5), "exits": dict(pairs[0][1].exits.most_common())}


def measure(loads: dict[str, dict]) -> dict[str, dict]:
    """Runs all of `loads` with each of SHIFTS on the command line, both ways."""
    if not all((PROGRAMS / name).exists() for name in ["hackbench", *LIBRARIES]):
        tree.run([tree.TOP / "scripts" / "guests", "loads"], stdout=subprocess.DEVNULL)
    pairs = []
    for number, shift in enumerate(SHIFTS):
        linux, mark = prepared(loads, shift)
        native, vm = linuxrun.both(linux, [mark], number == 0)
        pairs.append((stretches(loads, native, "without a hypervisor"), stretches(loads, vm, "in its VM")))
    return {name: compared([(native[name], vm[name]) for native, vm in pairs]) for name in loads}
