"""A container's series: zeros from the moment its pod has a cgroup, through restarts, to their end five minutes after the pod's."""

from __future__ import annotations

import re

from agent.metrics.series import KEEP_S
from agent.model import PodDeleted, Rules
from tests.unit.loop.world import CONTAINER, ID, MODE, POD, UID, World, pod

NAMED = 'container="main",namespace="default",pod="herder-1"'
OTHER_ID = "b" * 64


def kills(world: World, mode: str = "single") -> float | None:
    """The one series of the container's own limit."""
    return world.metric(
        f'oomward_oom_kills_total{{container="main",mode="{mode}",namespace="default",pod="herder-1",scope="container"}}'
    )


def test_zeros_are_there_before_the_container_has_a_name_and_for_what_may_become_of_it(world: World) -> None:
    """From its pod's sandbox on, which is there first."""
    world.told(pod({MODE: "single"}, ids={"main": None}))
    assert kills(world) is None
    world.make(f"{POD}/{OTHER_ID}", knob=0)
    assert kills(world) == 0
    assert (
        world.metric(
            'oomward_oom_kill_outcomes_total{container="main",namespace="default",outcome="survived",pod="herder-1"}'
        )
        == 0
    )


def test_a_container_that_asks_for_nothing_has_its_zeros_too(world: World) -> None:
    world.make(knob=1)
    world.told(pod())
    assert kills(world, "group") == 0


def test_a_container_that_is_made_anew_goes_on_with_its_series(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.kill()
    world.turn(after_s=0.1)
    assert kills(world) == 1
    world.remove(CONTAINER)
    world.node.housekeeping(world.now + KEEP_S + 1)
    assert kills(world) == 1, "its pod lives"
    again = f"{POD}/{OTHER_ID}"
    world.make(again, knob=1)
    world.told(pod({MODE: "single"}, ids={"main": OTHER_ID}))
    world.kill(again)
    world.turn(after_s=0.1)
    assert kills(world) == 2
    assert ID != OTHER_ID


def test_series_end_five_minutes_after_their_pod_and_are_there_until_then(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.remove(POD)
    world.node.message(PodDeleted(UID), world.now)
    world.node.housekeeping(world.now + KEEP_S)
    assert kills(world) == 0
    assert world.metric(f"oomward_container_oom_group{{{NAMED}}}") == 0
    world.node.housekeeping(world.now + KEEP_S + 1)
    assert 'pod="herder-1"' not in world.metrics.page()[1].decode()


def test_a_container_that_is_looked_at_after_its_pod_left_does_not_make_its_series_last(world: World) -> None:
    """A pod deleted by force leaves the API before its containers end."""
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.node.message(PodDeleted(UID), world.now)
    world.node.reload(Rules(), world.now)
    world.node.housekeeping(world.now + KEEP_S + 1)
    assert 'pod="herder-1"' not in world.metrics.page()[1].decode()


def test_a_pod_that_names_very_many_containers_has_series_for_those_that_are_there(world: World) -> None:
    """Not for 5,000 that its spec names, of which the node runs a handful."""
    ids: dict[str, str | None] = {f"c{number}": None for number in range(400)}
    world.told(pod({MODE: "single"}, ids=ids))
    world.make(f"{POD}/{OTHER_ID}", knob=0)
    world.make(knob=1)
    assert 'pod="herder-1"' not in world.metrics.page()[1].decode()
    world.told(pod({MODE: "single"}, ids=ids | {"c7": ID}))
    page = world.metrics.page()[1].decode()
    assert set(re.findall(r'container="([^"]*)"', page)) == {"c7"}
    assert 'container="c7",mode="single",namespace="default",pod="herder-1",scope="container"} 0.0' in page
    world.kill()
    world.turn(after_s=0.1)
    assert 'container="c7",mode="single",namespace="default",pod="herder-1",scope="container"} 1.0' in (
        world.metrics.page()[1].decode()
    )
