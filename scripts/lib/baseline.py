"""What the rows cost when somebody last said why: later changes are held to it, so that no exit gets dearer unnoticed.

The figures are exact for one compiler. Another one's code differs, so with it the tolerance is wider.
"""

import json
import subprocess
from pathlib import Path

from . import tree

FILE = Path(__file__).with_suffix(".json")
TOLERANCE = 1.02
OTHER_COMPILER = 1.10


def compiler() -> str:
    """The compiler that setup chose."""
    cargo, env = tree.cargo()
    rustc = [env["RUSTC"]] if "RUSTC" in env else [*cargo[:-1], "rustc"]
    return tree.run([*rustc, "--version"], env=env, stdout=subprocess.PIPE, text=True).stdout.strip()


def held(found: dict, budget: dict) -> dict[str, int]:
    """The figures of one row that are held."""
    return {figure: found[figure] for figure in (["min"] if budget.get("minimum") else ["min", "median"])}


def dearer(found: dict[str, dict], budgets: dict[str, dict]) -> list[str]:
    """Every row that costs more than it did, in words."""
    if not FILE.exists():
        return []
    kept = json.loads(FILE.read_text())
    tolerance = TOLERANCE if kept["compiler"] == compiler() else OTHER_COMPILER
    worse = []
    for name, row in found.items():
        before = kept["rows"].get(name, {})
        worse += [f"{name} ({figure} {before[figure]} -> {value})" for figure, value in held(row, budgets[name]).items()
                  if figure in before and value > before[figure] * tolerance]
    return worse


def write(found: dict[str, dict], budgets: dict[str, dict]) -> None:
    """Makes these figures the baseline."""
    rows = {name: held(row, budgets[name]) for name, row in found.items()}
    FILE.write_text(json.dumps({"compiler": compiler(), "rows": rows}, indent=1) + "\n")
    print(f"bench: {tree.shown(FILE)}")
