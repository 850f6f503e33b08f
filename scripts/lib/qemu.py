"""The QEMU command line of a board, with what a person or a test case changes on it."""

import re
from dataclasses import dataclass
from pathlib import Path

from . import devicetree, tree


@dataclass
class Machine:
    """What can differ from the board's own machine; None leaves it as the board has it. A `trimmed` one has a device tree without
    what the board's `trim` names."""

    board: str = tree.DEFAULT_BOARD
    cpu: str | None = None
    smp: str | None = None
    memory: str | None = None
    gic: str | None = None
    trimmed: bool = False


def command(image: Path, machine: Machine) -> list[str]:
    """QEMU with no network and no display; the caller says where the serial line goes."""
    board = tree.board(machine.board)
    own = board.get("qemu")
    if not own:
        tree.die(f"the board {machine.board} has no [qemu] section, so QEMU cannot stand in for it; "
                 f"'make image BOARD={machine.board}' makes the file to deploy.")
    model = own["machine"]
    if machine.gic:
        model = re.sub(r"gic-version=\w+", f"gic-version={machine.gic}", model)
    words = [f"qemu-system-{board['arch']}", "-machine", model, "-cpu", machine.cpu or own["cpu"], "-smp", machine.smp or str(own["smp"]),
             "-m", machine.memory or str(own["memory"]), "-display", "none", "-nic", "none", *own.get("args", [])]
    if machine.trimmed and own.get("trim"):
        words += ["-dtb", str(devicetree.trimmed(words, own["trim"]))]
    return [*words, "-kernel", str(image)]
