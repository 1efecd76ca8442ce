"""Counters of OOM kills: memory.events and memory.events.local on cgroup v2, memory.oom_control on v1.

Reads as little as the kernel's order of counting allows.
"""

from __future__ import annotations

import errno
import os

from agent.cgroup.mount import CgroupError, CgroupMount
from agent.model import VANISHED, Cgroup, MemoryEvents, Vanished

UNREAD = (-1, None)


class EventsReader:
    """``last``: ``oom`` of memory.events and of memory.events.local as read last, of the cgroups that are read many times."""

    def __init__(self, mount: CgroupMount) -> None:
        self._mount = mount
        self.last: dict[Cgroup, tuple[int, int | None]] = {}

    def read(self, cgroup: Cgroup) -> MemoryEvents | Vanished:
        """Counters of this cgroup and of those below it (cgroup-v2.rst, memory.events; v1: memory.oom_control).

        v1 counts one cgroup only: there the subtree is added up. Unknown keys are left out, missing ones are 0 or None as
        MemoryEvents says. Raises CgroupError.
        """
        is_v1 = self._mount.version == "v1"
        counts = self._v1_counts(cgroup) if is_v1 else self._v2_counts(cgroup)
        if counts is None:
            raise missing(cgroup.path, "memory.oom_control" if is_v1 else "memory.events")
        return counts

    def _v2_counts(self, cgroup: Cgroup) -> MemoryEvents | Vanished | None:
        text = self._mount.read(cgroup.path, cgroup.inode, "memory.events")
        if not isinstance(text, str):
            return text
        counts = pairs(text)
        hits = counts.get("oom", 0)
        own_hits = self._own_hits(cgroup, hits)
        if isinstance(own_hits, Vanished):
            return VANISHED
        return MemoryEvents(counts.get("oom_kill", 0), hits, counts.get("oom_group_kill"), own_hits)

    def _own_hits(self, cgroup: Cgroup, hits: int) -> int | Vanished | None:
        """``oom`` of memory.events.local; None before Linux 5.2.

        The kernel counts a hit there first, and then in memory.events of each level (memcg_memory_event, mm/memcontrol.c): as long as
        that file has the same count, this one has.
        """
        last = self.last.get(cgroup)
        if last is not None and last[0] == hits:
            return last[1]
        text = self._mount.read(cgroup.path, cgroup.inode, "memory.events.local")
        if isinstance(text, Vanished):
            return VANISHED
        own_hits = None if text is None else pairs(text).get("oom")
        if last is not None:
            self.last[cgroup] = (hits, own_hits)
        return own_hits

    def _v1_counts(self, cgroup: Cgroup) -> MemoryEvents | Vanished | None:
        own = self._v1_kills(cgroup.path, cgroup.inode)
        if not isinstance(own, int):
            return own
        parts = (self._v1_kills(path, None) for path in self._mount.below(cgroup.path))
        return MemoryEvents(own + sum(part for part in parts if isinstance(part, int)))

    def _v1_kills(self, path: str, inode: int | None) -> int | Vanished | None:
        text = self._mount.read(path, inode, "memory.oom_control")
        return pairs(text).get("oom_kill", 0) if isinstance(text, str) else text


def missing(path: str, file: str) -> CgroupError:
    """The error for a file that is missing from a cgroup that exists."""
    return CgroupError(path, file, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))


def pairs(text: str) -> dict[str, int]:
    """Lines ``name number`` of a control file; others are left out."""
    found = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in found if len(pair) == 2 and pair[1].isdecimal()}
