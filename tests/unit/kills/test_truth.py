"""Whatever comes and goes, is lost by the log or happens while no agent looks: a scope and an outcome that are reported are the true ones.

The model knows of each kill which limit was hit and what became of the container by it. What nobody could know may be reported as unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kills import Findings
from agent.kills.counter import HIT_TO_KILL_S
from agent.model import OomKill, OomReport, Outcome, Scope
from tests.unit.kills.test_properties import GROUP, QOS, Life
from tests.unit.kills.world import POD, ROOT, pod_of, report
from tests.unit.profiles import examples

PODS = (POD, POD.replace("11111111", "22222222"))
FIRST_PID = 100_000  # of the inits; victims have lower ones
SEEN_S = 1.1  # after that an agent that looks has recorded a kill, and seen what became of its container
LIMITS: dict[Scope, Callable[[str], str]] = {
    Scope.CONTAINER: str,
    Scope.POD: pod_of,
    Scope.KUBEPODS: lambda path: QOS if len(path) % 2 else ROOT,
}


@dataclass
class Truth(Life):
    """``scopes``: kills by pod and limit that was hit. ``ends``: by container and outcome. ``sees``: the agent runs and isn't stopped."""

    scopes: Counter[tuple[str, Scope]] = field(default_factory=Counter)
    ends: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    recent: list[tuple[str, float]] = field(default_factory=list)  # children that were killed while an agent looked
    settled: dict[str, OomKill] = field(default_factory=dict)
    early: list[tuple[str, Scope, float]] = field(default_factory=list)  # limits hit before their kills, and when
    left: bool = (
        False  # the kill of such a hit never came: by the counters alone a later kill that no hit shows may be that one
    )
    odd: bool = False  # the node was short, or a QoS class's limit hit
    stopped: bool = False

    @property
    def sees(self) -> bool:
        return self.agent is not None and not self.stopped

    def hear(self) -> None:
        if not self.stopped:
            super().hear()

    def pause(self, seconds: float) -> None:
        """As the loop: it looks whenever something is due."""
        until = self.world.now + seconds
        while (
            self.sees and self.agent is not None and (due := self.agent.attribution.due_s()) is not None and due < until
        ):
            before = self.world.now
            super().pause(max(0.0005, due - before))
        if self.sees:
            super().pause(max(0.0, until - self.world.now))
        else:
            self.world.now = until

    def take(self, found: Findings) -> None:
        super().take(found)
        self.settled.update({kill.kill_id: kill for kill in found.settled})

    def add(self, number: int, *, init: bool = True) -> None:
        """A container with a PID 1 that the agent knows, or without one (shared pid namespace)."""
        before = set(self.world.tallies)
        self.make(number)
        for path in set(self.world.tallies) - before:
            self.world.unnamed.discard(path)
            if init:
                self.world.inits[path] = FIRST_PID + len(self.world.inits)
            if self.agent is not None and self.stopped:
                self.agent.see(path, newborn=False)

    def alive(self, number: int) -> str | None:
        found = sorted(p for p in self.world.tallies if p.count("/") == 3 and p not in self.world.empty)
        return found[number % len(found)] if found else None

    def shot(self, number: int, scope: Scope, lost: str, *, kind: str = "child") -> None:
        """A ``child`` of a container's, its ``init``, or all of it (``group``). ``lost``: what the log lacks of the report."""
        if (path := self.alive(number)) is None:
            return
        odd = scope is Scope.NODE or LIMITS[scope](path) == QOS
        if odd and (self.early or self.left):
            return
        self.odd = self.odd or odd
        group, deadly = kind == "group", kind != "child"
        processes, groups = (GROUP, 1) if group else (1, 0)
        sequence = 1000 * (1 + self.killed.total())
        pids = [sequence + n for n in range(processes)]
        if deadly and path in self.world.inits:
            pids[-1] = self.world.inits[path]
        self.killed[path] += processes
        self.doubled[path] += groups
        self.scopes[pod_of(path), scope] += 1
        self.ends[path, Outcome.DIED if deadly else Outcome.SURVIVED] += 1
        node = scope is Scope.NODE
        limit_of = None if node else LIMITS[scope](path)
        self.world.kill(path, raw=processes + groups, groups=groups, limit_of=limit_of, hit=not node)
        if deadly:
            self.world.empty.add(path)
            if self.sees:  # "the container died" is true of those right before as well
                close = [at for at, when in self.recent if at == path and self.world.now - when < SEEN_S]
                self.ends[path, Outcome.DIED] += len(close)
        elif self.sees:
            self.recent.append((path, self.world.now))
        if lost != "all":
            found = _reports(path, pids, sequence, limit_of, group=group, lost=lost)
            self.log += [replace(one, at_us=int(self.world.now * 1e6)) for one in found]
            self.said[sequence] = node
        self.hear()

    def hit_early(self, number: int, scope: Scope) -> None:
        """A limit is hit, and its kill comes later or never; not in a life with kills that no hit shows (``odd``)."""
        if self.logged and not self.odd and (path := self.alive(number)) and LIMITS[scope](path) != QOS:
            self.world.hit(LIMITS[scope](path))
            self.early.append((path, scope, self.world.now))
            self.hear()

    def killed_late(self, _: int) -> None:
        """The kill of the oldest such hit, without a report; none comes half a minute after its hit."""
        while self.early:
            path, scope, hit_s = self.early.pop(0)
            if self.world.now - hit_s < HIT_TO_KILL_S and path in self.world.tallies and path not in self.world.empty:
                self.killed[path] += 1
                self.scopes[pod_of(path), scope] += 1
                self.ends[path, Outcome.SURVIVED] += 1
                self.world.kill(path, hit=False)
                if self.sees:
                    self.recent.append((path, self.world.now))
                self.hear()
                return
            self.left = True

    def leave(self, number: int, *, pod: bool = False, api: bool = False) -> None:
        """A container or a pod is removed, by its end, its user or the API; an agent that looks has seen the container's state before."""
        path = self.pick(2 if pod else 3, number)
        if path is None:
            return
        if api:
            self.world.deleted_pods.add(path if pod else pod_of(path))
        elif self.sees:
            for _ in range(4):
                self.hear()
                self.pause(0.6)
        for each in [p for p in self.world.tallies if p.startswith(path) and p not in self.world.empty]:
            self.world.empty.add(each)
        if self.stopped:
            self.go_on()
        self.remove(path)
        self.hear()

    def restart(self, number: int) -> None:
        """The agent ends a container that exceeded its tolerance."""
        if self.sees and (path := self.alive(number)) is not None:
            self.world.ended.setdefault(self.world.cgroups[path].inode, True)
            self.world.empty.add(path)
            self.remove(path)

    def stop(self) -> None:
        self.stopped = self.agent is not None

    def go_on(self) -> None:
        if self.stopped and self.agent is not None:
            self.stopped = False
            self.agent.attribution.was_away(self.world.now)
            self.hear()

    def end(self) -> None:
        super().end()
        self.stopped = False


