"""The docs are in plain English: no word of words.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.docs.pages import ROOT, names
from tests.unit.docs.words import find

# Files and globs below the root. tests/unit/wording/test_words.py checks the program's texts and the manifests.
USER_VISIBLE = (
    "*.md",
    ".github/**/*.md",
    ".github/ISSUE_TEMPLATE/*.yml",
    "manifests/chart/README.md",
    "docs/**/*.md",
    "tests/bench/prose/*.md",
    "manifests/chart/templates/NOTES.txt",
)

SKIPPED = re.compile(
    r"^ *(?P<fence>```+|~~~+).*?^ *(?P=fence) *$"  # blocks: commands, and what programs print
    r"|^> .*?$"  # Events, word for word
    r"|<!--.*?-->"
    r"|`[^`\n]+(?:\n[^`\n]+)?`"  # names and what programs print
    r"|\]\([^)\s]*\)",  # where links lead
    re.MULTILINE | re.DOTALL,
)


def files() -> list[Path]:
    return sorted({path for pattern in USER_VISIBLE for path in ROOT.glob(pattern)})


def prose(text: str) -> str:
    """The text with everything that is quoted from a program blanked, and its line breaks kept."""
    return SKIPPED.sub(lambda found: re.sub(r"[^\n]", "·", found[0]), text)


def found_in(text: str) -> Iterator[str]:
    """``line: the words → what to write``; a line break is a space, so phrases are found over two lines."""
    for found in find(prose(text)):
        yield f"{text.count(chr(10), 0, found.at) + 1}: {found.words} → {found.better}"


@pytest.mark.parametrize("file", files(), ids=names)
def test_what_users_read_is_plain_english(file: Path) -> None:
    assert [f"{names(file)}:{line}" for line in found_in(file.read_text())] == []


def test_every_pattern_of_files_names_at_least_one() -> None:
    assert [pattern for pattern in USER_VISIBLE if not list(ROOT.glob(pattern))] == []


@pytest.mark.parametrize(
    "text",
    [
        "Mended at last.",
        "It is not\nto be had.",
        "one watch a node",
        "10 s a start",
        "Somebody whose pod it is",
        "three kills a second",
        "at THE most",
    ],
)
def test_it_finds_a_listed_word_over_line_breaks_and_in_any_case(text: str) -> None:
    assert len(list(found_in(text))) == 1


def test_it_names_the_line() -> None:
    assert list(found_in("fine\nfine\nall anew")) == ["3: anew → again"]


@pytest.mark.parametrize(
    "text",
    [
        "`knob`",
        "```\npass    knob\n```",
        "> Largest then, and anew",
        "[page](docs/knob.md)",
        "a recommendation",
        "once a pod starts",
    ],
)
def test_it_leaves_alone_what_is_quoted_and_what_only_looks_alike(text: str) -> None:
    assert list(found_in(text)) == []
