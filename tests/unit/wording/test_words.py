"""What users read from the program is in plain English: no word of tests/unit/docs/words.py."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.commands.parsers import parser
from tests.unit.docs.words import forbidden

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"
REFERENCES = ("commands", "configuration", "diagnosis")
COMMENTED = sorted(
    path for path in MANIFESTS.rglob("*") if path.suffix in (".yaml", ".tpl", ".txt") and not path.is_symlink()
)


def helps() -> dict[str, str]:
    """``--help`` of the program and of each command."""
    top = parser()
    (commands,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return {"oomward": top.format_help()} | {name: one.format_help() for name, one in commands.choices.items()}


def strings(value: Any) -> Iterator[str]:
    """All texts in a JSON or YAML value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def test_the_words_are_found_whatever_their_case_and_only_as_whole_words() -> None:
    assert len(forbidden("Once a second the Agent tells\nits wish; somebody else went.")) == 5
    assert forbidden("LIMIT OF") == ["'LIMIT OF': the column's new name"]
    assert forbidden("The threshold is withheld; retelling knobbly 10 in 5 s at most; EnforceOOMGroup") == []


def test_events_and_log_lines_about_kills_and_modes_have_no_such_word() -> None:
    golden = re.sub(r"^## .*$", "", (ROOT / "tests/unit/wording/notes.golden.txt").read_text(), flags=re.MULTILINE)
    examples = (ROOT / "docs/reference/events.md").read_text().partition("## Examples")[2]
    assert forbidden(golden + examples) == []


@pytest.mark.parametrize("command", helps())
def test_no_help_has_such_a_word(command: str) -> None:
    assert forbidden(helps()[command]) == []


@pytest.mark.parametrize("page", REFERENCES)
def test_no_reference_of_the_program_has_such_a_word(page: str) -> None:
    assert forbidden((ROOT / "docs" / "reference" / f"{page}.md").read_text()) == []


@pytest.mark.parametrize("path", COMMENTED, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_no_comment_or_text_of_a_manifest_has_such_a_word(path: Path) -> None:
    text = path.read_text()
    comments = " ".join(re.findall(r"(?:^|\s)# ?(.*)$", text, re.MULTILINE))
    assert forbidden(comments if path.suffix == ".yaml" else text) == []


def test_no_alert_has_such_a_word() -> None:
    rules = yaml.safe_load((MANIFESTS / "components/monitoring/prometheusrule.yaml").read_text())["spec"]["groups"]
    assert forbidden(" ".join(strings([rule["annotations"] for group in rules for rule in group["rules"]]))) == []


def test_no_text_of_the_dashboard_has_such_a_word() -> None:
    shown = ("title", "description", "legendFormat", "label", "noValue")

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (str(one) for key, one in value.items() if key in shown)
        if isinstance(value, dict | list):
            for one in value.values() if isinstance(value, dict) else value:
                yield from texts(one)

    dashboard = json.loads((MANIFESTS / "components/monitoring/dashboard.json").read_text())
    assert forbidden(" . ".join(texts(dashboard))) == []
