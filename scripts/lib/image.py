"""The image: hypervisor and bundle linked into one raw file a boot loader starts as an arm64 Image.

The linker command of the last build, which `scripts/link` keeps, runs again with another bundle object in the place of
the empty one: seconds, and no cargo. Bytes behind the raw image would not survive its boot, because .bss lies there.
"""

import json
import struct
import subprocess
import tempfile
from pathlib import Path

from . import tree

SECTION = """
    .section .rodata.axle_bundle, "a"
    .balign 4096
    .globl axle_bundle_start
    .hidden axle_bundle_start
axle_bundle_start:
{content}
    .globl axle_bundle_end
    .hidden axle_bundle_end
axle_bundle_end:
    .byte 0
"""

# Linux, Documentation/arch/arm64/booting.rst: image_size at 16, the magic number at 56.
IMAGE_SIZE_AT = 16
MAGIC_AT = 56
MAGIC = b"ARM\x64"


def assemble(bundle: Path | None, target: Path) -> None:
    """The object with `bundle`'s bytes between axle_bundle_start and axle_bundle_end; none gives an empty one."""
    content = f'    .incbin "{bundle}"' if bundle else ""
    tree.run(["llvm-mc", "-filetype=obj", "-triple=aarch64", "-o", target, "-"],
             input=SECTION.format(content=content).encode())


def kept(elf: Path) -> Path:
    """Where the linker command of `elf` and its inputs are kept; scripts/link is told the path cargo works on."""
    return elf.with_name(f"{elf.name.split('-')[0]}.link")


def relink(bundle: Path, elf: Path) -> None:
    """Links the last build again, with `bundle`, into `elf`."""
    command = kept(tree.ELF) / "command.json"
    if not command.exists():
        tree.die("the hypervisor has not been built yet; run 'make build'.")
    linker = json.loads(command.read_text())
    with tempfile.TemporaryDirectory(dir=elf.parent) as work:
        object_file = Path(work) / "bundle.o"
        assemble(bundle, object_file)
        places = {"@BUNDLE@": str(object_file), "@OUTPUT@": str(elf)}
        tree.run([places.get(word, word) for word in linker["command"]], cwd=linker["folder"])


def symbols(elf: Path, names: list[str]) -> list[int]:
    """The addresses of `names` in `elf`."""
    table = tree.run(["llvm-nm", elf], stdout=subprocess.PIPE, text=True).stdout
    known = {words[-1]: int(words[0], 16) for words in map(str.split, table.splitlines()) if len(words) == 3}
    missing = [name for name in names if name not in known]
    if missing:
        tree.die(f"{tree.shown(elf)} has no symbol {missing[0]}; was it linked with the platform's script?")
    return [known[name] for name in names]


def flatten(elf: Path, raw: Path) -> None:
    """Writes `elf`'s memory image to `raw` and tells its header how much memory it takes, .bss included."""
    part = raw.with_suffix(".part")
    tree.run(["llvm-objcopy", "--strip-all", "-O", "binary", elf, part])
    head, end = symbols(elf, ["_head", "_end"])
    with part.open("r+b") as file:
        header = file.read(64)
        if header[MAGIC_AT:MAGIC_AT + 4] != MAGIC:
            tree.die(f"{tree.shown(elf)} does not begin with an arm64 Image header.")
        file.seek(IMAGE_SIZE_AT)
        file.write(struct.pack("<Q", end - head))
    part.replace(raw)


def make(bundle: bytes, raw: Path) -> None:
    """Writes the image with `bundle` to `raw`, and beside it the ELF a debugger reads."""
    raw.parent.mkdir(parents=True, exist_ok=True)
    elf = raw.with_suffix(".elf")
    with tempfile.NamedTemporaryFile(dir=raw.parent, suffix=".tar") as file:
        file.write(bundle)
        file.flush()
        relink(Path(file.name), elf)
    flatten(elf, raw)


