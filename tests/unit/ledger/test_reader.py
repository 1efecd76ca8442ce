"""Commands read the ledger beside the agent that writes it, and change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.ledger import Ledger, LedgerReader, NoLedgerError
from agent.model import Outcome, Scope
from tests.unit.ledger.records import BOOT, OTHER_BOOT, a_kill


def test_the_reader_sees_what_the_agent_has_recorded_and_goes_on_seeing(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record([a_kill(1, at=1.0)], [], None)
    ledger.commit()
    reader = LedgerReader(tmp_path)
    assert reader.kills() == [a_kill(1, at=1.0)]
    ledger.record([a_kill(2, at=2.0, pod="other")], [], None)
    ledger.commit()
    assert reader.kills() == [a_kill(2, at=2.0, pod="other"), a_kill(1, at=1.0)]
    assert reader.kills(pod="other", namespace="shop", since_unix_s=1.5, limit=5) == [a_kill(2, at=2.0, pod="other")]
    assert (ledger.errors, ledger.pending) == (0, 0)
    reader.close()


def test_the_reader_works_without_an_agent(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record([a_kill()], [], None)
    ledger.close()
    reader = LedgerReader(tmp_path)
    assert reader.kills() == [a_kill()]
    reader.close()


def test_the_kills_of_one_cgroup_are_those_of_its_inode_and_boot_whatever_their_pods_are_called(
    ledger: Ledger, tmp_path: Path
) -> None:
    of_1 = [a_kill(1, inode=1), replace(a_kill(10, inode=1), pod_uid=None, pod=None), a_kill(9, inode=1, pod_uid="u")]
    others = [a_kill(1, inode=12), a_kill(1, inode=2), replace(a_kill(3, inode=1), boot_id=OTHER_BOOT)]
    ledger.record([*of_1, *others], [], None)
    assert {one.kill_id for one in ledger.kills_in(1)} == {one.kill_id for one in of_1}, "not written yet"
    ledger.commit()
    reader = LedgerReader(tmp_path)
    for found in (ledger.kills_in(1), reader.kills_in(BOOT, 1)):
        assert {one.kill_id for one in found} == {one.kill_id for one in of_1}
    reader.close()


def test_a_row_that_can_not_be_read_is_passed_over(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record([a_kill(1), a_kill(2)], [], None)
    ledger.commit()
    ledger._store._connection.execute("UPDATE kill SET body = '' WHERE kill_id = ?", (a_kill(1).kill_id,))
    reader = LedgerReader(tmp_path)
    assert reader.kills() == [a_kill(2)]
    assert reader.bad_rows == 1
    reader.close()


def test_kills_are_summed_by_pod_container_scope_and_limit_with_the_newest_of_each(
    ledger: Ledger, tmp_path: Path
) -> None:
    small, large = replace(a_kill(4, at=4.0), limit_bytes=1), replace(a_kill(5, at=5.0), limit_bytes=2)
    lived = replace(a_kill(3, at=3.0, processes=2), limit_bytes=1, outcome=Outcome.SURVIVED)
    of_node = a_kill(2, at=2.0, scope=Scope.NODE)
    ledger.record([replace(a_kill(1, at=0.5), limit_bytes=1), of_node, lived, small, large], [], None)
    ledger.commit()
    reader = LedgerReader(tmp_path)
    found = reader.sums(1.0, 10)
    assert [(one.last.ordinal, one.kills, one.processes) for one in found] == [(5, 1, 1), (4, 2, 3), (2, 1, 1)]
    assert found[1].survived == 1 + (small.outcome is Outcome.SURVIVED)
    assert [one.last.ordinal for one in reader.sums(1.0, 2)] == [5, 4], "the newest"
    reader.close()


def test_no_ledger_is_an_error_that_names_the_place_and_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(NoLedgerError, match="--state-dir") as caught:
        LedgerReader(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_ledger_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(NoLedgerError, match="not a database"):
        LedgerReader(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite3"]
