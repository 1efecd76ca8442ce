"""5,000 agents after an API server's restart, simulated: the agent's own pod watch and back-off with a simulated clock.

Each agent is the real PodWatch with a stand-in for its requests; time passes only when it waits. The server's answers depend
on the time alone, so the agents run one after the other. Returns the time of each request.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import urllib3

from agent.kube.api import Answer, Api, ApiRefusedError, ApiUnreachableError
from agent.pods.watch import SHORT_S, WATCH_S, PodWatch

ROUND_TRIP_S = 0.005
NOTICED_S = 0.05  # the cut reaches all agents within this
NO_PODS = b'{"kind": "PodList", "metadata": {"resourceVersion": "1000"}, "items": []}'


class OverError(Exception):
    """This agent watches again: its simulation ends."""


@dataclass(frozen=True, slots=True)
class Outage:
    """The server cuts all connections at 0 and answers again after ``down_s``. ``forgets``: every version is too old then (410)."""

    down_s: float
    forgets: bool = False


@dataclass(slots=True)
class Agent:
    """One agent's requests: (seconds, verb, whether it was answered)."""

    outage: Outage
    chance: random.Random
    now_s: float = 0.0
    listed: bool = False
    requests: list[tuple[float, str, bool]] = field(default_factory=list)

    def run(self) -> None:
        """From an established watch, over the cut, until it watches again."""
        self.now_s = -self.chance.uniform(2 * SHORT_S, WATCH_S)
        watch = PodWatch(
            _Requests(self),
            "node",
            lambda _: None,
            stop=threading.Event(),
            clock=lambda: self.now_s,
            wait=self._wait,
            rand=self.chance.random,
        )
        try:
            watch.run()
        except OverError:
            return

    def _wait(self, seconds: float) -> None:
        self.now_s += seconds

    def cut(self) -> None:
        """The watch's connection breaks."""
        self.now_s = self.chance.uniform(0.0, NOTICED_S)
        raise ConnectionResetError("cut")

    def ask(self, verb: str) -> None:
        """One request at this moment. Raises as the client does, or OverError once a watch is accepted."""
        up = self.now_s >= self.outage.down_s
        self.requests.append((self.now_s, verb, up))
        self.now_s += ROUND_TRIP_S
        if not up:
            raise ApiUnreachableError("connection refused")
        if verb == "list":
            self.listed = True
        elif self.outage.forgets and not self.listed:
            raise ApiRefusedError(410, "Expired", "too old resource version", None)
        else:
            raise OverError


class _Requests(Api):
    """Replaces the client. The list and the watch before the cut are not counted."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._before = 2

    def request(
        self, method: str, path: str, query: Mapping[str, str] | None = None, *_: object, **__: object
    ) -> Answer:
        watch = "watch" in (query or {})
        if self._before:
            self._before -= 1
        else:
            self._agent.ask("watch" if watch else "list")
        return Answer(cast(urllib3.BaseHTTPResponse, _Body(self._agent, watch)))


class _Body:
    """The body of an answer: to a list no pods, to a watch nothing until it breaks."""

    def __init__(self, agent: Agent, watch: bool) -> None:
        self._agent = agent
        self._watch = watch

    def stream(self, **_: object) -> Iterator[bytes]:
        if self._watch:
            self._agent.cut()
        yield NO_PODS

    def close(self) -> None:
        """No connection to close."""

    def release_conn(self) -> None:
        """No connection to release."""


@dataclass(frozen=True, slots=True)
class Comeback:
    """Requests per second, the maximum: all of them, and those that the server answered; when 99 % of the agents watched again."""

    outage: Outage
    agents: int
    peak_refused: int
    peak_answered: int
    peak_lists: int
    answered: int
    p50_back_s: float  # after the server was available again
    p99_back_s: float


def simulate(outage: Outage, agents: int, seed: int = 1) -> Comeback:
    """All agents through one outage."""
    refused: Counter[int] = Counter()
    answered: Counter[int] = Counter()
    lists: Counter[int] = Counter()
    back = []
    for number in range(agents):
        agent = Agent(outage, random.Random(seed * 1_000_003 + number))
        agent.run()
        for at_s, verb, up in agent.requests:
            (answered if up else refused)[int(at_s)] += 1
            lists[int(at_s)] += verb == "list" and up
        back.append(agent.requests[-1][0] - outage.down_s)
    back.sort()
    return Comeback(
        outage,
        agents,
        max(refused.values(), default=0),
        max(answered.values()),
        max(lists.values(), default=0),
        answered.total(),
        back[len(back) // 2],
        back[int(len(back) * 0.99)],
    )
