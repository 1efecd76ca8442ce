"""The table of faults names tests, and each of them exists, in that file."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.unit.docs.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "faults.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(
    "row", [row for row in ROWS if not row.endswith("| shown by |")], ids=lambda row: row.split("|")[1].strip()[:60]
)
def test_every_fault_is_shown_by_tests_that_exist(row: str) -> None:
    _, fault, expected, shown, _ = row.split("|")
    assert fault.strip()
    assert expected.strip()
    named = NAMED.findall(shown)
    assert named
    assert NAMED.sub("", shown).strip() == "", "nothing but tests is named there"
    assert [f"{file}::{test}" for file, test in named if test not in functions_of(file)] == []
    assert all((ROOT / file).exists() for file, _ in named)
