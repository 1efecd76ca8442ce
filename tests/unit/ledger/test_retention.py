"""The ledger stays bounded, a batch at a time, and totals outlive the kills' own rows."""

from __future__ import annotations

import pytest

from agent.ledger import Ledger, retention
from tests.unit.ledger.conftest import Opener
from tests.unit.ledger.records import a_kill, a_notice

DAY_S = 86400.0
NOW = 100 * DAY_S


def test_old_kills_go_a_batch_at_a_time_and_the_oldest_first(ledger: Ledger) -> None:
    ledger.record([a_kill(i, at=i * DAY_S) for i in range(60, 80)], [], None)
    assert ledger.prune(NOW, 30, 1000, 4) == 4
    assert min(kill.at_unix_s for kill in ledger.kills()) == 64 * DAY_S
    while ledger.prune(NOW, 30, 1000, 4):
        pass
    assert [kill.at_unix_s / DAY_S for kill in ledger.kills()] == [79, 78, 77, 76, 75, 74, 73, 72, 71, 70]


def test_a_kill_exactly_at_the_limit_stays(ledger: Ledger) -> None:
    ledger.record([a_kill(at=NOW - 30 * DAY_S)], [], None)
    assert ledger.prune(NOW, 30, 1000, 10) == 0


def test_more_kills_than_are_kept_go_oldest_first(ledger: Ledger) -> None:
    ledger.record([a_kill(i, at=NOW + i) for i in range(10)], [], None)
    assert ledger.prune(NOW, 30, 4, 5) == 5
    assert ledger.prune(NOW, 30, 4, 5) == 1
    assert ledger.prune(NOW, 30, 4, 5) == 0
    assert [kill.at_unix_s - NOW for kill in ledger.kills()] == [9, 8, 7, 6]


def test_totals_survive_the_pruning_of_their_kills(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.record([a_kill(i, at=NOW) for i in range(10)], [], None)
    ledger.prune(NOW, 30, 1, 100)
    again = open_ledger()
    assert len(again.kills()) == 1
    assert list(again.totals().values()) == [10]


def test_totals_go_when_no_kill_joined_them_for_a_month(ledger: Ledger) -> None:
    ledger.record([a_kill(1, at=NOW - 31 * DAY_S, pod="old"), a_kill(2, at=NOW, pod="new")], [], None)
    ledger.prune(NOW, 90, 1000, 100)
    assert [series[1] for series in ledger.totals()] == ["new"]


def test_totals_are_bounded_in_number(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_TOTALS", 3)
    ledger.record([a_kill(i, at=NOW + i, pod=f"pod-{i}") for i in range(8)], [], None)
    ledger.prune(NOW, 30, 1000, 100)
    assert sorted(series[1] for series in ledger.totals()) == ["pod-5", "pod-6", "pod-7"]


def test_the_name_of_a_delivered_event_is_kept_for_a_day(ledger: Ledger) -> None:
    ledger.queue(a_notice("done", at=NOW))
    ledger.queue(a_notice("waiting", at=NOW))
    ledger.delivered("done", "created")
    assert ledger.prune(NOW + DAY_S, 30, 1000, 100) == 0
    assert ledger.prune(NOW + DAY_S + retention.HOUR_S, 30, 1000, 100) == 1
    assert [notice.name for notice in ledger.undelivered()] == ["waiting"]


def test_it_looks_only_when_something_was_added_or_an_hour_has_passed_and_writes_only_what_it_drops(
    ledger: Ledger,
) -> None:
    statements: list[str] = []
    ledger.record([a_kill(1, at=NOW)], [], None)
    ledger.prune(NOW, 30, 1000, 10)
    ledger._store._connection.set_trace_callback(statements.append)
    assert ledger.prune(NOW + retention.HOUR_S - 1, 30, 1000, 10) == 0
    assert statements == []
    assert ledger.prune(NOW + retention.HOUR_S, 30, 1000, 10) == 0
    assert all(statement.startswith("SELECT") and "COUNT" not in statement for statement in statements)
    ledger.record([a_kill(2, at=NOW)], [], None)
    assert ledger.prune(NOW + retention.HOUR_S, 30, 1, 10) == 1
