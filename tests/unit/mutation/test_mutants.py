"""The mutants follow the code: each line is there once, each becomes another, and the tests that must notice exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation import run
from tests.mutation.mutants import MUTANTS, Mutant
from tests.mutation.run import REPO, StaleError, mutated, touched, verdict


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what[:60])
def test_each_mutant_is_up_to_date(mutant: Mutant) -> None:
    whole = (REPO / "agent" / mutant.file).read_text()
    assert mutated(mutant, whole) != whole
    assert all((REPO / "tests" / "unit" / test).exists() for test in mutant.tests)


def test_a_line_that_was_rewritten_is_told() -> None:
    with pytest.raises(StaleError, match=r"agent/x.py has 'a' 2 times, not once"):
        mutated(Mutant("", "x.py", "a", "b", ()), "a a")


@pytest.mark.parametrize(
    ("code", "trouble"),
    [(0, "no test of t.py fails"), (1, None), (2, "pytest ended with 2"), (4, "pytest ended with 4")],
)
def test_only_a_test_that_fails_counts_and_the_tree_is_whole_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, trouble: str | None
) -> None:
    file = tmp_path / "agent" / "x.py"
    file.parent.mkdir()
    file.write_text("a = 1\n")
    seen: list[str] = []

    def run_tests(_tree: Path, _tests: object) -> tuple[int, str]:
        seen.append(file.read_text())
        return code, "said"

    monkeypatch.setattr(run, "run_tests", run_tests)
    found = verdict(Mutant("w", "x.py", "1", "2", ("t.py",)), tmp_path)
    assert (found.trouble or "").startswith(trouble or "")
    assert (found.trouble is None) is (trouble is None)
    assert seen == ["a = 2\n"]
    assert file.read_text() == "a = 1\n"


def test_after_a_change_only_the_mutants_of_its_files_and_tests_are_tried() -> None:
    of_file, of_test, of_folder, other = (
        Mutant("", "a/x.py", "", "", ("t/test_x.py",)),
        Mutant("", "b/y.py", "", "", ("t/test_y.py",)),
        Mutant("", "c/z.py", "", "", ("u",)),
        Mutant("", "d/w.py", "", "", ("v",)),
    )
    changed = ["agent/a/x.py", "tests/unit/t/test_y.py", "tests/unit/u/test_z.py", "tests/unit/vw/test_w.py"]
    assert touched([of_file, of_test, of_folder, other], changed) == [of_file, of_test, of_folder]
