"""Containers at their memory limit: what a pod asks for, and what is seen of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.model.memory import MemoryUse

PRESSURE_EVENTS_ANNOTATION = "oomward.dev/pressure-events"
PRESSURE_EVENTS_ANNOTATION_PREFIX = "pressure-events.oomward.dev/"
GROW_ON_PRESSURE_ANNOTATION = "recover.oomward.dev/grow-on-pressure"  # "true": grow at pressure, before a kill
ON_STALL_ANNOTATION = "oomward.dev/on-stall"
ON_STALL_ANNOTATION_PREFIX = "on-stall.oomward.dev/"
STALL_AFTER_ANNOTATION = "oomward.dev/stall-after"
STALL_AFTER_S = 60.0


class OnStall(StrEnum):
    """What the agent does with a container that stalls at its own limit while the kernel kills nothing."""

    KILL_LARGEST = "kill-largest"  # its largest process
    GROUP = "group"  # all of it, as tolerance's restart
    OFF = "off"


@dataclass(frozen=True, slots=True)
class StallPolicy:
    """Act after ``after_s`` seconds of a stall. ``said_by`` names the annotation or rule."""

    on_stall: OnStall
    after_s: float = STALL_AFTER_S
    said_by: str = ""


@dataclass(frozen=True, slots=True)
class PressureRequest:
    """What is asked for one container. ``events`` None: it says nothing. ``stall`` None: nothing is done about a stall."""

    events: bool | None = None
    stall: StallPolicy | None = None


@dataclass(frozen=True, slots=True)
class AtLimit:
    """What is seen of a container that reaches its limit.

    ``reached``: since the cgroup was made, how often a charge ran into the limit (v2: ``max``; v1: memory.failcnt). ``kills``: OOM kills,
    likewise. ``stalled_us``: how long all its processes that had work waited for memory (``full`` of PSI), None without PSI.
    """

    limit_bytes: int
    usage_bytes: int
    reached: int
    kills: int
    use: MemoryUse
    stalled_us: int | None = None

    @property
    def fixed_bytes(self) -> int:
        """What can't be freed by reclaim without swap: all but page cache and reclaimable kernel memory."""
        return max(0, self.usage_bytes - (self.use.file or 0) - (self.use.slab_reclaimable or 0))

    @property
    def fixed(self) -> float:
        """The same as a share of the limit."""
        return self.fixed_bytes / max(1, self.limit_bytes)

    @property
    def dirty(self) -> float:
        """Page cache that must be written back before it can be freed, as a share of the limit."""
        return (self.use.dirty or 0) / max(1, self.limit_bytes)
