"""Keeps memory.oom.group of cgroups at its desired value: corrects changes, restores original values, slows down in a conflict."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from agent.cgroup.files import CgroupFiles
from agent.model import Cgroup, OomGroupWrite, Original, WriteOutcome

CONFLICT_REWRITES = 10  # more than that many by another process
CONFLICT_WINDOW_S = 10.0  # within that time are a conflict:
CORRECT_EVERY_S = 1.0  # then one correction per second until they stop


class Originals(Protocol):
    """The part of the ledger that keeps the values from before our first write."""

    def remember_original(self, original: Original) -> None: ...
    def original(self, inode: int) -> Original | None: ...
    def forget_original(self, inode: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to enforce or restore. ``drift``: another process had changed the value. ``conflict``: one started with this."""

    cgroup: Cgroup
    write: OomGroupWrite
    drift: bool = False
    conflict: bool = False


@dataclass(slots=True)
class _Enforced:
    cgroup: Cgroup
    wanted: int
    pod_uid: str
    rewrites: deque[float] = field(default_factory=lambda: deque(maxlen=CONFLICT_REWRITES + 1))
    correct_at_s: float | None = None  # in a conflict: when the next correction is due


@dataclass(eq=False)
class Enforcer:
    """``dry_run`` never writes. ``unix_s`` is the wall clock, for the record of the original values only.

    ``failing``: a write was refused since the last resync.
    """

    files: CgroupFiles
    originals: Originals
    unix_s: Callable[[], float]
    dry_run: bool = False
    failing: bool = field(default=False, init=False)
    _enforced: dict[int, _Enforced] = field(default_factory=dict, init=False)
    _to_restore: dict[int, Cgroup] = field(default_factory=dict, init=False)

    def wanted(self, cgroup: Cgroup) -> int | None:
        """The enforced value of this cgroup; None: none is."""
        enforced = self._enforced.get(cgroup.inode)
        return None if enforced is None else enforced.wanted

    def enforce(self, cgroup: Cgroup, wanted: int, pod_uid: str, now_s: float) -> Attempt | None:
        """Keep this cgroup's memory.oom.group at ``wanted`` (0 or 1) from now on; None: it was kept there already."""
        self._to_restore.pop(cgroup.inode, None)
        if self.wanted(cgroup) == wanted:
            return None
        enforced = self._enforced[cgroup.inode] = _Enforced(cgroup, wanted, pod_uid)
        return self._attempt(enforced, now_s)

    def touched(self, cgroup: Cgroup, now_s: float) -> Attempt | None:
        """A process wrote the file (it may have been ours). None: nothing is enforced, or the correction waits for a conflict."""
        enforced = self._enforced.get(cgroup.inode)
        if enforced is None or enforced.correct_at_s is not None:
            return None
        return self._attempt(enforced, now_s, changed=True)

    def deviating(self, between: Callable[[], None]) -> list[Cgroup]:
        """Read every enforced value: the cgroups with another one, except in a conflict. ``between`` is called before each."""
        found = []
        for enforced in [enforced for enforced in self._enforced.values() if enforced.correct_at_s is None]:
            between()
            plan = self.files.plan_oom_group(enforced.cgroup, enforced.wanted)
            if plan.outcome not in (WriteOutcome.ALREADY, WriteOutcome.GONE):
                found.append(enforced.cgroup)
        return found

    def resync(self, deviating: Iterable[Cgroup], now_s: float) -> list[Attempt]:
        """Correct these values, and try again to restore those that could not be restored."""
        self.failing = False
        found = [enforced for cgroup in deviating if (enforced := self._enforced.get(cgroup.inode)) is not None]
        attempts = [self._attempt(enforced, now_s) for enforced in found if enforced.correct_at_s is None]
        originals = [(cgroup, self.originals.original(inode)) for inode, cgroup in self._to_restore.items()]
        return attempts + [self._restore(cgroup, original) for cgroup, original in originals if original is not None]

    def due_s(self) -> float | None:
        """Monotonic time of the next correction in a conflict; None: none."""
        return min((e.correct_at_s for e in self._enforced.values() if e.correct_at_s is not None), default=None)

    def collect(self, now_s: float) -> list[Attempt]:
        """The corrections in conflicts that are due; a conflict ends if the other process has stopped."""
        attempts = []
        for enforced in list(self._enforced.values()):
            if enforced.correct_at_s is not None and enforced.correct_at_s <= now_s:
                attempts.append(self._attempt(enforced, now_s, changed=True))
                enforced.correct_at_s = now_s + CORRECT_EVERY_S
                if now_s - enforced.rewrites[-1] > CONFLICT_WINDOW_S:
                    enforced.correct_at_s = None
                    enforced.rewrites.clear()
        return attempts

    def release(self, cgroup: Cgroup) -> Attempt | None:
        """Restore the original value, at the next resync again if that fails. None: it was never changed."""
        self._enforced.pop(cgroup.inode, None)
        original = self.originals.original(cgroup.inode)
        if original is None:
            return None
        self._to_restore[cgroup.inode] = cgroup
        return self._restore(cgroup, original)

    def _restore(self, cgroup: Cgroup, original: Original) -> Attempt:
        write = (self.files.plan_oom_group if self.dry_run else self.files.set_oom_group)(cgroup, original.value)
        if write.outcome in (WriteOutcome.WRITTEN, WriteOutcome.ALREADY, WriteOutcome.GONE):
            self._forget(cgroup.inode)
        return Attempt(cgroup, write)

    def created_with_mode(self, cgroup: Cgroup, without_us: int, pod_uid: str) -> None:
        """The runtime wrote our value at the creation: what it would have written without us is restored when no mode is desired."""
        self.originals.remember_original(Original(cgroup.inode, cgroup.path, without_us, pod_uid, self.unix_s()))

    def gone(self, cgroup: Cgroup) -> None:
        self._enforced.pop(cgroup.inode, None)
        self._forget(cgroup.inode)

    def _forget(self, inode: int) -> None:
        self._to_restore.pop(inode, None)
        self.originals.forget_original(inode)

    def _attempt(self, enforced: _Enforced, now_s: float, *, changed: bool = False) -> Attempt:
        # At a container's start the runtime's own 1 comes after our first look: that is no drift.
        drift = changed and (enforced.wanted != 0 or self.originals.original(enforced.cgroup.inode) is not None)
        write = self._write(enforced)
        self.failing = self.failing or write.outcome in (WriteOutcome.DENIED, WriteOutcome.UNSUPPORTED)
        if write.outcome is WriteOutcome.GONE:
            self._enforced.pop(enforced.cgroup.inode, None)
        rewritten = drift and write.outcome in (WriteOutcome.WRITTEN, WriteOutcome.CONFLICT)
        return Attempt(enforced.cgroup, write, drift, rewritten and _is_new_conflict(enforced, now_s))

    def _write(self, enforced: _Enforced) -> OomGroupWrite:
        """The original goes into the ledger before the first write, so that a kill of the agent in between does not lose it.

        It is the value that this very write found: a look before it may have come before the runtime's own write.
        """
        cgroup = enforced.cgroup
        if self.dry_run:
            return self.files.plan_oom_group(cgroup, enforced.wanted)

        def remember(before: int) -> None:
            if self.originals.original(cgroup.inode) is None:
                original = Original(cgroup.inode, cgroup.path, before, enforced.pod_uid, self.unix_s())
                self.originals.remember_original(original)

        return self.files.set_oom_group(cgroup, enforced.wanted, remember)


def _is_new_conflict(enforced: _Enforced, now_s: float) -> bool:
    enforced.rewrites.append(now_s)
    many = len(enforced.rewrites) > CONFLICT_REWRITES and now_s - enforced.rewrites[0] <= CONFLICT_WINDOW_S
    if not many or enforced.correct_at_s is not None:
        return False
    enforced.correct_at_s = now_s + CORRECT_EVERY_S
    return True
