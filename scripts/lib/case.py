"""A scripted test as a file a person can read: header lines, an empty line, then one step a line.

Header, each optional: `vms: NAME...` (names in configs/vms or paths), `board:`, `cpu:`, `smp:`, `memory:`,
`tree: trimmed` (the device tree that `make run` gives the machine, not QEMU's own), `gic: VERSION...` (with several values of this or of `smp:` the case runs once with each, as NAME-gicVERSION, NAME-smpN or
NAME-gicVERSION-smpN),
`qemu: WORDS` (more of QEMU's command line), `limit: 120s` (for the whole case), `broken: yes` (the configurations are
bundled unchecked), `show: /PATTERN/` (lines that `test --show` prints), `when: asked` (a long case or a big download: it
runs when it is named, and with EXTENDED=1 in the environment).

Steps:
    expect 5s: TEXT       must appear within 5 s (10 s when no time is given); reading goes on behind it
    expect 1s-3s: TEXT    and not sooner than 1 s after the last thing typed
    refuse: TEXT          must not appear from here on
    type: TEXT            typed, then Enter
    write: TEXT           typed, without Enter
    key: NAME             enter, tab, up, down, left, right, home, end, escape, backspace, ctrl-LETTER, ctrl-]
    pause 2s              nothing is typed for a while
    keep 5s NAME: /..(.)../   as expect; what the group matched is {NAME} in the texts after it
    range 5s 2..3.5: /..(.)../   as expect; what the group matched must be a number from 2 to 3.5; 0..3*{NAME} is up to three
                          times what was kept
    repeat N              the lines up to `end` N times; {i} in them counts from 1
    end

TEXT between slashes is a regular expression in which ^ and $ stand for the ends of a line. A line that starts with # is
a comment.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from .qemu import Machine

EVERYWHERE_REFUSED = ["panicked at"]
DEFAULT_WAIT_S = 10.0
DEFAULT_LIMIT_S = 120.0

KEYS = {"enter": "\r", "tab": "\t", "escape": "\x1b", "backspace": "\x7f", "up": "\x1b[A", "down": "\x1b[B",
        "right": "\x1b[C", "left": "\x1b[D", "home": "\x1b[H", "end": "\x1b[F"}

STEP = re.compile(r"(?P<verb>[a-z]+)(?: +(?:(?P<least>[\d.]+)s?-)?(?P<most>[\d.]+)s)?(?: +(?P<name>[a-z]+))?"
                  r"(?: +(?P<low>[\d.*{}a-z]+?)\.\.(?P<high>[\d.*{}a-z]+))?"
                  r"(?:: ?(?P<text>.*))?$")
REPEAT = re.compile(r"repeat +(?P<times>\d+)$")
HEADER = re.compile(r"(?P<key>vms|board|cpu|smp|memory|gic|tree|qemu|limit|broken|show|when): *(?P<value>.*)$")


class BadCase(Exception):
    """A case file that does not say what to do."""


@dataclass
class Step:
    """One line of the script; `text` is what is typed, `pattern` what is looked for."""

    source: str
    verb: str
    text: str = ""
    pattern: re.Pattern | None = None
    keeps: str = ""
    range: tuple[float, float] | None = None
    least_s: float = 0.0
    most_s: float = DEFAULT_WAIT_S


@dataclass
class Case:
    """One case file."""

    name: str
    machine: Machine = field(default_factory=Machine)
    gics: list[str] = field(default_factory=list)
    smps: list[str] = field(default_factory=list)
    vms: list[str] = field(default_factory=list)
    qemu: list[str] = field(default_factory=list)
    limit_s: float = DEFAULT_LIMIT_S
    broken: bool = False
    asked: bool = False
    show: re.Pattern | None = None
    steps: list[Step] = field(default_factory=list)


def pattern_of(text: str) -> re.Pattern:
    if len(text) > 2 and text[0] == text[-1] == "/":
        return re.compile(text[1:-1], re.MULTILINE)
    return re.compile(re.escape(text.strip()))


def key_of(name: str) -> str:
    name = name.strip().lower()
    if name in KEYS:
        return KEYS[name]
    if re.fullmatch(r"ctrl-[a-z\]\\\[^_]", name):
        return chr(ord(name[-1].upper()) & 0x1F)
    raise BadCase(f"there is no key {name}")


def number_of(text: str) -> float:
    """A number, or a product of numbers; without any value while the name of what is kept is in it."""
    return math.prod(math.nan if factor.startswith("{") else float(factor) for factor in text.split("*"))


def step_of(line: str) -> Step:
    match = STEP.match(line)
    if not match:
        raise BadCase(f"this is no step: {line}")
    verb, text = match["verb"], match["text"] or ""
    step = Step(line, verb, text, most_s=float(match["most"] or DEFAULT_WAIT_S), least_s=float(match["least"] or 0))
    if (match["name"] is not None) != (verb == "keep"):
        raise BadCase(f"keep, and no other step, has a name: {line}")
    if (match["low"] is not None) != (verb == "range"):
        raise BadCase(f"range, and no other step, has two numbers: {line}")
    match verb:
        case "keep" | "range":
            step.keeps = match["name"] or ""
            step.range = (number_of(match["low"]), number_of(match["high"])) if verb == "range" else None
            step.pattern = pattern_of(text)
            if step.pattern.groups != 1:
                raise BadCase(f"{verb} needs a pattern with one group: {line}")
        case "expect" | "refuse":
            if not text.strip():
                raise BadCase(f"nothing to look for: {line}")
            step.pattern = pattern_of(text)
        case "type":
            step.text = text + "\r"
        case "key":
            step.text = key_of(text)
        case "write" | "pause":
            pass
        case _:
            raise BadCase(f"there is no step {verb}: {line}")
    return step


def with_kept(step: Step, kept: dict[str, str]) -> Step:
    """`step` with the texts that were kept in it."""
    if not any(f"{{{name}}}" in step.source for name in kept):
        return step
    line = step.source
    for name, value in kept.items():
        line = line.replace(f"{{{name}}}", value)
    return step_of(line)


def unrolled(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The numbered lines with every `repeat` written out."""
    result: list[tuple[int, str]] = []
    block: list[tuple[int, str]] | None = None
    times = 0
    for number, line in lines:
        if repeat := REPEAT.match(line):
            if block is not None:
                raise BadCase(f"line {number}: a repeat within a repeat")
            block, times = [], int(repeat["times"])
        elif line.strip() == "end" and block is not None:
            for i in range(1, times + 1):
                result += [(at, text.replace("{i}", str(i))) for at, text in block]
            block = None
        else:
            (result if block is None else block).append((number, line))
    if block is not None:
        raise BadCase("a repeat without its end")
    return result


