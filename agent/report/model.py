"""What the page shows, and nothing else. Names are as the nodes sent them: not safe to print."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model import MemoryUse, Outcome, Scope

MOST_WITHOUT_YEAR_S = 300 * 86400.0


@dataclass(frozen=True, slots=True)
class Kill:
    """One OOM kill. ``place``: namespace and names of workload, pod and container as far as they are known.

    ``process``: name of the first process that the kernel named; ``processes``: the number killed. ``command``: its arguments, secrets
    replaced. ``limit_bytes``, ``use``: of the limit that was hit; None: not known, as are ``scope`` and ``outcome``. ``filled_by``: the
    kind of memory with the largest share.
    """

    at_unix_s: float
    node: str
    place: Place
    process: str | None = None
    command: str | None = None
    processes: int = 1
    scope: Scope | None = None
    outcome: Outcome | None = None
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    use: MemoryUse | None = None
    filled_by: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a kill was. ``workload`` and ``kind`` None: no pod. ``cgroup``: of what is no pod, such as a service of the node."""

    namespace: str | None = None
    kind: str | None = None
    workload: str | None = None
    pod: str | None = None
    container: str | None = None
    cgroup: str | None = None


@dataclass(frozen=True, slots=True)
class NearLimit:
    """A running container of which usage or peak is close to its limit. ``peak_bytes`` None: the kernel does not record it."""

    node: str
    namespace: str | None
    pod: str | None
    container: str | None
    limit_bytes: int
    usage_bytes: int
    peak_bytes: int | None = None

    @property
    def share(self) -> float:
        """Of the limit, in use now."""
        return self.usage_bytes / self.limit_bytes

    @property
    def peak_share(self) -> float:
        """Of the limit, at most in use since the container's start; that of now where it is not known."""
        return max(self.usage_bytes, self.peak_bytes or 0) / self.limit_bytes


@dataclass(frozen=True, slots=True)
class Raise:
    """A container of a workload, or with ``container`` None its pods' own limit, which is to be raised to ``next_limit``.

    ``command`` None: no command raises it; then ``to_do`` says what to do. ``limit_bytes`` None: it has no limit now.
    """

    namespace: str
    kind: str
    workload: str
    container: str | None
    limit_bytes: int | None
    peak_bytes: int | None
    next_limit: str
    next_limit_bytes: int
    kills: int
    reason: str
    filled_by: str | None = None
    command: str | None = None
    to_do: str | None = None


@dataclass(frozen=True, slots=True)
class Silent:
    """A node that did not answer, and why."""

    node: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """All of one page. Times in seconds since 1970; from ``from_unix_s`` to ``to_unix_s``, which is when the nodes were asked.

    ``node``: it is about this node only; ``namespace``: about this namespace only. ``kills``: the newest first.
    ``containers``: how many run. ``notes``: what was wrong or left out by a node.
    """

    from_unix_s: float
    to_unix_s: float
    version: str
    nodes: tuple[str, ...] = ()
    silent: tuple[Silent, ...] = ()
    node: str | None = None
    namespace: str | None = None
    kills: tuple[Kill, ...] = ()
    containers: int = 0
    near: tuple[NearLimit, ...] = ()
    raises: tuple[Raise, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def years(self) -> bool:
        """Whether a day needs its year to be known."""
        return self.to_unix_s - self.from_unix_s > MOST_WITHOUT_YEAR_S
