"""What a kill costs: as many system calls on control files on a node of 110 pods as on one of a single pod."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cgroup.fakes import make
from tests.unit.loop.world import World, pod

CALLS = ("open", "close", "dup", "read", "pread", "write", "pwrite", "stat", "fstat", "scandir", "listdir")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every system call on a file that is made through ``os``, by name."""
    made: list[str] = []

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            made.append(name)
            return call(*args, **kwargs)

        return counted

    for name in CALLS:
        monkeypatch.setattr(os, name, counting(name, getattr(os, name)))
    return made


def a_node_of(pods: int, folder: Path) -> World:
    """The pod whose container is killed in, and ``pods`` - 1 others with a container each."""
    folder.mkdir()
    world = World(folder)
    world.told(pod())
    for number in range(pods - 1):
        make(world.mount, f"kubepods/burstable/pod{number:08x}-2fa1-11d2-883f-0016d3cca427/{number:064x}")
    world.make(knob=1)
    return world


def a_kill(world: World) -> None:
    """From the kernel's count to the end of all that follows: the levels above are asked half a second later."""
    before = len(world.ledger.kills())
    world.kill()
    for _ in range(8):
        world.turn(after_s=0.2)
    assert len(world.ledger.kills()) == before + 1


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[World]]:
    """Of one pod, of ten and of 110."""
    found = [a_node_of(pods, tmp_path / str(pods)) for pods in (1, 10, 110)]
    yield found
    for world in found:
        world.end()


def test_a_kill_costs_as_many_system_calls_on_a_full_node_as_on_an_empty_one(
    nodes: list[World], calls: list[str]
) -> None:
    costs = []
    for world in nodes:
        a_kill(world)
        calls.clear()
        a_kill(world)
        costs.append(sorted(calls))
    assert costs[0] == costs[1] == costs[2]
    assert 0 < len(costs[0]) <= 60
