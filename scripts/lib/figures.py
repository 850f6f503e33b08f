"""The measured figures as tables in docs/performance.md, each between two markers that name it."""

import re

from . import tree

PAGE = tree.TOP / "docs" / "performance.md"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def verdict(value: float, limit: float) -> str:
    """Whether `value` is within `limit`, in words."""
    if value <= limit:
        return "ok"
    percent = 100 * (value / limit - 1)
    return f"over by {percent:.1f} %" if percent < 10 else f"over by {percent:.0f} %"


ROW_HEAD = ["instructions", "native", "floor", "best peer", "budget", "minimum", "median", "mean", "maximum", "verdict"]


def row(found: dict, budget: dict) -> list[str]:
    """One row of the bench guest as it is shown under ROW_HEAD."""
    before = [found["native"], budget.get("floor"), budget.get("peer"), budget.get("budget")]
    measured = [found[figure] for figure in ("min", "median", "mean", "max")]
    return [budget["text"], *("" if value is None else str(value) for value in before + measured), found["verdict"]]


def rows(result: dict, budgets: dict) -> str:
    return markdown(ROW_HEAD, [row(found, budgets[name]) for name, found in result.items()])


def linux(result: dict, budgets: dict) -> str:
    head = ["instructions", "native", "in a VM", "of it hypervisor", "ratio", "share", "budget", ""]
    keys = ["native", "axle", "hypervisor", "ratio", "share", "budget", "verdict"]
    lines = [[budgets[name]["text"], *(str(row[key]) for key in keys)] for name, row in result.items()]
    return markdown(head, lines) + "\n" + "".join(f"* {line}\n" for line in exits(result))


def exits(result: dict) -> list[str]:
    """What led to the hypervisor in each run of a Linux, the most frequent reasons."""
    return [f"{name}, {sum(row['exits'].values())} exits: " + ", ".join(f"{n} {what}" for what, n in list(row["exits"].items())[:7])
            for name, row in result.items()]


LOAD_HEAD = ["instructions", "native", "in a VM", "of it hypervisor", "ratio", "least", "most", "share"]


def load_lines(result: dict, budgets: dict) -> list[list[str]]:
    """Programs in Linux as they are shown under LOAD_HEAD."""
    keys = ["native", "axle", "hypervisor", "ratio", "least", "most", "share"]
    return [[budgets[name]["text"], *(str(row[key]) for key in keys)] for name, row in result.items()]


def loads(result: dict, budgets: dict) -> str:
    return markdown(LOAD_HEAD, load_lines(result, budgets)) + "\n" + "".join(f"* {line}\n" for line in exits(result))


PLACES = {"main": "`main`", "entry": "a small guest's first instruction", "prompt": "the prompt"}


FOOTPRINT_HEAD = ["what", "limit", "measured", "unit", "verdict"]
MEGA = 1_000_000


def footprint_lines(result: dict, budgets: dict) -> list[list[str]]:
    """Sizes and starting times as they are shown under FOOTPRINT_HEAD."""
    lines = []

    def add(text: str, value: float, limit: float | None, unit: str) -> None:
        words = (f"{limit:g}", verdict(value, limit)) if limit is not None else ("", "")
        lines.append([text, words[0], f"{value:.4g}" if value < 1000 else f"{value:.0f}", unit, words[1]])

    add("image without VMs", result["image_bytes"] / 1024, budgets["image_bytes"] / 1024, "KiB")
    for name, value in result["vm_bytes"].items():
        add(f"host memory beside its RAM: {name}", value / 1024, budgets["vm_bytes"] / 1024, "KiB")
    for machine, value in result["prompt_s"].items():
        add(f"start to prompt, {machine}", value, budgets["prompt_s"], "s")
    add("`make run` to prompt", result["make_run_s"], budgets["make_run_s"], "s")
    for name, value in result["boot"].items():
        for to, place in PLACES.items():
            limit = budgets["boot"][name].get(to)
            add(f"reset to {place}, {name}", value[to] / MEGA, limit / MEGA if limit else None, "M instructions")
    return lines


def footprint(result: dict, budgets: dict) -> str:
    return markdown(FOOTPRINT_HEAD, footprint_lines(result, budgets))


ACCOUNT_HEAD = ["exit", "instructions", "registers read", "written", "barriers", "TLB", "locks", "device accesses", "loads and stores"]
COUNTED = ["instructions", "read", "written", "barrier", "tlb", "lock", "io", "memory"]
# Files of the account that are named; the others are together.
NAMED_PARTS = 7


def exit_line(exit: dict) -> list[str]:
    """One exit of the account as it is shown under ACCOUNT_HEAD."""
    return [exit["text"], *(str(exit[name]) for name in COUNTED)]


def account(result: list, _: dict) -> str:
    def parts(exit: dict) -> str:
        named = list(exit["parts"].items())
        rest = sum(count for _, count in named[NAMED_PARTS:])
        words = [f"{name} {count}" for name, count in named[:NAMED_PARTS]] + ([f"others {rest}"] if rest else [])
        return f"* {exit['text']}, {exit['instructions']}: {', '.join(words)}"
    return markdown(ACCOUNT_HEAD, [exit_line(exit) for exit in result]) + "\n" + "\n".join(map(parts, result)) + "\n"


TABLES = {"rows": rows, "account": account, "linux": linux, "loads": loads, "footprint": footprint}


def write(result: dict, budgets: dict) -> None:
    """Puts every measured part between its markers."""
    page = PAGE.read_text()
    for name, make in TABLES.items():
        if name in result:
            mark = f"<!-- {name}, written by scripts/bench --write -->\n"
            page = re.sub(f"{re.escape(mark)}.*?<!-- end -->", lambda _: f"{mark}{make(result[name], budgets.get(name, {}))}<!-- end -->",
                          page, flags=re.DOTALL)
    PAGE.write_text(page)
