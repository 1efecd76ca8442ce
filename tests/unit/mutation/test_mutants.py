"""The mutants follow the code: each line is there once, each becomes another, and the tests that must notice exist."""

from __future__ import annotations

import pytest

from tests.mutation.mutants import MUTANTS, Mutant
from tests.mutation.run import REPO, mutated, touched


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what[:60])
def test_each_mutant_is_up_to_date(mutant: Mutant) -> None:
    whole = (REPO / "agent" / mutant.file).read_text()
    assert mutated(mutant, whole) != whole
    assert all((REPO / "tests" / "unit" / test).exists() for test in mutant.tests)


def test_after_a_change_only_the_mutants_of_its_files_and_tests_are_tried() -> None:
    of_file, of_test, of_folder, other = (
        Mutant("", "a/x.py", "", "", ("t/test_x.py",)),
        Mutant("", "b/y.py", "", "", ("t/test_y.py",)),
        Mutant("", "c/z.py", "", "", ("u",)),
        Mutant("", "d/w.py", "", "", ("v",)),
    )
    changed = ["agent/a/x.py", "tests/unit/t/test_y.py", "tests/unit/u/test_z.py", "tests/unit/vw/test_w.py"]
    assert touched([of_file, of_test, of_folder, other], changed) == [of_file, of_test, of_folder]
