"""Write the table of actions in docs/reference/recovery.md from agent/recover/table.py: `python scripts/recovery_table.py`.

A test compares them.
"""

from __future__ import annotations

import re
from pathlib import Path

from agent.model.recover import Action
from agent.recover.table import BY_CATEGORY, GROW, OWN_LIMIT, PRESSURE_RULE

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "recovery.md"
PLACE = re.compile(r"(<!-- table of actions -->\n).*?(<!-- end of the table -->)", re.DOTALL)


def table() -> str:
    """Markdown."""
    own = " or ".join(f"`{rule}`" for rule in OWN_LIMIT if rule != PRESSURE_RULE)
    rows = [
        f"| any, by rule {own} | {_names((GROW,))}; after `CrashLoopBackOff` then `strategy`, `retry` |",
        "| any, by a rule `security-…` or `pod-security…` | `replace`, `strategy`, `fail` |",
        *(f"| `{category.value}` | {_names(actions)} |" for category, actions in BY_CATEGORY.items()),
    ]
    return "\n".join(["| failure | actions |", "|---|---|", *rows, ""])


def _names(actions: tuple[Action, ...]) -> str:
    return ", ".join(f"`{one}`" for one in actions) or "nothing"


def main() -> None:
    """Only what is between the two marks is replaced."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(lambda found: found[1] + table() + found[2], page, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
