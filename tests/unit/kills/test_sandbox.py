"""A sandbox is known by its oom_score_adj, which the runtimes set, whatever its process is called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.kills.builder import with_details
from agent.kills.facts import Findings
from agent.model import Outcome, Scope, TaskRow
from tests.unit.kills.world import POD, ROOT, A, Agent, B, World, report
from tests.unit.wording.kills import KILL, MIB

UNNAMED = replace(KILL, container=None, cgroup_path=A, victims=())


@pytest.fixture
def world() -> World:
    world = World()
    world.make(ROOT, POD, A, B)
    return world


@pytest.mark.parametrize("comm", ["pause", "paws", "runc:[2:INIT]", "qemu-system-x86"])
def test_a_kill_without_a_containers_name_of_a_process_with_a_sandboxs_score_is_in_the_sandbox(
    comm: str, world: World
) -> None:
    found = report(A, 9, domain=POD)
    found = replace(found, victims=(replace(found.victims[0], comm=comm, oom_score_adj=-998),))
    assert with_details(UNNAMED, found, world).sandbox
    assert not with_details(replace(UNNAMED, container="main"), found, world).sandbox


def test_a_process_named_pause_alone_makes_no_sandbox(world: World) -> None:
    found = report(A, 9, domain=POD)
    found = replace(found, victims=(replace(found.victims[0], comm="pause", oom_score_adj=968),))
    assert not with_details(UNNAMED, found, world).sandbox


def test_the_largest_processes_of_a_container_are_without_the_sandboxs(world: World) -> None:
    """Where the container's limit is the pod's too, and was hit at the pod's level."""
    world.limits = {A: 256 * MIB, POD: 256 * MIB}
    tasks = (TaskRow(9, "paws", MIB, 65535, -998), TaskRow(10, "pause", 2 * MIB, 1000, 968))
    kill = replace(KILL, cgroup_path=A)
    found = with_details(kill, replace(report(A, 10, domain=POD), tasks=tasks, limit_bytes=256 * MIB), world)
    assert [task.comm for task in found.largest] == ["pause"]


def in_pods_own(world: World, path: str = POD, comm: str = "qemu-kata-syste") -> Findings:
    """A kill of a process that is in none of the pod's containers."""
    agent = Agent(world)
    world.kill(POD)
    told = report(path, 9, domain=POD)
    told = replace(told, victims=(replace(told.victims[0], comm=comm, oom_score_adj=-100),), limit_bytes=12 << 30)
    agent.attribution.reported(told, world.now)
    agent.read()
    return agent.after(2.0)


@pytest.mark.parametrize("path", [POD, f"{POD}/kata_0123"])
def test_a_virtual_machine_in_the_pods_own_cgroup_is_the_pods_sandbox_at_the_pods_limit(
    world: World, path: str
) -> None:
    """Kata Containers; also of a pod with one container, whose name is not that of the virtual machine."""
    world.only_containers[POD] = "main"
    found = in_pods_own(world, path)
    (kill,) = found.kills
    assert (kill.scope, kill.sandbox, kill.in_vm, kill.container, kill.pod) == (Scope.POD, True, True, None, "herder-1")
    assert (kill.outcome, kill.limit_bytes, found.unattributed) == (Outcome.DIED, 12 << 30, ())


def test_whatever_runs_in_the_pods_own_cgroup_is_no_containers(world: World) -> None:
    """Its outcome is not known then: it may be a helper of the runtime's."""
    world.only_containers[POD] = "main"
    found = in_pods_own(world, comm="helper")
    (kill,) = found.kills
    assert (kill.scope, kill.sandbox, kill.in_vm, kill.container) == (Scope.POD, True, False, None)
    assert (kill.outcome, found.unattributed) == (None, ())


def test_a_conmon_in_a_cgroup_of_its_own_below_the_pod_is_no_sandbox(world: World) -> None:
    (kill,) = in_pods_own(world, f"{POD}/crio-conmon-0123.scope", "conmon").kills
    assert (kill.scope, kill.sandbox) == (Scope.POD, False)


def test_a_virtual_machine_with_its_shims_score_is_the_sandbox_and_a_containers_process_of_that_name_is_not(
    world: World,
) -> None:
    told = report(A, 9, domain=POD)
    told = replace(told, victims=(replace(told.victims[0], comm="qemu-system-x86", oom_score_adj=-999),))
    assert with_details(UNNAMED, told, world).in_vm
    assert not with_details(replace(UNNAMED, container="vm-launcher"), told, world).sandbox
    other = replace(told, victims=(replace(told.victims[0], comm="kube-proxy"),))
    assert not with_details(UNNAMED, other, world).sandbox


def test_on_v1_only_the_nodes_count_shows_a_virtual_machine_in_the_pods_own_cgroup() -> None:
    """There a pod's count is not read: it has its own processes only."""
    world = World()
    world.make(A)
    agent = Agent(world)
    world.node_kills += 1
    told = report(POD, 9, domain=POD)
    told = replace(told, victims=(replace(told.victims[0], comm="cloud-hyperviso"),))
    agent.attribution.reported(told, world.now)
    agent.attribution.counted_node(world.node_kills, world.now)
    found = agent.after(2.0)
    (kill,) = found.kills
    assert (kill.scope, kill.sandbox, kill.in_vm, kill.pod) == (Scope.POD, True, True, "herder-1")
    assert (kill.outcome, found.unattributed) == (Outcome.DIED, ())
