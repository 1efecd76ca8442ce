"""What a reader types: each command of oomward in the documents is taken by the parser that it is for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.commands.parsers import parser
from agent.fleet.arguments import parse
from tests.unit.docs.pages import PAGES, ROOT, code, names

OF_CLUSTER = re.compile(r"(?:^|[;&|(`] *|\$ )(?:kubectl oomward|oomward --all-nodes) (.+)")
OF_NODE = re.compile(r"(?:^|-- |[;&|(`] *|\$ |\w=\S+ |/bin/)oomward (?!--all-nodes)(.+)")
FUNCTION = re.compile(r"^agent ([a-z].+)")  # the shell function of the runbooks
ENDS = re.compile(r"(?<!\S)(?:[|&>]|\d?>|<(?!\())|[;`)]|#(?= )")  # what is no word of the command any more
SYNTAX = re.compile(r"[\[|…]|\w\|")  # a form, not a command: `diagnose [POD | --all]`
PLACEHOLDER = re.compile(r"(?<![\w-])[A-Z][A-Z-]{2,}(?![\w-])|<[a-z-]+>")
MODULE = re.compile(r"python3? -m ((?:agent|tests|scripts)[\w.]*)")


def commands(page: Path, *patterns: re.Pattern[str]) -> Iterator[list[str]]:
    """The words behind the program's name. A command in the text may be its name alone."""
    for line in code(page):
        for pattern in patterns:
            for rest in pattern.findall(line):
                words = ENDS.split(PLACEHOLDER.sub("x", rest), maxsplit=1)[0]
                if not SYNTAX.search(words):
                    yield shlex.split(words)


def refused(words: list[str], parse_words: Callable[[list[str]], object]) -> bool:
    try:
        parse_words(words)
    except SystemExit as ended:
        return ended.code != 0
    return False


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_for_a_node_is_taken_as_it_is_written(page: Path) -> None:
    top = parser()
    found = [words for words in commands(page, OF_NODE, FUNCTION) if len(words) > 1]
    assert [words for words in found if refused(words, top.parse_args)] == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_for_a_cluster_is_taken_as_it_is_written(page: Path) -> None:
    found = [words for words in commands(page, OF_CLUSTER) if len(words) > 1]
    assert [words for words in found if refused(words, lambda typed: parse(typed, "kubectl oomward"))] == []


def test_the_commands_of_the_guides_are_found() -> None:
    """Or the tests above would test nothing."""
    docs = ROOT / "docs"
    assert ["top", "-A"] in list(commands(docs / "howto" / "fleet.md", OF_CLUSTER))
    assert ["history", "--limit", "5"] in list(commands(docs / "tutorial.md", OF_NODE))
    assert ["report", "--html", "-", "-n", "shop", "--since", "24h"] in list(
        commands(docs / "howto" / "report.md", OF_NODE)
    )


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_module_that_is_run_exists(page: Path) -> None:
    named = {module for line in code(page) for module in MODULE.findall(line)}
    paths = {module: ROOT / module.replace(".", "/") for module in named}
    assert {m for m, path in paths.items() if not path.with_suffix(".py").is_file() and not path.is_dir()} == set()
