"""A test of an example is run anew only after the kernel took two processes at once, and never for anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.kernel import examples

LAB = cast(examples.Lab, SimpleNamespace(node=SimpleNamespace(kubelet=SimpleNamespace(instances=[]))))


def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kills_s: Callable[[int], list[float]], *, good: int) -> int:
    """How often a test runs that fails until its run number ``good``; ``kills_s``: the kernel's kills in a run."""
    kills: list[float] = []
    done = 0

    def test(*, lab: object, tmp_path: Path) -> None:
        nonlocal done
        done += 1
        kills.extend(kills_s(done))
        assert not list(tmp_path.iterdir()), "a folder of its own"
        (tmp_path / "left").touch()
        assert done >= good

    monkeypatch.setattr(examples, "_kills_s", lambda: list(kills))
    try:
        examples.kernel_may_take_two(test)(LAB, tmp_path)
    except AssertionError:
        return -done
    return done


def test_a_test_that_passes_runs_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert runs(monkeypatch, tmp_path, lambda n: [n, n + 0.1], good=1) == 1


def test_one_that_fails_without_such_a_kill_fails_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert runs(monkeypatch, tmp_path, lambda n: [10.0 * n, 10.0 * n + 5], good=2) == -1


def test_one_that_fails_with_it_runs_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert runs(monkeypatch, tmp_path, lambda n: [10.0 * n, 10.0 * n + 0.06], good=2) == 2


def test_an_older_one_is_no_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert runs(monkeypatch, tmp_path, lambda n: [1.0, 1.06] if n == 1 else [50.0], good=3) == -2


def test_at_the_third_time_it_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert runs(monkeypatch, tmp_path, lambda n: [10.0 * n, 10.0 * n + 0.06], good=9) == -3
