"""The rows as a picture: what an operation costs in Axle, beside its budget and the best peer, on a logarithmic scale."""

import math
from xml.sax.saxutils import escape

from . import tree

FILE = tree.TOP / "docs" / "performance.svg"
LEFT, RIGHT, TOP, STEP, BAR = 430, 90, 46, 22, 12
WIDTH = 1000
LEAST, MOST = 10, 100_000
STYLE = """text { font: 12px sans-serif; fill: #222 } .axis { fill: #777 } .grid { stroke: #ddd }
.axle { fill: #2b6cb0 } .over { fill: #c05621 } .budget { stroke: #222; stroke-width: 2 } .peer { fill: #999 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .grid { stroke: #444 } .budget { stroke: #ddd } }"""


def place(value: float) -> float:
    """Where `value` is on the horizontal axis."""
    share = (math.log10(max(value, LEAST)) - math.log10(LEAST)) / (math.log10(MOST) - math.log10(LEAST))
    return round(LEFT + min(share, 1) * (WIDTH - LEFT - RIGHT), 1)


def line(y: int, found: dict, budget: dict) -> list[str]:
    """One row: its name, a bar, a stroke for the budget, a dot for the peer."""
    value, limit = found["min"], budget.get("budget")
    kind = "over" if limit and found["verdict"] != "ok" else "axle"
    parts = [f'<text x="{LEFT - 8}" y="{y + 10}" text-anchor="end">{escape(budget["text"])}</text>',
             f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{place(value) - LEFT:.1f}" height="{BAR}"/>']
    if limit:
        parts.append(f'<line class="budget" x1="{place(limit)}" x2="{place(limit)}" y1="{y - 2}" y2="{y + BAR + 2}"/>')
    if peer := budget.get("peer"):
        parts.append(f'<circle class="peer" cx="{place(float(peer.split()[0]))}" cy="{y + BAR // 2}" r="4"/>')
    far = max(place(value), place(limit or 0), place(float(peer.split()[0])) if peer else 0)
    return [*parts, f'<text x="{far + 9:.1f}" y="{y + 10}">{value}</text>']


def drawn(rows: dict, budgets: dict) -> str:
    """The picture of all rows that exit."""
    shown = {name: found for name, found in rows.items() if LEAST <= found["min"] <= MOST and not name.startswith("copy")}
    height = TOP + STEP * len(shown) + 12
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">', f"<style>{STYLE}</style>",
             f'<text x="{LEFT}" y="16">Instructions, minimum; bar: Axle, stroke: budget, dot: best peer</text>']
    for decade in range(round(math.log10(LEAST)), round(math.log10(MOST)) + 1):
        x = place(10 ** decade)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{height - 8}"/>')
        parts.append(f'<text class="axis" x="{x}" y="{TOP - 12}" text-anchor="middle">{10 ** decade}</text>')
    for number, (name, found) in enumerate(shown.items()):
        parts += line(TOP + STEP * number, found, budgets[name])
    return "\n".join([*parts, "</svg>"]) + "\n"


def write(rows: dict, budgets: dict) -> None:
    """Draws it anew."""
    FILE.write_text(drawn(rows, budgets))
