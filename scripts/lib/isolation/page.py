"""The tables of docs/isolation.md, each between two markers that name it."""

import re

from lib import tree

from . import account
from .account import Account, Control, Feature, Group
from .compare import counts

PAGE = tree.TOP / "docs" / "isolation.md"
MARKED = re.compile(r"(<!-- (?P<name>\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)

MEANING = {
    "state": "state of the vCPU",
    "pstate": "state of the vCPU",
    "virtual": "the vCPU's own copy",
    "constant": "a fact, read only",
    "answered": "traps, Axle answers",
    "zero": "traps, reads zero, ignores writes",
    "contained": "acts on the guest's own",
    "undefined": "undefined",
}
# The machines of scripts/hostile.
MACHINES = [("cortex-a72", "3"), ("cortex-a72", "2"), ("neoverse-n1", "3"), ("max", "3")]
ACCESS = {"ro": "read", "wo": "write"}


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def group(one: Group) -> str:
    rows = []
    for line in one.registers:
        access = next((ACCESS[flag] for flag in line.flags if flag in ACCESS), "" if line.is_instruction else "both")
        el0 = {"el0": "too", "el0:ro": "read"}.get(next((flag for flag in line.flags if flag.startswith("el0")), ""), "")
        where = [*line.features, *(["some"] if "some" in line.flags else [])]
        notes = [line.note, *([f"a new vCPU reads {line.value}"] if line.value and line.kind != "zero" else [])]
        row = [line.name, line.place, access, el0, ", ".join(where), "; ".join(filter(None, notes))]
        rows.append(row if one.kind != "undefined" else [line.name, line.place, line.note])
    head = ["register", "encoding", "access", "EL0", "where", ""]
    if one.kind == "undefined":
        head = ["register", "encoding", "what hides it where a CPU has it"]
    return f"### {one.title}: {MEANING[one.kind]}\n\n{one.how}\n\n{table(head, rows)}"


def control(one: Control) -> str:
    rows = [[str(bits.low) if bits.low == bits.high else f"{bits.high}:{bits.low}", bits.name,
             "*" if bits.value is None else str(bits.value), bits.note + (f" ({', '.join(bits.features)})" if bits.features else "")]
            for bits in one.bits]
    where = f" Where the CPU has: {', '.join(one.features)}." if one.features else ""
    return f"### {one.name}\n\n{one.how}{where}\n\n{table(['bits', 'name', 'value', ''], rows)}"


def feature(one: Feature, cpus: list[str]) -> list[str]:
    probes = ", ".join(one.probe)
    works = ", ".join(one.works)
    tried = "; ".join(filter(None, [f"{probes}: undefined" if probes else "", f"{works}: execute" if works else ""]))
    return [one.name, ", ".join(one.id), ", ".join(cpu for cpu in cpus if cpu in one.on), one.guest, one.how, tried]


def features(found: Account) -> str:
    head = ["feature", "told by", "CPUs that have it", "to guests", "by what, and where its state is", "tried"]
    return table(head, [feature(one, list(found.cpus)) for one in found.features])


def sums(found: Account) -> str:
    kinds = [kind for kind in account.KINDS if kind != "undefined"]
    rows = []
    for cpu, gic in MACHINES:
        each = counts(found, cpu, gic)
        rows.append([f"{cpu}, GICv{gic}", *(str(each.get(kind, 0)) for kind in kinds)])
    return table(["machine", *kinds], rows)


def cpus(found: Account) -> str:
    return table(["CPU", "features"], [[cpu, ", ".join(names) or "none"] for cpu, names in found.cpus.items()])


def written(text: str) -> str:
    """`text` with its tables as the account has them."""
    found = account.read()
    listed = [one for one in found.groups if one.kind != "undefined"]
    parts = {
        "cpus": cpus(found),
        "features": features(found),
        "registers": "\n".join(map(group, listed)),
        "undefined": "\n".join(group(one) for one in found.groups if one.kind == "undefined"),
        "coprocessors": "\n".join(map(group, found.coprocessors)),
        "controls": "\n".join(map(control, found.controls)),
        "sums": sums(found),
    }
    return MARKED.sub(lambda match: f"{match[1]}{parts[match['name']]}{match[3]}", text)


def write() -> None:
    """Brings the page up to date."""
    PAGE.write_text(written(PAGE.read_text()))


def check() -> list[str]:
    """What is wrong with the page."""
    text = PAGE.read_text()
    return [] if written(text) == text else [f"{tree.shown(PAGE)} is not what tests/isolation.toml says; run 'make fmt'"]
