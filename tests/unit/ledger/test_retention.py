"""The ledger stays bounded, a batch at a time, and totals outlive the kills' own rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from agent.ledger import Ledger, retention, unwritten
from agent.model import ObjectRef, OomKill
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


def test_a_namespace_with_totals_of_very_many_pods_pushes_out_nobody_elses(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MOST_TOTALS", 10)
    honest = [replace(a_kill(i, at=NOW, pod=f"honest-{i}"), namespace="honest") for i in range(3)]
    ledger.record(honest, [], None)
    ledger.record([a_kill(100 + i, at=NOW + i, pod=f"pod-{i}") for i in range(50)], [], None)
    ledger.record([replace(a_kill(200 + i, at=NOW, pod="one"), container=f"c-{i}") for i in range(50)], [], None)
    while ledger.prune(NOW, 30, 1000, 7):
        pass
    left = sorted(series[1] for series in ledger.totals())
    assert left == ["honest-0", "honest-1", "honest-2", *(f"pod-{i}" for i in range(43, 50))]


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


def of(pod: str, number: int, namespace: str = "shop") -> OomKill:
    return a_kill(number, inode=hash(pod) % 10**6, at=NOW + number, pod=pod, pod_uid=f"uid-{pod}", namespace=namespace)


def prune(ledger: Ledger, keep: int) -> Counter[str | None]:
    while ledger.prune(NOW, 30, keep, 5):
        pass
    return Counter(kill.pod for kill in ledger.kills(limit=10_000))


def test_a_pod_with_very_many_kills_pushes_out_nobody_elses(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.record([of("honest", i) for i in range(3)], [], None)
    for start in range(10, 210, 50):
        ledger.record([of("bad", i, "evil") for i in range(start, start + 50)], [], None)
        assert prune(ledger, 20) == {"honest": 3, "bad": 17}
    assert max(kill.ordinal for kill in ledger.kills()) == 209, "of its own the oldest go"
    assert prune(open_ledger(), 10) == {"honest": 3, "bad": 7}


def test_a_namespace_with_very_many_pods_pushes_out_nobody_elses(ledger: Ledger) -> None:
    ledger.record([of("honest", i) for i in range(5)], [], None)
    ledger.record([of(f"bad-{i}", 10 + i, "evil") for i in range(100)], [], None)
    found = prune(ledger, 20)
    assert (found["honest"], sum(found.values())) == (5, 20)


def test_kills_outside_of_pods_have_a_share_as_well(ledger: Ledger) -> None:
    nodes = [replace(of("x", i), namespace=None, pod=None, pod_uid=None) for i in range(50)]
    ledger.record([of("honest", 1), *nodes], [], None)
    assert prune(ledger, 10) == {"honest": 1, None: 9}


def test_a_kill_that_gets_its_pods_name_later_counts_for_that_pod(ledger: Ledger) -> None:
    unnamed = [replace(of("bad", i), namespace=None, pod=None, pod_uid=None) for i in range(20)]
    ledger.record(unnamed, [], None)
    ledger.flush()
    for kill in unnamed:
        ledger.amend(replace(kill, namespace="evil", pod="bad", pod_uid="uid-bad"))
    ledger.record([of("honest", i) for i in range(30, 34)], [], None)
    ledger.flush()
    rows = ledger._store.read("SELECT pod_uid, kills FROM share WHERE kills > 0 ORDER BY kills")
    assert rows == [("uid-honest", 4), ("uid-bad", 20)]
    assert prune(ledger, 10) == {"honest": 4, "bad": 6}


def test_while_the_disk_is_away_memory_is_shared_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwritten, "MOST_KILLS", 100)
    monkeypatch.setattr(unwritten, "MOST_NOTICES", 100)
    waiting = unwritten.Unwritten()
    waiting.add_kills(of("honest", i) for i in range(10))
    for i in range(1000):
        waiting.add_kills([of("bad", 10 + i, "evil")])
        waiting.put_notice(replace(a_notice(f"bad.{i}"), about=ObjectRef("Pod", "bad", "evil", "uid-bad")))
        if i % 100 == 0:
            waiting.put_notice(a_notice(f"honest.{i}"))
    assert sum(kill.pod == "honest" for kill in waiting.kills.values()) == 10
    assert sum(name.startswith("honest") for name in waiting.notices) == 10
    assert 90 <= len(waiting.kills) <= 100
    assert max(kill.ordinal for kill in waiting.kills.values()) == 1009
