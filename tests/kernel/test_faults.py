"""The agent in its bad hours on a real kernel: stopped, out of memory, out of disk, and among thousands of containers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.ledger import LedgerReader
from agent.model import OomKill, Scope
from tests.kernel.conftest import MODE, NODE, Node, make_node
from tests.lab import cgroups
from tests.lab.agent_process import AgentProcess
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import MIB, Container, Instance, Pod

SINGLE = {MODE: "single"}
HERD = ("herd", "2", "0", "2", "200")
LAST_TO_DIE = -997  # what the kubelet sets for a pod of priority system-node-critical (pkg/kubelet/qos/policy.go)
CONTAINERS_A_MINUTE, PODS, AT_ONCE = 2000, 100, 5


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = make_node(tmp_path, "cgroupfs", status_delay_s=0.3)
    yield node
    node.close()


def start(node: Node, name: str, *args: str, limit_mib: int | None = 64, **options: Any) -> Instance:
    options.setdefault("labels", SINGLE)
    return node.kubelet.run_pod(Pod(name, (Container("main", args or ("pause",), limit_mib),), **options))[0]


def start_herd(node: Node) -> Instance:
    """Two that eat until they are killed, again and again.

    Their PID 1 is spared: the kernel picks it, too, when the memory of one that it killed isn't back in time.
    """
    herd = start(node, "herd", *HERD)
    Path(f"/proc/{herd.pid}/oom_score_adj").write_text("-1000")
    return herd


def recorded(node: Node) -> list[OomKill]:
    reader = LedgerReader(node.work / "state")
    kills = reader.kills(limit=100_000)
    reader.close()
    assert len(kills) == len({kill.kill_id for kill in kills})
    return kills


def processes(node: Node, path: str) -> int:
    return sum(kill.processes for kill in recorded(node) if kill.cgroup_path == path)


def all_counted(node: Node, instance: Instance, seconds: float = 60) -> None:
    """The ledger has exactly the kernel's kills of a container, once that kills no more."""
    node.agent.wait_for(
        lambda: processes(node, instance.path) == memory_events(instance.path)["oom_kill"], seconds, "all recorded"
    )


# ---------------------------------------------------------------------------------------------------------- SIGSTOP


def test_an_agent_that_was_stopped_for_a_while_comes_right_and_has_missed_no_kill(node: Node) -> None:
    agent = node.start_agent()
    held, herd = start(node, "held"), start_herd(node)
    for instance in (held, herd):
        agent.wait_for(lambda i=instance: node.knob(i.path) == "0", 60, "held")
    agent.process.send_signal(signal.SIGSTOP)
    (MOUNT / held.path / "memory.oom.group").write_text("1")
    late = start(node, "late")
    before = memory_events(herd.path)["oom_kill"]
    node.kubelet.wait_for(lambda: memory_events(herd.path)["oom_kill"] >= before + 5, 60)
    agent.process.send_signal(signal.SIGCONT)
    for instance in (held, late):
        agent.wait_for(lambda i=instance: node.knob(i.path) == "0", 60, "held again")
    assert agent.get("/healthz")[0] == 200
    node.kubelet.delete_pod(herd.pod)
    agent.wait_for(lambda: processes(node, herd.path) >= before + 5, 60, "recorded")
    assert agent.total("oomward_unattributed_oom_kills_total") == 0
    assert agent.total("oomward_resync_corrections_total") == 0, "notifications waited for it"


# ----------------------------------------------------------------------------------------------------- out of memory


def own_cgroup(agent: AgentProcess, pod: Pod, node: Node) -> str:
    """Put the agent where its DaemonSet's container would be."""
    path = f"{node.kubelet.driver.pod_path(pod)}/{uuid.uuid4().hex * 2}"
    cgroups.make(node.kubelet.driver.pod_path(pod))
    (MOUNT / path).mkdir()
    (MOUNT / path / "memory.oom.group").write_text("1")
    (MOUNT / path / "cgroup.procs").write_text(str(agent.process.pid))
    return path


