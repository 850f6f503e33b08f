"""What the built hypervisor may call in an exit, and where in its own sources it can panic at all.

An exit is answered with interrupts masked and nothing of the host in reach: it may call Axle's own functions, and of `core`
neither panics nor formatting; no allocator, nothing of the host. The graph of all calls says whether that is so; whom a call
through a pointer reaches, a table below says. And each panic that the compiler could not rule out has a place in the
sources, which the program holds. docs/panics.md says of what is left why it does not happen.
"""

import re
from collections.abc import Iterator

from . import calls, locations, tree

LIST = tree.TOP / "docs" / "panics.md"

# What exits begin with, and the part of the host's interrupt handlers that is Axle's.
ROOTS = [
    r"^arm_vcpu::exits::",
    r"^axle::vmm::passthrough::arrived$",
    r"^axle::host::cpu::prepare_interrupts::\{closure#0\}$",
]

KICK = r" as arm_vgic::port::Kick>::kick$"
LINE = r" as axdevice::port::InterruptLine>::set_level$"
CLOCK = r" as axdevice::port::Clock>::now$"

# Whom calls through a pointer reach, by the file and the function in which they are written.
THROUGH = {
    ("modules/arm_vgic/src/vgic.rs", "announce"): KICK,
    ("modules/arm_vgic/src/vgic.rs", "send_sgi"): KICK,
    ("modules/axdevice/src/bus.rs", "read"): r" as axdevice::access::Device>::read$",
    ("modules/axdevice/src/bus.rs", "write"): r" as axdevice::access::Device>::write$",
    ("modules/axdevice/src/pl011.rs", "drive"): LINE,
    ("modules/axdevice/src/pl011.rs", "write_data"): r" as axdevice::port::ByteSink>::put$",
    ("modules/axdevice/src/pl061.rs", "update"): LINE,
    ("modules/axdevice/src/watchdog.rs", "drive"): LINE,
    ("modules/axdevice/src/watchdog.rs", "read"): CLOCK,
    ("modules/axdevice/src/watchdog.rs", "write"): CLOCK,
    ("modules/axvm/src/channel.rs", "ring_others"): r"^axvm::machine::join_channels::.*\{closure#\d+\}$",
    ("modules/axvm/src/exit.rs", "cpu_on"): r" as axvm::hal::VcpuPort>::start$",
}

# The crates and the C functions that an exit may call.
PLAIN = {file.parent.name for file in (tree.TOP / "modules").glob("*/Cargo.toml")} | {
    "axle", "core", "memcpy", "memmove", "memset", "memcmp"}
NOT_PLAIN = re.compile(r"^core::(?:panicking|fmt)\b")
# In a name the first word is the crate's: `<&mut axle::Thing as core::Trait>::function`.
FIRST_WORD = re.compile(r"(?!(?:mut|dyn|const)\b)[A-Za-z_]\w*")

OWN_FILE = re.compile(r"^(?:modules|app)/")
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| \S.* \|$")

# Something that is wrong: where, and what.
Finding = tuple[str, str]


def check() -> list[str]:
    """What is wrong with the program that the last build has left, and with docs/panics.md."""
    left = [*in_exits(calls.of(tree.ELF)), *in_sources()]
    listed = [(row[1], row[2]) for row in map(ROW.match, LIST.read_text().splitlines()) if row]

    def is_listed(finding: Finding, row: Finding) -> bool:
        return finding[0] == row[0] and row[1] in finding[1]

    unknown = [finding for finding in left if not any(is_listed(finding, row) for row in listed)]
    gone = [row for row in listed if not any(is_listed(finding, row) for finding in left)]
    return [*calls.self_check(), *locations.self_check(),
            *(f"{where}: {what}" for where, what in unknown),
            *(f"{tree.shown(LIST)}: there is no longer: {where}: {what}" for where, what in gone)]


def is_plain(function: calls.Function) -> bool:
    """Whether an exit may call it, as far as its name goes."""
    crate = FIRST_WORD.search(str(function))
    return crate is not None and crate[0] in PLAIN and not NOT_PLAIN.match(str(function))


def in_exits(program: calls.Program) -> Iterator[Finding]:
    """What an exit can reach and must not: who calls it, and the way there."""
    roots, missing = roots_of(program)
    yield from missing
    callers = program.reached(roots, lambda function: not is_plain(function))
    for at in callers:
        if not is_plain(program.functions[at]):
            way = [at]
            while (caller := callers[way[-1]]) is not None:
                way.append(caller)
            names = [str(program.functions[step]) for step in way]
            yield names[1] if len(names) > 1 else "a root", "an exit can call " + " <- ".join(names)


def roots_of(program: calls.Program) -> tuple[set[int], list[Finding]]:
    """What exits begin with and what they call through pointers; and what the tables above lack or have too much."""
    roots: set[int] = set()
    missing: list[Finding] = []
    followed: set[Finding] = set()
    new = {("scripts/lib/panics.py", pattern) for pattern in ROOTS}
    while new:
        for place in sorted(new):
            pattern = place[1] if place[1] in ROOTS else THROUGH.get(place)
            matching = program.named(re.compile(pattern)) if pattern else []
            if not matching:
                missing.append((place[0], f"{place[1]}: calls through a pointer; scripts/lib/panics.py does not know whom"))
            roots.update(matching)
        followed |= new
        reached = program.reached(roots, lambda function: not is_plain(function))
        places = [at for start in reached for at in program.functions[start].indirect if is_plain(program.functions[start])]
        new = {written(frames) for frames in calls.frames(tree.ELF, places).values()} - followed
    missing += [(file, f"{function}: is in scripts/lib/panics.py, but no exit comes there")
                for file, function in THROUGH.keys() - followed]
    return roots, missing


def written(frames: list[calls.Frame]) -> Finding:
    """The file and the function of Axle's in which an instruction was written."""
    for frame in frames:
        if OWN_FILE.match(frame.file) and not frame.function.startswith("{"):
            return frame.file, last_word(frame.function)
    return "a library", frames[0].function if frames else "unknown"


def last_word(name: str) -> str:
    """`read` of `<axdevice::Bus<T> as Trait>::read::<U>`."""
    while (plain := re.sub(r"(?:::)?<[^<>]*>", "", name)) != name:
        name = plain
    return name.rsplit("::", 1)[-1]


def in_sources() -> Iterator[Finding]:
    """Where Axle's own sources can panic: the file, and the line as it is there."""
    places = locations.read(tree.ELF)
    if not places:
        yield tree.shown(tree.ELF), "names no place of a panic at all: does the compiler keep them otherwise?"
    for place in places:
        if OWN_FILE.match(place.file):
            lines = (tree.TOP / place.file).read_text().splitlines()
            yield place.file, f"can panic at line {place.line}: {lines[place.line - 1].strip()}"
