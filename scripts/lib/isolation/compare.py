"""What a machine does, compared with the account: every difference is a sentence."""

import re
from collections import Counter
from dataclasses import dataclass

from .account import Account, Control, Feature

SWEPT = re.compile(r"S (?P<level>\d) (?P<place>[\d.]+) (?P<read>\S+) (?P<write>\S+) (?P<value>[0-9a-f]+) (?P<after>[0-9a-f]+)$")
COPROCESSOR = re.compile(r"C (?P<place>[\d.]+) (?P<read>\S+) (?P<write>\S+) (?P<value>[0-9a-f]+)$")
PROBED = re.compile(r"U (?P<name>\S+) (?P<how>\S+)$")
TOTAL = re.compile(r"SWEPT (?P<count>\d+)$")
# A trapped access: at EL0 a control of EL1's comes first, and FEAT_IDST reports what does not exist so.
REPORTED = "x18"
# The same for coprocessors: MCR, MCRR and MRRC of 15, MCR and MRRC of 14.
REPORTED_32 = ("x03", "x04", "x05", "x0c")
IDENTIFICATION = re.compile(r"3\.[0-3]\.0\.[0-7]\.[0-7]$")
FIELD = re.compile(r"(?P<name>\w+)\[(?P<high>\d+):(?P<low>\d+)\]$")


@dataclass
class Expected:
    """What is to be found at one encoding."""

    name: str
    kind: str
    read: str
    write: str
    value: int | None
    some: bool


def lost(lines: list[str], came: int) -> list[str]:
    """Whether all that the guest told has come."""
    totals = [int(match["count"]) for line in lines if (match := TOTAL.match(line))]
    return [] if totals == [came] else [f"the guest told {totals} lines and {came} came"]


def expected(account: Account, cpu: str, gic: str) -> dict[tuple[int, str], Expected]:
    """By level and encoding, whatever is not simply undefined."""
    found = {}
    for group in account.groups:
        for line in group.registers:
            if line.kind == "undefined" or not account.has(cpu, gic, line.features):
                continue
            for level, place in ((level, place) for level in (1, 0) for place in line.encodings()):
                read, write = line.access(level == 0)
                if (read, write) != ("-", "-"):
                    found[level, place] = Expected(line.name, line.kind, read, write, line.value, "some" in line.flags)
    return found


def refused(level: int, place: str, how: str) -> str:
    """`how`, with every way of being refused as one."""
    return "-" if how == REPORTED and (level == 0 or IDENTIFICATION.match(place)) else how


def swept(account: Account, cpu: str, gic: str, lines: list[str]) -> list[str]:
    """What the guest's `lines` say that the account does not, and the other way round."""
    wanted = expected(account, cpu, gic)
    rows = [match for line in lines if (match := SWEPT.match(line))]
    probes = {match["name"]: match["how"] for line in lines if (match := PROBED.match(line))}
    if found := lost(lines, len(rows) + len(probes)):
        return found
    seen = set()
    for row in rows:
        level, place = int(row["level"]), row["place"]
        got = tuple(refused(level, place, row[way]) for way in ("read", "write"))
        if got == ("-", "-"):
            continue
        seen.add((level, place))
        found += differences(level, place, got, row, wanted.get((level, place)))
    for (level, place), one in wanted.items():
        if (level, place) not in seen and not one.some:
            found.append(f"{place} at EL{level} ({one.name}) is undefined, and the account has {one.read}{one.write}")
    values = {row["place"]: int(row["value"], 16) for row in rows if row["level"] == "1"}
    for feature in account.features:
        found += decided(account, cpu, feature, values, probes)
    return found


def differences(level: int, place: str, got: tuple, row: re.Match, one: Expected | None) -> list[str]:
    """What is wrong with one encoding that is not undefined."""
    value = int(row["value"], 16)
    if one is None:
        return [f"{place} at EL{level} is {''.join(got)} and reads {value:#x}, and the account does not have it"]
    found = []
    if got != (one.read, one.write):
        found.append(f"{place} at EL{level} ({one.name}) is {''.join(got)}, and the account has {one.read}{one.write}")
    if level == 1 and one.read != "-" and one.value not in (None, value):
        found.append(f"{place} ({one.name}) first reads {value:#x}, and the account has {one.value:#x}")
    if one.kind == "zero" and int(row["after"], 16):
        found.append(f"{place} ({one.name}) keeps {int(row['after'], 16):#x}")
    return found


