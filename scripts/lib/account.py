"""The way of single exits, instruction by instruction: what each makes of registers, barriers, TLBs, locks and devices.

A QEMU plugin writes down what the hypervisor executes between two instructions of the bench guest. Which of the ways
that were seen is meant is known by its length: what the row of that name came to, without the guest's own part.
"""

import collections
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import counted, image, rows, tree

SOURCE = Path(__file__).with_name("path.c")
GUEST = tree.OUT / "testguest" / tree.TRIPLE / "release" / "testguest"
# Where the guest's image is put, and it is linked at 0.
GUEST_BASE = 0x4020_0000
SEEN = re.compile(r"^TOOK (\S+) (\d+)$")
STEP = re.compile(r"^([0-9a-f]{8,16}) ([0-9a-f]{8})( io)?$")
ASSEMBLY = "entry and return"


@dataclass
class Exit:
    """One line of the account: the window, and the row it belongs to with the guest's part of that row; without a row the
    most frequent way through the window."""

    text: str
    window: str
    run: str = rows.ALONE
    row: str | None = None
    guest: int = 0


EXITS = [
    Exit("HVC PSCI_VERSION", "call", row="hvc-psci-version", guest=6),
    Exit("HVC, unknown function", "call", row="hvc-unknown", guest=6),
    Exit("ID register read", "identity", row="id-register-read", guest=2),
    Exit("GICD_TYPER read", "load", row="gicd-typer-read", guest=2),
    Exit("GICD_ISENABLER write", "store", row="gicd-isenabler-write", guest=2),
    Exit("UART flags read", "load", row="uart-fr-read", guest=2),
    Exit("virtual timer", "spins", row="vtimer-spinning", guest=1),
    Exit("SGI to self", "self", row="sgi-self", guest=2),
    Exit("SGI to another CPU: sender", "send", run="pair"),
    Exit("SGI to another CPU: receiver", "sent", run="pair"),
    Exit("CPU_ON: caller", "call", run="pair", row="longest"),
    Exit("WFI on a shared CPU, until the timer is taken", "sleeps", run="shared"),
    Exit("switch between vCPUs of one VM", "turns", run="turns"),
    Exit("switch between vCPUs of two VMs", "turns", run="turns-of-vms"),
]

# A64 (DDI 0487, C4.1): system instructions by their fields; exclusives; and whatever else loads or stores.
SYSTEM, SYSTEM_MASK = 0xd500_0000, 0xffc0_0000


def kind(word: int) -> str:
    """What an instruction is in the account: a column of it, or other."""
    if word & SYSTEM_MASK == SYSTEM:
        op0, crn, is_read = word >> 19 & 3, word >> 12 & 15, word >> 21 & 1
        if op0 >= 2:
            return "read" if is_read else "written"
        if op0 == 1:
            return "tlb" if crn == 8 else "cache"
        return {3: "barrier", 4: "written"}.get(crn, "other")
    if word & 0x3f00_0000 == 0x0800_0000:
        # Load-acquire and store-release are no read-modify-write; the store of an exclusive pair is counted.
        return "lock" if not word >> 23 & 1 and not word >> 22 & 1 else "memory"
    if word & 0x3b20_0c00 == 0x3820_0000:
        return "lock"
    return "memory" if word & 0x0a00_0000 == 0x0800_0000 else "other"


COLUMNS = ["read", "written", "barrier", "tlb", "cache", "lock", "io", "memory"]


def labels() -> dict[str, int]:
    """The labels of the bench guest that windows begin and end at."""
    names = [f"traps_{name}" for name in ("call", "load", "store", "identity", "send", "self")] + ["spins", "sleeps", "interrupted", "turns", "turned"]
    return {name: GUEST_BASE + at for name, at in zip(names, image.symbols(GUEST, names))}


