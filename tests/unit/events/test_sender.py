"""Events are delivered once, in order for each pod, and whatever fails blocks nobody else."""

from __future__ import annotations

import queue
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.outbox import EXPIRED_S
from agent.events.schedule import MOST_WAITING
from agent.events.sender import EventSender, event_body
from agent.kube.api import Answer, Api
from agent.model import EventDelivered, EventFailed, Message, Notice, ObjectRef, Reason
from tests.lab.apievents import problems
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.events.world import EVENTS, NOW, Desk, notice
from tests.unit.patience import PATIENCE_S


@pytest.fixture
def desk(api: Api) -> Desk:
    return Desk(api)


def test_a_notice_becomes_an_event_that_the_api_takes(server: ApiServer, desk: Desk) -> None:
    desk.submit(notice())
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


@pytest.mark.parametrize("note", ["", "x" * 5000, "ünïcödé" * 200, "\U0001f480" * 500, "\ud800"])
def test_every_body_passes_the_apis_own_validation(note: str) -> None:
    assert problems(event_body(notice(note=note), "n" * 300), "default") == []
    node = Notice(
        "n.1", ObjectRef("Node", "node-1", "", "node-1"), Reason.PROCESS_OOM_KILLED, True, "OOMKill", note, NOW
    )
    assert problems(event_body(node, "node-1"), "default") == []


def test_a_name_that_is_there_already_is_as_good_as_delivered(server: ApiServer, desk: Desk) -> None:
    for _ in range(2):
        desk.submit(notice())
        desk.work()
    assert desk.delivered == [("herder-1.1", "created"), ("herder-1.1", "exists")]
    assert len(server.events) == 1


QUOTA = 'Operation cannot be fulfilled on resourcequotas "all": the object has been modified'
STARTING = "the server could not find the requested resource"


@pytest.mark.parametrize("sent_count", [0, 1], ids=["create", "patch"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [(409, "Conflict", QUOTA), (404, "NotFound", STARTING), (410, "Expired", "too old"), (423, "Locked", "")],
)
def test_a_refusal_that_does_not_say_that_it_is_for_good_is_not_the_end_of_an_event(
    status: int, reason: str, message: str, count: int, sent_count: int, server: ApiServer, api: Api
) -> None:
    """A quota that another request changes at the moment; an API server that has not started all of its APIs."""
    fault = Fault(How.STATUS, path=EVENTS, times=None, status=status, reason=reason, message=message)
    server.faults.add(fault)
    sender = EventSender(api, lambda _: None, reporting_instance="node-1")
    event = replace(notice(), count=count, sent_count=min(sent_count, count - 1))
    assert isinstance(sender.attempt(event), EventFailed)
    server.faults.clear()
    assert isinstance(sender.attempt(event), EventDelivered)
    assert len(server.events) == 1


HTML = b"<html><body>Please log in</body></html>"
ODD = {
    "200 with HTML": (200, HTML),
    "201 with nothing": (201, b""),
    "200 with another object": (200, b'{"kind": "Status", "status": "Success"}'),
    "201 with another Event": (201, b'{"kind": "Event", "metadata": {"name": "another"}}'),
    "204": (204, b""),
    "302": (302, b""),
    "307": (307, HTML),
    "400 with HTML": (400, HTML),
    "404 with HTML": (404, HTML),
    "405": (405, b""),
    "409 with HTML": (409, HTML),
    "413": (413, b"too large"),
}


@pytest.mark.parametrize("sent_count", [0, 1], ids=["create", "patch"])
@pytest.mark.parametrize("answer", ODD)
def test_an_answer_that_is_not_kubernetes_own_is_neither_success_nor_the_end_of_an_event(
    answer: str, sent_count: int, server: ApiServer, api: Api
) -> None:
    """A proxy, a load balancer without a backend, a captive portal."""
    code, body = ODD[answer]
    server.faults.add(Fault(How.BODY, path=EVENTS, times=None, code=code, body=body))
    sender = EventSender(api, lambda _: None, reporting_instance="node-1")
    event = replace(notice(), count=2, sent_count=sent_count)
    assert isinstance(sender.attempt(event), EventFailed)
    server.faults.clear()
    assert isinstance(sender.attempt(event), EventDelivered)
    assert len(server.events) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(How.STATUS, "create", EVENTS, 4, status=500),
        Fault(How.STATUS, "create", EVENTS, 4, status=503),
        Fault(How.STATUS, "create", EVENTS, 4, status=401, reason="Unauthorized"),
        Fault(How.STATUS, "create", EVENTS, 4, status=403, reason="Forbidden", message="cannot create resource events"),
        Fault(How.STATUS, "create", EVENTS, 4, status=504),
        Fault(How.STATUS, "create", EVENTS, 4, status=429),
        Fault(How.STATUS, "create", EVENTS, 4, status=408),
        Fault(How.CLOSE, "create", EVENTS, 4),
    ],
    ids=["500", "503", "401", "403", "504", "429", "408", "close"],
)
def test_what_may_pass_is_tried_again_ever_more_slowly(fault: Fault, server: ApiServer, desk: Desk) -> None:
    server.faults.add(fault)
    desk.submit(notice())
    desk.work()
    assert desk.delivered == [("herder-1.1", "created")]
    assert desk.now == 0.5 + 1 + 2 + 4


