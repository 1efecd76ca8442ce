"""Looking at the agent never kills it: commands in its container, within the memory limit of the manifests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.profiled import ProfiledNode, make_profiled_node, start
from tests.lab import profiles
from tests.lab.profiles import Profile
from tests.lab.spec import MIB

WATCHES = 3


@pytest.fixture(scope="module", params=[profiles.full(), profiles.least()], ids=["full", "least-privilege"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProfiledNode]:
    profile: Profile = request.param
    node = make_profiled_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.3)
    for number in range(10):
        start(node, f"pod-{number}")
    agent = node.start(profile)
    assert (agent.cgroup / "memory.max").read_text() == f"{profile.memory_limit_mib * MIB}\n"
    agent.wait_for(lambda: (agent.cgroup / "memory.oom.group").read_text() == "0\n", 60, "its own mode is in force")
    yield node
    node.close()


def kills(node: ProfiledNode) -> int:
    lines = (node.agent.cgroup / "memory.events").read_text().splitlines()
    return int(dict(line.split() for line in lines)["oom_kill"])


def commands(node: ProfiledNode) -> set[int]:
    """PIDs of the commands in the agent's container."""
    return {int(pid) for pid in (node.agent.cgroup / "cgroup.procs").read_text().split()} - {node.agent.pid}


@pytest.fixture
def watches(node: ProfiledNode) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three people watch. What they read is read here as well."""
    command = node.agent.command("oomward", "ps", "--watch", "0.5", "--output", "json")
    started = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for _ in range(WATCHES)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline(), "its first answer"
    yield started
    for process in started:
        assert process.stdout is not None
        process.kill()
        process.stdout.close()
        process.wait()


def test_three_who_watch_and_others_who_ask_fit_beside_it(
    node: ProfiledNode, watches: list[subprocess.Popen[bytes]]
) -> None:
    for words in (("ps",), ("history",), ("explain", "default/pod-1"), ("diagnose", "--all")):
        done = node.agent.oomward(*words)
        assert done.returncode == 0, done.stderr
        assert "reads the node itself" not in done.stderr
    assert len(commands(node)) >= WATCHES
    assert kills(node) == 0
    assert int((node.agent.cgroup / "memory.peak").read_text()) < profiles.full().memory_limit_mib * MIB
    assert {Path(f"/proc/{pid}/oom_score_adj").read_text() for pid in commands(node)} == {"1000\n"}


def test_they_end_when_their_clients_end(node: ProfiledNode, watches: list[subprocess.Popen[bytes]]) -> None:
    for process in watches:
        process.kill()
        assert process.stdout is not None
        process.stdout.close()
    node.agent.wait_for(lambda: commands(node) == set(), 90, "ended")


def test_what_eats_the_memory_in_its_container_is_killed_and_the_agent_runs_on(node: ProfiledNode) -> None:
    interpreter = os.readlink(f"/proc/{node.agent.pid}/exe")
    code = "open('/proc/self/oom_score_adj', 'w').write('1000'); x = b'x' * (1 << 30)"
    done = subprocess.run(node.agent.command(interpreter, "-c", code), check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 128 + signal.SIGKILL
    assert kills(node) == 1
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", "oomward-0"), 60, "reported")
    assert node.agent.get("/readyz")[0] == 200