def windows() -> list[str]:
    """The plugin's words for all windows: a trap ends behind itself; a wait, an SGI to self, and what follows on one to another
    CPU, in the handler."""
    at = labels()
    words = [f"{name}={at[f'traps_{name}']:#x}:{at[f'traps_{name}'] + 4:#x}" for name in ("call", "load", "store", "identity", "send")]
    places = {"self": at["traps_self"], "spins": at["spins"], "sleeps": at["sleeps"], "sent": at["traps_send"] + 4}
    words += [f"{name}={start:#x}:{at['interrupted']:#x}" for name, start in places.items()]
    return [*words, f"turns={at['turns']:#x}:{at['turned']:#x}"]


def trace(run: str, keys: dict) -> tuple[dict, Path]:
    """Plays `run` with the plugin: per window and length how often that was seen, and its steps; and the ELF file."""
    plugin = counted.built(SOURCE)
    guest = rows.guest(f"bench-{run}", keys)
    raw = counted.make_image(guest.name, [*rows.company(keys), guest])
    elf = raw.with_suffix(".elf")
    low, high = image.symbols(elf, ["_head", "_end"])
    words = ["-plugin", ",".join([str(plugin), f"low={low:#x}", f"high={high:#x}", *windows()]), "-d", "plugin"]
    log = counted.under_axle(guest, raw, keys.get("smp", guest.cpus), trace=words).log
    seen: dict[tuple[str, int], list] = {}
    steps: list[tuple[int, int, bool]] = []
    for line in log.read_text(errors="replace").splitlines():
        if step := STEP.match(line):
            steps.append((int(step[1], 16), int(step[2], 16), bool(step[3])))
        elif took := SEEN.match(line):
            entry = seen.setdefault((took[1], int(took[2])), [0, steps])
            entry[0] += 1
            steps = []
    log.unlink()
    return seen, elf


def chosen(exit: Exit, seen: dict, measured: dict) -> list[tuple[int, int, bool]]:
    """The way that is meant by `exit`."""
    ways = {length: entry for (window, length), entry in seen.items() if window == exit.window}
    if exit.row == "longest":
        length = max((length for length, (count, _) in ways.items() if count >= 100), default=0)
    elif exit.row:
        length = measured[exit.row]["min"] - exit.guest
        # The emulator may count the instruction that traps, or not.
        length = min(ways, key=lambda known: abs(known - length), default=0)
        if abs(length - (measured[exit.row]["min"] - exit.guest)) > 1:
            length = 0
    else:
        length = max((length for length in ways if length), key=lambda length: ways[length][0], default=0)
    if length not in ways:
        tree.die(f"no way of {length} instructions through '{exit.text}' was seen; run 'scripts/bench rows account' "
                 f"after a build. Seen: {sorted(ways)[:12]}.")
    return ways[length][1]


def written_in(elf: Path, addresses: list[int]) -> dict[int, str]:
    """The source file of this tree that each address came from; what is inlined from elsewhere is its caller's."""
    asked = "".join(f"{address:#x}\n" for address in addresses)
    said = tree.run(["llvm-symbolizer", "-e", elf, "--inlines", "--functions=none"], input=asked, stdout=subprocess.PIPE,
                    text=True).stdout.strip().split("\n\n")
    return {address: part_of(frames) for address, frames in zip(addresses, said)}


def part_of(frames: str) -> str:
    """The innermost file of this tree among `frames`, as the account names it."""
    own = re.search(r"(?:modules|app)/(?:(\w+)/)?src/(.+?\.rs):", frames)
    if own:
        return f"{own[1]}/{own[2]}" if own[1] else own[2]
    return ASSEMBLY if frames.startswith("?") else "the host"


def measure(runs: dict, measured: dict) -> list[dict]:
    """The account of every exit."""
    played = {run: trace(run, runs[run]) for run in dict.fromkeys(exit.run for exit in EXITS)}
    found = []
    for exit in EXITS:
        seen, elf = played[exit.run]
        way = chosen(exit, seen, measured)
        counts = collections.Counter(kind(word) for _, word, _ in way) | collections.Counter(io=sum(io for *_, io in way))
        parts = written_in(elf, sorted({address for address, *_ in way}))
        of_part = collections.Counter(parts[address] for address, *_ in way)
        found.append({"text": exit.text, "instructions": len(way), **{column: counts[column] for column in COLUMNS},
                      "parts": dict(of_part.most_common())})
    return found
