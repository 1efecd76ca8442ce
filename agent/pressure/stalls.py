"""A container that stalls at its own limit while the kernel kills nothing: what it asked for is done, once in COOL_DOWN_S.

Never for a shortage of the node, nor where a limit above the container's is reached as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf

from agent.kernel.processes import available_share
from agent.metrics.metrics import Metrics
from agent.model import (
    AtLimit,
    Cgroup,
    Identity,
    KillAttempt,
    KillOutcome,
    Notice,
    ObjectRef,
    OnStall,
    Reason,
    SeenProcess,
    StallPolicy,
    event_name,
)
from agent.pressure.policy import Judge, Sample
from agent.wording import pressure as wording
from agent.wording.logs import log

logger = logging.getLogger("oomward")

COOL_DOWN_S = 300.0
AFTER_S = 5.0  # after which it is looked at again
NODE_SHORT = 0.03  # of the node's memory is available: its own shortage may be what stalls
AT_LIMIT = 0.90  # of the limit is in use, or something else stalls …
FREED_BYTES = 8 << 20  # … unless so little is free: the kernel frees up to 4 MiB at once (measured: Linux 6.1)


@dataclass(eq=False)
class _Stall:
    """``above``: how often limits above were reached when it began."""

    since_s: float
    above: int | None


@dataclass(eq=False)
class _Ended:
    """What the agent ended, and the state before; ``look_s``: when the state after is read."""

    names: Identity
    policy: StallPolicy
    process: SeenProcess | None
    lasted_s: float
    before: tuple[float | None, int]
    look_s: float
    at_unix_s: float


@dataclass(eq=False)
class Stalls:
    """``hits`` counts how often cgroups reached limits of their own.

    ``kill_largest`` is cgroup.killing.kill_largest, ``restart`` ends a whole container as an exceeded tolerance does.
    ``available``: the share of the node's memory that is available.
    """

    boot_id: str
    metrics: Metrics
    post: Callable[[Notice], bool]
    hits: Callable[[Iterable[Cgroup]], int | None]
    kill_largest: Callable[[Cgroup], tuple[KillAttempt, SeenProcess | None]]
    restart: Callable[[Cgroup, str, str, float], None]
    unix_s: Callable[[], float]
    available: Callable[[], float | None] = available_share

    def __post_init__(self) -> None:
        self._stalls: dict[int, _Stall] = {}  # by the container's inode
        self._ended: dict[int, _Ended] = {}
        self._acted_s: dict[str, float] = {}  # by the pod's uid and the container's name: it outlives an instance

    def waits(self, container: Cgroup) -> bool:
        """Whether the state after an act is still to be read."""
        return container.inode in self._ended

    def consider(
        self,
        judge: Judge,
        container: Cgroup,
        names: Identity,
        policy: StallPolicy,
        reading: AtLimit,
        sample: Sample,
        above: Sequence[Cgroup],
        now_s: float,
    ) -> None:
        """A reading of a container that asks for something at a stall. ``above``: cgroups above whose limits are not its own."""
        if self.waits(container):
            self._look_after(container, reading, sample, now_s)
            return
        if judge.stalled_since_s is None or not _is_full(reading):
            self._stalls.pop(container.inode, None)
            return
        stall = self._stalls.get(container.inode)
        if stall is None:
            stall = self._stalls[container.inode] = _Stall(now_s, self.hits(above))
        lasted_s = now_s - stall.since_s
        key = f"{names.pod_uid}/{names.container}"
        if lasted_s < policy.after_s or names.container is None or now_s - self._acted_s.get(key, -inf) < COOL_DOWN_S:
            return
        if not self._is_own(stall, above):
            stall.since_s, stall.above = now_s, self.hits(above)
            return
        self._acted_s[key] = now_s
        del self._stalls[container.inode]
        self._act(container, names, policy, lasted_s, (judge.stalled(), reading.usage_bytes), now_s)

    def pass_over(self, container: Cgroup, reading: AtLimit, sample: Sample, now_s: float) -> None:
        """A reading of a container that asks for nothing, or no longer, or whose own limit is not the one that is reached."""
        self._stalls.pop(container.inode, None)
        if self.waits(container):
            self._look_after(container, reading, sample, now_s)

    def _look_after(self, container: Cgroup, reading: AtLimit, sample: Sample, now_s: float) -> None:
        """The state after an act is read, if it is time."""
        ended = self._ended[container.inode]
        if now_s >= ended.look_s:
            del self._ended[container.inode]
            self._resolved(container, ended, (sample.stalled, reading.usage_bytes))

    def _is_own(self, stall: _Stall, above: Sequence[Cgroup]) -> bool:
        """Whether neither a limit above was reached meanwhile nor the node is short of memory."""
        available = self.available()
        node_short = available is None or available < NODE_SHORT
        return not node_short and stall.above is not None and self.hits(above) == stall.above

    def _act(
        self,
        container: Cgroup,
        names: Identity,
        policy: StallPolicy,
        lasted_s: float,
        before: tuple[float | None, int],
        now_s: float,
    ) -> None:
        process = None
        if policy.on_stall is OnStall.GROUP:
            self.restart(container, names.pod_uid or "", names.container or "", now_s)
        else:
            attempt, process = self.kill_largest(container)
            if attempt.outcome is not KillOutcome.KILLED:
                note = wording.stall_failed_note(names.container or "", policy, attempt.detail or attempt.outcome.value)
                self._notice(
                    names, Reason.MODE_FAILED, note, f"stall-failed-{container.inode}-{int(now_s)}", self.unix_s()
                )
                return
        line = wording.stall_ended_line(names, policy, process)  # at once: the Event waits for the state after
        log(logger, logging.WARNING, line, **wording.where(names))
        self.metrics.stalls_resolved.labels(policy.on_stall.value).inc()
        look_s = now_s + AFTER_S
        self._ended[container.inode] = _Ended(names, policy, process, lasted_s, before, look_s, self.unix_s())

    def gone(self, container: Cgroup, now_s: float) -> None:
        """The cgroup was removed."""
        self._stalls.pop(container.inode, None)
        if (ended := self._ended.pop(container.inode, None)) is not None:
            self._resolved(container, ended, None)
        self._acted_s = {key: at_s for key, at_s in self._acted_s.items() if now_s - at_s < COOL_DOWN_S}

    def _resolved(self, container: Cgroup, ended: _Ended, after: tuple[float | None, int] | None) -> None:
        note = wording.stall_resolved_note(
            ended.names.container or "", ended.policy, ended.process, ended.lasted_s, ended.before, after
        )
        key = f"stall-{container.inode}-{int(ended.look_s * 1000)}"
        self._notice(ended.names, Reason.STALL_RESOLVED, note, key, ended.at_unix_s)

    def _notice(self, names: Identity, reason: Reason, note: str, key: str, at_unix_s: float) -> None:
        log(logger, logging.WARNING, note, **wording.where(names))
        about = ObjectRef("Pod", names.pod or "", names.namespace or "", names.pod_uid or "")
        name = event_name(about.name, f"{key}-{self.boot_id[:8]}")
        self.post(Notice(name, about, reason, True, "EndStall", note, at_unix_s))


def _is_full(reading: AtLimit) -> bool:
    return reading.usage_bytes >= min(AT_LIMIT * reading.limit_bytes, reading.limit_bytes - FREED_BYTES)
