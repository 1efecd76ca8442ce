"""The records that the demo's part on the kernel sends to the part with the screen, and how kills are counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import floor
from typing import Any

from tests.lab.spec import Instance
from tests.lab.status import SIGKILLED

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One pod at one moment. ``next_try_s``: seconds until its container is started again; None: it does not wait for that.

    ``up`` is the share of the time since the pod's first start in which its container ran, 0 to 1. ``kills`` are the OOM
    kills with a known outcome, each counted once for any number of processes; the container survived ``survived`` of them.
    """

    pod: str
    status: str
    next_try_s: float | None
    up: float
    restarts: int
    kills: int
    survived: int
    mode: str


@dataclass(frozen=True, slots=True)
class Result:
    """The end of the demo. ``at`` (RFC 3339) is when the pods were stopped, ``seconds`` how long before that the first one was started.

    ``counted`` is the processes killed by oomward's metrics, ``kernel`` those by the kernel's counter, which counts the first
    process of a whole-container kill twice if it has not exited yet; there were ``kernel_group`` such kills.
    """

    at: str
    seconds: float
    rows: tuple[Row, ...]
    counted: int
    kernel: int
    kernel_group: int
    unattributed: int
    events: list[Json]
    metrics: list[str]

    def row(self, pod: str) -> Row:
        """The row of a pod."""
        return next(row for row in self.rows if row.pod == pod)

    def events_of(self, pod: str) -> list[Json]:
        """The Events about a pod, in the API's form."""
        return [event for event in self.events if event["regarding"]["name"] == pod]


def to_json(facts: Row | Result) -> Json:
    """For a line of JSON."""
    return asdict(facts)


def rows_of(found: Iterable[Json]) -> tuple[Row, ...]:
    """Rows from JSON."""
    return tuple(Row(**row) for row in found)


def result_of(found: Json) -> Result:
    """A result from JSON; unknown keys are left out."""
    known = {key: value for key, value in found.items() if key in Result.__dataclass_fields__}
    return Result(**{**known, "rows": rows_of(found["rows"])})


def share_up(instances: Iterable[Instance], at_s: float) -> float:
    """The share of the time from the first start until ``at_s`` (CLOCK_MONOTONIC) in which one ran, 0 to 1; never started: 0."""
    runs = [(i.started_s, at_s if i.ended_s is None else min(i.ended_s, at_s)) for i in instances]
    began_s = min((start for start, _ in runs), default=at_s)
    return sum(end - start for start, end in runs) / (at_s - began_s) if at_s > began_s else 0.0


def kills_of(instance: Instance, mode: str, oom_kill: int) -> tuple[int, int]:
    """OOM kills with a known outcome in one start of a container, and how many of them it survived.

    ``oom_kill`` is the kernel's counter of that name. In ``group`` mode a kill ends all processes, so there was one, and only
    once the container has ended; in ``single`` mode each process is a kill, and the last one may have been PID 1.
    """
    died = instance.exit_code == SIGKILLED and oom_kill > 0
    if mode == "group":
        return int(died), 0
    return oom_kill, oom_kill - died


def percent(share: float) -> str:
    """``100 %`` only for all, ``0 %`` only for nothing."""
    return f"{max(1, floor(share * 100)) if share > 0 else 0} %"