def coprocessors(account: Account, cpu: str, gic: str, lines: list[str]) -> list[str]:
    """The same for what AArch32 at EL0 has."""
    wanted = {place: line for group in account.coprocessors for line in group.registers
              if line.kind != "undefined" and account.has(cpu, gic, line.features) for place in line.encodings()}
    rows = [match for line in lines if (match := COPROCESSOR.match(line))]
    if found := lost(lines, len(rows)):
        return found
    seen = set()
    for row in rows:
        place, got = row["place"], tuple("-" if row[way] in REPORTED_32 else row[way] for way in ("read", "write"))
        if got == ("-", "-"):
            continue
        seen.add(place)
        line = wanted.get(place)
        should = line.access(False) if line else ("-", "-")
        if got != should:
            found.append(f"{place} is {''.join(got)}, and the account has {''.join(should)}")
        if line and line.value not in (None, int(row["value"], 16)):
            found.append(f"{place} ({line.name}) reads {row['value']}")
    return found + [f"{place} ({line.name}) is undefined, and the account has it" for place, line in wanted.items()
                    if place not in seen and "some" not in line.flags]


def decided(account: Account, cpu: str, feature: Feature, values: dict[str, int], probes: dict[str, str]) -> list[str]:
    """Whether `feature` is shown and works as it was decided."""
    found = []
    has = cpu in feature.on
    for place in feature.id:
        field = FIELD.match(place)
        value = part_of(values.get(account.ids[field["name"]], 0), field)
        shown = feature.guest != "hidden" and has
        if (value != 0) != shown:
            found.append(f"{feature.name}: {place} reads {value}, and the feature is {feature.guest}")
    for name in feature.probe + feature.works:
        wanted = "d" if name in feature.works and has else "-"
        if probes.get(name) != wanted:
            found.append(f"{feature.name}: {name} ends in {probes.get(name)}, and {wanted} is expected")
    return found


def controlled(account: Account, cpu: str, gic: str, registers: dict[str, int]) -> list[str]:
    """What the controls of one CPU, read while guests run, hold that the account does not say."""
    found = []
    for control in account.controls:
        if not account.has(cpu, gic, control.features) or not control.seen:
            continue
        if control.name in registers:
            found += wrong_bits(account, cpu, gic, control, registers[control.name])
        else:
            found.append(f"{control.name} cannot be read")
    return found


def owned(account: Account, cpu: str, registers: dict[str, int]) -> list[str]:
    """Whether the CPU has the features that the account gives it, by what it says of itself to the host."""
    found = []
    for feature in account.features:
        fields = [field for place in feature.id if (field := FIELD.match(place))["name"] in registers]
        has = any(part_of(registers[field["name"]], field) for field in fields)
        if fields and (has and cpu not in feature.on or cpu in feature.on and not has and len(fields) == len(feature.id)):
            found.append(f"{feature.name}: the CPU has it: {has}, and the account says otherwise")
    return found


def part_of(value: int, field: re.Match) -> int:
    """A field of an identification register."""
    high, low = int(field["high"]), int(field["low"])
    return value >> low & (2 << high - low) - 1


def wrong_bits(account: Account, cpu: str, gic: str, control: Control, value: int) -> list[str]:
    found = []
    left = value
    for bits in control.bits:
        left &= ~bits.mask
        got = (value & bits.mask) >> bits.low
        # What a CPU does not have means nothing, whether it keeps it or not.
        if bits.value not in (None, got) and account.has(cpu, gic, bits.features):
            found.append(f"{control.name}.{bits.name} is {got}, and the account has {bits.value}")
    if left:
        found.append(f"{control.name} has {left:#x} in bits that the account does not name")
    return found


def counts(account: Account, cpu: str, gic: str) -> dict[str, int]:
    """How many encodings are of each kind at EL1, of the 50,176 that are tried."""
    kinds = Counter(one.kind for (level, _), one in expected(account, cpu, gic).items() if level == 1 and not one.some)
    return dict(sorted(kinds.items()))
