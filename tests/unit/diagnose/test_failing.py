"""Pods that fail now are on the metrics' page by category, and the Event of a kill says what to do about its container."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from agent.diagnose.failing import LOOK_EVERY_S
from agent.model import PodChanged, PodDeleted, PodsListed
from agent.pods.parse import parse_pod
from tests.unit.loop.world import CONTAINER, ID, MODE, UID, World, pod

OUT_OF_PULLS = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nowhere/none"'}}
RUNNING = {"running": {"startedAt": "2025-10-09T08:00:00Z"}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, announce=False)
    yield world
    world.end()


def pod_json(state: dict[str, Any], uid: str = UID, **limits: str) -> dict[str, Any]:
    running = "running" in state
    return {
        "metadata": {"name": "herder-1", "namespace": "default", "uid": uid, "labels": {MODE: "single"}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "resources": {"limits": limits}}]},
        "status": {
            "phase": "Running" if running else "Pending",
            "containerStatuses": [
                {
                    "name": "main", "state": state, "ready": running, "restartCount": 0, "image": "nowhere/none",
                    "containerID": f"containerd://{ID}" if running else "",
                }
            ],
        },
    }  # fmt: skip


def receive(world: World, obj: dict[str, Any]) -> None:
    world.node.message(PodChanged(parse_pod(obj)), world.now)
    world.turn()


def failure(world: World, category: str) -> float | None:
    return world.metric(f'oomward_pod_failure{{category="{category}",namespace="default",pod="herder-1"}}')


def test_a_pod_that_fails_is_shown_as_long_as_it_does(world: World) -> None:
    receive(world, pod_json(OUT_OF_PULLS))
    assert failure(world, "ImagePullBackOff") == 1
    receive(world, pod_json(RUNNING))
    assert failure(world, "ImagePullBackOff") is None


def test_a_list_says_it_of_all_and_a_pod_that_left_is_shown_no_longer(world: World) -> None:
    obj = pod_json(OUT_OF_PULLS)
    world.node.message(PodsListed((parse_pod(obj),), "1"), world.now)
    assert failure(world, "ImagePullBackOff") == 1
    world.node.message(PodDeleted(UID), world.now)
    assert failure(world, "ImagePullBackOff") is None


def test_two_pods_of_one_name_are_shown_until_both_are_well(world: World) -> None:
    """The old one goes while the new one of a StatefulSet is there already."""
    other = UID.replace("1b4e", "2c5f")
    receive(world, pod_json(OUT_OF_PULLS))
    receive(world, pod_json(OUT_OF_PULLS, other))
    world.node.message(PodDeleted(UID), world.now)
    assert failure(world, "ImagePullBackOff") == 1
    world.node.message(PodDeleted(other), world.now)
    assert failure(world, "ImagePullBackOff") is None


def test_a_container_that_lives_on_after_a_kill_is_half_dead_perhaps_for_an_hour(world: World) -> None:
    world.make(knob=1)
    receive(world, pod_json(RUNNING, memory="256Mi"))
    world.kill()
    world.turn(after_s=1.0)
    assert failure(world, "OOMKilledProcess") == 1
    world.failing._unix_s = lambda: time.time() + 4000
    world.node.housekeeping(world.now + LOOK_EVERY_S)
    assert failure(world, "OOMKilledProcess") is None, "time alone ends it"


def test_the_event_of_a_kill_says_what_to_do_with_the_containers_own_numbers(world: World) -> None:
    world.make(knob=1)
    receive(world, pod_json(RUNNING, memory="256Mi"))
    for _ in range(3):
        world.kill()
        world.turn(after_s=1.0)
    notes = [n.note for n in world.posted if n.reason.value == "ProcessOOMKilled"]
    assert all("256" in note for note in notes)
    assert any("raise" in note.lower() for note in notes)


def test_after_a_restart_the_kills_of_the_last_hour_still_count(world: World) -> None:
    world.make(knob=1)
    receive(world, pod_json(RUNNING, memory="256Mi"))
    world.kill()
    world.turn(after_s=1.0)
    world.end()
    world.begin()
    receive(world, pod_json(RUNNING, memory="256Mi"))
    assert failure(world, "OOMKilledProcess") == 1


def test_a_status_that_changes_alone_decides_no_mode(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    receive(world, pod_json(RUNNING))
    decided: list[object] = []
    monkeypatch.setattr(world.node.modes, "pod_changed", lambda *args: decided.append(args))
    world.message(PodChanged(parse_pod(pod_json(OUT_OF_PULLS)), decides=False, asks=False))
    assert decided == []
    assert failure(world, "ImagePullBackOff") == 1
    receive(world, pod_json(RUNNING, memory="1Gi"))
    assert len(decided) == 1


def test_pods_without_a_status_are_borne(world: World) -> None:
    world.told(replace(pod(), labels=MappingProxyType({})))
    world.node.housekeeping(world.now + 2 * LOOK_EVERY_S)
    assert failure(world, "Unknown") is None
    assert CONTAINER not in world.tree.cgroups
