"""Writes the decision table into docs/reference/diagnosis.md: `python -m tests.unit.diagnose.write_page`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from agent.diagnose import TABLE
from agent.diagnose.case import At
from agent.diagnose.rule import Rule

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "diagnosis.md"
MARK = "<!-- from here on made from agent/diagnose/table*.py by `python -m tests.unit.diagnose.write_page` -->\n\n"
HEAD = (
    "| rule | category | when | transient | retry helps | what happened | what to do |\n|---|---|---|---|---|---|---|\n"
)
READABLE = tuple(
    (re.compile(regex), shown)
    for regex, shown in (
        (r"\(\?P<(\w+)>(?:\[[^\]]*\]|[^()\[])*\)", r"<\1>"),
        (r"(?:\[\^?[^\]]*\]|\\S|\.)(?:\{\d+,\d+\}|\*)\??", "…"),
        (r"\(\?:", "("),
        (r"\\b|\\n", ""),
        (r"\\\\\?", ""),
        (r"\\(.)", r"\1"),
    )
)
WORD = re.compile(r"\{(\w+)\}")
PLACES = (
    ("The pod as a whole", (At.POD, At.SANDBOX, At.CREATING)),
    ("Images", (At.PULL, At.PULL_BACK_OFF)),
    ("Containers that cannot be created or started", (At.CONFIG, At.CREATE, At.START, At.WAITING)),
    ("Containers that ended", (At.CRASH, At.ENDED)),
    ("Running containers", (At.RUNNING,)),
)


def page() -> str:
    """A section per place, with its rules in order."""
    sections = []
    for title, places in PLACES:
        rules = [rule for rule in TABLE if not rule.at.keys().isdisjoint(places)]
        sections.append(f"## {title}\n\n{HEAD}{''.join(map(_row, rules))}")
    return "\n".join(sections)


def _row(rule: Rule) -> str:
    cells = (
        f"`{rule.name}`",
        ", ".join(dict.fromkeys(f"`{category.value}`" for category in rule.at.values())),
        _when(rule),
        rule.transient.value,
        rule.retry_helps.value,
        _sentences(rule.what),
        _sentences(rule.advice),
    )
    return f"| {' | '.join(cells)} |\n"


def _when(rule: Rule) -> str:
    conditions = [f"reason {' or '.join(f'`{reason}`' for reason in rule.reasons)}"] if rule.reasons else []
    if rule.says:
        conditions.append(f"the reason or a message matches {_code(_cell(readable(rule.says)))}")
    conditions += [fact.words for fact in rule.facts]
    return "; ".join(conditions) or "always"


def _sentences(alternatives: Iterable[str]) -> str:
    """Words of the case in italics, or in angle brackets in code; alternatives after "or:"."""
    return "; or: ".join(_cell(_marked(text)) for text in alternatives)


def _marked(text: str) -> str:
    parts = text.split("`")
    return "`".join(WORD.sub(r"<\1>" if number % 2 else r"*\1*", part) for number, part in enumerate(parts))


def readable(pattern: str) -> str:
    """A readable pattern: ``<word>`` for a named group, ``…`` for anything."""
    for regex, shown in READABLE:
        pattern = regex.sub(shown, pattern)
    return pattern


def _code(text: str) -> str:
    """Two backticks around where one is inside."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def written(text: str) -> str:
    """The page with the table as the code has it; what is above the mark stays."""
    head, mark, _ = text.partition(MARK)
    if not mark:
        raise ValueError(f"{PAGE} has no line {MARK.strip()!r} for the table to begin at")
    return head + MARK + page()


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
