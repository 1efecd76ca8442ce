"""The ledger's own records."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model.modes import Mode, Tolerance


@dataclass(frozen=True, slots=True)
class Baseline:
    """How far one cgroup's counters are accounted for; with the boot id, ``inode`` names the cgroup for ever.

    ``oom_kill`` and ``oom_group_kill`` are the raw counters up to which kills are in the ledger, ``ordinal`` the number of
    the last kill that was named after this cgroup (0: none yet).
    """

    inode: int
    path: str
    oom_kill: int
    oom_group_kill: int
    oom: int
    local_oom: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class Original:
    """memory.oom.group of a cgroup as it was before our first write in this boot."""

    inode: int
    path: str
    value: int
    pod_uid: str
    at_unix_s: float


@dataclass(frozen=True, slots=True)
class KeptDecision:
    """The last decision about one container of a pod, for a start without the API. ``container`` "" is the pod as a whole.

    ``tolerance`` None: any number of kills.
    """

    pod_uid: str
    cgroup_key: str
    namespace: str
    pod: str
    container: str
    container_id: str | None
    mode: Mode
    rule: str
    tolerance: Tolerance | None = None
