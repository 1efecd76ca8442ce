"""What one tenant's Events cost another: nothing, whatever their number, and however often the API refuses them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.outbox import REREAD_S, UNREAD_S
from agent.events.schedule import Schedule
from agent.kube.api import Api
from agent.model import Budget, Notice
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.events.world import EVENTS, Desk, notice

PLENTY = Budget(10**6, 0.001)


@pytest.fixture
def desk(api: Api, tmp_path: Path) -> Desk:
    return Desk(api, tmp_path)


def of(namespace: str, pod: str, number: int, *, warning: bool = True) -> Notice:
    name = f"{namespace}-{pod}"
    return replace(notice(f"{name}.{number}", name, namespace=namespace), warning=warning)


def small(room: int) -> Schedule:
    return Schedule(PLENTY, PLENTY, lambda: 1.0, room)


def test_kills_of_five_pods_are_sent_within_seconds_while_another_has_5000_events_pending(
    desk: Desk, server: ApiServer
) -> None:
    for i in range(5000):
        desk.outbox.post(of("bad", "noisy", i))
    while desk.outbox._reading:
        desk.outbox.send_due()
    for pod in "abcde":
        desk.outbox.post(of("good", pod, 1))
    desk.work(until=lambda: sum(name.startswith("good") for name, _ in desk.delivered) == 5)
    assert desk.now <= 5.0


@pytest.mark.parametrize("known", [False, True], ids=["new", "that has just been served"])
@pytest.mark.parametrize("posted_s", [0.0, 1.0, 7.0, 30.0, 31.0, 33.0, 61.0, 120.0])
def test_while_all_events_of_several_namespaces_are_refused_another_waits_for_one_pause_at_most(
    posted_s: float, known: bool
) -> None:
    """Each of their pods is tried now and then, and each failure makes all wait: the next turn is not theirs again."""
    schedule, now_s, posted = Schedule(PLENTY, PLENTY, lambda: 1.0), 0.0, False
    if known:
        schedule.put(replace(of("good", "other", 1), due_s=1000.0))
        schedule._namespaces["good"].turn = 10_000
    for pod in range(10):
        for namespace in ("bad-a", "bad-b", "bad-c"):
            schedule.put(of(namespace, f"pod-{pod}", 1))
    while True:
        if not posted and now_s >= posted_s:
            posted, posted_s = True, now_s
            schedule.put(of("good", "pod", 1))
        if (event := schedule.next(now_s)) is None:
            now_s += 0.1
        elif event.about.namespace == "good":
            break
        else:
            schedule.failed(event, 429, 1.0, now_s)
    assert now_s - posted_s <= 2.2


def test_a_first_report_goes_before_new_counts_of_its_namespaces_other_pods() -> None:
    schedule = Schedule(PLENTY, PLENTY, lambda: 1.0)
    for pod in range(20):
        counted = replace(of("shop", f"pod-{pod}", 1), sent_count=1, count=2)
        schedule.put(counted)
        schedule.answered(counted, 0.0, charge=False)
    schedule.put(first := of("shop", "new", 1))
    schedule._pods[first.about.uid].turn = 10_000
    assert schedule.next(1.0) is first


@pytest.mark.parametrize("status", [403, 500])
def test_an_event_that_fails_is_tried_again_behind_those_of_others(status: int) -> None:
    """A 500 says nothing about its namespace, and its pod's wait is over sooner than the others' turns."""
    schedule = Schedule(PLENTY, PLENTY, lambda: 0.0)
    for namespace in ("bad", "good-a", "good-b"):
        schedule.put(of(namespace, "pod", 1))
    tried: list[str] = []
    for second in range(1, 4):
        event = schedule.next(float(second))
        assert event is not None
        tried.append(event.about.namespace)
        schedule.failed(event, status if event.about.namespace == "bad" else 500, 0.0, float(second))
    assert sorted(tried) == ["bad", "good-a", "good-b"]


def test_one_namespaces_refusal_makes_nobody_else_wait() -> None:
    schedule = Schedule(PLENTY, PLENTY, lambda: 1.0)
    schedule.put(of("bad", "pod", 1))
    refused = schedule.next(0.0)
    assert refused is not None
    schedule.put(of("good", "pod", 1))
    schedule.failed(refused, 429, 1.0, 0.0)
    event = schedule.next(0.0)
    assert event is not None
    assert event.about.namespace == "good"


def test_warnings_of_any_pod_go_before_normal_events_of_all_pods(desk: Desk, server: ApiServer) -> None:
    for i in range(120):
        desk.outbox.post(of("rollout", f"pod-{i}", 1, warning=False))
    desk.work(until=lambda: len(desk.delivered) == 60)
    began = desk.now
    desk.outbox.post(of("rollout", "killed", 1))
    desk.work(until=lambda: any("killed" in name for name, _ in desk.delivered))
    assert desk.now - began <= 2.0


def test_namespaces_take_turns_however_many_pods_they_have() -> None:
    schedule = small(1000)
    for i in range(200):
        schedule.put(of("many", f"pod-{i}", 1))
    for i in range(3):
        schedule.put(of("few", "pod", i))
    sent = []
    for _ in range(6):
        one = schedule.next(0.0)
        assert one is not None
        schedule.answered(one, 0.0, charge=False)
        schedule.remove(one)
        sent.append(one.about.namespace)
    assert sent == ["many", "few"] * 3


@pytest.mark.parametrize("warning", [True, False])
def test_without_room_the_event_left_out_is_of_the_namespace_and_pod_with_the_most(warning: bool) -> None:
    schedule = small(10)
    for i in range(7):
        assert schedule.put(of("bad", "noisy" if i < 4 else f"pod-{i}", i, warning=warning)) is None
    for i in range(3):
        assert schedule.put(of("good", "pod", i, warning=warning)) is None
    left_out = schedule.put(of("good", "other", 1, warning=warning))
    assert left_out is not None
    assert left_out.name == "bad-noisy.3"
    again = of("bad", "noisy", 9, warning=warning)
    assert schedule.put(again) is again, "it has the most itself"


def test_a_normal_event_has_no_place_where_a_warning_needs_it() -> None:
    schedule = small(4)
    for i in range(2):
        schedule.put(of("good", f"pod-{i}", 1, warning=False))
        schedule.put(of("bad", "noisy", i))
    left_out = schedule.put(of("bad", "noisy", 2))
    assert left_out is not None
    assert not left_out.warning
    assert schedule.put(normal := of("good", "pod-9", 1, warning=False)) is normal


def test_the_event_under_way_keeps_its_place() -> None:
    schedule = small(2)
    schedule.put(of("bad", "noisy", 1))
    under_way = schedule.next(0.0)
    assert under_way is not None
    schedule.put(of("bad", "noisy", 2))
    schedule.put(of("good", "pod", 1))
    assert under_way.name in schedule
    assert len(schedule) == 2
    schedule.failed(under_way, 429, 0.0, 0.0)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("pq"), st.booleans()), max_size=80), st.integers(1, 12)
)
def test_whatever_comes_nobody_with_more_places_than_another_displaces_it(
    posts: list[tuple[str, str, bool]], room: int
) -> None:
    schedule = small(room)
    for number, (namespace, pod, warning) in enumerate(posts):
        before = [*schedule._notices.values()]
        new = of(namespace, pod, number, warning=warning)
        left_out = schedule.put(new)
        assert len(schedule) == min(room, len(before) + 1)
        if left_out is None:
            continue
        candidates = [*before, new]
        assert not left_out.warning or all(one.warning for one in candidates)
        alike = [one.about.namespace for one in candidates if one.warning is left_out.warning]
        assert alike.count(left_out.about.namespace) == max(map(alike.count, alike))
    for places in schedule._places.values():
        assert sum(places._sizes.values()) == sum(
            one.warning is (places is schedule._places[True]) for one in schedule._notices.values()
        )


def test_what_had_no_room_is_sent_later_and_this_is_logged_once(
    desk: Desk, server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    desk.schedule.room = 10
    with caplog.at_level(logging.WARNING, "oomward"):
        for i in range(60):
            desk.outbox.post(of("bad", f"pod-{i % 20}", i))
    assert [record.message for record in caplog.records] == [
        "more than 10 Events wait: some of namespace bad stay in the ledger for now"
    ]
    desk.work()
    assert len(server.events) == 60


def test_places_of_a_refused_namespace_keep_no_others_events_in_the_ledger(desk: Desk, server: ApiServer) -> None:
    server.faults.add(Fault(How.STATUS, "create", f"{EVENTS}/bad", None, status=403))
    desk.schedule.room = 10
    for i in range(10):
        desk.outbox.post(of("bad", f"pod-{i}", 1))
    for i in range(30):
        desk.outbox.post(of("good", f"pod-{i}", 1))
    desk.work(until=lambda: len(server.events) == 30)
    assert desk.now <= 10 * REREAD_S


def test_a_read_of_the_ledger_that_fails_strands_no_event(
    desk: Desk, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        desk.ledger.queue(of("good", "pod", i))
    desk.ledger.commit()
    with monkeypatch.context() as broken:
        broken.setattr(desk.ledger._store, "_passing", "a bad disk")
        broken.setattr(desk.ledger, "undelivered", lambda *_: [])
        assert not desk.outbox.refill()
    desk.work()
    assert len(server.events) == 3
    assert desk.now >= UNREAD_S
    assert desk.due_s() is None


def test_an_event_of_the_ledger_that_is_too_old_takes_no_place(desk: Desk) -> None:
    desk.ledger.queue(replace(of("good", "pod", 1), at_unix_s=desk.unix_s() - 4000))
    desk.outbox.refill()
    assert len(desk.schedule) == 0
    assert desk.ledger.undelivered() == []
