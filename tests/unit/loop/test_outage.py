"""The API is away for more than an hour, 1,000 kills happen meanwhile, and the agent is killed now and then.

Real ledger, real outbox, real HTTP to the API's stand-in; only time is set by hand, so that it passes quickly.
"""

from __future__ import annotations

import gc
import logging
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.diagnose import failing
from agent.diagnose.failing import Failing
from agent.events.kill_events import KillEvents
from agent.events.outbox import EXPIRED_S, Outbox
from agent.events.schedule import Schedule
from agent.events.sender import EventSender
from agent.kills import Findings
from agent.kills.recorder import Recorder
from agent.kube.api import Api, connect
from agent.ledger import Ledger
from agent.ledger.rows import notice_of
from agent.metrics.metrics import Metrics
from agent.model import EventDelivered, EventFailed, Notice, Outcome
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.wording.kills import KILL

NOW = KILL.at_unix_s
EVENTS = "/apis/events.k8s.io/v1/namespaces"
PODS, CONTAINERS = 25, 2
OUTAGE_S = EXPIRED_S + 300


class Agent:
    """Ledger, outbox and sender of one node; ``now`` is set by hand."""

    def __init__(self, state: Path, api: Api) -> None:
        self.now = 0.0
        self.ordinal = 0
        self._state = state
        self._api = api
        self.metrics = Metrics("1", process_metrics=False)
        self.begin()

    def begin(self) -> None:
        self.inbox: list[EventDelivered | EventFailed] = []
        self.ledger = Ledger.open(self._state, "boot")
        sender = EventSender(self._api, lambda _: None, reporting_instance="node-1")
        self.outbox = Outbox(
            self.ledger,
            self.metrics,
            Schedule(rand=lambda: 1.0),
            lambda notice: self.inbox.append(sender.attempt(notice)),
            "boot",
            clock=lambda: self.now,
            unix_s=self.unix_s,
        )
        failing = Failing(self.metrics, self.unix_s, ())
        events = KillEvents("node-1", self.ledger, self.outbox, lambda _: None, failing.advice, lambda _: None)
        self.recorder = Recorder(self.ledger, self.metrics, failing.settled, events.post)
        for kill in self.ledger.without_event():
            self.recorder.settled(replace(kill, outcome=Outcome.SURVIVED))
        self.outbox.refill()

    def unix_s(self) -> float:
        return NOW + self.now

    def die(self) -> None:
        """kill -9, and a new start: nothing is written on the way out, what was under way is unknown."""
        self.ledger._store.close()
        self.begin()

    def kill(self, pod: int, container: int) -> None:
        self.ordinal += 1
        happened = replace(
            KILL,
            cgroup_inode=pod * 10 + container,
            ordinal=self.ordinal,
            at_unix_s=self.unix_s(),
            pod=f"herder-{pod}",
            pod_uid=f"uid-{pod}",
            container=f"c{container}",
            outcome=None,
        )
        self.recorder.findings(Findings(kills=(happened,)), None)
        self.recorder.findings(Findings(settled=(replace(happened, outcome=Outcome.SURVIVED),)), None)
        self.ledger.commit()

    def live(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let so much time pass, doing what is due in it."""
        end = self.now + seconds
        while not until():
            for message in self.inbox:
                if isinstance(message, EventFailed):
                    self.outbox.failed(message)
                else:
                    self.outbox.delivered(message)
            self.inbox.clear()
            self.ledger.commit()
            due = self.outbox.due_s()
            if due is None or due >= end:
                break
            self.now = max(self.now, due)
            self.outbox.send_due()
        self.now = max(self.now, end)

    def all_told(self) -> bool:
        return not self.inbox and not self.ledger.undelivered()


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer(bookmark_s=0.05, history=20)
    server.start()
    yield server
    server.close()


@pytest.fixture
def agent(server: ApiServer, tmp_path: Path) -> Iterator[Agent]:
    server.write_kubeconfig(tmp_path / "kubeconfig")
    agent = Agent(tmp_path / "state", connect(tmp_path / "kubeconfig", user_agent="oomward/test (node node-1)"))
    yield agent
    agent.ledger.close()


def counts(server: ApiServer) -> dict[str, int]:
    """Kills that a reader of the API sees, by pod; each Event must be there once."""
    names = [event["metadata"]["name"] for event in server.events]
    assert len(names) == len(set(names))
    found: Counter[str] = Counter()
    for event in server.events:
        found[event["regarding"]["name"]] += event.get("series", {"count": 1})["count"]
    return dict(found)


@pytest.mark.parametrize("deaths", [0, 12], ids=["one agent", "an agent that is killed now and then"])
def test_an_hour_without_the_api_loses_no_event_that_is_young_enough_and_doubles_none(
    server: ApiServer, agent: Agent, deaths: int
) -> None:
    chance = random.Random(5507)
    server.faults.add(Fault(How.CLOSE, "create", EVENTS, times=None))
    server.faults.add(Fault(How.CLOSE, "patch", EVENTS, times=None))
    agent.kill(999, 0)  # and never again: nobody wants to know of it an hour later
    dying = set(chance.sample(range(1000), deaths))
    killed: Counter[str] = Counter({"herder-999": 1})
    for number in range(1000):
        agent.live(OUTAGE_S / 1000)
        pod = chance.randrange(PODS)
        agent.kill(pod, chance.randrange(CONTAINERS))
        killed[f"herder-{pod}"] += 1
        if number in dying:
            agent.die()
    assert server.events == []
    assert len(server.requests) < 2 * OUTAGE_S / 15 + 10 * deaths, "a try in 15 to 30 s, however much waits"
    server.faults.clear()
    agent.live(7200, until=agent.all_told)
    assert agent.all_told()
    dropped = dropped_events(agent)
    assert {notice.about.name for notice in dropped} >= {"herder-999"}
    assert all(notice.last_unix_s < NOW + OUTAGE_S - EXPIRED_S for notice in dropped), "too old, each of them"
    expired = agent.metrics.registry.get_sample_value("oomward_events_total", {"outcome": "dropped_expired"})
    assert expired == len(dropped) < 10
    for notice in dropped:
        killed[notice.about.name] -= notice.count
    assert counts(server) == dict(+killed)


def dropped_events(agent: Agent) -> list[Notice]:
    rows = agent.ledger._store.read("SELECT body FROM notice WHERE outcome LIKE 'dropped%'")
    return [notice_of(body) for (body,) in rows]


def test_memory_stays_flat_however_long_it_lasts(
    server: ApiServer, agent: Agent, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = 4  # in place of MOST_KILLS, which takes longer to reach
    monkeypatch.setattr(failing, "MOST_KILLS", kept)
    caplog.set_level(logging.CRITICAL, "oomward")  # what pytest keeps of the log is not the agent's
    server.faults.add(Fault(How.CLOSE, "create", EVENTS, times=None))

    def some_kills(count: int) -> int:
        """Bytes in use afterwards."""
        for number in range(count):
            agent.live(0.5)
            agent.kill(number % PODS, number % CONTAINERS)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        settled = some_kills(PODS * kept)  # as many of each pod as are kept for its diagnosis
        assert some_kills(500) - settled < 500 * 128, "a kill that is kept takes more than 128 bytes"
    finally:
        tracemalloc.stop()
    assert agent.ledger.pending == 0
    assert len(agent.ledger.undelivered()) == PODS * CONTAINERS


def test_an_api_that_comes_and_goes_and_loses_answers_is_told_of_every_kill_once(
    server: ApiServer, agent: Agent
) -> None:
    chance = random.Random(7)
    killed: Counter[str] = Counter()
    for _ in range(400):
        how = chance.choice([How.CLOSE, How.LOST_ANSWER, None, None])
        if how is not None:
            server.faults.add(Fault(how, chance.choice(["create", "patch"]), EVENTS))
        agent.live(chance.uniform(0, 20))
        pod = chance.randrange(4)
        agent.kill(pod, 0)
        killed[f"herder-{pod}"] += 1
        if chance.random() < 0.05:
            agent.die()
    server.faults.clear()
    agent.live(7200, until=agent.all_told)
    assert counts(server) == dict(killed)
