"""A bad disk never stops the agent: the ledger says what is wrong, goes on, and neither loses nor doubles a kill."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.ledger import Ledger, opening, store, unwritten
from agent.ledger.schema import VERSION
from agent.model import Outcome
from tests.unit.ledger.conftest import Opener
from tests.unit.ledger.records import BOOT, POD_UID, a_baseline, a_decision, a_kill, a_notice, an_original

FILE = "ledger.sqlite3"


def connection_of(ledger: Ledger) -> sqlite3.Connection:
    return ledger._store._connection


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the file's write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def full(ledger: Ledger) -> Iterator[None]:
    """The disk has not a page left."""
    connection = connection_of(ledger)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        connection.execute("PRAGMA max_page_count = 1073741823")


def ids(ledger: Ledger) -> list[str]:
    return sorted(kill.kill_id for kill in ledger.kills(limit=100_000))


# ------------------------------------------------------------------------------------------------------ when opened


def test_an_empty_file_is_a_new_ledger(open_ledger: Opener, tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    ledger = open_ledger()
    assert (ledger.persistent, ledger.trouble) == (True, None)


@pytest.mark.parametrize("state_dir", ["/proc/oomward", "/sys/kernel", "/dev/null/oomward"])
def test_a_state_directory_that_can_not_be_written_leaves_memory(open_ledger: Opener, state_dir: str) -> None:
    ledger = open_ledger(state_dir=Path(state_dir))
    assert not ledger.persistent
    assert ledger.errors == 1
    assert ledger.trouble is not None
    assert state_dir in ledger.trouble
    assert "--state-dir" in ledger.trouble
    ledger.record([a_kill()], [a_baseline()], 3)
    ledger.queue(a_notice())
    assert ledger.commit()
    ledger.record([a_kill()], [], None)
    assert ledger.commit()
    assert list(ledger.totals().values()) == [1]
    assert ledger.kills() == [a_kill()]
    assert ledger.undelivered() == [a_notice()]
    assert ledger.pending == 0


def test_without_a_disk_fewer_kills_are_kept(open_ledger: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.ledger.ledger.MEMORY_KILLS", 3)
    ledger = open_ledger(state_dir=Path("/proc/oomward"))
    ledger.record([a_kill(i, at=float(i)) for i in range(10)], [], None)
    assert ledger.prune(0.0, 30, 100_000, 100) == 7


def damage_header(path: Path) -> None:
    path.write_bytes(b"this was a ledger once" + path.read_bytes()[22:])


def damage_pages(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xa5" * (len(raw) - 4096)
    path.write_bytes(raw)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


@pytest.mark.parametrize("damage", [damage_header, damage_pages, truncate])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    ledger: Ledger, open_ledger: Opener, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    ledger.record([a_kill(i) for i in range(50)], [], None)
    ledger.close()
    damage(tmp_path / FILE)
    damaged = (tmp_path / FILE).read_bytes()
    again = open_ledger()
    (aside,) = tmp_path.glob("ledger.corrupt-*.sqlite3")
    assert aside.name == "ledger.corrupt-20261118T110640Z.sqlite3"
    assert aside.read_bytes() == damaged
    assert again.persistent
    assert again.trouble is not None
    assert str(aside) in again.trouble
    again.record([a_kill()], [], None)
    assert open_ledger().kills() == [a_kill()]


def test_a_second_damaged_file_of_the_same_second_does_not_overwrite_the_first(
    open_ledger: Opener, tmp_path: Path
) -> None:
    for text in (b"first" * 100, b"second" * 100):
        open_ledger().close()
        (tmp_path / FILE).write_bytes(text)
        open_ledger()
    assert {path.read_bytes()[:5] for path in tmp_path.glob("ledger.corrupt-*")} == {b"first", b"secon"}


def test_somebody_elses_database_is_set_aside_whole(open_ledger: Opener, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("CREATE TABLE kill (theirs TEXT)")
    other.close()
    assert open_ledger().persistent
    (aside,) = tmp_path.glob("ledger.corrupt-*")
    theirs = sqlite3.connect(aside)
    assert theirs.execute("SELECT name FROM sqlite_master").fetchall() == [("kill",)]
    theirs.close()


@pytest.mark.parametrize(("version", "age"), [(VERSION + 1, "newer"), (VERSION - 1, "older")])
def test_a_ledger_of_another_version_is_set_aside_and_never_destroyed(
    version: int, age: str, ledger: Ledger, open_ledger: Opener, tmp_path: Path
) -> None:
    ledger.record([a_kill()], [], None)
    connection_of(ledger).execute(f"PRAGMA user_version = {version}")
    again = open_ledger()
    assert again.persistent
    assert again.kills() == []
    assert again.trouble is not None
    assert f"{age} oomward" in again.trouble
    (aside,) = tmp_path.glob(f"ledger.{age}-*.sqlite3")
    kept = sqlite3.connect(aside)
    assert kept.execute("SELECT COUNT(*) FROM kill").fetchone() == (1,)
    kept.close()


def test_a_file_that_somebody_holds_locked_at_the_start_leaves_memory(
    open_ledger: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "OPEN_WAIT_S", 0.01)
    open_ledger().close()
    with locked(tmp_path / FILE):
        ledger = open_ledger()
        assert not ledger.persistent
        assert "locked" in (ledger.trouble or "")
    assert not list(tmp_path.glob("ledger.corrupt*"))


# ------------------------------------------------------------------------------------------------------- while in use


@pytest.mark.parametrize("fault", ["locked", "full"])
def test_what_the_disk_refuses_waits_and_is_written_once_it_can_be(
    ledger: Ledger, open_ledger: Opener, tmp_path: Path, fault: str
) -> None:
    ledger.record([a_kill(1)], [a_baseline(1)], 1)
    ledger.commit()
    with locked(tmp_path / FILE) if fault == "locked" else full(ledger):
        big = [a_kill(i, at=1000.0 + i) for i in range(1, 200)]
        ledger.record(big, [a_baseline(199)], 2)
        assert ledger.commit(), "nobody waits for it"
        ledger.queue(a_notice())
        ledger.remember_original(an_original())
        ledger.keep_decisions(POD_UID, [a_decision()])
        assert ledger.commit()
        assert not ledger.flush()
        assert ledger.pending > 0
        assert ledger.errors >= 2
        assert "wait in memory" in (ledger.trouble or "")
        # Asked now, it knows all the same.
        assert len(ledger.kills()) == 199
        assert ledger.baselines() == {7: a_baseline(199)}
        assert ledger.original(7) == an_original()
        assert ledger.undelivered() == [a_notice()]
        assert ledger.kmsg_sequence == 2
    assert ledger.flush()
    assert (ledger.pending, ledger.trouble) == (0, None)
    again = open_ledger()
    assert len(again.kills()) == 199
    assert list(again.totals().values()) == [199]
    assert again.baselines() == {7: a_baseline(199)}
    assert again.originals() == (an_original(),)
    assert again.kept_decisions() == (a_decision(),)
    assert again.undelivered() == [a_notice()]
    assert again.kmsg_sequence == 2


def test_nothing_of_a_transaction_that_failed_is_in_the_file(ledger: Ledger, open_ledger: Opener) -> None:
    """Were the agent killed now, the kills would be read from the counters again, under the same ids."""
    ledger.record([a_kill(1)], [a_baseline(1)], 1)
    ledger.commit()
    with full(ledger):
        ledger.record([a_kill(i) for i in range(2, 300)], [a_baseline(300)], 9)
        ledger.commit()
        rows = connection_of(ledger).execute("SELECT ordinal FROM baseline").fetchall()
        assert rows == [(1,)]
        assert connection_of(ledger).execute("SELECT COUNT(*) FROM kill").fetchone() == (1,)


def test_kills_that_wait_can_be_settled_amended_and_counted(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record([a_kill(1)], [], None)
    ledger.commit()
    with locked(tmp_path / FILE):
        ledger.record([a_kill(2, at=2000.0, processes=4)], [], None)
        ledger.amend(a_kill(2, at=2000.0, processes=4, container="late"))
        ledger.record_outcome(a_kill(1).kill_id, Outcome.SURVIVED, None)
        ledger.record_outcome(a_kill(2).kill_id, Outcome.DIED, None)
        newest, oldest = ledger.kills()
        assert (newest.container, newest.outcome, oldest.outcome) == ("late", Outcome.DIED, Outcome.SURVIVED)
        assert ledger.without_event() == []
        assert ledger.kills(since_unix_s=1500.0) == [newest]
        assert ledger.kills(limit=1) == [newest]
        assert list(ledger.totals().values()) == [5]
    assert ledger.flush()
    assert ledger.kills() == [newest, oldest]


def test_an_event_delivered_while_the_disk_is_away_is_not_delivered_again(
    ledger: Ledger, open_ledger: Opener, tmp_path: Path
) -> None:
    ledger.queue(a_notice("before"))
    with locked(tmp_path / FILE):
        ledger.queue(a_notice("during"))
        ledger.delivered("before", "created")
        ledger.delivered("during", "exists")
        assert ledger.undelivered() == []
    ledger.flush()
    assert open_ledger().undelivered() == []


def test_the_next_change_tries_again_what_waits(ledger: Ledger, tmp_path: Path) -> None:
    with locked(tmp_path / FILE):
        ledger.record([a_kill(1)], [], None)
        ledger.commit()
    ledger.record([a_kill(2)], [], None)
    assert ledger.commit()
    assert (ledger.pending, ledger.trouble) == (0, None)


def test_when_very_much_waits_only_flush_tries_so_that_the_loop_never_pauses(ledger: Ledger, tmp_path: Path) -> None:
    with locked(tmp_path / FILE):
        ledger.record([a_kill(i) for i in range(1000)], [], None)
        ledger.commit()
        errors = ledger.errors
        for i in range(1000, 1100):
            ledger.record([a_kill(i)], [], None)
            ledger.commit()
        assert ledger.errors == errors
    assert ledger.flush()
    assert len(ids(ledger)) == 1100


def test_what_waits_stays_bounded_and_what_had_to_go_is_said(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwritten, "MOST_KILLS", 10)
    monkeypatch.setattr(unwritten, "MOST_NOTICES", 3)
    with locked(tmp_path / FILE):
        for i in range(15):
            ledger.record([a_kill(i, at=float(i))], [a_baseline(i)], i)
            ledger.queue(a_notice(f"n{i}"))
        assert "17 records of kills or Events had to be dropped" in (ledger.trouble or "")
        assert ledger.pending == 10 + 3 + 2
    assert ledger.flush()
    assert [kill.at_unix_s for kill in ledger.kills()] == [float(i) for i in range(14, 4, -1)]


def test_one_that_had_to_go_is_one_record(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwritten, "MOST_KILLS", 1)
    with locked(tmp_path / FILE):
        for i in range(2):
            ledger.record([a_kill(i, at=float(i))], [], None)
        assert "1 record of kills or Events had to be dropped" in (ledger.trouble or "")


def test_pruning_waits_for_the_disk_too(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record([a_kill(1, at=1.0)], [], None)
    ledger.commit()
    with locked(tmp_path / FILE):
        assert ledger.prune(1e9, 30, 10, 10) == 0
    assert len(ledger.kills()) == 1
    ledger.prune(1e9, 30, 10, 10)
    assert ledger.kills() == []


def test_damage_met_while_in_use_begins_a_new_file_with_all_that_memory_knows(
    ledger: Ledger, open_ledger: Opener, tmp_path: Path
) -> None:
    ledger.record([a_kill(i) for i in range(100)], [a_baseline(99)], 5)
    ledger.remember_original(an_original())
    ledger.keep_decisions(POD_UID, [a_decision()])
    ledger.commit()
    connection = connection_of(ledger)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytearray((tmp_path / FILE).read_bytes())
    raw[100:] = b"\xa5" * (len(raw) - 100)
    (tmp_path / FILE).write_bytes(raw)
    connection.execute("PRAGMA shrink_memory")
    ledger.record([a_kill(100)], [a_baseline(100)], 6)
    ledger.commit()
    ledger.kills()
    assert ledger.flush()
    assert ledger.persistent
    assert "damaged" in (ledger.trouble or "")
    assert len(list(tmp_path.glob("ledger.corrupt-*.sqlite3"))) == 1
    again = open_ledger()
    assert again.baselines() == {7: a_baseline(100)}
    assert again.originals() == (an_original(),)
    assert again.kept_decisions() == (a_decision(),)
    assert again.kmsg_sequence == 6


def test_a_file_removed_under_us_is_noticed_by_the_next_change_which_is_in_the_new_one(
    ledger: Ledger, open_ledger: Opener, tmp_path: Path
) -> None:
    ledger.record([a_kill(1)], [a_baseline(1)], 5)
    ledger.commit()
    for path in tmp_path.glob("ledger.sqlite3*"):
        path.unlink()
    ledger.record([a_kill(2)], [], None)
    assert ledger.commit()
    assert "removed or replaced" in (ledger.trouble or "")
    again = open_ledger()
    assert again.baselines() == {7: a_baseline(1)}
    assert ids(again) == [a_kill(2).kill_id]


def test_a_file_that_keeps_vanishing_leaves_memory_in_the_end(ledger: Ledger, tmp_path: Path) -> None:
    for _ in range(store.MOST_RENEWALS + 1):
        (tmp_path / FILE).unlink()
        ledger.record([a_kill()], [], None)
        ledger.commit()
    assert not ledger.persistent
    ledger.record([a_kill()], [], None)
    assert ledger.kills() == [a_kill()]


def test_a_row_that_can_not_be_read_is_passed_over_and_counted(ledger: Ledger) -> None:
    ledger.record([a_kill(1), a_kill(2), a_kill(3)], [], None)
    ledger.queue(a_notice("a"))
    ledger.queue(a_notice("b"))
    ledger.commit()
    change = connection_of(ledger)
    change.execute("UPDATE kill SET body = '{' WHERE kill_id = ?", (a_kill(1).kill_id,))
    change.execute("UPDATE kill SET outcome = 'dissolved' WHERE kill_id = ?", (a_kill(2).kill_id,))
    change.execute("UPDATE notice SET body = '[]' WHERE name = 'a'")
    assert ledger.kills() == [a_kill(3)]
    assert ledger.undelivered() == [a_notice("b")]
    assert ledger.errors == 3
    assert "could not be read" in (ledger.trouble or "")


def test_open_never_raises_whatever_the_bytes(open_ledger: Opener, tmp_path: Path) -> None:
    for number, raw in enumerate((b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 5000, b"x", b"SQLite format 3\0")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / FILE).write_bytes(raw)
        ledger = open_ledger(BOOT, state_dir=folder)
        ledger.record([a_kill()], [], None)
        assert ledger.flush()
        assert ledger.persistent


def test_while_the_disk_is_bad_outcomes_and_details_of_kills_that_gave_way_give_way_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In six hours of a storm half a million outcomes had more memory than the agent may use."""
    monkeypatch.setattr(unwritten, "MOST_KILLS", 10)
    waiting = unwritten.Unwritten()
    for number in range(100):
        kill = a_kill(number)
        waiting.add_kills([kill])
        waiting.outcomes[kill.kill_id] = (Outcome.SURVIVED, "")
        waiting.amended[kill.kill_id] = kill
    assert (len(waiting.kills), waiting.dropped) == (10, 90)
    assert waiting.outcomes.keys() == waiting.amended.keys() == waiting.kills.keys()
