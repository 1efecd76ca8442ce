"""cgroup v1 OOM notifications of a real kernel. Needs root and a v1 memory hierarchy; run by the lab, not by unit tests."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel.v1events import V1Events

MEMORY = Path("/sys/fs/cgroup/memory")
LIMIT_BYTES = 20 << 20
EATER = """
import os, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as procs:
    procs.write(str(os.getpid()))
eaten = []
while True:
    eaten.append(bytearray(b"x" * (1 << 20)))
"""


@pytest.fixture
def cgroup() -> Iterator[Path]:
    directory = MEMORY / f"oomward-v1events-{os.getpid()}"
    directory.mkdir()
    (directory / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    yield directory
    if directory.exists():
        directory.rmdir()


@pytest.fixture
def events() -> Iterator[V1Events]:
    events = V1Events()
    yield events
    events.close()


def eat_in(directory: Path) -> None:
    assert subprocess.run([sys.executable, "-c", EATER, str(directory)], check=False).returncode == -9


def wait_readable(events: V1Events) -> None:
    readable, _, _ = select.select([events.fileno()], [], [], 10)
    assert readable, "the kernel told of nothing within 10 s"


def oom_kills(directory: Path) -> int:
    lines = dict(line.split() for line in (directory / "memory.oom_control").read_text().splitlines())
    return int(lines["oom_kill"])


def test_an_oom_kill_fires_the_cgroup(cgroup: Path, events: V1Events) -> None:
    """The eventfd fires although both descriptors of the registration are closed again, and the counter shows the kill."""
    assert events.register(cgroup)
    eat_in(cgroup)
    wait_readable(events)
    assert events.read() == [cgroup]
    assert oom_kills(cgroup) == 1


def test_an_oom_at_the_parents_limit_fires_parent_and_child(cgroup: Path, events: V1Events) -> None:
    """The kernel notifies the cgroup whose limit was hit and all below it; the kill is counted where the victim was."""
    child = cgroup / "container"
    child.mkdir()
    try:
        assert events.register(cgroup)
        assert events.register(child)
        eat_in(child)
        wait_readable(events)
        assert set(events.read()) == {cgroup, child}
        assert (oom_kills(cgroup), oom_kills(child)) == (0, 1)
    finally:
        child.rmdir()


def test_removal_fires_a_last_time(cgroup: Path, events: V1Events) -> None:
    """Whoever is told then finds the directory gone."""
    assert events.register(cgroup)
    cgroup.rmdir()
    wait_readable(events)
    assert events.read() == [cgroup]
    events.unregister(cgroup)
    assert not events.register(cgroup)


def test_an_unregistered_cgroup_is_silent(cgroup: Path, events: V1Events) -> None:
    """After unregister an OOM kill makes nothing readable."""
    assert events.register(cgroup)
    events.unregister(cgroup)
    eat_in(cgroup)
    assert events.read() == []
