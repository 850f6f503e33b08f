"""Who calls whom in a linked program, read from its disassembly.

A call is a branch to another function, a step into the next one where nothing ends the last, and a function whose address
is taken: whoever takes it may be who calls it. Calls through a pointer are listed, since the code does not say where they go.
"""

import re
import subprocess
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from . import tree

HEAD = re.compile(r"^([0-9a-f]+) <.*>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)(?:\s+(.*))?$")
TARGET = re.compile(r"0x([0-9a-f]+)(?: <.*)?$")
BRANCHES = re.compile(r"^(?:b|bl|b\.\w+|cbn?z|tbn?z)$")
# What nothing comes after, or what pads the way to the next function. A call in the last place does not come back.
ENDS = {"b", "br", "ret", "eret", "bl", "blr", "udf", "brk", "hlt", "nop"}
# The mnemonics that leave nothing in their first register.
WRITES_NONE = re.compile(r"^(?:st|cmp|cmn|tst|b|cb|tb|prfm|msr|dsb|dmb|isb)")


@dataclass
class Function:
    """One function: whom it calls, and where it calls through a pointer."""

    names: list[str]
    calls: set[int] = field(default_factory=set)
    indirect: list[int] = field(default_factory=list)
    # Each call of another function: where it stands, and whom it calls.
    sites: list[tuple[int, int]] = field(default_factory=list)

    def __str__(self) -> str:
        return self.names[0]


@dataclass
class Instruction:
    at: int
    word: str
    operands: str

    def target(self) -> int | None:
        found = TARGET.search(self.operands)
        return int(found[1], 16) if found else None

    def registers(self) -> list[str]:
        return [word.strip() for word in self.operands.split(",")]


class Program:
    """All functions of a program by their address."""

    def __init__(self, names: dict[int, list[str]], disassembly: Iterable[str]) -> None:
        bodies = split(disassembly)
        self.starts = sorted(bodies)
        self.functions = {at: Function(names.get(at) or [hex(at)]) for at in self.starts}
        for (at, body), following in zip(sorted(bodies.items()), [*self.starts[1:], None]):
            self.read(at, body, following)

    def owner(self, address: int) -> int | None:
        """The function that `address` lies in."""
        place = bisect_right(self.starts, address) - 1
        return self.starts[place] if place >= 0 else None

    def read(self, start: int, body: list[Instruction], following: int | None) -> None:
        """Finds the calls in one function."""
        function = self.functions[start]
        pages: dict[str, int] = {}
        for place, instruction in enumerate(body):
            word, registers = instruction.word, instruction.registers()
            if BRANCHES.match(word):
                self.call(start, instruction.at, instruction.target())
            elif word == "adrp":
                pages[registers[0]] = instruction.target() or 0
            elif word == "adr":
                self.take(start, instruction.at, instruction.at + int(registers[1][1:], 0))
            elif word == "add" and len(registers) == 3 and registers[1] in pages and registers[2].startswith("#"):
                self.take(start, instruction.at, pages[registers[1]] + int(registers[2][1:], 0))
            elif word == "blr" or (word == "br" and not computed(body[:place], registers[0])):
                function.indirect.append(instruction.at)
        last = next((one for one in reversed(body) if one.word != "nop"), None)
        if following is not None and (last is None or last.word not in ENDS):
            self.call(start, last.at if last else start, following)

    def call(self, start: int, at: int, target: int | None) -> None:
        callee = self.owner(target) if target is not None else None
        if callee is not None and callee != start:
            self.functions[start].calls.add(callee)
            self.functions[start].sites.append((at, callee))

    def take(self, start: int, at: int, address: int | None) -> None:
        if address in self.functions:
            self.call(start, at, address)

    def named(self, pattern: re.Pattern[str]) -> list[int]:
        """The functions with a name that `pattern` finds."""
        return [at for at, function in self.functions.items() if any(map(pattern.search, function.names))]

    def reached(self, roots: Iterable[int], ends: Callable[[Function], bool]) -> dict[int, int | None]:
        """Every function that can be called from `roots`, with one that calls it; not beyond those that `ends`."""
        callers: dict[int, int | None] = {}
        waiting: list[tuple[int, int | None]] = [(root, None) for root in roots]
        while waiting:
            at, caller = waiting.pop()
            if at in callers:
                continue
            callers[at] = caller
            if not ends(self.functions[at]):
                waiting += [(callee, at) for callee in sorted(self.functions[at].calls, reverse=True)]
        return callers


