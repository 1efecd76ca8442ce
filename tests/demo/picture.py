"""``python -m tests.demo.picture``: the last demo's result as pictures for the docs, as terminals of 80 and of 120 columns show it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.demo.__main__ import RESULT
from tests.demo.facts import Result, result_of
from tests.demo.judge import failures
from tests.demo.pods import LABELLED
from tests.demo.summary import events, introduction, table, verdict
from tests.lab.boot import REPO

PICTURES = REPO / "docs" / "pictures"
WIDTHS = (80, 120)
# As rich's own CONSOLE_SVG_FORMAT, but with the viewer's own fonts and none by URL; rich sets each text's length, so columns line up.
SVG = """\
<svg class="rich-terminal" role="img" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <title>make demo</title>
    <style>
    .{unique_id}-matrix {{
        font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
    }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


def path(width: int) -> Path:
    """The picture's file for this width."""
    return PICTURES / f"demo-{width}.svg"


def picture(result: Result, width: int) -> str:
    """The demo's output for a result at ``width`` columns, as SVG: the introduction, the table, one pod's Events and the verdict."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(Text("$ make demo", "bold"))
    introduction(console)
    console.print()
    console.print(table(result.rows, f"After {result.seconds:.0f} s"))
    console.print()
    events(console, result, LABELLED)
    console.print()
    verdict(console, result, failures(result))
    text = console.export_svg(title="make demo", code_format=SVG, unique_id=f"demo-{width}")
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def main() -> int:
    """Exit status 1 if there is no result of a demo, or it failed."""
    found = json.loads(RESULT.read_text()) if RESULT.exists() else {"ok": False}
    if not found["ok"]:
        print("tests.demo.picture: no demo has passed in this checkout. Run make demo first", file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        path(width).write_text(picture(result_of(found), width))
        print(path(width).relative_to(REPO))
    return 0


if __name__ == "__main__":
    sys.exit(main())
