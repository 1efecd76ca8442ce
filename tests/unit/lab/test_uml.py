"""The kernel that the lab boots: the fast one where it can do what is asked for, and a word on what to do where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab import uml


def kernel(path: Path, version: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo {version}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("OOMWARD_LAB_KERNEL", raising=False)
    monkeypatch.setattr(uml, "NEWER", tmp_path / "build" / "linux.uml")
    return kernel(tmp_path / "bin" / "linux.uml", "6.1.176")


def test_the_distributions_kernel_knows_nothing_of_seccomp(distributions: str) -> None:
    assert uml.program("v2") == (distributions,)


def test_the_newer_one_is_taken_for_v2_with_what_it_is_to_be_told(distributions: str) -> None:
    newer = kernel(uml.NEWER, "7.2.7")
    assert uml.program("v2") == (newer, uml.BY_SECCOMP, uml.NO_RT_GROUPS)


def test_v1_is_in_the_distributions_kernel_only(distributions: str) -> None:
    kernel(uml.NEWER, "7.2.7")
    assert uml.program("v1") == (distributions,)


def test_the_distributions_can_be_asked_for(distributions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel(uml.NEWER, "7.2.7")
    monkeypatch.setenv("OOMWARD_LAB_KERNEL", "distribution")
    assert uml.program("v2") == (distributions,)


def test_the_newer_one_can_keep_real_time_from_cgroups(distributions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = kernel(uml.NEWER, "7.2.7")
    monkeypatch.setenv("OOMWARD_LAB_KERNEL", "rt-groups")
    assert uml.program("v2") == (newer, uml.BY_SECCOMP)


@pytest.mark.parametrize(("version", "words"), [("6.15.9", 1), ("6.16", 3), ("6.16.0", 3), ("10.0", 3), ("", 1)])
def test_what_6_16_brought_is_asked_of_no_older_one(distributions: str, version: str, words: int) -> None:
    kernel(Path(distributions), version)
    assert len(uml.program("v2")) == words


def test_without_any_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(uml, "NEWER", tmp_path / "none")
    with pytest.raises(uml.NoKernelError, match=r"Run: bash scripts/setup-debian\.sh"):
        uml.program("v2")


@pytest.mark.parametrize("text", ["#!/nonexistent/loader\n", "#!/bin/sh\nexit 1\n"])
def test_one_that_does_not_run_is_named_with_what_to_do(distributions: str, text: str) -> None:
    kernel(uml.NEWER, "7.2.7")
    uml.NEWER.write_text(text)
    with pytest.raises(uml.NoKernelError, match=r"build.linux\.uml does not run here .* Remove build/uml"):
        uml.program("v2")
