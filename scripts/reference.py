"""Write docs/reference/json.md and the tables of docs/reference/configuration.md from the code: `PYTHONPATH=. python scripts/reference.py`.

Tests compare them.
"""

from __future__ import annotations

import re
from pathlib import Path

from agent.settings import SETTINGS
from agent.settings.rules import RULE_KEYS, RULES_KEYS
from scripts import json_reference

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "configuration.md"


def tables() -> dict[str, list[tuple[str, ...]]]:
    """Rows by heading."""
    return {
        "Settings": [
            (f"`{s.key}`", f"`{s.flag}`", f"`{s.variable}`", s.takes, s.default_text, s.help) for s in SETTINGS
        ],
        "Rules": [(f"`{key}`", text) for key, text in RULES_KEYS.items()],
        "One rule": [(f"`{key}`", text) for key, (_, text) in RULE_KEYS.items()],
    }


def main() -> None:
    """Only the rows below each table's head are replaced."""
    page = PAGE.read_text(encoding="utf-8")
    for heading, rows in tables().items():
        lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
        table = re.compile(rf"(\n## {heading}\n.*?\n\|(?:---\|)+\n)(?:\|[^\n]*\n)+", re.DOTALL)
        page = table.sub(lambda found, lines=lines: found[1] + lines, page, count=1)
    PAGE.write_text(page, encoding="utf-8")
    json_reference.write()


if __name__ == "__main__":
    main()