def test_a_missing_permission_is_named_with_the_rule_that_is_missing_and_once(
    server: ApiServer, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.add(Fault(How.STATUS, "create", EVENTS, 3, status=403, reason="Forbidden", message="cannot create"))
    desk.submit(notice())
    desk.work()
    assert [
        r.getMessage() for r in caplog.records if "ClusterRole must allow create and patch of events" in r.getMessage()
    ] != []
    assert len(caplog.records) == 1


def test_the_servers_retry_after_is_obeyed(server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.STATUS, "create", EVENTS, status=429, reason="TooManyRequests", retry_after_s=30))
    desk.submit(notice())
    desk.work()
    assert desk.now == 30.0


def test_an_event_whose_namespace_is_gone_or_going_is_dropped(server: ApiServer, desk: Desk) -> None:
    server.store.missing.add("gone")
    server.store.terminating.add("going")
    desk.submit(notice("a.1", "a", namespace="gone"))
    desk.submit(notice("b.1", "b", namespace="going"))
    desk.work()
    assert sorted(desk.delivered) == [("a.1", "dropped_gone"), ("b.1", "dropped_gone")]


def test_an_event_that_the_api_finds_invalid_is_dropped_and_said(
    desk: Desk, caplog: pytest.LogCaptureFixture, server: ApiServer
) -> None:
    desk.submit(notice("Not A Name"))
    desk.work()
    assert desk.delivered == [("Not A Name", "dropped_invalid")]
    assert "RFC 1123" in caplog.text


def test_an_event_older_than_an_hour_is_not_sent(server: ApiServer, desk: Desk) -> None:
    desk.submit(notice(at=NOW - EXPIRED_S - 1))
    desk.work()
    assert desk.delivered == [("herder-1.1", "dropped_expired")]
    assert server.requests == []


def test_events_of_one_pod_keep_their_order_over_failures(server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.STATUS, "create", EVENTS, 2, status=500))
    for i in range(5):
        desk.submit(notice(f"herder-1.{i}"))
    desk.work()
    assert [name for name, _ in desk.delivered] == [f"herder-1.{i}" for i in range(5)]


def test_a_pod_whose_events_fail_does_not_hold_up_the_others(server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.STATUS, "create", f"{EVENTS}/bad", None, status=500))
    desk.submit(notice("bad.1", "bad", namespace="bad"))
    desk.submit(notice("good.1", "good"))
    desk.work(until=lambda: bool(desk.delivered))
    assert desk.delivered == [("good.1", "created")]
    assert desk.now < 1.0


def test_memory_never_takes_more_than_it_has_room_for_and_the_ledger_keeps_the_rest(desk: Desk) -> None:
    for i in range(MOST_WAITING + 5):
        desk.outbox.post(notice(f"herder-1.{i}"))
    assert len(desk.schedule) == MOST_WAITING
    assert len(desk.ledger.undelivered(2 * MOST_WAITING)) == MOST_WAITING + 5


def test_a_long_note_is_cut_at_the_apis_1024_bytes_between_characters() -> None:
    note = event_body(notice(note="a" + "é" * 1000), "node-1")["note"]
    assert note == "a" + "é" * 511


@pytest.mark.parametrize("status", [403, 429, 503, 504])
def test_a_refusal_of_one_namespaces_events_delays_nobody_elses(status: int, server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.STATUS, "create", f"{EVENTS}/full", None, status=status, retry_after_s=30))
    for i in range(50):
        desk.submit(notice(f"full-{i}.1", f"full-{i}", namespace="full"))
        desk.submit(notice(f"good-{i}.1", f"good-{i}"))
    desk.work(until=lambda: len(desk.delivered) == 50)
    assert {name.partition("-")[0] for name, _ in desk.delivered} == {"good"}
    assert desk.now < 1.0
    assert len(server.requests) <= 52, "a namespace whose pods are refused waits as a whole"


