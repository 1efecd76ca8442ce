"""Booting the lab's kernel: one that is gone before it has booted is booted again, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab import boot
from tests.lab.machine import processor

KERNEL = """#!/bin/bash
[ "$1" != --version ] || { echo 6.1.176; exit; }
for word; do case $word in uml_dir=*) folder=${word#uml_dir=};; esac; done
echo boot >>LOG
[ "$(wc -l <LOG)" -ge BOOTS ] || exit 1
: >"$folder/begun"
echo said
END
"""


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the kernel's place, and no host that will do; returns where the program is to be."""
    monkeypatch.setenv("OOMWARD_LAB", "uml")
    monkeypatch.setenv("OOMWARD_LAB_KERNEL", "distribution")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "linux.uml"


def booted(kernel: Path, boots: int, end: str) -> tuple[int, list[bytes], int]:
    """Exit status, lines of output, how often it was booted. It comes up at the ``boots``th time and ends as told."""
    log = kernel.with_name("log")
    kernel.write_text(KERNEL.replace("LOG", str(log)).replace("BOOTS", str(boots)).replace("END", end))
    kernel.chmod(0o755)
    said: list[bytes] = []
    status = boot.run(["true"], out=kernel.parent / "out", sink=said.append, timeout_s=20)
    return status, said, len(log.read_text().splitlines())


def test_a_machine_that_is_gone_before_it_has_booted_is_booted_again(
    kernel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert booted(kernel, 3, 'echo 5 >"$folder/status"') == (5, [b"said\n"], 3)
    assert capsys.readouterr().err.count("once more") == 2


def test_one_that_ends_in_the_middle_of_its_command_is_not(kernel: Path) -> None:
    assert booted(kernel, 1, "exit 1") == (boot.EXIT_NO_KERNEL, [b"said\n"], 1)


def test_one_that_never_boots_is_given_up(kernel: Path) -> None:
    status, said, boots = booted(kernel, 1000, "")
    assert (status, said, boots) == (boot.EXIT_NO_KERNEL, [], boot.BOOTS)


def test_each_machine_has_a_processor_of_its_own_as_long_as_there_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    with processor() as first, processor() as second, processor() as third:
        assert [first, second] == [3, 5]
        assert third in (3, 5)
    with processor() as free:
        assert free == 3


def test_a_machine_stays_on_one_processor(kernel: Path) -> None:
    shown = 'echo 0 >"$folder/status"; grep Cpus_allowed_list /proc/self/status'
    _, said, _ = booted(kernel, 1, shown)
    assert said[1].split()[-1].isdigit()
