"""What the loop leaves to the kernel first: a kill's counters and the log's lines are read a moment after they begin; a knob at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

import agent.loop.loop as loop_module
from agent.loop.loop import AFTER_THE_KERNEL_S, LOG_TURNS, Loop
from agent.loop.mailbox import Mailbox
from agent.model import Cgroup, CgroupKind, CgroupPlace, CountersTouched, OomGroupTouched, OomReport, TreeEvent
from agent.settings import load

CONTAINER = Cgroup(CgroupPlace("kubepods/podx/a", CgroupKind.CONTAINER, "x", "a"), 7)


class Source:
    """Something with a descriptor: readable after tell(), and heard by one read."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.told_s = 0.0
        self.heard_s: list[float] = []

    def fileno(self) -> int:
        return self.reading

    def tell(self) -> None:
        self.told_s = time.monotonic()
        os.write(self.writing, b"x")

    def heard(self) -> bool:
        try:
            os.read(self.reading, 10)
        except BlockingIOError:
            return False
        self.heard_s.append(time.monotonic())
        return True

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


class Tree(Source):
    def read(self, now_s: float) -> list[TreeEvent]:
        return [CountersTouched(CONTAINER, now_s), OomGroupTouched(CONTAINER, now_s)] if self.heard() else []


class Log(Source):
    sequence = trouble = None
    more = unread = False
    due: float | None = None  # of a report that is open

    def due_s(self) -> float | None:
        return self.due

    def read(self, _now_s: float, _quiet_s: object) -> list[OomReport]:
        self.heard()
        return []


class Node:
    """Writes down what it hears, and when; ``at_turn`` is called at the end of each turn."""

    def __init__(self) -> None:
        self.events: list[tuple[TreeEvent, float]] = []
        self.kills: Any = self
        self.touches: list[tuple[Cgroup, float]] = []
        self.attribution: Any = self
        self.pressure = SimpleNamespace(signalled=lambda *_: None)
        self.touched_before_wait: list[int] = []
        self.log_quiet_s = self.oldest_waiting_sequence = self.v1 = self.v1_pressure = None
        self.between: Callable[[], None] = lambda: None
        self.at_turn: Callable[[], None] = lambda: None

    def start(self, _now_s: float) -> None:
        pass

    def due_s(self) -> None:
        return None

    def before_wait(self, _seconds: float) -> None:
        """How many containers were touched so far."""
        self.touched_before_wait.append(len(self.touches))

    def under_pressure(self, _now_s: float) -> None:
        pass

    def ready(self) -> tuple[bool, str]:
        return False, ""

    def tree_events(self, events: Iterable[TreeEvent], now_s: float) -> None:
        self.events += [(event, now_s) for event in events]

    def touched(self, cgroup: Cgroup, now_s: float) -> None:
        self.touches.append((cgroup, now_s))

    def log_read(self, *, unread: bool, now_s: float) -> None:
        self.unread = unread

    def after(self, _now_s: float, _sequence: int | None) -> None:
        self.at_turn()


