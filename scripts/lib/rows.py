"""What operations cost: the rows of the bench guest, each from the run that its budget names.

A run is one VM of the bench guest on one machine, with the company that `[runs]` in budgets.toml gives it, and the same
guest without a hypervisor.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from . import counted

CONFIG = "bench-aarch64"
ROW = re.compile(r"^BENCH (\S+) min=(\d+) median=(\d+) mean=(\d+) max=(\d+) ns", re.MULTILINE)
FIGURES = ["min", "median", "mean", "max"]
# Machines that run at once.
JOBS = 2
# The rows' default run.
ALONE = "own"


def parsed(text: str) -> dict[str, dict[str, int]]:
    """The rows a bench guest printed."""
    return {name: dict(zip(FIGURES, map(int, figures))) for name, *figures in ROW.findall(text)}


def guest(name: str, keys: dict) -> counted.Guest:
    """The VM that `keys` describe."""
    plain = counted.guest_named(CONFIG)
    words = keys.get("cmdline", f"{plain.cmdline} {keys.get('words', '')}".strip())
    return replace(plain, name=name, cpus=keys.get("cpus", 1), cmdline=words,
                   more=keys.get("config", "") + dummies(**keys.get("devices", {})))


def dummies(count: int = 0, base: int = 0) -> str:
    """`count` devices that do nothing, as a VM's configuration has them."""
    lines = [f'["dummy{number}", {base + 0x1000 * number:#x}, 0x1000, 0, "dummy", []]' for number in range(count)]
    return f"emu_devices = [{', '.join(lines)}]\n" if lines else ""


def company(keys: dict) -> list[counted.Guest]:
    """The VMs that run beside the measured one, started before it."""
    return [guest(f"{name}{number or ''}", other) for name, other in keys.get("beside", {}).items()
            for number in range(other.get("count", 1))]


def play(name: str, keys: dict) -> tuple[dict, dict]:
    """The rows of one run, without a hypervisor and with it."""
    measured = guest(f"bench-{name}", keys)
    smp = keys.get("smp", measured.cpus)
    print(f"bench: {name}: {keys['text']}", flush=True)
    raw = counted.make_image(measured.name, [*company(keys), measured])
    in_vm = counted.under_axle(measured, raw, smp)
    native = counted.natively(measured).text if keys.get("native", True) else ""
    return parsed(native), parsed(in_vm.text)


def measure(budgets: dict, runs: dict) -> dict[str, dict]:
    """What every row of `budgets` came to: `native`, if there is such a thing, and FIGURES; none where a row is missing."""
    names = list(dict.fromkeys(budget.get("run", ALONE) for budget in budgets.values()))
    with ThreadPoolExecutor(JOBS) as pool:
        played = dict(zip(names, pool.map(lambda name: play(name, runs[name]), names)))
    found = {}
    for name, budget in budgets.items():
        native, axle = (rows.get(budget.get("of", name)) for rows in played[budget.get("run", ALONE)])
        if axle:
            found[name] = {"native": native["min"] if native else None, **axle}
    return found
