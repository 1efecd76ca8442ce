"""Every way in which the OOM killer strikes: counted once, of the right container, with whose limit it was and what came of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agent.kernel.processes import node_oom_kills
from agent.ledger import LedgerReader
from agent.model import OomKill, Outcome, Scope
from tests.kernel.conftest import DRIVERS, MODE, RUNTIMES, Node, make_node
from tests.lab import cgroups
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import MIB, Container, Instance, Pod

FAMILY = ("family", "2", "0", "2")  # PID 1, two quiet helpers, and a worker that eats without end
SINGLE = {MODE: "single"}
EATER = """
import sys
open(sys.argv[1], "w").write("0")
eaten = []
while True:
    eaten.append(bytearray(b"x" * (1 << 20)))
"""


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), request.param, status_delay_s=0.5)
    node.start_agent("--resync-interval", "5s")
    yield node
    node.close()


def start(node: Node, name: str, *args: str, limit_mib: int | None = 64, **options: Any) -> Instance:
    options.setdefault("labels", SINGLE)
    return node.kubelet.run_pod(Pod(name, (Container("main", args or FAMILY, limit_mib),), **options))[0]


def recorded(node: Node, pod: str) -> list[OomKill]:
    """The ledger's kills of a pod, oldest first."""
    reader = LedgerReader(node.work / "state")
    kills = reader.kills(pod=pod, limit=100_000)
    reader.close()
    return kills[::-1]


def told(node: Node, pod: str) -> list[dict[str, Any]]:
    return [e for e in node.api.events if e["regarding"]["name"] == pod and "OOMKilled" in e["reason"]]


def the_kill(node: Node, pod: str, seconds: float = 60, *, outcome_is_known: bool = True) -> OomKill:
    """The one kill of a pod, when its outcome is known or its Event is posted; and a second later it is still the only one."""

    def found() -> bool:
        kills = recorded(node, pod)
        return bool(kills) and (
            all(k.outcome is not None for k in kills) if outcome_is_known else bool(told(node, pod))
        )

    node.agent.wait_for(found, seconds, f"{pod} recorded")
    time.sleep(1)
    kill, *others = recorded(node, pod)
    assert not others, [kill, *others]
    assert node.agent.total("oomward_oom_kills_total", pod=pod) == kill.processes
    node.agent.wait_for(lambda: told(node, pod), seconds, f"{pod} told")
    assert len(told(node, pod)) == 1
    assert len(node.agent.log_lines(event="oom_kill", pod=pod)) == 1
    return kill


def comms(kill: OomKill) -> list[str]:
    return [victim.comm for victim in kill.victims]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_single_one_process_dies_and_the_container_survives(node: Node, runtime: str) -> None:
    instance = start(node, f"single-{runtime}", runtime=runtime)
    kill = the_kill(node, instance.pod.name)
    assert (kill.container, kill.processes, kill.scope, kill.outcome) == ("main", 1, Scope.CONTAINER, Outcome.SURVIVED)
    assert (kill.container_id, kill.limit_bytes) == (instance.container_id, 64 * MIB)
    assert comms(kill) == ["worker"]
    assert kill.largest[0].comm == "worker"
    assert (kill.group_kill, kill.details_missing) == (False, False)
    use = kill.use
    assert use is not None
    assert use.by_report
    kinds = (use.anon, use.file, use.shmem, use.kernel, use.sock)
    assert 0.9 * 64 * MIB <= sum(kind for kind in kinds if kind is not None) <= 1.1 * 64 * MIB, use


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_group_all_processes_die_each_counted_once(node: Node, runtime: str) -> None:
    instance = start(node, f"group-{runtime}", labels={MODE: "group"}, runtime=runtime, restart_policy="Never")
    node.kubelet.wait_for(lambda: not instance.running, 60)
    kill = the_kill(node, instance.pod.name)
    assert (kill.group_kill, kill.outcome, kill.scope) == (True, Outcome.DIED, Scope.CONTAINER)
    raw, groups = instance.events["oom_kill"], instance.events["oom_group_kill"]
    assert raw - groups <= kill.processes <= raw
    assert kill.processes == len({v.pid for v in kill.victims}), "the first victim's two lines are one process"
    assert comms(kill)[0] == "worker"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_pid_1_when_it_is_the_victim_the_container_dies_though_it_is_single(node: Node, runtime: str) -> None:
    instance = start(node, f"init-{runtime}", "eat", "0", "leader", "0", runtime=runtime, restart_policy="Never")
    node.kubelet.wait_for(lambda: not instance.running, 60)
    kill = the_kill(node, instance.pod.name)
    assert (kill.processes, kill.outcome, comms(kill)) == (1, Outcome.DIED, ["leader"])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_pods_limit_is_told_as_the_pods_when_its_containers_have_none(node: Node, runtime: str) -> None:
    pod = Pod(
        f"pod-limit-{runtime}",
        (Container("quiet", ("pause",), None), Container("main", FAMILY, None)),
        labels=SINGLE,
        limit_mib=64,
        runtime=runtime,
    )
    node.kubelet.run_pod(pod)
    kill = the_kill(node, pod.name)
    assert (kill.container, kill.scope, kill.limit_bytes) == ("main", Scope.POD, 64 * MIB)
    assert kill.outcome is Outcome.SURVIVED


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_limit_of_all_pods_together_is_told_as_kubepods(node: Node, runtime: str) -> None:
    root = node.kubelet.driver.root
    name = f"kubepods-limit-{runtime}"
    instance = start(node, name, "pause", limit_mib=None, runtime=runtime)
    usage = int((MOUNT / root / "memory.current").read_text())
    cgroups.set_limit(root, usage + 48 * MIB)
    node.kubelet.execute(instance, "eat", "0", "glutton", "0", "1000")
    kill = the_kill(node, name)
    (MOUNT / root / "memory.max").write_text("max")
    assert (kill.container, kill.scope, comms(kill)) == ("main", Scope.KUBEPODS, ["glutton"])
    assert kill.outcome is Outcome.SURVIVED


