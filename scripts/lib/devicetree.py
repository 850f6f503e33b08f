"""QEMU's device tree without what nobody here looks at: the host reads all of it at boot, which is half of its boot.

The tree is QEMU's own for the very machine it is for, so it fits whatever SMP, MEM and GIC are; only nodes that the board's
`trim` names are taken out. It is made once for each machine.
"""

import fnmatch
import hashlib
import shutil
import subprocess
from pathlib import Path

from . import tree

OUT = tree.OUT / "trees"


def children(file: Path, node: str) -> list[str]:
    """The nodes directly below `node`, as paths."""
    said = tree.run(["fdtget", "-l", file, node], stdout=subprocess.PIPE, text=True).stdout
    return [f"{node.rstrip('/')}/{name}" for name in said.split()]


def trimmed(command: list[str], patterns: list[str]) -> Path:
    """The tree of the machine that the QEMU `command` makes, without the nodes of the first two levels that match a pattern."""
    emulator = Path(shutil.which(command[0]) or command[0])
    key = repr((command, patterns, emulator.stat().st_mtime if emulator.exists() else 0))
    made = OUT / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.dtb"
    if made.exists():
        return made
    OUT.mkdir(parents=True, exist_ok=True)
    whole, part = made.with_suffix(".whole"), made.with_suffix(".part")
    tree.run([*command, "-machine", f"dtb-randomness=off,dumpdtb={whole}"], stderr=subprocess.DEVNULL)
    top = children(whole, "/")
    nodes = [*top, *(below for node in top for below in children(whole, node))]
    doomed = [node for node in nodes if any(fnmatch.fnmatch(node, pattern) for pattern in patterns)]
    for node in sorted(doomed, key=len, reverse=True):
        tree.run(["fdtput", "-r", whole, node])
    # QEMU's blob has a mebibyte of room, which would be copied as well.
    tree.run(["dtc", "-q", "-I", "dtb", "-O", "dtb", "-o", part, whole])
    whole.unlink()
    part.replace(made)
    return made