def test_when_the_node_is_out_of_memory_the_last_to_die_is_the_agent(node: Node) -> None:
    """The pods' process goes, though the agent is there with all that it holds; both are BestEffort."""
    agent = node.start_agent()
    (Path("/proc") / str(agent.process.pid) / "oom_score_adj").write_text(str(LAST_TO_DIE))
    own_cgroup(agent, Pod("oomward", (Container("agent", (), None),), namespace="oomward"), node)
    instance = start(node, "besteffort", limit_mib=None)
    node.kubelet.execute(instance, "eat", "0", "glutton", "0", "0")
    agent.wait_for(lambda: len(recorded(node)) == 1, 90, "recorded")
    (kill,) = recorded(node)
    assert (kill.scope, [victim.comm for victim in kill.victims]) == (Scope.NODE, ["glutton"])
    agent.wait_for(lambda: node.events("ProcessOOMKilled", "besteffort"), 60, "told")
    assert agent.process.poll() is None
    assert agent.get("/healthz")[0] == 200


def test_an_agent_that_dies_of_its_own_limit_comes_back_and_has_lost_nothing(node: Node) -> None:
    """Its own kill is recorded by the one that comes after it, and so is what happened in between."""
    agent = node.start_agent()
    herd, held = start_herd(node), start(node, "held")
    for instance in (herd, held):
        agent.wait_for(lambda i=instance: node.knob(i.path) == "0", 60, "held")
    path = own_cgroup(agent, Pod("oomward", (Container("agent", (), 64),), namespace="oomward"), node)
    (MOUNT / path / "memory.max").write_text(str(MIB))  # what it touches from now on is too much
    for _ in range(600):
        if agent.process.poll() is not None:
            break
        agent.get("/metrics")
        (MOUNT / held.path / "memory.oom.group").write_text("1")
        time.sleep(0.1)
    assert agent.process.poll() == -signal.SIGKILL
    (MOUNT / held.path / "memory.oom.group").write_text("1")
    before = memory_events(herd.path)["oom_kill"]
    node.kubelet.wait_for(lambda: memory_events(herd.path)["oom_kill"] >= before + 3, 60)
    agent = node.start_agent()
    agent.wait_for(lambda: node.knob(held.path) == "0", 60, "held again")
    node.kubelet.wait_for(lambda: memory_events(path).get("oom_kill", 0) >= 1, 60)
    agent.wait_for(lambda: processes(node, path) >= 1, 60, "its own kill recorded")
    assert any(victim.comm.startswith("python") for kill in recorded(node) for victim in kill.victims)
    os.kill(herd.pid, signal.SIGSTOP)  # replaces nobody any more: what is counted now is all
    time.sleep(2)
    all_counted(node, herd)
    assert agent.total("oomward_unattributed_oom_kills_total") == 0


# --------------------------------------------------------------------------------------------------------- the disk


def test_a_full_disk_loses_nothing_that_there_is_memory_for_and_is_said_until_it_is_over(node: Node) -> None:
    state = node.work / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(state)], check=True)
    try:
        agent = node.start_agent()
        herd = start_herd(node)
        agent.wait_for(lambda: node.knob(herd.path) == "0", 60, "held")
        ballast = state / "ballast"
        with ballast.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(b"x" * 4096)
                except OSError:
                    break
        before = memory_events(herd.path)["oom_kill"]
        node.kubelet.wait_for(lambda: memory_events(herd.path)["oom_kill"] >= before + 5, 60)
        agent.wait_for(lambda: agent.log_lines(level="warning"), 60, "said")
        agent.wait_for(lambda: "look for a full disk" in agent.get("/readyz")[1], 60, "told on the page")
        assert agent.get("/healthz")[0] == 200
        os.kill(herd.pid, signal.SIGSTOP)
        time.sleep(1)
        ballast.unlink()
        agent.wait_for(lambda: "full disk" not in agent.get("/readyz")[1], 60, "over")
        all_counted(node, herd)
        assert agent.stop() == 0
        shutil.copytree(state, node.work / "kept")
    finally:
        for agent in node.agents:
            agent.stop(signal.SIGKILL)
        subprocess.run(["umount", str(state)], check=True)
    shutil.copytree(node.work / "kept", state, dirs_exist_ok=True)
    assert processes(node, herd.path) == memory_events(herd.path)["oom_kill"]


