"""check: whether the runtime has an NRI socket, and what follows for the modes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.commands.probes.checks import Check, Status
from agent.commands.probes.runtime import nri


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Of a socket that is there."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "nri.sock"))
        yield tmp_path / "nri.sock"


def check(setting: str, at: Path) -> Check:
    (found,) = nri(setting, at)
    return found


@pytest.mark.parametrize("setting", ["auto", "required"])
def test_a_socket_that_is_there_passes(setting: str, path: Path) -> None:
    assert check(setting, path).status is Status.PASS
    assert str(path) in check(setting, path).found


def test_without_a_socket_modes_are_enforced_through_the_file(tmp_path: Path) -> None:
    found = check("auto", tmp_path / "none")
    assert (found.status, found.advice) == (Status.PASS, "")
    assert "through the file" in found.found


def test_without_a_socket_that_is_required_it_fails_and_says_what_to_do(tmp_path: Path) -> None:
    found = check("required", tmp_path / "none")
    assert found.status is Status.FAIL
    assert "docs/howto/nri.md" in found.advice


def test_what_is_no_socket_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert check("auto", tmp_path / "file").status is Status.WARN


def test_off_by_setting_is_said(path: Path) -> None:
    assert "off by setting" in check("off", path).found
