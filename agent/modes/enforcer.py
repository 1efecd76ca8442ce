"""Wanted mode and cgroup become the right memory.oom.group, and it stays that way.

Owns what is held: which cgroup at which value, the originals and their restoring, and the slowing down in a fight. Takes
wishes and word of others' writes in, gives what was done out. Writes only through the cgroup room's guarded files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from agent.model import Cgroup, KnobWrite, Original, WriteOutcome

FIGHT_REWRITES = 10  # more of them by somebody else …
FIGHT_WINDOW_S = 10.0  # … in this time is a fight: then
FIGHT_REPAIR_EVERY_S = 1.0  # one repair a second until they stop


class Knobs(Protocol):
    """The part of cgroup.files that writes. ``before_write`` hears the value that is about to be changed."""

    def hold_oom_group(
        self, cgroup: Cgroup, wanted: int, before_write: Callable[[int], None] | None = None
    ) -> KnobWrite: ...
    def plan_oom_group(self, cgroup: Cgroup, wanted: int) -> KnobWrite: ...


class Originals(Protocol):
    """The part of the ledger that keeps what was there before us."""

    def remember_original(self, original: Original) -> None: ...
    def original(self, inode: int) -> Original | None: ...
    def forget_original(self, inode: int) -> None: ...


class Why(StrEnum):
    """What made us look at a knob."""

    APPLY = "apply"  # a wish is new
    DRIFT = "drift"  # somebody wrote
    RESYNC = "resync"  # the slow full look
    RESTORE = "restore"  # the wish is gone: the original comes back


@dataclass(frozen=True, slots=True)
class Held:
    """One attempt and what came of it. ``fight_began``: this was the rewrite that made it a fight."""

    cgroup: Cgroup
    write: KnobWrite
    why: Why
    fight_began: bool = False


@dataclass(slots=True)
class _Hold:
    cgroup: Cgroup
    wanted: int
    pod_uid: str
    rewrites: deque[float] = field(default_factory=lambda: deque(maxlen=FIGHT_REWRITES + 1))
    fighting: bool = False
    repair_at_s: float | None = None


class Enforcer:
    """``dry_run`` plans and never writes. ``unix_s`` is the wall clock, for the originals' record only."""

    def __init__(
        self, knobs: Knobs, originals: Originals, unix_s: Callable[[], float], *, dry_run: bool = False
    ) -> None:
        self._knobs = knobs
        self._originals = originals
        self._unix_s = unix_s
        self._dry_run = dry_run
        self._holds: dict[int, _Hold] = {}
        self._owed: dict[int, Cgroup] = {}
        self._remembered: set[int] = set()

    def wanted(self, cgroup: Cgroup) -> int | None:
        """The value this cgroup is held at; None when it isn't."""
        hold = self._holds.get(cgroup.inode)
        return None if hold is None else hold.wanted

    @property
    def fights(self) -> int:
        """How many cgroups somebody else keeps rewriting just now."""
        return sum(hold.fighting for hold in self._holds.values())

    def hold(self, cgroup: Cgroup, wanted: int, pod_uid: str, now_s: float) -> Held | None:
        """Hold this cgroup's memory.oom.group at ``wanted`` (0 or 1) from now on; None when it was held there already."""
        known = self._holds.get(cgroup.inode)
        if known is not None and known.wanted == wanted:
            return None
        self._holds[cgroup.inode] = _Hold(cgroup, wanted, pod_uid)
        return self._repair(self._holds[cgroup.inode], Why.APPLY, now_s)

    def touched(self, cgroup: Cgroup, now_s: float) -> Held | None:
        """Somebody (we too) wrote the knob. None: it isn't held, or a fight has us wait."""
        hold = self._holds.get(cgroup.inode)
        if hold is None or hold.repair_at_s is not None:
            return None
        return self._repair(hold, Why.DRIFT, now_s)

    def strays(self, between: Callable[[], None]) -> list[Cgroup]:
        """Look at every held knob: those that are not as they should be just now, but for fights' that wait.

        ``between`` is called before each.
        """
        found = []
        for hold in [hold for hold in self._holds.values() if hold.repair_at_s is None]:
            between()
            plan = self._knobs.plan_oom_group(hold.cgroup, hold.wanted)
            if plan.outcome not in (WriteOutcome.ALREADY, WriteOutcome.GONE):
                found.append(hold.cgroup)
        return found

    def resync(self, strays: Iterable[Cgroup], now_s: float) -> list[Held]:
        """Repair these, whose change had escaped notice. And try again what is owed."""
        holds = [hold for cgroup in strays if (hold := self._holds.get(cgroup.inode)) is not None]
        looked = [self._repair(hold, Why.RESYNC, now_s) for hold in holds if hold.repair_at_s is None]
        owed = [(cgroup, self._originals.original(inode)) for inode, cgroup in self._owed.items()]
        return looked + [self._restore(cgroup, original) for cgroup, original in owed if original is not None]

    def due_s(self) -> float | None:
        """Monotonic time of the next repair that a fight has put off; None: none."""
        return min((h.repair_at_s for h in self._holds.values() if h.repair_at_s is not None), default=None)

    def collect(self, now_s: float) -> list[Held]:
        """The repairs that were put off and are due; a fight whose other side has stopped ends here."""
        done = []
        for hold in list(self._holds.values()):
            if hold.repair_at_s is not None and hold.repair_at_s <= now_s:
                hold.repair_at_s = None
                done.append(self._repair(hold, Why.DRIFT, now_s))
                if hold.rewrites and now_s - hold.rewrites[-1] > FIGHT_WINDOW_S:
                    hold.fighting = False
                    hold.rewrites.clear()
                elif hold.fighting:
                    hold.repair_at_s = now_s + FIGHT_REPAIR_EVERY_S
        return done

    def release(self, cgroup: Cgroup) -> Held | None:
        """The wish is gone: give back what was there before our first write. None: we never changed it.

        A restoring that fails stays owed, and is tried again at the next resync.
        """
        self._holds.pop(cgroup.inode, None)
        original = self._originals.original(cgroup.inode)
        if original is None:
            return None
        self._owed[cgroup.inode] = cgroup
        return self._restore(cgroup, original)

    def _restore(self, cgroup: Cgroup, original: Original) -> Held:
        hold = self._knobs.plan_oom_group if self._dry_run else self._knobs.hold_oom_group
        write = hold(cgroup, original.value)
        if write.outcome in (WriteOutcome.WRITTEN, WriteOutcome.ALREADY, WriteOutcome.GONE):
            self._owed.pop(cgroup.inode, None)
            self._originals.forget_original(cgroup.inode)
            self._remembered.discard(cgroup.inode)
        return Held(cgroup, write, Why.RESTORE)

    def gone(self, cgroup: Cgroup) -> None:
        """The cgroup was removed; with it what it held."""
        self._holds.pop(cgroup.inode, None)
        self._owed.pop(cgroup.inode, None)
        self._remembered.discard(cgroup.inode)
        self._originals.forget_original(cgroup.inode)

    def _repair(self, hold: _Hold, why: Why, now_s: float) -> Held:
        first = hold.cgroup.inode not in self._remembered
        write = self._write(hold)
        if first and hold.wanted == 0 and why is Why.DRIFT:
            why = Why.APPLY  # at a container's start the runtime's own 1 comes after our wish: that is no drift
        if write.outcome is WriteOutcome.GONE:
            self._holds.pop(hold.cgroup.inode, None)
        rewritten = why is Why.DRIFT and write.outcome in (WriteOutcome.WRITTEN, WriteOutcome.CONFLICT)
        return Held(hold.cgroup, write, why, fight_began=rewritten and self._rewritten(hold, now_s))

    def _write(self, hold: _Hold) -> KnobWrite:
        """The original goes into the ledger before the first write, so that no kill of ours in between loses it.

        It is the value that this very write found: a look before it may have come before the runtime's own write.
        """
        if self._dry_run:
            return self._knobs.plan_oom_group(hold.cgroup, hold.wanted)

        def remember(before: int) -> None:
            if hold.cgroup.inode not in self._remembered:
                original = Original(hold.cgroup.inode, hold.cgroup.path, before, hold.pod_uid, self._unix_s())
                self._originals.remember_original(original)
                self._remembered.add(hold.cgroup.inode)

        return self._knobs.hold_oom_group(hold.cgroup, hold.wanted, remember)

    def _rewritten(self, hold: _Hold, now_s: float) -> bool:
        hold.rewrites.append(now_s)
        many = len(hold.rewrites) > FIGHT_REWRITES and now_s - hold.rewrites[0] <= FIGHT_WINDOW_S
        if many and hold.repair_at_s is None:
            hold.repair_at_s = now_s + FIGHT_REPAIR_EVERY_S
        began = many and not hold.fighting
        hold.fighting = hold.fighting or many
        return began
