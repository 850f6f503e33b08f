"""Where the instructions of a stretch went, function by function; by hand, to see what is worth making shorter.

Usage: scripts/lib/profile.py boot|trimmed|linux [COUNT]. `boot` is from reset to the first entry into a small guest, `trimmed` the same
with the device tree that `make run` gives, `linux` from a kernel's
first instruction to its first process; the COUNT most expensive functions are shown (40).
"""

import bisect
import collections
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import counted, image, linuxboot, tree  # noqa: E402

SOURCE = Path(__file__).with_name("profile.c")
BLOCK = re.compile(r"^BLOCK ([0-9a-f]+) (\d+) (\d+)$", re.MULTILINE)
# Where QEMU puts the image: it runs there until its MMU is on.
LOADED = 0x4020_0000


def functions(elf: Path) -> list[tuple[int, str]]:
    """Every function's first address, in order."""
    said = tree.run(["llvm-nm", "--demangle", elf], stdout=subprocess.PIPE, text=True).stdout
    found = [line.split(" ", 2) for line in said.splitlines()]
    return sorted((int(words[0], 16), words[2]) for words in found if len(words) == 3 and words[0] and words[1] in "tTwW")


def profile(what: str) -> tuple[Path, str]:
    """Runs it; gives the ELF file and QEMU's log."""
    if what == "linux":
        guest, first = linuxboot.prepared("profile", ["quiet"])
    else:
        guest = replace(counted.guest_named("hello-aarch64"), name="profile")
    raw = counted.make_image(guest.name, [guest])
    elf = raw.with_suffix(".elf")
    head, last, enter = image.symbols(elf, ["_head", "_end", "axle_enter_guest"])
    if what == "linux":
        start, end, low, high = linuxboot.KERNEL, first, head, last
    else:
        start, end, low, high = 0, enter, 0, (1 << 64) - 1
    plugin = counted.built(SOURCE)
    words = ["-plugin", f"{plugin},start={start:#x},end={end:#x},low={low:#x},high={high:#x}", "-d", "plugin"]
    log = counted.under_axle(guest, raw, 1, "2G" if what == "linux" else "512M", trace=words, trimmed=what == "trimmed").log
    text = log.read_text(errors="replace")
    log.unlink()
    return elf, text


def main() -> None:
    words = sys.argv[1:]
    if not words or words[0] not in ("boot", "trimmed", "linux"):
        sys.exit(__doc__.split("\n\n")[1])
    counted.OUT.mkdir(parents=True, exist_ok=True)
    elf, text = profile(words[0])
    known = functions(elf)
    head, last = image.symbols(elf, ["_head", "_end"])
    starts = [address for address, _ in known]
    taken: collections.Counter[str] = collections.Counter()
    for where, instructions, count in BLOCK.findall(text):
        address = int(where, 16)
        if LOADED <= address < LOADED + last - head:
            address += head - LOADED
        at = bisect.bisect_right(starts, address) - 1
        name = known[at][1] if at >= 0 and head <= address < last else "outside the image"
        taken[name] += int(instructions) * int(count)
    total = sum(taken.values())
    print(f"{total:>11}")
    for name, value in taken.most_common(int(words[1]) if words[1:] else 40):
        print(f"{value:>11} {100 * value / total:5.1f} %  {name[:120]}")


if __name__ == "__main__":
    main()
