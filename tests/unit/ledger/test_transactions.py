"""At every commit the file holds together what belongs together: a kill -9 right after it finds no half of anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.ledger import Ledger
from agent.ledger.rows import notice_of
from agent.ledger.store import FILE, Store
from agent.model import Outcome
from tests.unit.ledger.records import a_baseline, a_kill, a_notice

Check = Callable[[sqlite3.Connection], None]


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """Checks that are made after every commit, on a connection of their own, as the next agent would have it."""
    checks: list[Check] = []
    transact = Store.transact

    def watched(store: Store, change: Any) -> Any:
        result = transact(store, change)
        other = sqlite3.connect(tmp_path / FILE)
        for check in checks:
            check(other)
        other.close()
        return result

    monkeypatch.setattr(Store, "transact", watched)
    return checks


def test_no_kill_is_settled_without_the_event_that_counts_it(commits: list[Check], ledger: Ledger) -> None:
    seen: list[int] = []

    def counted(file: sqlite3.Connection) -> None:
        settled = file.execute("SELECT COUNT(*) FROM kill WHERE notice = 'first'").fetchone()[0]
        bodies = file.execute("SELECT body FROM notice WHERE name = 'first'").fetchall()
        assert settled == sum(notice_of(body).count for (body,) in bodies)
        seen.append(settled)

    ledger.record([a_kill(1), a_kill(2), a_kill(3)], (), None)
    ledger.commit()
    commits.append(counted)
    for number in (1, 2, 3):
        series = replace(a_notice("first"), group="herder", count=number)
        ledger.record_outcome(a_kill(number).kill_id, Outcome.SURVIVED, series)
        ledger.commit()
    assert seen == [1, 2, 3]


def test_no_kill_is_recorded_without_the_baseline_that_accounts_for_it(commits: list[Check], ledger: Ledger) -> None:
    seen: list[int] = []

    def accounted(file: sqlite3.Connection) -> None:
        recorded = file.execute("SELECT COALESCE(SUM(processes), 0) FROM kill").fetchone()[0]
        assert [(recorded,)] == file.execute("SELECT oom_kill FROM baseline").fetchall()
        seen.append(recorded)

    commits.append(accounted)
    for number in (1, 2, 3):
        ledger.record([a_kill(number)], [a_baseline(number)], number)
        ledger.commit()
    assert seen == [1, 2, 3]
