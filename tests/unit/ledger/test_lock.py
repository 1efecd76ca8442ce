"""One agent a node: the second refuses and names the first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.ledger import AgentLock, LockedError

HOLDER = """
import sys
from pathlib import Path
from agent.ledger import AgentLock
with AgentLock(Path(sys.argv[1]), "node-7"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_agent_is_refused_by_the_pid_and_node_of_the_first(tmp_path: Path) -> None:
    with AgentLock(tmp_path, "node-1"), pytest.raises(LockedError) as caught, AgentLock(tmp_path, "node-2"):
        pass
    assert f"pid {os.getpid()}, node node-1" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_the_lock_can_be_had_again_when_the_first_is_done(tmp_path: Path) -> None:
    for _ in range(2):
        with AgentLock(tmp_path, "node-1") as lock:
            assert lock.trouble is None


def test_an_agent_that_was_killed_leaves_no_lock_behind(tmp_path: Path) -> None:
    """kill -9 of a process of its own; the kernel lets go of the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"pid {holder.pid}, node node-7"), AgentLock(tmp_path, "node-1"):
            pass
        holder.kill()
        holder.wait()
    with AgentLock(tmp_path, "node-1") as lock:
        assert lock.trouble is None


def test_a_shorter_name_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    with AgentLock(tmp_path, "a-node-with-a-very-long-name"):
        pass
    with AgentLock(tmp_path, "n"):
        assert (tmp_path / "agent.lock").read_text() == f"pid {os.getpid()}, node n\n"


def test_a_directory_that_can_not_be_written_is_said_and_stops_nobody() -> None:
    with AgentLock(Path("/proc/oomward"), "node-1") as lock:
        assert lock.trouble is not None
        assert "/proc/oomward/agent.lock" in lock.trouble


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "agent.lock").symlink_to(victim)
    with AgentLock(tmp_path, "node-1") as lock:
        assert lock.trouble is not None
    assert victim.read_text() == "precious"


def test_a_state_directory_that_is_removed_does_not_free_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rm -rf` while an agent runs: the next one would make a new file and lock that."""
    mount, state = tmp_path / "mount", tmp_path / "state"
    mount.mkdir()
    with AgentLock(state, "node-1", mount) as lock:
        assert lock.trouble is None
        shutil.rmtree(state)
        with (
            pytest.raises(
                LockedError, match=f"another oomward agent .pid {os.getpid()}; its name was removed .* has {mount}:"
            ),
            AgentLock(state, "n", mount),
        ):
            pass
        with pytest.raises(LockedError), AgentLock(tmp_path / "another", "n", mount):
            pass
        monkeypatch.setattr("agent.ledger.lock._holder", lambda _: None)
        with (
            pytest.raises(
                LockedError, match=r"another oomward agent .its name was removed with its state directory. has"
            ),
            AgentLock(tmp_path / "third", "n", mount),
        ):
            pass
    with AgentLock(state, "node-1", mount) as lock:
        assert lock.trouble is None


def test_without_a_state_directory_the_mount_still_guards(tmp_path: Path) -> None:
    with AgentLock(Path("/proc/oomward"), "node-1", tmp_path) as lock:
        assert lock.trouble is not None
        assert "a second agent would not be noticed" not in lock.trouble
        with pytest.raises(LockedError), AgentLock(Path("/proc/oomward"), "node-1", tmp_path):
            pass


def test_a_mount_that_is_not_there_is_no_reason_not_to_lock(tmp_path: Path) -> None:
    with AgentLock(tmp_path / "state", "node-1", tmp_path / "nowhere") as lock:
        assert lock.trouble is None