def apply(case: Case, folder: Path, key: str, value: str) -> None:
    """Takes one header line into `case`."""
    match key:
        case "vms":
            case.vms = [str(folder / word) if "/" in word else word for word in value.split()]
        case "board" | "cpu" | "memory":
            setattr(case.machine, key, value)
        case "tree":
            if value != "trimmed":
                raise BadCase(f"a tree is trimmed, or not said, and not {value}")
            case.machine.trimmed = True
        case "gic":
            case.gics = value.split()
        case "smp":
            case.smps = value.split()
        case "qemu":
            case.qemu = value.split()
        case "limit":
            case.limit_s = float(value.rstrip("s"))
        case "broken":
            case.broken = value == "yes"
        case "show":
            case.show = pattern_of(value)
        case "when":
            if value != "asked":
                raise BadCase(f"a case runs always, or when: asked, not when: {value}")
            case.asked = True


def parse(path: Path) -> Case:
    """Reads the case in `path`; a mistake in it is a BadCase with the line's number."""
    case = Case(path.stem)
    in_header = True
    for number, line in unrolled(list(enumerate(path.read_text().splitlines(), 1))):
        if line.startswith("#") or not line.strip():
            continue
        try:
            header = HEADER.match(line) if in_header else None
            if header:
                apply(case, path.parent, header["key"], header["value"].strip())
            else:
                in_header = False
                case.steps.append(step_of(line))
        except (BadCase, ValueError, re.error) as error:
            raise BadCase(f"{path.name}:{number}: {error}") from None
    if not case.steps:
        raise BadCase(f"{path.name}: a case without steps shows nothing")
    return case


@dataclass
class Play:
    """One run of a case: its name, the case's file, the GIC and the CPUs it is for if that is said."""

    name: str
    path: Path
    gic: str | None
    smp: str | None


def plays(path: Path) -> list[Play]:
    """The runs of the case in `path`."""
    try:
        case = parse(path)
    except BadCase:
        return [Play(path.stem, path, None, None)]
    runs = []
    for gic in case.gics or [None]:
        for smp in case.smps or [None]:
            name = path.stem
            name += f"-gic{gic}" if len(case.gics) > 1 else ""
            name += f"-smp{smp}" if len(case.smps) > 1 else ""
            runs.append(Play(name, path, gic, smp))
    return runs


def only_asked(path: Path) -> bool:
    """Whether the case in `path` waits to be asked for; one with a mistake does not, so that the mistake is seen."""
    try:
        return parse(path).asked
    except BadCase:
        return False
