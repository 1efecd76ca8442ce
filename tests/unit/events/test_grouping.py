"""The first kill is sent at once, those that follow at widening intervals, and none is left uncounted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events import outbox as outbox_module
from agent.events.outbox import LONGEST_S, QUIET_S, Outbox
from agent.events.schedule import Schedule
from agent.ledger import Ledger
from agent.metrics.metrics import Metrics
from agent.model import Budget, EventDelivered, Notice, ObjectRef, Reason
from tests.unit.profiles import examples
from tests.unit.wording.kills import KILL

ABOUT = ObjectRef("Pod", "herder-1", "default", "uid-1")
NOW = 1_760_000_000.0
PLENTY = Budget(10**6, 0.001)


def kill(number: int = 1, at: float = 0.0, group: str = "herder", count: int = 1) -> Notice:
    note = f"kill {number}"
    return Notice(f"e.{number}", ABOUT, Reason.PROCESS_OOM_KILLED, True, "OOMKill", note, NOW + at, count, group=group)


def test_groups_of_one_namespace_do_not_close_anothers_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each container of many pods is a group of its own."""
    monkeypatch.setattr(outbox_module, "MOST_GROUPS", 10)
    agent = Agent()
    first = agent.kill(1, "honest")
    for i in range(50):
        about = ObjectRef("Pod", f"many-{i}", "many", f"uid-many-{i}")
        agent.outbox.post_kill(KILL, replace(kill(1000 + i, group=f"many-{i}"), about=about))
    agent.kill(2, "honest")
    assert agent.schedule[first.name].count == 2


