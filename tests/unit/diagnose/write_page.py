"""Writes the decision table into docs/reference/diagnosis.md: `python -m tests.unit.diagnose.write_page`."""

from __future__ import annotations

from pathlib import Path

from agent.diagnose.page import page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "diagnosis.md"
MARK = "<!-- from here on made from agent/diagnose/table*.py by `python -m tests.unit.diagnose.write_page` -->\n\n"


def written(text: str) -> str:
    """The page with the table as the code has it; what is above the mark stays."""
    head, mark, _ = text.partition(MARK)
    if not mark:
        raise ValueError(f"{PAGE} has no line {MARK.strip()!r} for the table to begin at")
    return head + MARK + page()


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
