"""The account of tests/isolation.toml: what each register, each control and each feature is to be."""

import itertools
import re
import tomllib
from dataclasses import dataclass, field

from lib import tree

FILE = tree.TOP / "tests" / "isolation.toml"
LINE = re.compile(r"(?P<place>\S+) (?P<words>.*?)(?: -- (?P<note>.*))?$")
FLAG = re.compile(r"ro|wo|rw|some|el0(?::ro)?|if:\S+|=\d+")

# How a guest finds what it reads and writes: d for what the hardware does, t for what traps and is answered, - for undefined.
KINDS = {"state": "d", "pstate": "d", "virtual": "d", "constant": "d", "contained": "d", "answered": "t", "zero": "t",
         "undefined": "-"}


class BadAccount(Exception):
    """tests/isolation.toml does not say what is."""


@dataclass
class Register:
    """A line of a group: some encodings that have everything in common."""

    place: str
    name: str
    kind: str
    flags: list[str]
    note: str

    def encodings(self) -> list[str]:
        """Each encoding by itself."""
        return [".".join(parts) for parts in itertools.product(*(spread(part) for part in self.place.split(".")))]

    @property
    def features(self) -> list[str]:
        """What the CPU has to have."""
        return next((flag[3:].split(",") for flag in self.flags if flag.startswith("if:")), [])

    @property
    def value(self) -> int | None:
        """What is read first."""
        found = next((int(flag[1:]) for flag in self.flags if flag.startswith("=")), None)
        return 0 if self.kind == "zero" else found

    @property
    def is_instruction(self) -> bool:
        """Whether there is no such thing as a read."""
        return self.place.partition(".")[0] in ("0", "1")

    def access(self, el0: bool) -> tuple[str, str]:
        """What becomes of a read and of a write."""
        only = next((flag for flag in self.flags if flag in ("ro", "wo")), "")
        if el0:
            mine = next((flag for flag in self.flags if flag.startswith("el0")), None)
            if mine is None:
                return "-", "-"
            only = "ro" if mine == "el0:ro" else only
        # MSR of an immediate, and instructions.
        if self.is_instruction:
            only = "wo"
        done = KINDS[self.kind]
        return "-" if only == "wo" else done, "-" if only == "ro" else done


@dataclass
class Group:
    """Registers with which the same is done."""

    title: str
    kind: str
    how: str
    registers: list[Register]


@dataclass
class Bits:
    """A field of a control; its value is None where the account leaves it open."""

    high: int
    low: int
    name: str
    value: int | None
    features: list[str]
    note: str

    @property
    def mask(self) -> int:
        return (1 << self.high + 1) - (1 << self.low)


@dataclass
class Control:
    """A register of EL2 that decides what traps; not all are `seen` by QEMU's debugger."""

    name: str
    how: str
    features: list[str]
    bits: list[Bits]
    seen: bool = True


@dataclass
class Feature:
    """What is decided about a feature."""

    name: str
    guest: str
    how: str
    on: list[str]
    id: list[str] = field(default_factory=list)
    probe: list[str] = field(default_factory=list)
    works: list[str] = field(default_factory=list)


@dataclass
class Account:
    """The whole file."""

    cpus: dict[str, list[str]]
    groups: list[Group]
    coprocessors: list[Group]
    controls: list[Control]
    features: list[Feature]
    ids: dict[str, str]

    def has(self, cpu: str, gic: str, wanted: list[str]) -> bool:
        """Whether a machine has all of the features `wanted`."""
        return set(wanted) <= {*self.cpus[cpu], f"gicv{gic}"}


def spread(part: str) -> list[str]:
    """The numbers in a part of an encoding: `1`, `4-7`, `1,3,5-7`."""
    found = []
    for piece in part.split(","):
        first, _, last = piece.partition("-")
        found += map(str, range(int(first), int(last or first) + 1))
    return found


def lines(text: str) -> list[re.Match]:
    found = [LINE.match(line) for line in text.strip().splitlines()]
    if None in found:
        raise BadAccount(f"line {found.index(None)} of '{text[:40]}' is none")
    return found


def register(kind: str, line: re.Match) -> Register:
    words = line["words"].split()
    flags = [word for word in words if FLAG.fullmatch(word)]
    name = " ".join(word for word in words if word not in flags)
    return Register(line["place"], name, kind, flags, line["note"] or "")


def group(row: dict) -> Group:
    kind = row["kind"]
    return Group(row["title"], kind, row["how"], [register(kind, line) for line in lines(row["registers"])])


def field_of(line: re.Match) -> Bits:
    high, _, low = line["place"].partition(":")
    *words, last = line["words"].split()
    features = last[3:].split(",") if last.startswith("if:") else []
    if features:
        *words, last = words
    return Bits(int(high), int(low or high), " ".join(words), None if last == "*" else int(last), features, line["note"] or "")


def read() -> Account:
    """The account, checked as far as it can be without a machine."""
    data = tomllib.loads(FILE.read_text())
    groups, coprocessors = ([group(row) for row in data[name]] for name in ("group", "coprocessor"))
    controls = [Control(row["name"], row["how"], row["if"].split(",") if "if" in row else [],
                        [field_of(line) for line in lines(row["bits"])], row.get("seen", True)) for row in data["control"]]
    account = Account(data["cpus"], groups, coprocessors, controls, [Feature(**row) for row in data["feature"]], data["id"])
    seen: dict[str, str] = {}
    for line in (line for group in groups + coprocessors for line in group.registers):
        if line.kind not in KINDS or not line.name:
            raise BadAccount(f"{line.place} has no name, or there is no kind {line.kind}")
        for place in line.encodings():
            # What is undefined with all its neighbours may hold something that is not.
            if place in seen and "undefined" not in (line.kind, seen[place]):
                raise BadAccount(f"{place} is listed twice")
            seen.setdefault(place, line.kind)
    for control in controls:
        if any(a.mask & b.mask for a, b in itertools.combinations(control.bits, 2)):
            raise BadAccount(f"bits of {control.name} are listed twice")
    return account
