"""How many instructions were executed at certain points of a run: QEMU with the plugin executed.c."""

import collections
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from . import counted, image, syndrome

SOURCE = Path(__file__).with_name("executed.c")
PASSED = re.compile(r"^PASSED ([0-9a-f]+) (\d+) (\d+)$")
SAID = re.compile(r"^SAID (\d+)$", re.MULTILINE)


@dataclass
class Passage:
    """A mark was executed after `total` instructions, of which the hypervisor's were `own`; `exits` are what led from the guest to
    EL2 since the passage before, and how often, where QEMU logs exceptions."""

    address: int
    total: int
    own: int
    exits: collections.Counter[str] = field(default_factory=collections.Counter)


def watching(hypervisor: Path | None, *addresses: int) -> list[str]:
    """QEMU's words for noting every passage of `addresses`; what is the hypervisor's own is told by its ELF file."""
    low, high = image.symbols(hypervisor, ["_head", "_end"]) if hypervisor else (0, 0)
    marks = [f"mark={address:#x}" for address in addresses]
    return ["-plugin", ",".join([str(counted.built(SOURCE)), f"low={low:#x}", f"high={high:#x}", *marks]), "-d", "plugin"]


def passages(log: Iterable[str]) -> list[Passage]:
    """All of them, in order, from the lines of QEMU's log."""
    found: list[Passage] = []
    exits: collections.Counter[str] = collections.Counter()
    kind, origin, value = "", "", 0
    for text in log:
        if text.startswith("Taking exception"):
            kind = text.split("[")[1].split("]")[0]
        elif text.startswith("...from"):
            origin = text.strip()
        elif text.startswith("...with ESR"):
            value = int(text.split("/")[-1], 16)
        elif text.startswith("...to EL2") and "from EL2" not in origin:
            exits[syndrome.named(kind, value)] += 1
        elif passed := PASSED.match(text):
            found.append(Passage(int(passed[1], 16), int(passed[2]), int(passed[3]), exits))
            exits = collections.Counter()
    return found
