"""Counters of OOM kills: memory.events and memory.events.local on cgroup v2, memory.oom_control on v1.

Reads as little as the kernel's order of counting allows.
"""

from __future__ import annotations

from contextlib import suppress

from agent.cgroup.errors import GoneError
from agent.cgroup.mount import CgroupMount
from agent.model import Cgroup, MemoryEvents

UNREAD = (-1, None)


class EventsReader:
    """``last``: ``oom`` of memory.events and of memory.events.local as read last, of the cgroups that are read many times."""

    def __init__(self, mount: CgroupMount) -> None:
        self._mount = mount
        self.last: dict[Cgroup, tuple[int, int | None]] = {}

    def read(self, cgroup: Cgroup) -> MemoryEvents:
        """Counters of this cgroup and of those below it (cgroup-v2.rst, memory.events; v1: memory.oom_control).

        v1 counts one cgroup only: there the subtree is added up. Unknown keys are left out, missing ones are 0 or None as
        MemoryEvents says. Raises GoneError, CgroupError.
        """
        if self._mount.version == "v1":
            return MemoryEvents(self._v1_kills(cgroup))
        counts = pairs(self._mount.need(cgroup.path, cgroup.inode, "memory.events"))
        hits = counts.get("oom", 0)
        return MemoryEvents(counts.get("oom_kill", 0), hits, counts.get("oom_group_kill"), self._own_hits(cgroup, hits))

    def _own_hits(self, cgroup: Cgroup, hits: int) -> int | None:
        """``oom`` of memory.events.local; None before Linux 5.2.

        The kernel counts a hit there first, and then in memory.events of each level (memcg_memory_event, mm/memcontrol.c): as long as
        that file has the same count, this one has.
        """
        last = self.last.get(cgroup)
        if last is not None and last[0] == hits:
            return last[1]
        text = self._mount.read(cgroup.path, cgroup.inode, "memory.events.local")
        own_hits = None if text is None else pairs(text).get("oom")
        if last is not None:
            self.last[cgroup] = (hits, own_hits)
        return own_hits

    def _v1_kills(self, cgroup: Cgroup) -> int:
        kills = pairs(self._mount.need(cgroup.path, cgroup.inode, "memory.oom_control")).get("oom_kill", 0)
        for path in self._mount.below(cgroup.path):
            with suppress(GoneError):
                text = self._mount.read(path, None, "memory.oom_control")
                kills += pairs(text or "").get("oom_kill", 0)
        return kills


def pairs(text: str) -> dict[str, int]:
    """Lines ``name number`` of a control file; others are left out."""
    found = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in found if len(pair) == 2 and pair[1].isdecimal()}
