"""Whatever waits, fails or is answered: order per pod, Warnings first, budgets obeyed, nobody held up, nothing forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.schedule import NODE_BUDGET, POD_BUDGET, Schedule, choose
from agent.model import Budget, Notice
from agent.settings import load
from tests.unit.events.world import notice

PLENTY = Budget(10**6, 0.001)


@pytest.fixture
def schedule() -> Schedule:
    return Schedule(PLENTY, PLENTY, lambda: 1.0)


def normal(name: str, pod: str) -> Notice:
    return replace(notice(name, pod), warning=False)


def test_warnings_are_next_and_of_those_the_namespace_and_then_the_pod_that_was_not_served_for_longest() -> None:
    turns = {"uid-a": (2, 3), "uid-b": (2, 1), "uid-c": (1, 9)}
    due = [notice("a.1", "a"), normal("c.1", "c"), notice("b.2", "b"), notice("b.3", "b")]
    chosen = choose(due, lambda one: turns[one.about.uid])
    assert chosen is not None
    assert chosen.name == "b.2"
    chosen = choose([*due, notice("c.2", "c")], lambda one: turns[one.about.uid])
    assert chosen is not None
    assert chosen.name == "c.2"
    assert choose([], lambda _: (0, 0)) is None


def test_without_an_answer_or_with_a_refused_token_all_wait_and_after_any_other_status_only_its_pod(
    schedule: Schedule,
) -> None:
    for pod in "ab":
        schedule.put(notice(f"{pod}.1", pod))
    for status in (None, 401):
        schedule.failed(schedule["a.1"], status, 5.0, 100.0)
        assert (schedule.next(104.9), schedule.due_s()) == (None, 105.0)
        schedule.answered(schedule["b.1"], 0.0, charge=False)
    for at, status in enumerate((500, 403, 429, 503, 504), 2):
        schedule.answered(schedule["a.1"], 0.0, charge=False)
        schedule.failed(schedule["a.1"], status, 50.0, at * 100.0)
        assert schedule.next(at * 100.0) == schedule["b.1"]
    schedule.remove(schedule["b.1"])
    assert (schedule.next(649.9), schedule.due_s(), schedule.next(650.0)) == (None, 650.0, schedule["a.1"])


def test_a_new_count_that_waits_holds_up_nothing_else_of_its_pod(schedule: Schedule) -> None:
    schedule.put(replace(notice("a.1", "a"), due_s=600.0))
    schedule.put(notice("a.2", "a"))
    assert schedule.next(0.0) == schedule["a.2"]
    schedule.remove(schedule["a.2"])
    assert (schedule.next(599.9), schedule.due_s()) == (None, 600.0)


steps = st.tuples(
    st.sampled_from(["put", "put", "warn", "success", "refused", "away", "invalid"]),
    st.sampled_from("abc"),
    st.floats(0, 40),
)


@given(st.lists(steps, max_size=60), st.integers(1, 4), st.integers(1, 6))
def test_whatever_happens_the_rules_are_kept(
    happens: list[tuple[str, str, float]], pod_burst: int, node_burst: int
) -> None:
    """A list of what waits, oldest first, is the truth that the schedule is held against."""
    schedule = Schedule(Budget(pod_burst, 60.0), Budget(node_burst, 1.0), lambda: 1.0)
    waiting: list[Notice] = []
    spent: list[tuple[float, str]] = []
    away_until_s, retry_s = 0.0, dict.fromkeys(("uid-a", "uid-b", "uid-c"), 0.0)
    now = 0.0
    for number, (step, pod, pause) in enumerate(happens):
        now += pause
        if step in ("put", "warn"):
            one = replace(notice(f"{pod}.{number}", pod), warning=step == "warn")
            waiting.append(one)
            schedule.put(one)
            continue
        one_due = schedule.next(now)
        due_s = schedule.due_s()
        assert (due_s is None) == (not waiting)
        if one_due is None:
            assert due_s is None or due_s > now, "what is due is given"
            continue
        uid = one_due.about.uid
        assert now >= max(away_until_s, retry_s[uid])
        of_pod = [other for other in waiting if other.about.uid == uid]
        assert one_due == next((other for other in of_pod if other.warning), of_pod[0])
        if step in ("refused", "away"):
            schedule.failed(one_due, 500 if step == "refused" else None, 7.0, now)
            if step == "refused":
                retry_s[uid] = now + 7.0
            else:
                away_until_s = now + 7.0
            continue
        schedule.answered(one_due, now, charge=step == "success")
        schedule.remove(one_due)
        waiting.remove(one_due)
        if step == "success":
            spent.append((now, uid))
    assert len(schedule) == len(waiting)
    assert set(schedule._pods) == {one.about.uid for one in waiting}, "nothing is kept of pods without Events"
    assert set(schedule._namespaces) == {one.about.namespace for one in waiting}
    for at, uid in spent:
        recent = [(other, pod) for other, pod in spent if at <= other]
        for other, _ in recent:
            within = [pod for when, pod in recent if when <= other]
            assert len(within) <= node_burst + (other - at) + 1e-6
            assert within.count(uid) <= pod_burst + (other - at) / 60.0 + 1e-6


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40))
def test_all_pods_take_turns_and_each_keeps_its_order(pods: list[str]) -> None:
    schedule = Schedule(PLENTY, PLENTY, lambda: 1.0)
    for number, pod in enumerate(pods):
        schedule.put(notice(f"{pod}.{number}", pod))
    order: list[Notice] = []
    while (one := schedule.next(0.0)) is not None:
        schedule.answered(one, 0.0, charge=False)
        schedule.remove(one)
        order.append(one)
    for pod in set(pods):
        assert [one.name for one in order if one.about.name == pod] == [
            f"{pod}.{number}" for number, other in enumerate(pods) if other == pod
        ]
    first = [one.about.name for one in order[: len(set(pods))]]
    assert len(first) == len(set(first)), "nobody comes twice before everybody came once"


def test_when_to_ask_again_costs_the_same_however_many_wait(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1000):
        schedule.put(replace(notice(f"a.{number}", "a"), due_s=600.0 + number))
    assert schedule.next(0.0) is None
    looked: list[Notice] = []
    monkeypatch.setattr(schedule, "_ready_s", looked.append)
    assert (schedule.next(599.9), schedule.due_s(), looked) == (None, 600.0, [])


def test_the_usual_budgets_are_those_of_the_settings() -> None:
    settings = load({"node_name": "node-1"}, {})
    assert (settings.event_budget_pod, settings.event_budget_node) == (POD_BUDGET, NODE_BUDGET)
