"""A thread that hangs: /healthz goes red and names it, so that the kubelet starts the agent anew; back at work, it is green."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from agent import run as program
from agent.events.sender import EventSender
from agent.loop.node import Node
from agent.pods.watch import PodWatch
from tests.lab.apiserver import ApiServer
from tests.unit.kube.world import pod_json
from tests.unit.patience import PATIENCE_S
from tests.unit.run.running import Agent

LIMIT_S = 0.3


@pytest.fixture
def stuck() -> threading.Event:
    """Set: whoever hangs goes on."""
    return threading.Event()


def hang(
    monkeypatch: pytest.MonkeyPatch, room: type, method: str, stuck: threading.Event, began: threading.Event
) -> None:
    """That method hangs at its next call, once."""
    real = getattr(room, method)

    def hanging(self: object, *arguments: Any, **more: Any) -> Any:
        if not began.is_set():
            began.set()
            assert stuck.wait(PATIENCE_S)
        return real(self, *arguments, **more)

    monkeypatch.setattr(room, method, hanging)


@pytest.mark.parametrize(
    ("room", "method", "limit", "thread"),
    [
        (Node, "housekeeping", "STUCK_S", "loop"),
        (PodWatch, "_list", "POD_WATCH_SILENT_S", "pod watch"),
        (EventSender, "attempt", "SENDER_SILENT_S", "event sender"),
    ],
    ids=["loop", "pod watch", "event sender"],
)
def test_the_thread_that_hangs_turns_health_red_by_name_until_it_goes_on(
    agent: Agent,
    api: ApiServer,
    monkeypatch: pytest.MonkeyPatch,
    stuck: threading.Event,
    room: type,
    method: str,
    limit: str,
    thread: str,
) -> None:
    began = threading.Event()
    api.put_pod(pod_json(labels={"oomward.dev/mode": "nonsense"}))  # there is an Event to be sent
    hang(monkeypatch, room, method, stuck, began)
    monkeypatch.setattr("agent.loop.loop.HOUSEKEEPING_S", 0.1)
    for name in ("STUCK_S", "POD_WATCH_SILENT_S", "SENDER_SILENT_S"):
        monkeypatch.setattr(program, name, LIMIT_S if name == limit else 300.0)

    def meanwhile() -> None:
        try:
            agent.until(began.is_set, "hanging")
            agent.until(lambda: agent.get("/healthz")[0] == 503, "red")
            lines = agent.get("/healthz")[1].splitlines()
            assert [line.split(":")[0] for line in lines if "it hangs" in line] == [thread]
            assert agent.get("/metrics")[0] == 200, "the pages are there all the time"
        finally:
            stuck.set()
        agent.until(lambda: agent.get("/healthz")[0] == 200, "green again")

    assert agent.run(meanwhile) == 0
