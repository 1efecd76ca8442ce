"""A container at its limit, of ordinary directories: what fills it, and how long it has stalled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.model import Cgroup
from tests.unit.loop.world import CONTAINER, World

MIB = 1 << 20
LIMIT = 256 * MIB


class FakePsi:
    """As cgroup/psi.py; ``stalled`` is set by hand, in seconds."""

    def __init__(self) -> None:
        self.stalled = 0.0
        self.watched: dict[str, Cgroup] = {}

    def __len__(self) -> int:
        return len(self.watched)

    def stalled_us(self, _cgroup: Cgroup) -> int:
        return int(self.stalled * 1e6)

    def watch(self, cgroup: Cgroup) -> bool:
        self.watched[cgroup.path] = cgroup
        return True

    def unwatch(self, cgroup: Cgroup) -> None:
        self.watched.pop(cgroup.path, None)

    def signalled(self, ready: Mapping[int, int]) -> list[Cgroup]:
        return list(self.watched.values()) if ready else []


def fill(
    world: World,
    anon_mib: float,
    file_mib: float = 0.0,
    *,
    path: str = CONTAINER,
    limit: int = LIMIT,
    dirty_mib: float = 0.0,
) -> None:
    """What uses its memory; nothing is signalled."""
    directory = world.mount / path
    (directory / "memory.max").write_text(f"{limit}\n")
    (directory / "memory.current").write_text(f"{int((anon_mib + file_mib) * MIB)}\n")
    stat = {
        "anon": anon_mib,
        "file": file_mib,
        "file_dirty": dirty_mib,
        "file_writeback": 0,
        "shmem": 0,
        "slab_reclaimable": 0,
    }
    (directory / "memory.stat").write_text("".join(f"{key} {int(mib * MIB)}\n" for key, mib in stat.items()))


def reach(world: World, path: str = CONTAINER, times: int = 10) -> None:
    """The limit is reached some times, and the agent hears of it."""
    for name in ("memory.events", "memory.events.local"):
        file = world.mount / path / name
        keys = {key: int(value) for key, value in (line.split() for line in file.read_text().splitlines())}
        keys["max"] += times
        file.write_text("".join(f"{key} {value}\n" for key, value in keys.items()))
    world.turn()


def goes_on(world: World, seconds: int, *, stalled: float | None = None, path: str = CONTAINER) -> None:
    """The limit is reached again each second; ``stalled``: the share of the time, by PSI."""
    for _ in range(seconds):
        world.now += 1.0
        if stalled is not None:
            psi: Any = world.psi
            psi.stalled += stalled
        reach(world, path)


def pressed(world: World, container: str = "main") -> float | None:
    """The gauge."""
    where = f'{{container="{container}",namespace="default",pod="herder-1"}}'
    return world.metric(f"oomward_memory_limit_pressure{where}")
