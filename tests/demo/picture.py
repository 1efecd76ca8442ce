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
from tests.demo.terminal import svg
from tests.lab.boot import REPO

PICTURES = REPO / "docs" / "pictures"
WIDTHS = (80, 120)


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
    return svg(console, "make demo", f"demo-{width}")


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