# ------------------------------------------------------------------------------------------------------------ churn


def test_two_thousand_containers_a_minute_are_held_each_and_none_is_left_behind(node: Node) -> None:
    """Cgroups as a runtime makes and writes them, without processes: the lab's runtimes need 0.15 to 0.5 s a start."""
    agent = node.start_agent()
    at_rest = agent.total("oomward_inotify_watches")
    root = node.kubelet.driver.root
    began = time.monotonic()
    waiting: list[tuple[Pod, str, list[str]]] = []
    for number in range(PODS):
        containers = tuple(Container(f"c{i}", ("pause",)) for i in range(CONTAINERS_A_MINUTE // PODS))
        pod = Pod(f"burst-{number}", containers, labels=SINGLE)
        node.api.put_pod(node.kubelet.status(pod))
        path = node.kubelet.driver.pod_path(pod)
        cgroups.make(path)
        made = [f"{path}/{uuid.uuid4().hex * 2}" for _ in containers]
        for each in made:
            (MOUNT / each).mkdir()
            (MOUNT / each / "memory.oom.group").write_text("1")
        waiting.append((pod, path, made))
        if len(waiting) > AT_ONCE:
            held_and_gone(node, *waiting.pop(0))
        time.sleep(max(0.0, began + (number + 1) * 60 / PODS - time.monotonic()))
    took_s = time.monotonic() - began
    for each_pod in waiting:
        held_and_gone(node, *each_pod)
    print(
        f"{CONTAINERS_A_MINUTE} containers in {took_s:.1f} s"
    )  # a minute, unless this machine can't make so many cgroups
    assert agent.total("oomward_oom_group_writes_total", outcome="written") >= CONTAINERS_A_MINUTE
    agent.wait_for(lambda: agent.total("oomward_cgroups", kind="container") == 0, 60, "all gone")
    agent.wait_for(lambda: agent.total("oomward_inotify_watches") <= at_rest + 10, 60, "no watch left behind")
    assert agent.total("oomward_inotify_overflows_total") == 0
    assert agent.total("oomward_cgroup_errors_total") == 0
    assert agent.total("oomward_resync_corrections_total") == 0
    assert (MOUNT / root).is_dir()


def not_held(paths: list[str]) -> int:
    return sum((MOUNT / path / "memory.oom.group").read_text().strip() != "0" for path in paths)


def held_and_gone(node: Node, pod: Pod, path: str, made: list[str]) -> None:
    node.agent.wait_for(lambda: not_held(made) == 0, 60, f"held: {pod.name}")
    for each in made:
        (MOUNT / each).rmdir()
    (MOUNT / path).rmdir()
    node.api.delete_pod(pod.namespace, pod.name)


# ------------------------------------------------------------------------------------------------------- two agents


def test_a_second_agent_on_the_node_refuses_and_names_the_first(node: Node) -> None:
    agent = node.start_agent()
    command = [sys.executable, "-m", "agent", "run", "--node-name", NODE, "--state-dir", str(node.work / "state")]
    kubeconfig = ["--kubeconfig", str(node.work / "kubeconfig"), "--listen", "127.0.0.1:9798"]
    second = subprocess.run([*command, *kubeconfig], capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert f"another oomward agent (pid {agent.process.pid}, node {NODE})" in second.stderr
    assert agent.get("/healthz")[0] == 200