class Agent:
    """An outbox whose ledger is in memory; the API is a mapping from name to the count it was sent last. Time is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.jump_s = 0.0
        self.api: dict[str, int] = {}
        self.names: set[str] = set()
        self.ledger = Ledger.open(Path("/proc/none"), "boot")
        self._metrics = Metrics("1", process_metrics=False)
        self.start()

    def start(self, boot_id: str = "boot") -> None:
        self.under_way: list[Notice] = []
        self.schedule = Schedule(PLENTY, PLENTY)
        self.outbox = Outbox(
            self.ledger,
            self._metrics,
            self.schedule,
            self.under_way.append,
            boot_id,
            clock=lambda: self.now,
            unix_s=lambda: NOW + self.now + self.jump_s,
        )
        self.outbox.refill()

    def kill(self, number: int, group: str = "herder") -> Notice:
        """It happens now; the Event that counts it."""
        notice = kill(number, self.now + self.jump_s, group)
        self.outbox.post_kill(replace(KILL, ordinal=number), notice)
        name = self.outbox._newest[group].name
        self.names.add(name)
        return next(event for event in self.events() if event.name == name)

    def events(self) -> list[Notice]:
        """All that ever counted a kill."""
        return [event for event in map(self.ledger.notice, sorted(self.names)) if event is not None]

    def send(self) -> list[tuple[str, int]]:
        """All that is due now reaches the API; name and count of each."""
        found: list[tuple[str, int]] = []
        self.outbox.send_due()
        while self.under_way:
            self.answer(found)
            self.outbox.send_due()
        return found

    def answer(self, found: list[tuple[str, int]], outcome: str = "created") -> None:
        for notice in self.under_way:
            assert notice.count >= self.api.get(notice.name, 0), "a count never goes back"
            self.api[notice.name] = notice.count
            found.append((notice.name, notice.count))
            self.outbox.delivered(EventDelivered(notice.name, outcome, notice.count))
        self.under_way.clear()


@pytest.fixture
def agent() -> Iterator[Agent]:
    agent = Agent()
    yield agent
    agent.ledger.close()


def test_the_first_is_sent_at_once_and_those_that_follow_wait_ever_longer(agent: Agent) -> None:
    agent.kill(1)
    pauses = []
    for number in range(2, 11):
        assert agent.send() == [("e.1", number - 1)]
        assert agent.outbox.due_s() is None, "nothing to be sent as long as nothing happens"
        counted = agent.kill(number)
        assert (counted.name, counted.count, counted.last_unix_s) == ("e.1", number, NOW + agent.now)
        due = agent.outbox.due_s()
        assert due is not None
        pauses.append(due - agent.now)
        agent.now = due - 0.1
        assert agent.send() == []
        agent.now = due
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_a_kill_after_the_interval_is_sent_at_once(agent: Agent) -> None:
    agent.kill(1)
    agent.send()
    agent.now = 12.0
    assert agent.send() == []
    agent.kill(2)
    assert agent.send() == [("e.1", 2)]


def test_as_long_as_the_api_does_not_have_it_the_words_are_the_newest(agent: Agent) -> None:
    agent.kill(1)
    assert agent.kill(2).note == "kill 2"
    agent.send()
    assert agent.kill(3).note == "kill 2", "an Event's note can't change"


def test_after_a_quiet_while_another_event_starts_and_the_rest_of_the_old_one_is_still_sent(agent: Agent) -> None:
    agent.kill(1)
    agent.send()
    agent.now = 1.0
    agent.kill(2)
    agent.now = 2.0 + QUIET_S
    fresh = agent.kill(3)
    assert (fresh.name, fresh.count) == ("e.3", 1)
    assert sorted(agent.send()) == [("e.1", 2), ("e.3", 1)]


def test_kills_without_an_end_are_another_event_every_hour(agent: Agent) -> None:
    names = set()
    for number in range(1, 181):
        agent.now = number * 60.0
        names.add(agent.kill(number).name)
    assert len(names) == 3
    assert 2 * LONGEST_S < 180 * 60.0 <= 3 * LONGEST_S


def test_what_differs_is_counted_apart(agent: Agent) -> None:
    assert agent.kill(1, group="a").name == "e.1"
    assert agent.kill(2, group="b").name == "e.2"
    assert agent.kill(3, group="a").name == "e.1"


@pytest.mark.parametrize("boot_id", ["boot", "another boot"])
def test_after_a_restart_it_is_counted_on(agent: Agent, boot_id: str) -> None:
    kept = replace(kill(1, count=5), sent_count=3, requests=2, last_at_unix_s=NOW + 50)
    agent.ledger.series_delivered(kept, "patched")
    agent.now = 60.0
    agent.start(boot_id)
    counted = agent.kill(9)
    assert (counted.name, counted.count, counted.sent_count) == ("e.1", 6, 3)
    assert agent.send() == [("e.1", 6)], "when it was sent last is not known"


def test_a_restart_does_not_shorten_the_interval(agent: Agent) -> None:
    agent.kill(1)
    agent.send()
    agent.kill(2)
    agent.start()
    assert agent.send() == []
    agent.now = 10.0
    assert agent.send() == [("e.1", 2)]


def test_what_the_api_will_not_have_is_ended_and_the_next_starts_another(agent: Agent) -> None:
    agent.kill(1)
    agent.outbox.send_due()
    agent.answer([], "dropped_invalid")
    assert agent.kill(2).name == "e.2"
    assert agent.send() == [("e.2", 1)]


def test_what_is_sent_takes_no_memory_and_is_counted_on_from_the_ledger(agent: Agent) -> None:
    for number in range(20):
        agent.kill(number, group=f"container {number}")
    agent.send()
    assert len(agent.schedule) == 0
    agent.now = QUIET_S
    assert agent.kill(99, group="container 7").count == 2


def test_no_more_groups_are_remembered_than_the_bound_and_every_kill_is_still_counted(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MOST_GROUPS", 3)
    for number in range(20):
        agent.kill(number, group=f"container {number % 5}")
        assert len(agent.outbox._newest) <= 3
    agent.send()
    assert sum(agent.api.values()) == 20


@examples(60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["kill", "kill", "send", "restart", "step of the clock"]),
            st.floats(0, 900),
            st.sampled_from("ab"),
        ),
        max_size=80,
    )
)
def test_whatever_happens_every_kill_is_in_one_count_and_the_api_gets_all_of_them(
    steps: list[tuple[str, float, str]],
) -> None:
    agent, kills = Agent(), 0
    for step, pause, which in steps:
        agent.now += pause
        if step == "kill":
            kills += 1
            agent.kill(kills, group=which)
        elif step == "send":
            agent.send()
        elif step == "restart":
            agent.start()
        else:
            agent.jump_s += (pause - 450.0) * 100
    while (due := agent.outbox.due_s()) is not None:
        agent.now = max(agent.now, due)
        agent.send()
    events = agent.events()
    agent.ledger.close()
    assert sum(event.count for event in events) == kills
    too_old = sum(event.count - event.sent_count for event in events)
    assert sum(agent.api.values()) == kills - too_old


@pytest.mark.parametrize("jump_s", [-86_400.0, -3601.0, -1.0, 1.0, 3601.0, 86_400.0])
def test_a_step_of_the_clock_starts_no_other_event(agent: Agent, jump_s: float) -> None:
    agent.kill(1)
    agent.jump_s = jump_s
    agent.now = 1.0
    counted = agent.kill(2)
    assert (counted.name, counted.count) == ("e.1", 2)
    assert counted.last_unix_s == max(NOW, NOW + 1.0 + jump_s), "what was seen last is never set back"
    agent.now = 2.0 + QUIET_S
    assert agent.kill(3).name == "e.3", "its end does not depend on the clock either"


def test_a_clock_that_was_set_back_before_a_reboot_starts_another_event(agent: Agent) -> None:
    """Only the wall clock is known then: an Event of the future would say that it was last seen there."""
    agent.kill(1)
    agent.send()
    agent.jump_s = -86_400.0
    agent.start("another boot")
    assert agent.kill(2).name == "e.2"


def left_by_an_earlier_agent(agent: Agent, number: int) -> None:
    """That many Events are in the ledger alone as the agent starts, several of each second."""
    for each in range(number):
        agent.ledger.queue(replace(kill(each, float(each // 7)), group=""))
        if each % 100 == 0:
            agent.ledger.commit()
    agent.ledger.commit()
    agent.now = float(number)


@pytest.mark.parametrize("number", [49, 50, 51, 1000, 2345])
def test_no_turn_of_the_loop_reads_more_than_a_page_of_the_ledgers_events_and_all_are_sent(
    agent: Agent, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_by_an_earlier_agent(agent, number)
    read = agent.ledger._store.read
    rows: list[int] = []

    def counted(sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        found = read(sql, values)
        rows[-1] += len(found)
        return found

    monkeypatch.setattr(agent.ledger._store, "read", counted)
    rows.append(0)
    agent.start()
    sent: list[tuple[str, int]] = []
    while (due := agent.outbox.due_s()) is not None:
        rows.append(0)
        agent.now = max(agent.now, due)
        agent.outbox.send_due()
        agent.answer(sent)
        agent.ledger.commit()
    oldest_first = sorted((each // 7, f"e.{each}") for each in range(number))
    assert [name for name, _ in sent] == [name for _, name in oldest_first], "each once"
    assert max(rows) <= outbox_module.PAGE


def test_an_event_posted_while_the_ledgers_are_read_is_sent_whatever_its_time(agent: Agent) -> None:
    left_by_an_earlier_agent(agent, 200)
    agent.start()
    agent.outbox.post(kill(900, -5.0))
    agent.outbox.post(kill(901, 5000.0))
    sent: list[tuple[str, int]] = []
    while agent.outbox.due_s() is not None:
        agent.outbox.send_due()
        agent.answer(sent)
    assert sorted(sent) == sorted((f"e.{each}", 1) for each in (*range(200), 900, 901))