def split(disassembly: Iterable[str]) -> dict[int, list[Instruction]]:
    """The instructions of each function."""
    bodies: dict[int, list[Instruction]] = {}
    body: list[Instruction] = []
    for line in disassembly:
        if head := HEAD.match(line):
            body = bodies.setdefault(int(head[1], 16), [])
        elif found := INSTRUCTION.match(line):
            body.append(Instruction(int(found[1], 16), found[2], found[3] or ""))
    return bodies


def computed(before: list[Instruction], register: str) -> bool:
    """Whether `register` was last the result of an addition: then it is a branch of this function's own, from a table."""
    for instruction in reversed(before):
        written = instruction.registers()[:2 if instruction.word == "ldp" else 1]
        if register in written and not WRITES_NONE.match(instruction.word):
            return instruction.word == "add"
    return False


def of(elf: Path) -> Program:
    """The calls of the program in `elf`."""
    names = defaultdict(list)
    for line in output("llvm-nm", "--demangle", "--defined-only", str(elf)):
        address, kind, name = line.split(" ", 2)
        if kind in "tTwW":
            names[int(address, 16)].append(name)
    return Program(names, output("llvm-objdump", "-d", "--no-show-raw-insn", str(elf)))


def output(*command: str) -> list[str]:
    return tree.run(list(command), stdout=subprocess.PIPE, text=True).stdout.splitlines()


@dataclass(frozen=True)
class Frame:
    """One of the functions that an instruction is of: the innermost was written where it stands."""

    function: str
    file: str


def frames(elf: Path, addresses: list[int]) -> dict[int, list[Frame]]:
    """The functions, the innermost first, that each of `addresses` is of: inlined ones and who has them."""
    if not addresses:
        return {}
    asked = "".join(f"{address:#x}\n" for address in addresses)
    command = ["llvm-symbolizer", "-e", elf, "--functions", "--inlines", "--demangle", "--relativenames"]
    said = tree.run(command, input=asked, stdout=subprocess.PIPE, text=True).stdout
    blocks = [block.splitlines() for block in said.strip().split("\n\n")]
    return {address: [Frame(name, place.rsplit(":", 2)[0]) for name, place in zip(block[::2], block[1::2])]
            for address, block in zip(addresses, blocks)}


SMALL = """
1000 <root>:
    1000: bl 0x2000 <middle>
    1004: b.eq 0x1000 <root>
    1008: adrp x8, 0x3000 <somewhere+0x10>
    100c: add x8, x8, #16
    1010: ldr x9, [x8, #24]
    1014: blr x9
    1018: ret
2000 <middle>:
    2000: tbz w0, #0, 0x4004 <last+0x4>
    2004: nop
2008 <next>:
    2008: adr x10, #12
    200c: add x10, x10, x11, lsl #2
    2010: br x10
    2014: ldp x1, x2, [x0]
    2018: br x2
3010 <taken>:
    3010: b 0x5000 <bad>
4000 <last>:
    4000: ret
    4004: bl 0x6000 <stops>
5000 <bad>:
    5000: bl 0x7000 <beyond>
6000 <stops>:
    6000: udf #0
7000 <beyond>:
    7000: ret
"""


def self_check() -> list[str]:
    """What is wrong with the above, by a program whose calls are known."""
    names = {0x1000: ["root"], 0x2000: ["middle"], 0x2008: ["next"], 0x3010: ["taken"], 0x4000: ["first", "last"],
             0x5000: ["bad"], 0x6000: ["stops"], 0x7000: ["beyond"]}
    program = Program(names, SMALL.splitlines())
    reached = program.reached(program.named(re.compile("^root$")), lambda function: str(function) == "bad")
    expected = {
        "what is reached": ({str(program.functions[at]) for at in reached},
                            {"root", "middle", "next", "taken", "first", "stops", "bad"}),
        "who calls": (reached[0x5000], 0x3010),
        "the calls through a pointer": ({at for at in reached for at in program.functions[at].indirect}, {0x1014, 0x2018}),
        "a second name": (program.named(re.compile("^last$")), [0x4000]),
    }
    return [f"scripts/lib/calls.py: {what}: {is_now} instead of {wanted}"
            for what, (is_now, wanted) in expected.items() if is_now != wanted]
