"""The agent does its job in a container with exactly what the least-privilege profile gives it.

The image's tree, started by runc as containerd would (tests/lab/agent_container.py), with mounts, capabilities, namespaces and
seccomp read from manifests/. What each of them is for: test_without_privileges.py.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.kernel.conftest import DRIVERS, FAMILY, RUNTIMES
from tests.kernel.profiled import (
    ProfiledNode,
    a_kill_is_told,
    effective,
    make_profiled_node,
    messages,
    same_namespace,
    start,
    status,
)
from tests.lab import profiles
from tests.lab.agent_container import AgentContainer
from tests.lab.kubelet import MOUNT

LEAST = profiles.least()


@pytest.fixture(scope="module", params=DRIVERS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProfiledNode]:
    """A node with each driver's layout."""
    node = make_profiled_node(tmp_path_factory.mktemp("node"), request.param, status_delay_s=0.3)
    yield node
    node.close()


# ------------------------------------------------------------------------------------------------- the profile as it is


@pytest.fixture(scope="module")
def least(both: ProfiledNode) -> AgentContainer:
    return both.start(LEAST)


def test_it_runs_with_no_more_power_than_the_manifest_says(both: ProfiledNode, least: AgentContainer) -> None:
    found = status(least)
    assert found["Uid"].split() == ["0"] * 4
    assert effective(least) == len(LEAST.capabilities or ()) == 2
    assert int(found["CapBnd"], 16) == int(found["CapEff"], 16)
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2", "a filter is in force"
    assert [kind for kind in ("pid", "net", "mnt", "ipc", "uts", "cgroup") if same_namespace(least, kind)] == ["pid"]
    mounts = [line.split() for line in Path(f"/proc/{least.pid}/mountinfo").read_text().splitlines()]
    options = {fields[4]: fields[5].split(",") for fields in mounts}
    assert "ro" in options["/"]
    assert "ro" in options["/etc/oomward"]
    assert {path for path, given in options.items() if "rw" in given and not path.startswith(("/proc", "/dev"))} == {
        "/sys/fs/cgroup",
        "/var/lib/oomward",
    }
    assert "/dev/kmsg" not in options


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_holds_counts_and_tells_on_the_node_around_it(
    both: ProfiledNode, least: AgentContainer, runtime: str
) -> None:
    event = a_kill_is_told(both, f"labelled-{runtime}", runtime)
    note = str(event["note"])
    assert "at the container's memory limit of 64 MiB. The container is still running (mode single)." in note
    assert "The process is not known" in note


def test_a_container_that_asks_for_nothing_dies_as_a_whole_and_is_told_of(
    both: ProfiledNode, least: AgentContainer
) -> None:
    stays = start(both, "plain", *FAMILY, asks=None)
    both.kubelet.wait_for(lambda: not stays.running, 60)
    least.wait_for(lambda: both.events("ContainerOOMKilled", "plain"), 60, "told")
    counter = stays.events  # in a group kill the first victim may be in it twice
    possible = range(counter["oom_kill"] - counter["oom_group_kill"], counter["oom_kill"] + 1)
    least.wait_for(
        lambda: least.total("oomward_oom_kills_total", pod="plain", mode="group") in possible, 60, f"{possible} counted"
    )


def test_a_container_whose_pid_1_is_killed_is_told_to_have_died_of_its_own_limit(
    both: ProfiledNode, least: AgentContainer
) -> None:
    """Whose limit it was only the counters tell here, and the container is gone as soon as its processes are."""
    died = start(both, "pid-1", "eat", "0", "init", "5", "1000")
    both.kubelet.execute(died, "herd", "30", "0", "10000000", "10000")
    least.wait_for(lambda: both.events("ContainerOOMKilled", "pid-1"), 60, "told")
    (event,) = both.events("ContainerOOMKilled", "pid-1")
    assert "at the container's memory limit of 64 MiB. The container died" in event["note"]


def test_a_killed_pid_1_that_cannot_end_yet_is_the_containers_death(both: ProfiledNode, least: AgentContainer) -> None:
    """It sleeps until all of its namespace have gone, here until a parent outside of it reaps one; on a busy node for long."""
    undead = start(both, "undead", "eat", "56", "init", "1", "1000")
    least.wait_for(lambda: both.events("OOMModeApplied", "undead"), 60, "held")
    with (
        subprocess.Popen(["nsenter", "--target", str(undead.pid), "--pid", "sleep", "100"]) as careless,
        subprocess.Popen(["sleep", "1000"]) as lodger,
    ):
        try:
            children = Path(f"/proc/{careless.pid}/task/{careless.pid}/children")
            both.kubelet.wait_for(children.read_text, 60)
            careless.send_signal(signal.SIGSTOP)
            (MOUNT / undead.path / "cgroup.procs").write_text(str(lodger.pid))
            both.kubelet.execute(undead, "eat", "0", "glutton", "0")
            least.wait_for(lambda: least.total("oomward_oom_kills_total", pod="undead") >= 1, 60, "counted")
            least.wait_for(lambda: both.events("ContainerOOMKilled", "undead"), 60, "told")
            assert psutil.Process(undead.pid).status() == psutil.STATUS_SLEEPING
            assert both.events("ProcessOOMKilled", "undead") == []
        finally:
            careless.send_signal(signal.SIGCONT)
            lodger.kill()


def test_it_says_that_names_of_victims_are_missing(both: ProfiledNode, least: AgentContainer) -> None:
    assert "/dev/kmsg: No such file or directory" in messages(least, "warning")
    assert "the names of their victims will be missing" in messages(least, "warning")
    assert least.total("oomward_kmsg_readable") == 0
    assert least.total("oomward_oom_kills_without_details_total") >= 1
    checked = least.oomward("check", "--output", "json").stdout
    assert '"fail"' not in checked.replace(": 0", "")
    assert "the killed processes are not known" in checked


def test_its_commands_work_in_its_container(both: ProfiledNode, least: AgentContainer) -> None:
    start(both, "seen")
    least.wait_for(lambda: both.events("OOMModeApplied", "seen"), 60, "applied")
    for command in (("ps",), ("explain", "default/seen"), ("history",)):
        done = least.oomward(*command)
        assert (done.returncode, done.stderr) == (0, "")
    assert "labelled-runc" in least.oomward("history").stdout


def test_it_ends_when_told_and_once_gives_the_node_back(both: ProfiledNode, least: AgentContainer) -> None:
    given = start(both, "given-back")
    least.wait_for(lambda: both.knob(given.path) == "0", 60, "held")
    assert least.stop() == 0
    assert both.knob(given.path) == "0", "values stay when the agent goes"
    once = both.start(replace(LEAST, args=("once", "--restore")), ready=False)
    assert once.process.wait(60) == 0
    assert both.knob(given.path) == "1"
