"""A sandbox is known by its oom_score_adj, which the runtimes set, whatever its process is called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.kills.builder import with_details
from agent.model import TaskRow
from tests.unit.kills.world import POD, ROOT, A, B, World, report
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
