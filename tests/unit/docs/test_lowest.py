"""``make lowest`` runs the tests of every room that a library's version could matter to."""

from __future__ import annotations

import ast
import re
import sys

from tests.unit.docs.pages import ROOT

OURS = frozenset({"agent", "tests", "_typeshed"})  # the last is for type checkers only
AGENT = ROOT / "agent"
(LISTED,) = re.findall(r"^LOWEST_TESTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def libraries_of(source: str) -> set[str]:
    """Top-level modules that are neither Python's nor ours."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.partition(".")[0])
    return found - OURS - sys.stdlib_module_names


def rooms() -> dict[str, set[str]]:
    """What each room of the agent imports."""
    found: dict[str, set[str]] = {}
    for file in AGENT.rglob("*.py"):
        room = file.relative_to(AGENT).parts[0].removesuffix(".py")
        found[room] = found.get(room, set()) | libraries_of(file.read_text())
    return found


def test_the_tests_of_each_room_that_calls_a_library_run_with_its_oldest_version() -> None:
    calling = {room for room, libraries in rooms().items() if libraries}
    assert {"cgroup", "commands", "kube", "metrics", "settings"} <= calling
    assert calling <= set(LISTED.split())


def test_what_is_listed_is_there() -> None:
    assert [name for name in LISTED.split() if not (ROOT / "tests" / "unit" / name).is_dir()] == []