def test_nested_cgroups_inside_of_a_container_are_the_containers(node: Node) -> None:
    """Docker in docker, systemd in a container."""
    instance = start(node, "nested", "nest", "0", "2")
    kill = the_kill(node, "nested")
    assert (kill.container, kill.container_id, comms(kill)) == ("main", instance.container_id, ["nested"])
    assert (kill.outcome, kill.scope) == (Outcome.SURVIVED, Scope.CONTAINER)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_process_that_was_executed_in_a_container_is_the_containers(node: Node, runtime: str) -> None:
    instance = start(node, f"exec-{runtime}", "pause", runtime=runtime)
    node.kubelet.execute(instance, "eat", "0", "intruder", "0")
    kill = the_kill(node, instance.pod.name)
    assert (kill.container, comms(kill), kill.outcome) == ("main", ["intruder"], Outcome.SURVIVED)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_node_out_of_memory_is_told_as_the_nodes_and_not_the_containers_fault(node: Node, runtime: str) -> None:
    """A BestEffort pod, without a limit anywhere: the global OOM killer takes its process."""
    instance = start(node, f"node-oom-{runtime}", "pause", limit_mib=None, runtime=runtime)
    node.kubelet.execute(instance, "eat", "0", "glutton", "0", "1000")
    kill = the_kill(node, instance.pod.name, 60)
    assert (kill.container, kill.scope, comms(kill)) == ("main", Scope.NODE, ["glutton"])
    (event,) = node.events("ProcessOOMKilled", instance.pod.name)
    assert "the node" in event["note"]


@pytest.mark.parametrize("mode", ["group", "single"])
def test_a_container_that_dies_and_is_gone_before_anybody_reads_its_counter_is_still_one_kill(
    node: Node, mode: str
) -> None:
    """The agent sleeps through all of it: the pod's own counter and the kernel's log tell."""
    name = f"vanished-{mode}"
    instance = start(node, name, "pause", labels={MODE: mode}, restart_policy="Never")
    node.agent.wait_for(lambda: node.events("OOMModeApplied", name), 60, "applied")
    node.agent.process.send_signal(signal.SIGSTOP)
    node.kubelet.execute(instance, "eat", "0", "glutton", "0")
    if mode == "single":
        node.kubelet.wait_for(lambda: memory_events(instance.path).get("oom_kill"), 60)
        node.kubelet.kill(instance)
    node.kubelet.wait_for(lambda: not (MOUNT / instance.path).exists(), 60)
    node.agent.process.send_signal(signal.SIGCONT)
    seen = mode == "group"  # else nobody saw whether the container outlived it: it was ended before the agent looked
    kill = the_kill(node, name, outcome_is_known=seen)
    assert (kill.container, kill.container_id) == ("main", instance.container_id)
    assert (kill.group_kill, kill.outcome) == (seen, Outcome.DIED if seen else None)
    assert "glutton" in comms(kill)
    assert kill.processes == len(kill.victims)


def of_the_node(node: Node) -> list[dict[str, Any]]:
    return [event for event in node.api.events if event["regarding"]["kind"] == "Node"]


def test_a_kill_outside_of_pods_is_recorded_for_the_node(node: Node) -> None:
    service = "system.slice/hungry.service"
    cgroups.make("system.slice")
    (MOUNT / service).mkdir()
    cgroups.set_limit(service, 32 * MIB)
    eater = [sys.executable, "-c", EATER, str(MOUNT / service / "cgroup.procs")]
    assert subprocess.run(eater, check=False).returncode == -signal.SIGKILL
    node.agent.wait_for(lambda: node.agent.total("oomward_host_oom_kills_total") == 1, 60, "counted")
    cgroups.remove(service)
    node.agent.wait_for(lambda: of_the_node(node), 60, "told")
    (event,) = of_the_node(node)
    assert service in event["note"]


def test_in_the_end_the_books_and_the_kernels_hierarchy_agree(node: Node) -> None:
    agent = node.agent
    node.wait_for_a_full_look()
    events = memory_events(node.kubelet.driver.root)
    told = agent.total("oomward_oom_kills_total")
    assert events["oom_kill"] - events["oom_group_kill"] <= told <= events["oom_kill"]
    assert agent.total("oomward_unattributed_oom_kills_total") == 0
    assert agent.total("oomward_resync_corrections_total") == 0
    assert agent.total("oomward_unmatched_reports_total") == 0
    total = node_oom_kills()
    assert total is not None
    assert total >= events["oom_kill"] + 1
