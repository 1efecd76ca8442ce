"""Events are delivered once, in order for each pod, and whatever fails blocks nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from agent.kube.api import Api
from agent.kube.events import EXPIRED_S, MOST_WAITING, EventPoster, event_body
from agent.model import EventDelivered, Message, Notice, ObjectRef, Reason
from tests.lab.apievents import problems
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer

NOW = 1_760_000_000.0
EVENTS = "/apis/events.k8s.io/v1/namespaces"


def notice(
    name: str = "herder-1.1", pod: str = "herder-1", at: float = NOW, note: str = "killed", namespace: str = "default"
) -> Notice:
    about = ObjectRef("Pod", pod, namespace, f"uid-{pod}")
    return Notice(name, about, Reason.PROCESS_OOM_KILLED, True, "OOMKill", note, at)


class Desk:
    """A poster whose clock is set by hand."""

    def __init__(self, api: Api) -> None:
        self.now = 0.0
        self.delivered: list[tuple[str, str]] = []
        self.poster = EventPoster(
            api,
            self._take,
            reporting_instance="node-1",
            stop=threading.Event(),
            clock=lambda: self.now,
            unix_s=lambda: NOW + self.now,
            rand=lambda: 1.0,
        )

    def _take(self, message: Message) -> None:
        assert isinstance(message, EventDelivered)
        self.delivered.append((message.name, message.outcome))

    def work(self, until: Callable[[], bool] | None = None) -> None:
        """Deliver what is due, letting time jump to the next try."""
        for _ in range(200):
            due = self.poster.due_s()
            if due is None or (until is not None and until()):
                return
            self.now = max(self.now, due)
            self.poster.step(self.poster._next() or "")
        raise AssertionError("it never ends")


@pytest.fixture
def desk(api: Api) -> Desk:
    return Desk(api)


def test_a_notice_becomes_an_event_that_the_api_takes(server: ApiServer, desk: Desk) -> None:
    desk.poster.submit(notice())
    desk.work()
    assert desk.delivered == [("herder-1.1", "created")]
    (event,) = server.events
    assert event["regarding"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "herder-1",
        "namespace": "default",
        "uid": "uid-herder-1",
    }
    assert (event["reason"], event["type"], event["note"]) == ("ProcessOOMKilled", "Warning", "killed")
    assert event["reportingController"] == "oomward.dev/agent"


@pytest.mark.parametrize("note", ["", "x" * 5000, "ünïcödé"])
def test_every_body_passes_the_apis_own_validation(note: str) -> None:
    assert problems(event_body(notice(note=note), "n" * 300), "default") == []
    node = Notice(
        "n.1", ObjectRef("Node", "node-1", "", "node-1"), Reason.PROCESS_OOM_KILLED, True, "OOMKill", note, NOW
    )
    assert problems(event_body(node, "node-1"), "default") == []


def test_a_name_that_is_there_already_is_as_good_as_delivered(server: ApiServer, desk: Desk) -> None:
    for _ in range(2):
        desk.poster.submit(notice())
    desk.work()
    assert desk.delivered == [("herder-1.1", "created"), ("herder-1.1", "exists")]
    assert len(server.events) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(How.STATUS, "create", EVENTS, 4, status=500),
        Fault(How.STATUS, "create", EVENTS, 4, status=503),
        Fault(How.STATUS, "create", EVENTS, 4, status=401, reason="Unauthorized"),
        Fault(How.STATUS, "create", EVENTS, 4, status=403, reason="Forbidden", message="cannot create resource events"),
        Fault(How.CLOSE, "create", EVENTS, 4),
    ],
    ids=["500", "503", "401", "403", "close"],
)
def test_what_may_pass_is_tried_again_ever_more_slowly(fault: Fault, server: ApiServer, desk: Desk) -> None:
    server.faults.add(fault)
    desk.poster.submit(notice())
    desk.work()
    assert desk.delivered == [("herder-1.1", "created")]
    assert desk.now == 0.5 + 1 + 2 + 4


def test_a_missing_permission_is_named_with_the_rule_that_is_missing_and_once(
    server: ApiServer, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.add(Fault(How.STATUS, "create", EVENTS, 3, status=403, reason="Forbidden", message="cannot create"))
    desk.poster.submit(notice())
    desk.work()
    assert [r.getMessage() for r in caplog.records if "ClusterRole must allow create of events" in r.getMessage()] != []
    assert len(caplog.records) == 1


def test_the_servers_retry_after_is_obeyed(server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.STATUS, "create", EVENTS, status=429, reason="TooManyRequests", retry_after_s=30))
    desk.poster.submit(notice())
    desk.work()
    assert desk.now == 30.0


def test_an_event_whose_namespace_is_gone_or_going_is_dropped(server: ApiServer, desk: Desk) -> None:
    server.store.missing.add("gone")
    server.store.terminating.add("going")
    desk.poster.submit(notice("a.1", "a", namespace="gone"))
    desk.poster.submit(notice("b.1", "b", namespace="going"))
    desk.work()
    assert sorted(desk.delivered) == [("a.1", "dropped_gone"), ("b.1", "dropped_gone")]


def test_an_event_that_the_api_finds_invalid_is_dropped_and_said(
    desk: Desk, caplog: pytest.LogCaptureFixture, server: ApiServer
) -> None:
    desk.poster.submit(notice("Not A Name"))
    desk.work()
    assert desk.delivered == [("Not A Name", "dropped_invalid")]
    assert "RFC 1123" in caplog.text


def test_an_event_older_than_an_hour_is_not_sent(server: ApiServer, desk: Desk) -> None:
    desk.poster.submit(notice(at=NOW - EXPIRED_S - 1))
    desk.work()
    assert desk.delivered == [("herder-1.1", "dropped_expired")]
    assert server.requests == []


def test_events_of_one_pod_keep_their_order_over_failures(server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.STATUS, "create", EVENTS, 2, status=500))
    for i in range(5):
        desk.poster.submit(notice(f"herder-1.{i}"))
    desk.work()
    assert [name for name, _ in desk.delivered] == [f"herder-1.{i}" for i in range(5)]


def test_a_pod_whose_events_fail_does_not_hold_up_the_others(server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.STATUS, "create", f"{EVENTS}/bad", None, status=500))
    desk.poster.submit(notice("bad.1", "bad", namespace="bad"))
    desk.poster.submit(notice("good.1", "good"))
    desk.work(until=lambda: bool(desk.delivered))
    assert desk.delivered == [("good.1", "created")]
    assert desk.now < 1.0


def test_a_full_queue_refuses_and_never_grows(desk: Desk) -> None:
    accepted = [desk.poster.submit(notice(f"herder-1.{i}")) for i in range(MOST_WAITING + 5)]
    assert accepted == [True] * MOST_WAITING + [False] * 5
