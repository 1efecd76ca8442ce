"""Pictures of those tables of docs/benchmarks.md that are easier seen than read: horizontal bars as SVG, for light and dark pages."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.bench.figures import Cell, Table

BARS, CHARACTER = 400, 7.4  # pixels: the longest bar; a character of text
HEIGHT, GAP, TOP = 18, 7, 32
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.bar{fill:#8b949e}.own{fill:#1f6feb}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.own{fill:#58a6ff}}"
)
OWN = re.compile(r"\b(oomward|now)\b")  # in the label of a bar of oomward's


@dataclass(frozen=True, slots=True)
class Picture:
    """Of a table: the columns that name a bar, the one with its length, and what is measured."""

    labels: tuple[str, ...]
    value: str
    measured: str


PICTURES = {  # by the table's title
    "Starts with the cgroupfs driver": Picture(("tool", "runtime"), "right at the first instruction", "% of starts"),
    "Starts with the systemd driver": Picture(("tool", "runtime"), "right at the first instruction", "% of starts"),
    "Per kill": Picture(("agent", "pods"), "all system calls", "system calls per kill"),
    "From the kernel's count to the log line": Picture(("agent", "kills"), "p99", "p99, ms"),
    "Completeness": Picture(("tool", "kills"), "for the right container", "% of kills"),
    "On the machine itself, directories in place of cgroups": Picture(
        ("agent", "pods"), "resident, idle (MiB)", "resident when idle, MiB"
    ),
}


def file_name(table: Table) -> str:
    """Of the table's picture."""
    return re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-") + ".svg"


def pictures(tables: Iterable[Table]) -> dict[str, str]:
    """Each picture by its file's name."""
    return {file_name(table): svg(table, PICTURES[table.title]) for table in tables if table.title in PICTURES}


def svg(table: Table, picture: Picture) -> str:
    """The table's rows as bars. Raises ValueError if it has no such column."""
    at = table.columns.index(picture.value)
    found = [(_label(table, picture, row), number(str(row[at])), str(row[at])) for row in table.rows]
    longest = max(value for _, value, _ in found) or 1.0
    begin = max(len(label) for label, _, _ in found) * CHARACTER + 12
    width = begin + BARS + max(len(text) for _, _, text in found) * CHARACTER + 12
    title = html.escape(f"{table.title}: {picture.measured}")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {TOP + len(found) * (HEIGHT + GAP)}"'
        f' role="img" aria-label="{title}">',
        f'<style>{STYLE}</style><text class="title" x="0" y="16">{title}</text>',
        *(_bar(*row, TOP + n * (HEIGHT + GAP), begin, BARS * row[1] / longest) for n, row in enumerate(found)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _label(table: Table, picture: Picture, row: tuple[Cell, ...]) -> str:
    """``now, 110 pods``."""
    cells = [(column, str(row[table.columns.index(column)])) for column in picture.labels]
    return ", ".join(f"{cell} {column}" if cell.isdecimal() else cell for column, cell in cells)


def number(cell: str) -> float:
    """The percentage in brackets, else the first number; 0 for a dash."""
    found = re.search(r"\(([\d.]+) %\)", cell) or re.search(r"([\d,]+(?:\.\d+)?)", cell)
    return float(found[1].replace(",", "")) if found else 0.0


def _bar(label: str, _value: float, text: str, y: int, begin: float, length: float) -> str:
    width = max(1.0, length)
    kind = "bar own" if OWN.search(label) else "bar"
    base = y + HEIGHT - 4
    return (
        f'<text x="{begin - 8:.0f}" y="{base}" text-anchor="end">{html.escape(label)}</text>'
        f'<rect class="{kind}" x="{begin:.0f}" y="{y}" width="{width:.1f}" height="{HEIGHT}" rx="2"/>'
        f'<text x="{begin + width + 6:.1f}" y="{base}">{html.escape(text)}</text>'
    )