def test_a_server_that_refuses_everybody_is_asked_every_few_seconds_and_not_once_per_namespace(
    server: ApiServer, desk: Desk
) -> None:
    server.faults.add(Fault(How.STATUS, "create", EVENTS, None, status=429, reason="TooManyRequests"))
    for i in range(300):
        desk.submit(notice(f"pod-{i}.1", f"pod-{i}", namespace=f"ns-{i}"))
    desk.work(until=lambda: desk.now > 600)
    assert len(server.requests) <= 310
    server.faults.clear()
    desk.work()
    assert len(server.events) == 300


def test_an_outage_with_many_pods_is_not_a_storm_of_tries_and_loses_nothing(server: ApiServer, desk: Desk) -> None:
    for i in range(300):
        desk.submit(notice(f"pod-{i}.1", f"pod-{i}"))
    server.faults.add(Fault(How.CLOSE, "create", EVENTS, times=None))
    desk.work(until=lambda: desk.now > 1800)
    tries = len(server.requests)
    assert tries <= 70, "half an hour at one try in 30 s"
    server.faults.clear()
    desk.work()
    assert {outcome for _, outcome in desk.delivered} == {"created"}
    assert len(server.events) == 300


def test_what_grew_too_old_in_an_outage_is_dropped_and_the_rest_delivered(server: ApiServer, desk: Desk) -> None:
    desk.submit(notice("old.1", "old", at=NOW - 3000))
    desk.submit(notice("young.1", "young"))
    server.faults.add(Fault(How.CLOSE, "create", EVENTS, times=None))
    desk.work(until=lambda: desk.now > 700)
    server.faults.clear()
    desk.work()
    assert sorted(desk.delivered) == [("old.1", "dropped_expired"), ("young.1", "created")]


def test_an_answer_that_got_lost_makes_no_second_event(server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.LOST_ANSWER, "create", EVENTS))
    desk.submit(notice())
    desk.work()
    assert desk.delivered == [("herder-1.1", "exists")]
    assert len(server.events) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000], ids=["empty", "html", "deep"])
def test_a_success_that_does_not_say_so_is_tried_again(body: bytes, server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.BODY, "create", EVENTS, body=body))
    desk.submit(notice())
    desk.work()
    assert desk.delivered == [("herder-1.1", "created")]
    assert len(server.events) == 1


@pytest.mark.parametrize("status", [400, 405, 413, 415])
def test_a_refusal_that_would_stay_the_same_does_not_hold_up_the_pod(
    status: int, server: ApiServer, desk: Desk
) -> None:
    server.faults.add(Fault(How.STATUS, "create", EVENTS, status=status, reason="No"))
    desk.submit(notice())
    desk.submit(notice("herder-1.2"))
    desk.work()
    assert desk.delivered == [("herder-1.1", "dropped_invalid"), ("herder-1.2", "created")]


def test_a_namespace_that_is_called_terminating_is_not_one_that_is(server: ApiServer, desk: Desk) -> None:
    message = 'User "x" cannot create resource "events" in API group "events.k8s.io" in the namespace "terminating"'
    server.faults.add(Fault(How.STATUS, "create", EVENTS, status=403, reason="Forbidden", message=message))
    desk.submit(notice(namespace="terminating"))
    desk.work()
    assert desk.delivered == [("herder-1.1", "created")]


def test_a_namespace_made_to_lead_elsewhere_stays_a_part_of_the_path(server: ApiServer, desk: Desk) -> None:
    desk.submit(notice(namespace="../../x?y=1#z"))
    desk.work()
    assert {request.path for request in server.requests} == {f"{EVENTS}/../../x?y=1#z/events"}
    assert not any(request.query for request in server.requests)


def test_a_pod_with_many_events_takes_turns_with_the_others(server: ApiServer, desk: Desk) -> None:
    for i in range(50):
        desk.submit(notice(f"many.{i}", "many"))
    desk.submit(notice("single.1", "single"))
    desk.work(until=lambda: len(desk.delivered) == 2)
    assert ("single.1", "created") in desk.delivered


def test_events_go_over_one_connection(server: ApiServer, desk: Desk) -> None:
    for i in range(5):
        desk.submit(notice(f"herder-1.{i}"))
    desk.work()
    assert len({request.client_port for request in server.requests}) == 1


def test_several_occurrences_are_a_series(server: ApiServer, desk: Desk) -> None:
    desk.submit(notice(count=7))
    desk.work()
    assert server.events[0]["series"] == {"count": 7, "lastObservedTime": "2025-10-09T08:53:20.000000Z"}


