"""Shared by what looks at the node: control files, names of cgroups, tolerances.

Takes a Survey and returns values; writes nothing. An error becomes a sentence in the survey's troubles and a name in
``unread``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from agent.cgroup.files import CgroupError
from agent.kernel.kmsg import boot_id
from agent.ledger import LedgerReader
from agent.look.survey import Survey
from agent.model import Cgroup, Identity, Mode, OnExceeded, Tolerance, Vanished, levels_above
from agent.modes.tolerance import exceeded, killed_recently

T = TypeVar("T")
SHORT_ID = 12  # characters of a container id, as in crictl and docker


class Reads:
    """Values of one cgroup's files. ``unread`` names those that could not be read; the survey's troubles say why.

    ``removed``: the cgroup was removed meanwhile, so the values are of no use; that is no error.
    """

    def __init__(self, found: Survey, cgroup: Cgroup) -> None:
        self.unread: set[str] = set()
        self.removed = False
        self._found, self._cgroup = found, cgroup

    def take(self, name: str, read: Callable[[Cgroup], T | Vanished]) -> T | None:
        """The result of ``read``; None if it raised CgroupError, or the cgroup was removed."""
        try:
            value = read(self._cgroup)
        except CgroupError as error:
            self.unread.add(name)
            self._found.trouble(error)
            return None
        if isinstance(value, Vanished):
            self.removed = True
            return None
        return value

    def sizes(self) -> tuple[int | None, int | None, int | None]:
        """Limit, usage and peak in bytes; None as in CgroupFacts."""
        files = self._found.files
        limit, usage = self.take("limit_bytes", self._found.limit_bytes), self.take("usage_bytes", files.usage_bytes)
        return limit, usage, self.take("peak_bytes", files.peak_bytes)


def mode_of(values: Mapping[str, int] | None) -> Mode | None:
    """The mode in force: group if any value is 1 (mem_cgroup_get_oom_group). None: could not be read."""
    return None if values is None else Mode.GROUP if any(values.values()) else Mode.SINGLE


def grouped_above(found: Survey, own: Iterable[Cgroup]) -> tuple[str, ...]:
    """Cgroups above these with memory.oom.group 1, the highest first; the hierarchy's root has no such file."""
    above = {path for cgroup in own for path in levels_above(cgroup.path)}
    return tuple(path for path in sorted(above, key=len) if _is_grouped(found, path))


def _is_grouped(found: Survey, path: str) -> bool:
    try:
        cgroup = found.at(path)
        return cgroup is not None and found.files.read_oom_group(cgroup) == 1
    except CgroupError as error:
        found.trouble(error)
        return False


@dataclass(frozen=True, slots=True)
class Tolerated:
    """``killed_in_window`` of ``processes_allowed`` are used up now. ``exceeded``: the next OOM kill ends the whole container."""

    processes_allowed: int
    window_s: float
    killed_in_window: int
    exceeded: bool
    on_exceeded: OnExceeded
    any_scope: bool
    said_by: str

    @classmethod
    def of(cls, limit: Tolerance, killed: int, *, exceeded: bool) -> Tolerated:
        return cls(limit.kills, limit.window_s, killed, exceeded, limit.on_exceeded, limit.any_scope, limit.said_by)


@dataclass(frozen=True, slots=True)
class Recorded:
    """From the ledger. ``killed`` processes by pod uid and container name; None if it cannot be read.

    ``tolerated`` by the container's inode; containers without a tolerance or without mode single are left out.
    """

    killed: Mapping[tuple[str, str], int] | None
    tolerated: Mapping[int, Tolerated]

    def killed_in(self, identity: Identity) -> int | None:
        """Killed processes of one container; None if not known."""
        if self.killed is None or identity.pod_uid is None or identity.container is None:
            return None
        return self.killed.get((identity.pod_uid, identity.container), 0)

    def effective(self, cgroup: Cgroup, mode: Mode | None) -> Mode | None:
        """The desired mode; of an armed container it is group."""
        used = self.tolerated.get(cgroup.inode)
        return Mode.GROUP if used is not None and used.exceeded else mode


def recorded(found: Survey) -> Recorded:
    """What the ledger has about the containers."""
    without = "kills are counted by the kernel since each container's start"
    return Recorded(found.recorded(LedgerReader.processes_killed, None, without), tolerated(found))


def tolerated(found: Survey) -> dict[int, Tolerated]:
    """By the container's inode, for mode single with a tolerance."""
    tolerant: list[tuple[Cgroup, Tolerance]] = []
    for cgroup in found.containers():
        with suppress(CgroupError):  # reported where its mode is read
            desired = found.desired(cgroup)
            if desired.decision.mode is Mode.SINGLE and desired.tolerance is not None and desired.pod_uid is not None:
                tolerant.append((cgroup, desired.tolerance))

    def read(reader: LedgerReader) -> dict[int, Tolerated]:
        used, kept = {}, reader.exceeded(boot_id())
        for cgroup, tolerance in tolerant:
            kills = [k for k in reader.kills_in(boot_id(), cgroup.inode) if k.cgroup_path == cgroup.path]
            recently = killed_recently(kills, tolerance, time.time(), time.monotonic())
            known = kept.get(cgroup.inode)
            over = (known is not None and known.tolerance == tolerance) or exceeded(kills, tolerance) is not None
            used[cgroup.inode] = Tolerated.of(tolerance, recently, exceeded=over)
        return used

    return found.recorded(read, {}) if tolerant else {}
