"""The fuzz targets hold on their seeds and on some mutations of them, also where atheris is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import plain
from tests.fuzz.plain import FoundError, inputs
from tests.fuzz.targets import HERE, TARGETS, Target

MUTATIONS = 300


def named(target: Target) -> str:
    return target.name


@pytest.mark.parametrize("target", TARGETS, ids=named)
def test_every_seed_and_some_mutations_pass(target: Target) -> None:
    runs = len(target.seeds()) + MUTATIONS
    assert plain.run(target, runs) == runs


@pytest.mark.parametrize("target", TARGETS, ids=named)
def test_the_seeds_are_several_and_small(target: Target) -> None:
    seeds = target.seeds()
    assert len(seeds) >= 5
    assert sum(map(len, seeds)) < 150_000
    assert len(target.words()) >= 8
    assert any(word in seed for word in target.words() for seed in seeds)


@pytest.mark.parametrize("target", TARGETS, ids=named)
def test_mutations_differ_from_their_seeds_and_are_the_same_each_time(target: Target) -> None:
    seeds, made = target.seeds(), inputs(target)
    mutations = [next(made) for _ in range(len(seeds) + 50)][len(seeds) :]
    assert len(set(mutations) - set(seeds)) > 30
    again = inputs(target)
    assert [next(again) for _ in range(len(seeds) + 50)][len(seeds) :] == mutations


def test_every_target_of_the_folder_is_listed() -> None:
    assert {path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py")} == {target.name for target in TARGETS}
    assert {path.name for path in (HERE / "corpus").iterdir()} == {target.name for target in TARGETS}


def test_a_target_that_fails_is_told_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(data: bytes) -> None:
        if b"MEMCG" in data:
            raise ValueError("too hard")

    monkeypatch.setattr(Target, "check", lambda _: check)
    target = next(target for target in TARGETS if target.name == "oomreport")
    with pytest.raises(FoundError, match=r"oomreport failed \(ValueError: too hard\) on b"):
        plain.run(target, 100)


def test_a_run_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = iter(range(1000))
    monkeypatch.setattr("tests.fuzz.plain.time.monotonic", lambda: float(next(now)))
    assert plain.run(TARGETS[0], 1000, seconds=20) == 20