def test_a_count_that_grew_brings_the_event_that_is_there_up_to_date(server: ApiServer, desk: Desk) -> None:
    for count in (1, 3, 9):
        desk.submit(notice(count=count))
        desk.work()
    assert [outcome for _, outcome in desk.delivered] == ["created", "patched", "patched"]
    assert [event["series"]["count"] for event in server.events] == [9]


def test_an_event_that_the_api_is_known_to_have_is_patched_at_once(server: ApiServer, desk: Desk) -> None:
    desk.submit(notice())
    desk.work()
    desk.submit(replace(notice(count=3), sent_count=1))
    desk.work()
    assert [request.verb for request in server.requests] == ["create", "patch"]
    assert server.events[0]["series"]["count"] == 3


@pytest.mark.parametrize("sent_count", [0, 1], ids=["not known to be there", "known to be there"])
def test_a_lower_count_is_never_written_over_a_higher_one_also_after_the_ledger_was_lost(
    sent_count: int, server: ApiServer, desk: Desk, api: Api
) -> None:
    desk.submit(notice(count=5))
    desk.work()
    sender = EventSender(api, lambda _: None, reporting_instance="node-1")
    for count in (2, 4, 5):
        result = sender.attempt(replace(notice(count=count), sent_count=sent_count))
        assert result == EventDelivered("herder-1.1", "exists", count)
        assert server.events[0]["series"]["count"] == 5
    assert sender.attempt(replace(notice(count=7), sent_count=5)) == EventDelivered("herder-1.1", "patched", 7)
    assert sender.attempt(replace(notice(count=6), sent_count=5)) == EventDelivered("herder-1.1", "exists", 6)
    assert server.events[0]["series"]["count"] == 7


