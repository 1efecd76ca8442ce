"""A 1 above a container makes its 0 useless: told once for each level, and counted for as long as it is so."""

from __future__ import annotations

from tests.unit.cgroup.fakes import make
from tests.unit.loop.world import MODE, POD, World, pod


def test_an_ancestor_with_a_1_that_was_there_before_the_agent_is_told_too(world: World) -> None:
    world.make()
    (world.mount / POD / "memory.oom.group").write_text("1\n")
    world.told(pod({MODE: "single"}))
    assert "OOMModeFailed" in world.reasons()


def test_a_pod_whose_cgroup_carries_a_1_and_wants_none_is_not_told_of(world: World) -> None:
    world.told(pod())
    world.make(knob=1)
    world.write(POD, 1)
    assert world.posted == []


def test_a_1_above_is_told_whether_it_came_before_the_container_or_after(world: World) -> None:
    make(world.mount, POD, memory__oom__group="1\n")
    world.turn()
    world.told(pod({MODE: "single"}))
    assert world.posted == []
    world.make(knob=1)
    assert world.reasons().count("OOMModeFailed") == 1
    world.write("kubepods", 1)
    world.write("kubepods", 1)
    assert world.reasons().count("OOMModeFailed") == 2, "once for each level"


def test_the_metric_counts_the_containers_below_a_1_that_are_there_now(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)

    def conflicts() -> float | None:
        world.node.housekeeping(world.now)
        return world.metric("oomward_ancestor_conflicts")

    assert conflicts() == 0
    world.write(POD, 1)
    world.write("kubepods", 1)
    assert conflicts() == 1, "two levels, one container"
    world.write(POD, 0)
    assert conflicts() == 1
    world.write("kubepods", 0)
    assert conflicts() == 0
    world.write("kubepods", 1)
    world.told(pod())
    assert conflicts() == 0, "it no longer asks for single"