def _reports(
    path: str, pids: list[int], sequence: int, limit_of: str | None, *, group: bool, lost: str
) -> list[OomReport]:
    """``lost``: "head", which names the limit and the cgroup (rate limit); "limit", likewise, but the process still named its own cgroup;
    "most", all but the lines of the victims, so that each is a report (overrun); "none".
    """
    at = f"/{path}" if lost in ("none", "limit") else None
    domain = None if limit_of is None or lost != "none" else f"/{limit_of}"
    whole = replace(
        report(path, *pids, sequence=sequence), global_oom=limit_of is None, oom_memcg=domain, task_memcg=at
    )
    if not group:
        return [whole]
    if lost != "most":
        return [replace(whole, group_memcg=f"/{path}")]
    return [replace(whole, victims=(one,), first_sequence=sequence + n) for n, one in enumerate(whole.victims)]


LOST = ("none", "head", "limit", "most", "all")


def _early(scope: Scope) -> Callable[[Truth, int], None]:
    return lambda truth, number: truth.hit_early(number, scope)


def _shot(kind: str, scope: Scope, lost: str) -> Callable[[Truth, int], None]:
    return lambda truth, number: truth.shot(number, scope, lost, kind=kind)


KILLS = {
    f"{kind} killed at the limit of {scope.value}, lost: {lost}": _shot(kind, scope, lost)
    for scope in (*LIMITS, Scope.NODE)
    for kind in ("child", "init", "group")
    for lost in LOST
    if scope is not Scope.NODE or (kind != "group" and lost != "all")  # the node's kill line has no rate limit
}
OTHERS: dict[str, Callable[[Truth, int], None]] = {
    **{f"the limit of {scope.value} is hit before its kill": _early(scope) for scope in LIMITS},
    "the kill of an earlier hit": Truth.killed_late,
    "a container starts": Truth.add,
    "a container starts in a shared pid namespace": lambda truth, n: truth.add(n, init=False),
    "a container goes": Truth.leave,
    "a container goes, its pod is deleted": lambda truth, n: truth.leave(n, api=True),
    "a pod goes": lambda truth, n: truth.leave(n, pod=True, api=True),
    "the agent ends a container": Truth.restart,
    "a moment": lambda truth, n: truth.pause((0.001, 0.01, 0.05, 0.2)[n]),
    "some time": lambda truth, n: truth.pause((0.6, 2.0, 5.5, 11.0)[n]),
    "long": lambda truth, n: truth.pause((31.0, 60.0, 121.0, 300.0)[n]),
    "the agent is stopped": lambda truth, _: truth.stop(),
    "the agent goes on": lambda truth, _: truth.go_on(),
    "the agent is killed": lambda truth, _: truth.end(),
    "an agent starts": lambda truth, _: truth.begin(),
}
ACTIONS = KILLS | OTHERS
CHOSEN = st.sampled_from(tuple(KILLS)) | st.sampled_from(tuple(OTHERS))