def test_a_count_that_another_raises_between_the_question_and_the_patch_is_not_lowered(
    server: ApiServer, desk: Desk, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a request of the agent before this one that arrives late: a conflict, and the next try asks again."""
    desk.submit(notice(count=2))
    desk.work()
    sender = EventSender(api, lambda _: None, reporting_instance="node-1")
    check = EventSender._check

    def late(self: EventSender, answer: Answer, event: Notice) -> dict[str, object]:
        found = check(self, answer, event)
        monkeypatch.undo()
        desk.submit(notice(count=9))
        desk.work()
        return found

    monkeypatch.setattr(EventSender, "_check", late)
    event = replace(notice(count=3), sent_count=2)
    assert isinstance(sender.attempt(event), EventFailed)
    assert sender.attempt(event) == EventDelivered("herder-1.1", "exists", 3)
    assert server.events[0]["series"]["count"] == 9


def test_an_event_that_the_api_had_and_forgot_is_made_anew_with_its_whole_count(server: ApiServer, desk: Desk) -> None:
    desk.submit(replace(notice(count=3), sent_count=1))
    desk.work()
    assert desk.delivered == [("herder-1.1", "created")]
    assert server.events[0]["series"]["count"] == 3


def test_while_a_notice_waits_a_newer_count_takes_its_place(server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.STATUS, "create", EVENTS, times=3, status=503))
    for count in range(1, 2 * MOST_WAITING):
        desk.submit(notice(count=count))
    desk.work()
    assert desk.delivered == [("herder-1.1", "created")]
    assert server.events[0]["series"]["count"] == 2 * MOST_WAITING - 1


def test_a_count_that_grows_while_it_is_sent_is_sent_again(server: ApiServer, desk: Desk) -> None:
    """The answer to the first request takes its time, and another kill comes meanwhile."""
    desk.meanwhile = lambda: desk.submit(notice(count=2))
    desk.submit(notice())
    desk.work()
    assert desk.delivered == [("herder-1.1", "created"), ("herder-1.1", "patched")]
    assert desk.counts == [1, 2]
    assert server.events[0]["series"]["count"] == 2


def test_a_pod_has_a_burst_of_ten_and_then_one_a_minute(server: ApiServer, desk: Desk) -> None:
    for i in range(13):
        desk.submit(notice(f"herder-1.{i}"))
    at: list[float] = []
    for _ in range(13):
        desk.work(until=lambda: len(desk.delivered) > len(at))
        at.append(desk.now)
    assert at == [0.0] * 10 + [60.0, 120.0, 180.0]
    assert len(server.events) == 13


def test_a_node_has_a_burst_of_fifty_and_then_five_per_second(server: ApiServer, desk: Desk) -> None:
    for i in range(60):
        desk.submit(notice(f"pod-{i}.1", f"pod-{i}"))
    desk.work()
    assert desk.now == pytest.approx(2.0)
    assert len(server.events) == 60


def test_tries_that_fail_or_tell_nobody_anything_are_not_charged(server: ApiServer, desk: Desk) -> None:
    server.faults.add(Fault(How.STATUS, "create", f"{EVENTS}/default", 20, status=422, reason="Invalid"))
    for i in range(30):
        desk.submit(notice(f"herder-1.{i}"))
    desk.work()
    assert desk.now == 0.0
    assert len(server.events) == 10


def test_what_the_budget_holds_back_is_summed_into_what_is_sent_next(server: ApiServer, desk: Desk) -> None:
    for i in range(10):
        desk.submit(notice(f"other.{i}"))
    desk.submit(notice())
    desk.work(until=lambda: len(desk.delivered) == 10)
    desk.submit(notice(count=40, note="the newest"))
    desk.work()
    (event,) = [event for event in server.events if event["metadata"]["name"] == "herder-1.1"]
    assert (event["series"]["count"], event["note"]) == (40, "the newest")
    assert len(desk.delivered) == 11


def test_what_one_must_know_does_not_wait_behind_what_is_good_to_know(desk: Desk) -> None:
    for i in range(12):
        desk.submit(replace(notice(f"applied.{i}"), warning=False, reason=Reason.MODE_APPLIED))
    for i in range(2):
        desk.submit(notice(f"kill.{i}"))
    desk.work()
    names = [name for name, _ in desk.delivered]
    assert names == ["kill.0", "kill.1", *(f"applied.{i}" for i in range(12))]


def test_an_event_that_expired_before_its_count_grew_is_made_anew(server: ApiServer, desk: Desk) -> None:
    desk.submit(notice())
    desk.work()
    server.faults.add(Fault(How.STATUS, "patch", EVENTS, status=404, reason="NotFound"))
    desk.submit(notice(count=3))
    desk.work(until=lambda: server.requests[-1].verb == "patch")
    server.store.events.clear()
    desk.work()
    assert desk.delivered[-1] == ("herder-1.1", "created")
    assert server.events[0]["series"]["count"] == 3


def test_a_lasting_failure_is_said_once_however_its_words_change(
    server: ApiServer, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(5):
        server.faults.add(Fault(How.STATUS, "create", EVENTS, status=500, message=f"request {i} failed"))
    desk.submit(notice())
    desk.work()
    assert len(caplog.records) == 1


class Threads:
    """A sender in a thread of its own; its clock is set by hand."""

    def __init__(self, api: Api) -> None:
        self.now = 0.0
        self.results: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.sender = EventSender(api, self.results.put, reporting_instance="node-1", clock=lambda: self.now)
        self.thread = threading.Thread(target=self.sender.run, daemon=True)
        self.thread.start()

    def result(self) -> Message:
        return self.results.get(timeout=PATIENCE_S)

    def stop(self) -> None:
        self.sender.stop()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()


def test_the_thread_sends_what_it_is_given_and_ends_when_stopped(api: Api, server: ApiServer) -> None:
    threads = Threads(api)
    for i in range(3):
        threads.sender.send(notice(f"herder-1.{i}"))
        assert threads.result() == EventDelivered(f"herder-1.{i}", "created")
    server.faults.add(Fault(How.STATUS, "create", EVENTS, status=429, retry_after_s=30))
    threads.sender.send(notice("herder-1.3"))
    failed = threads.result()
    assert isinstance(failed, EventFailed)
    assert (failed.name, failed.status, failed.retry_after_s) == ("herder-1.3", 429, 30.0)
    threads.stop()


def test_a_thread_that_waits_for_work_is_healthy_and_one_that_hangs_in_a_request_is_not(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()
    attempt = EventSender.attempt

    def hanging(sender: EventSender, one: Notice) -> EventDelivered | EventFailed:
        asked.set()
        assert answer.wait(PATIENCE_S)
        return attempt(sender, one)

    monkeypatch.setattr(EventSender, "attempt", hanging)
    threads = Threads(api)
    threads.now = 10_000.0
    assert threads.sender.last_beat_monotonic_s == 10_000.0
    threads.sender.send(notice())
    assert asked.wait(PATIENCE_S)
    threads.now = 10_500.0
    assert threads.sender.last_beat_monotonic_s == 10_000.0
    answer.set()
    threads.result()
    assert threads.sender.last_beat_monotonic_s == 10_500.0
    threads.stop()


@given(st.text(max_size=3000), st.text(max_size=300), st.integers(1, 10**6), st.floats(0, 4e9))
def test_whatever_is_to_be_said_the_api_can_take_it(note: str, instance: str, count: int, at: float) -> None:
    body = event_body(notice(note=note, count=count, at=at), "n" + instance)
    assert problems(dict(body), "default") == []
