"""The table of hostile cases: tests/hostile.toml."""

import re
import tomllib
from dataclasses import dataclass, field, replace

from lib import tree

TABLE = tree.TOP / "tests" / "hostile.toml"


class BadTable(Exception):
    """tests/hostile.toml does not say what to do."""


@dataclass
class Case:
    """One case: its id, what it attempts in one sentence, and how it is played."""

    id: str
    what: str
    verdict: str = "PASS"
    play: str = "guest"
    vm: str = "hostile"
    cpus: int = 1
    memory: str = ""
    limit_s: float = 20.0
    arguments: str = ""
    long: bool = False
    once: bool = False
    gic: str = ""
    guest: str = ""
    values: dict = field(default_factory=dict)


def with_seed(case: Case, seed: int) -> Case:
    """`case` from `seed` on, if it is made from one."""
    if "seed" in case.values:
        return replace(case, values=case.values | {"seed": seed})
    return replace(case, arguments=re.sub(r"seed=\d+", f"seed={seed}", case.arguments))


def read() -> list[Case]:
    """Every case, in the order of the file."""
    found = []
    for id, row in tomllib.loads(TABLE.read_text()).items():
        unknown = row.keys() - Case.__dataclass_fields__.keys()
        if unknown:
            raise BadTable(f"{id}: there is no {unknown.pop()}")
        if row.get("verdict", "PASS") not in ("PASS", "REJECT", "WEDGED"):
            raise BadTable(f"{id}: no case is to end in {row['verdict']}")
        found.append(Case(id=id, **row))
    return found
