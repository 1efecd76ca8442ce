"""For all unit tests."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel import scheduling
from agent.kernel.scheduling import SchedulingClass
from tests.unit import profiles

IN_MEMORY = Path("/dev/shm")
ROOM_BYTES = 1 << 30

profiles.load()


def pytest_configure(config: pytest.Config) -> None:
    """Put the tests' files into memory where it has room: they take a quarter of the time there, and a busy disk delays none.

    The folder goes with the run. Set TMPDIR to have the files elsewhere and keep them. The variable reaches pytest's folders,
    Python's tempfile and the workers of pytest-xdist.
    """
    if "TMPDIR" in os.environ or not os.access(IN_MEMORY, os.W_OK):
        return
    room = os.statvfs(IN_MEMORY)
    if room.f_bavail * room.f_frsize >= ROOM_BYTES and not room.f_flag & os.ST_NOEXEC:  # some tests run what they write
        folder = tempfile.mkdtemp(prefix="oomward-tests-", dir=IN_MEMORY)
        os.environ["TMPDIR"] = folder
        tempfile.tempdir = None  # pytest's capture has asked for it before
        config.add_cleanup(lambda: shutil.rmtree(folder))


@pytest.fixture(autouse=True)
def tests_are_no_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """They don't come before what else this machine does, whoever runs them."""
    monkeypatch.setattr(scheduling, "raise_priority", lambda: SchedulingClass.ROUND_ROBIN)
    monkeypatch.setattr(scheduling, "set_nice", lambda: SchedulingClass.NICE)
    monkeypatch.setattr(scheduling, "suspend_real_time", lambda: None)


@pytest.fixture(autouse=True)
def loggers_are_left_as_they_were() -> Iterator[None]:
    """An agent that a test runs sets up the process's own loggers."""
    loggers = logging.getLogger("oomward"), logging.getLogger()
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    yield
    for each, handlers, level, propagate in before:
        each.handlers[:], each.propagate = handlers, propagate
        each.setLevel(level)