@examples(400)
@given(st.lists(st.tuples(CHOSEN, st.integers(0, 3)), min_size=3, max_size=30), st.booleans())
def test_no_scope_and_no_outcome_is_invented(acts: list[tuple[str, int]], logged: bool) -> None:
    live(acts, logged=logged)


FOUND: dict[str, list[tuple[str, int]]] = {
    "a group kill with lines of its victims alone is one kill": [
        ("group killed at the limit of pod, lost: most", 0),
    ],
    "a kill before the agent ended its container was survived": [
        ("child killed at the limit of container, lost: all", 0),
        ("the agent ends a container", 0),
    ],
    "a report without a cgroup is not that of the kill that is recorded next": [
        ("child killed at the limit of pod, lost: most", 0),
        ("group killed at the limit of pod, lost: all", 1),
    ],
    "nor if the kill before it had a report, but of fewer victims": [
        ("init killed at the limit of kubepods, lost: all", 2),
        ("child killed at the limit of node, lost: head", 0),
        ("group killed at the limit of container, lost: none", 0),
    ],
    "nor of one that comes seconds later": [
        ("child killed at the limit of kubepods, lost: all", 0),
        ("child killed at the limit of node, lost: head", 2),
        ("some time", 2),
        ("child killed at the limit of kubepods, lost: all", 0),
    ],
    "nor is the hit of a removed container's limit": [
        ("init killed at the limit of container, lost: none", 0),
        ("init killed at the limit of container, lost: none", 0),
        ("init killed at the limit of kubepods, lost: limit", 0),
        ("a container starts", 1),
        ("the agent is killed", 0),
        ("child killed at the limit of container, lost: none", 0),
        ("a container goes", 0),
        ("a container goes", 1),
        ("a container goes", 1),
    ],
    "nor after a restart of the agent": [
        ("init killed at the limit of kubepods, lost: head", 0),
        ("init killed at the limit of node, lost: head", 0),
        ("a container goes", 0),
        ("group killed at the limit of kubepods, lost: all", 0),
        ("the agent is killed", 0),
    ],
    "of dropped hits one may still lead to a kill, and a hit of another limit is not that kill's": [
        ("the limit of container is hit before its kill", 0),
        ("init killed at the limit of pod, lost: head", 0),
        ("the limit of container is hit before its kill", 0),
        ("child killed at the limit of pod, lost: head", 0),
    ],
    "a hit of the pod's limit that a report names is not another container's": [
        ("child killed at the limit of node, lost: head", 0),
        ("child killed at the limit of pod, lost: none", 1),
        ("child killed at the limit of node, lost: head", 1),
    ],
}


@pytest.mark.parametrize("what", FOUND)
def test_what_was_once_invented_is_not(what: str) -> None:
    live(FOUND[what], logged=True)


def live(acts: list[tuple[str, int]], *, logged: bool) -> None:
    truth = Truth(logged=logged, short=True)
    truth.world.make(ROOT, *PODS)
    truth.begin()
    for number in range(3):
        truth.add(number)
    for name, number in acts:
        ACTIONS[name](truth, number)
    truth.go_on()
    truth.begin()
    for _ in range(4):
        truth.hear()
        truth.pause(3.0)
    what_is_reported_is_true(truth)


def what_is_reported_is_true(truth: Truth) -> None:
    scopes: Counter[tuple[str, Scope]] = Counter()
    ends: Counter[tuple[str, Outcome]] = Counter()
    for kill in truth.kills:
        if kill.scope is not None:
            scopes[_of_pod(kill.cgroup_path), kill.scope] += 1
        final = truth.settled.get(kill.kill_id, kill)
        if final.outcome is not None:
            ends[kill.cgroup_path, final.outcome] += 1
    for (path, scope), number in scopes.items():
        possible = [n for (at, what), n in truth.scopes.items() if what is scope and (at + "/").startswith(path + "/")]
        assert number <= sum(possible), f"{scope.value} in {path}"
    for (path, outcome), number in ends.items():
        possible = [n for (at, what), n in truth.ends.items() if what is outcome and (at + "/").startswith(path + "/")]
        assert number <= sum(possible), f"{outcome.value} in {path}"


def _of_pod(path: str) -> str:
    """Of kills in several containers of a pod at the same moment the counters alone don't say which was at the pod's limit."""
    return "/".join(path.split("/")[:3])
