"""The fuzz targets hold on their seeds and on some mutations of them, also where atheris is not installed."""

from __future__ import annotations

import pytest

from tests.fuzz import plain
from tests.fuzz.targets import HERE, TARGETS, Target

MUTATIONS = 300


def named(target: Target) -> str:
    return target.name


@pytest.mark.parametrize("target", TARGETS, ids=named)
def test_every_seed_and_some_mutations_pass(target: Target) -> None:
    runs = len(target.seeds()) + MUTATIONS
    assert plain.run(target, runs) == runs


def test_every_target_of_the_folder_is_listed() -> None:
    assert {path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py")} == {target.name for target in TARGETS}
    assert {path.name for path in (HERE / "corpus").iterdir()} == {target.name for target in TARGETS}
