"""A node where nothing happens: the loop sleeps, and the disk has nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from agent.loop.loop import HOUSEKEEPING_S, PRUNE_ROWS, UNSAVED_RECORDS, Loop
from agent.loop.mailbox import Mailbox
from agent.settings import load
from tests.unit.loop.world import MODE, World, pod

MOST_WAKE_UPS_PER_S = 0.05


class Idle:
    """A loop with a node, a ledger on disk and a kernel log; its turns are made by hand."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.log = SimpleNamespace(
            more=False,
            unread=False,
            sequence=100,
            trouble=None,
            fileno=lambda: -1,
            read=lambda *_: [],
            due_s=lambda: None,
        )
        log: Any = self.log
        settings = load({"node_name": "node-1"}, {})
        self.mailbox = Mailbox()
        self.loop = Loop(world.node, log, self.mailbox, None, settings)
        self.loop._housekeeping_at = self.loop._resync_at = world.now
        self.statements: list[str] = []
        world.ledger._store._connection.set_trace_callback(self.statements.append)

    def turn(self) -> list[str]:
        """The turn of an idle loop that wakes for its housekeeping; what SQLite is asked in it."""
        self.statements.clear()
        self.world.now += HOUSEKEEPING_S
        self.loop._turn(self.world.now)
        return list(self.statements)


@pytest.fixture
def idle(world: World) -> Iterator[Idle]:
    world.listed(pod({MODE: "single"}))
    world.make(knob=1)
    world.kill()
    world.turn(after_s=1.0)
    idle = Idle(world)
    for _ in range(3):
        idle.turn()
    yield idle
    idle.mailbox.close()


def test_an_idle_loop_asks_the_ledger_for_nothing_and_writes_nothing(idle: Idle) -> None:
    assert [idle.turn() for _ in range(10)] == [[]] * 10


def test_what_else_the_node_logs_is_no_reason_to_write(idle: Idle) -> None:
    """Only so that a good part of the log need not be read again."""
    saved = idle.world.ledger.kmsg_sequence
    assert saved is not None
    idle.log.sequence = saved + UNSAVED_RECORDS - 1
    assert idle.turn() == []
    idle.log.sequence += 1
    idle.turn()
    assert idle.world.ledger.kmsg_sequence == saved + UNSAVED_RECORDS


def test_an_idle_loop_wakes_at_most_once_in_twenty_seconds(idle: Idle) -> None:
    assert 1 / HOUSEKEEPING_S + 1 / idle.loop._settings.resync_interval_s <= MOST_WAKE_UPS_PER_S
    assert idle.loop._housekeeping_at == idle.world.now + HOUSEKEEPING_S
    assert (idle.loop._retry_at_s, idle.world.node.due_s()) == (inf, None), "nothing else is due"


def test_what_the_agent_consists_of_is_no_longer_collected_once_it_is_ready(
    idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full collection took 28 ms: ten times as long as a turn may take."""
    frozen: list[bool] = []
    monkeypatch.setattr("gc.freeze", lambda: frozen.append(idle.world.node.ready()[0]))
    idle.loop._frozen = False
    for _ in range(3):
        idle.turn()
    assert frozen == [True]


def test_rows_past_their_time_are_deleted_in_one_turn_after_the_other_until_none_is_left(
    idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a storm's kills come faster than they are deleted, and a ledger in memory grows without end."""
    left = [PRUNE_ROWS, PRUNE_ROWS, 3, 0]
    monkeypatch.setattr(idle.world.ledger, "prune", lambda *_: left.pop(0))
    idle.turn()
    assert idle.loop._more_to_prune
    assert idle.loop._wait_s() == 0
    for _ in range(2):
        idle.loop._turn(idle.world.now)
    assert left == [0]
    assert not idle.loop._more_to_prune
    idle.loop._turn(idle.world.now)
    assert left == [0], "until the next housekeeping"