@pytest.fixture(autouse=True)
def housekeeping_is_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the machine keeps a test waiting."""
    monkeypatch.setattr(loop_module, "HOUSEKEEPING_S", 86_400.0)


def loop_of(node: Any, tree: Any, log: Any, mailbox: Mailbox) -> Loop:
    """With a ledger that is never asked for anything but to write."""
    node.tree = tree
    node.ledger = SimpleNamespace(commit=lambda: True, pending=0, record=lambda *_: None)
    return Loop(node, log, mailbox, None, load({"node_name": "n"}, {}))


@pytest.mark.parametrize("which", ["counters", "log"])
def test_it_is_read_a_moment_later_and_nothing_wakes_the_loop_until_then(which: str) -> None:
    node, tree, log, mailbox = Node(), Tree(), Log(), Mailbox()
    loop = loop_of(node, tree, log, mailbox)
    told = tree if which == "counters" else log
    turns = 0

    def at_turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            told.tell()
        elif log.heard_s or any(isinstance(event, CountersTouched) for event, _ in node.events):
            loop.stop()

    node.at_turn = at_turn
    mailbox.wake()
    loop.run()
    if which == "counters":
        (knob, at_once_s), (counters, later_s) = node.events
        assert (type(knob), type(counters)) == (OomGroupTouched, CountersTouched)
        assert later_s - at_once_s >= AFTER_THE_KERNEL_S
        assert node.touches == [(CONTAINER, at_once_s)], "who is in it is asked before that"
        assert node.touched_before_wait == [0, 0, 1], "and read while the loop waits, before each wait"
    else:
        assert log.heard_s[0] - log.told_s >= AFTER_THE_KERNEL_S
    assert turns == 3, "one that was woken by it, and one a moment later"
    for source in (tree, log):
        source.close()
    mailbox.close()


@pytest.mark.parametrize("unread", [True, False])
def test_a_turn_says_whether_the_log_was_read_to_its_end_before_kills_are_recorded(unread: bool) -> None:
    node, tree, log, mailbox = Node(), Tree(), Log(), Mailbox()
    log.unread = unread
    loop = loop_of(node, tree, log, mailbox)
    said: list[bool] = []

    def at_turn() -> None:
        said.append(node.attribution.unread)
        loop.stop()

    node.at_turn = at_turn
    mailbox.wake()
    loop.run()
    assert said == [unread]
    for source in (tree, log):
        source.close()
    mailbox.close()


def test_what_the_log_tells_after_that_wakes_the_loop_again() -> None:
    node, tree, log, mailbox = Node(), Tree(), Log(), Mailbox()
    loop = loop_of(node, tree, log, mailbox)

    def at_turn() -> None:
        if len(log.heard_s) == 3:
            loop.stop()
        elif log.told_s == 0.0 or (log.heard_s and log.heard_s[-1] > log.told_s):
            log.tell()

    node.at_turn = at_turn
    mailbox.wake()
    loop.run()
    assert len(log.heard_s) == 3
    for source in (tree, log):
        source.close()
    mailbox.close()


def test_an_open_report_that_is_due_does_not_keep_the_loop_spinning_while_the_log_is_left_to_print() -> None:
    node, tree, log, mailbox = Node(), Tree(), Log(), Mailbox()
    loop = loop_of(node, tree, log, mailbox)
    turns = 0

    def at_turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            log.tell()
        elif log.heard_s:
            loop.stop()
        else:
            log.due = log.told_s

    node.at_turn = at_turn
    mailbox.wake()
    loop.run()
    assert turns == 3
    for source in (tree, log):
        source.close()
    mailbox.close()


def test_what_a_turn_left_in_the_log_is_read_in_the_next_without_waiting() -> None:
    node, tree, log, mailbox = Node(), Tree(), Log(), Mailbox()
    loop = loop_of(node, tree, log, mailbox)
    turns = 0

    def at_turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            log.more = True
            log.tell()
        elif log.heard_s:
            loop.stop()

    node.at_turn = at_turn
    mailbox.wake()
    loop.run()
    assert turns == 2, "the first line woke the loop in an earlier turn"
    for source in (tree, log):
        source.close()
    mailbox.close()


@pytest.mark.parametrize(("left_behind", "ends"), [(0, 1), (LOG_TURNS - 1, 1), (LOG_TURNS, 2), (3 * LOG_TURNS, 4)])
def test_turns_that_read_a_part_of_a_report_do_nothing_else_but_for_one_in_eight(left_behind: int, ends: int) -> None:
    """A burst of kills is many such turns: looking at every kill in each of them took longer than the reading."""
    node, tree, log, mailbox = Node(), Tree(), Log(), Mailbox()
    loop = loop_of(node, tree, log, mailbox)
    loop._housekeeping_at = loop._resync_at = time.monotonic() + 86_400.0
    ended: list[None] = []
    node.at_turn = lambda: ended.append(None)
    for left in [True] * left_behind + [False]:
        log.more = left
        loop._turn(time.monotonic())
    assert len(ended) == ends
    for source in (tree, log):
        source.close()
    mailbox.close()


def test_on_cgroup_v1_a_turn_reads_what_was_signalled_once_per_container() -> None:
    """Not the signals themselves: there may be one for each of many cgroups inside a container."""
    node, tree, log, mailbox = Node(), Tree(), Log(), Mailbox()
    loop = loop_of(node, tree, log, mailbox)
    loop._housekeeping_at = loop._resync_at = time.monotonic() + 86_400.0
    kills: Any = node
    kills.v1, kills.signalled = object(), lambda now_s: [CountersTouched(CONTAINER, now_s)]
    now_s = time.monotonic()
    loop._turn(now_s)
    assert node.events == [], "the kernel's work on the kill comes first"
    kills.signalled = lambda _now_s: []
    loop._turn(now_s + AFTER_THE_KERNEL_S)
    assert [(type(event), event.cgroup) for event, _ in node.events if isinstance(event, CountersTouched)] == [
        (CountersTouched, CONTAINER)
    ]
    for source in (tree, log):
        source.close()
    mailbox.close()
