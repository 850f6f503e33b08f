"""Runs on a machine whose clock counts instructions: QEMU's icount with a 1 GHz counter.

One instruction takes one nanosecond of virtual time there, idle time passes at once, and the same image gives the
same figures each time: nothing is typed before what is measured is over.
"""

import re
import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path

from . import bundle, image, qemu, tree
from .serial import Serial

CPU = "cortex-a72,cntfrq=1000000000"
CLOCK = ["-icount", "shift=0,sleep=off", "-rtc", "base=2024-01-01,clock=vm"]
STEADY = ["-machine", "dtb-randomness=off"]
OUT = tree.OUT / "bench"
PROMPT = re.compile(r"axle> ")
LIMIT_S = 600.0
# Machines that run at once may have VMs of the same name beside theirs.
MAKING = threading.Lock()


@dataclass
class Guest:
    """One VM, as a configuration of its own: image paths are whole, so it can stand anywhere; `more` is more of its TOML."""

    name: str
    kernel: Path
    ramdisk: Path | None = None
    cmdline: str = ""
    cpus: int = 1
    memory: str = "16M"
    more: str = ""

    def write(self) -> Path:
        """Writes the configuration and gives its path."""
        keys = {"name": self.name, "memory": self.memory, "kernel": str(self.kernel), "cmdline": self.cmdline}
        if self.ramdisk:
            keys["ramdisk"] = str(self.ramdisk)
        lines = [f"{key} = {bundle.quoted(value)}" for key, value in keys.items()] + [f"cpus = {self.cpus}"]
        path = OUT / f"{self.name}.toml"
        path.write_text("\n".join(lines) + f"\n{self.more}\n")
        return path


@dataclass
class Run:
    """What a machine said, and QEMU's own log of it if one was asked for."""

    text: str
    log: Path | None = None


def guest_named(config: str) -> Guest:
    """The VM of configs/vms with that name."""
    path = bundle.config_path(config)
    keys = tomllib.loads(path.read_text())
    ramdisk = keys.get("ramdisk")
    return Guest(keys["name"], (path.parent / keys["kernel"]).resolve(), (path.parent / ramdisk).resolve() if ramdisk else None,
                 keys.get("cmdline", ""), keys.get("cpus", 1), keys["memory"])


def make_image(name: str, guests: list[Guest], autostart: bool = True) -> Path:
    """An image with `guests`, which start by themselves unless told otherwise."""
    OUT.mkdir(parents=True, exist_ok=True)
    names = [guest.name for guest in guests] if autostart else []
    raw = OUT / "images" / f"{name}.bin"
    with MAKING:
        words = [str(guest.write()) for guest in guests]
        image.make(bundle.make(tree.DEFAULT_BOARD, words, autostart=names), raw)
    return raw


def machine(raw: Path, smp: int, memory: str, trimmed: bool = False) -> list[str]:
    """The board's machine without any randomness, before it is told what time is."""
    return qemu.command(raw, qemu.Machine(cpu=CPU, smp=str(smp), memory=memory, trimmed=trimmed)) + STEADY


def built(source: Path) -> Path:
    """The QEMU plugin that `source` is."""
    plugin = OUT / f"{source.stem}.so"
    tree.run(["cc", "-O2", "-shared", "-fPIC", "-o", plugin, source])
    return plugin


def logged(guest: Guest, trace: list[str] | None) -> tuple[list[str], Path | None]:
    """QEMU's words for `trace`, and the file that gets what it says."""
    log = OUT / f"{guest.name}.qemu"
    return ([*trace, "-D", str(log)], log) if trace else ([], None)


def under_axle(guest: Guest, raw: Path, smp: int, memory: str = "2G", trace: list[str] | None = None,
               trimmed: bool = False) -> Run:
    """Lets the hypervisor in `raw` start `guest` alone, nobody at its console, and gives its console once it is off."""
    extra, log = logged(guest, trace)
    with Serial(machine(raw, smp, memory, trimmed) + CLOCK + extra, OUT / f"{guest.name}.log", LIMIT_S, 1) as line:
        line.expect(re.compile(rf"{guest.name} stopped: (.*)"), 0, LIMIT_S)
        line.expect(PROMPT, 0, 60)
        line.type(f"vm log {guest.name} -n 5000\r")
        line.expect(re.compile("vm log"), 0, 10)
        start = line.read_to
        line.type("version\r")
        line.expect(re.compile(r"axle> version"), 0, 60)
    return Run(line.text[start:line.read_to], log)


def natively(guest: Guest, tree_blob: Path | None = None, trace: list[str] | None = None) -> Run:
    """The same guest with the machine to itself: no EL2, and `tree_blob` for QEMU's own device tree."""
    board = tree.board(tree.DEFAULT_BOARD)
    model = board["qemu"]["machine"].replace("virtualization=on", "virtualization=off")
    command = [f"qemu-system-{board['arch']}", "-machine", model, *STEADY, "-cpu", CPU, "-smp", str(guest.cpus),
               "-m", guest.memory, "-display", "none", "-nic", "none", "-kernel", str(guest.kernel), *CLOCK,
               "-append", guest.cmdline]
    command += ["-initrd", str(guest.ramdisk)] if guest.ramdisk else []
    command += ["-dtb", str(tree_blob)] if tree_blob else []
    extra, log = logged(guest, trace)
    with Serial(command + extra, OUT / f"{guest.name}.native.log", LIMIT_S, 1) as line:
        line.pause(LIMIT_S)
    return Run(line.text, log)
