"""Writes the decision table into docs/reference/diagnosis.md: `python -m tests.unit.diagnose.write_page`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.diagnose import TABLE
from agent.diagnose.case import At
from agent.diagnose.rule import Rule
from agent.diagnose.table_ends import RAISE, RESTART
from agent.model.diagnosis import Diagnosis
from agent.wording.text import cut
from tests.unit.diagnose.recorded import NAMES, recorded
from tests.unit.diagnose.reports import reports

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "diagnosis.md"
MARK = "<!-- from here on made from agent/diagnose/table*.py by `python -m tests.unit.diagnose.write_page` -->\n\n"
HEAD = (
    "| rule | category | when | transient | retry helps | what happened | what to do |\n|---|---|---|---|---|---|---|\n"
)
EXAMPLES = "| rule | certain | a status | from | the answer | words of |\n|---|---|---|---|---|---|\n"
MOST_SHOWN = 260
READABLE = tuple(
    (re.compile(regex), shown)
    for regex, shown in (
        (r"\(\?!(?:[^()]|\([^()]*\))*\)", ""),  # what must not follow
        (r"\(\?P<(\w+)>(?:\[[^\]]*\]|[^()\[])*\)", r"<\1>"),
        (r"(?:\[\^?[^\]]*\]|\\S|\.)(?:\{\d+,\d+\}|\*)\??", "…"),
        (r"\(\?:", "("),
        (r"\\b|\\n", ""),
        (r"\\\\\?", ""),
        (r"\\(.)", r"\1"),
    )
)
SHARED = {"": "", RESTART: RESTART}  # after each sentence of RAISE
WORD = re.compile(r"\{(\w+)\}")
PLACES = (
    ("The pod as a whole", (At.POD,)),
    ("Pods that do not start, and resizes", (At.SCHEDULING, At.CREATING, At.SANDBOX, At.RESIZE)),
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
        found = examples()
        shown = "".join(_example(rule, found[rule.name]) for rule in rules)
        sections.append(
            f"## {title}\n\n{HEAD}{''.join(map(_row, rules))}\nOne status for each rule:\n\n{EXAMPLES}{shown}"
        )
    listed = "".join(f"- {_marked(text)}\n" for text in RAISE)
    return "\n".join(
        [*sections, f"## The advice about a limit\n\nThe first sentence with all words known:\n\n{listed}"]
    )


@dataclass(frozen=True, slots=True)
class Example:
    """A status that a rule is the diagnosis of: ``link`` is where it is from."""

    status: str
    link: str
    one: Diagnosis


def examples() -> Mapping[str, Example]:
    """By rule: a published status, or else one with a source's words, or else a recorded one."""
    found: dict[str, Example] = {}
    for one, pod, link in (*_reported(False), *_reported(True), *_recorded()):
        found.setdefault(one.rule, Example(_shown(one, pod["status"]), link, one))
    return found


def _reported(made: bool) -> Iterator[tuple[Diagnosis, dict[str, Any], str]]:
    for report in reports():
        if report.made is made:
            link = report.source.split(",")[0].split(" ")[0]
            yield from ((one, report.pod, f"[{'source' if made else 'report'}]({link})") for one in report.diagnoses())


def _recorded() -> Iterator[tuple[Diagnosis, dict[str, Any], str]]:
    for name in NAMES:
        found = recorded(name)
        yield from ((one, found.pod, f"recorded: {name}") for one in found.diagnoses())


def _shown(one: Diagnosis, status: dict[str, Any]) -> str:
    """The part of the status that matters, in short."""
    if one.container is None:
        words = [status.get("phase", ""), status.get("reason", ""), status.get("message", "")]
        listed_conditions = [
            f"{c['type']}={c['status']}: {c.get('reason', '')} {c.get('message', '')}"
            for c in status.get("conditions", [])
        ]
        return "; ".join(
            word.strip() for word in (*words, *(listed_conditions if not words[1] else [])) if word.strip()
        )
    listed = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    its: dict[str, Any] = next((item for item in listed if item["name"] == one.container), {})
    states = [("", its.get("state") or {}), ("before: ", its.get("lastState") or {})]
    return "; ".join(f"{when}{_state(kind, state)}" for when, both in states for kind, state in both.items())


def _state(kind: str, state: Mapping[str, Any]) -> str:
    code = f"code {state['exitCode']}" if "exitCode" in state else ""
    return " ".join(word for word in (kind, code, state.get("reason", ""), state.get("message", "")) if word)


def _example(rule: Rule, example: Example) -> str:
    status = _code(_cell(cut(" ".join(example.status.split()), MOST_SHOWN)))
    answer = _cell(f"{example.one.what}. To do: {example.one.advice}")
    return (
        f"| `{rule.name}` | {rule.sure.value} | {status} | {example.link} | {answer} | {_cell(rule.source) or '-'} |\n"
    )


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
    """Words of the case in italics, or in angle brackets in code; alternatives after "or:". A set of several rules is below the tables."""
    shared = next(
        (end for rest, end in SHARED.items() if tuple(alternatives) == tuple(text + rest for text in RAISE)), None
    )
    if shared is not None:
        return f"[the advice about a limit](#the-advice-about-a-limit){shared}"
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
