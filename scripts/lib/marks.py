"""How many instructions were executed at certain points of a run: QEMU with the plugin executed.c."""

import re
from dataclasses import dataclass
from pathlib import Path

from . import counted, image

SOURCE = Path(__file__).with_name("executed.c")
PASSED = re.compile(r"^PASSED ([0-9a-f]+) (\d+) (\d+)$", re.MULTILINE)
SAID = re.compile(r"^SAID (\d+)$", re.MULTILINE)


@dataclass
class Passage:
    """A mark was executed after `total` instructions, of which the hypervisor's were `own`."""

    address: int
    total: int
    own: int


def watching(hypervisor: Path | None, *addresses: int) -> list[str]:
    """QEMU's words for noting every passage of `addresses`; what is the hypervisor's own is told by its ELF file."""
    low, high = image.symbols(hypervisor, ["_head", "_end"]) if hypervisor else (0, 0)
    marks = [f"mark={address:#x}" for address in addresses]
    return ["-plugin", ",".join([str(counted.built(SOURCE)), f"low={low:#x}", f"high={high:#x}", *marks]), "-d", "plugin"]


def passages(log: str) -> list[Passage]:
    """All of them, in order."""
    return [Passage(int(address, 16), int(total), int(own)) for address, total, own in PASSED.findall(log)]
