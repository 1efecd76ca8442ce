"""Older files become newer ones, with all that is in them."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

from agent.ledger.schema import STEPS, VERSION
from tests.unit.ledger.conftest import Opener
from tests.unit.ledger.records import BOOT, a_baseline, a_decision, a_kill, a_notice, an_original


def write_version_1(path: Path) -> None:
    """A file as the first version wrote it, by its own SQL."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(f"{STEPS[1]}; PRAGMA user_version = 1;")
    kill, original, decision, notice = a_kill(), an_original(), a_decision(), a_notice()
    body = json.dumps(asdict(kill) | {"sources": sorted(kill.sources)})
    series = (kill.namespace, kill.pod, kill.container, kill.mode, kill.scope)
    row = (kill.kill_id, kill.at_unix_s, kill.namespace, kill.pod, kill.pod_uid, kill.container, kill.mode, kill.scope)
    connection.execute("INSERT INTO boot VALUES (?, 42)", (BOOT,))
    connection.execute("INSERT INTO kill VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, NULL, ?)", (*row, body))
    connection.execute("INSERT INTO total VALUES (?, ?, ?, ?, ?, 1, 1000.0)", series)
    connection.execute("INSERT INTO baseline VALUES (?, ?, ?, ?, ?, ?, ?)", tuple(asdict(a_baseline()).values()))
    connection.execute("INSERT INTO original VALUES (?, ?, ?, ?, ?)", tuple(asdict(original).values()))
    connection.execute("INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?, ?, ?)", tuple(asdict(decision).values())[:8])
    connection.execute("INSERT INTO notice VALUES (?, 1000.0, ?, NULL)", (notice.name, json.dumps(asdict(notice))))
    connection.close()


def test_a_file_of_version_1_is_migrated_with_all_that_is_in_it(open_ledger: Opener, tmp_path: Path) -> None:
    write_version_1(tmp_path / "ledger.sqlite3")
    ledger = open_ledger()
    assert (ledger.persistent, ledger.trouble, ledger.seen_this_boot) == (True, None, True)
    assert ledger.kills() == [a_kill()]
    assert ledger.totals() == {("shop", "herder-1", "herder", "single", "container"): 1}
    assert ledger.baselines() == {7: a_baseline()}
    assert ledger.originals() == (an_original(),)
    assert ledger.kept_decisions() == (a_decision(),)
    assert ledger.undelivered() == [a_notice()]
    assert ledger.kmsg_sequence == 42
    again = open_ledger()
    assert again.kills() == [a_kill()]


def schema_of(path: Path) -> set[tuple[str, str]]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    assert version == VERSION
    return set(rows)


def test_a_migrated_file_and_a_new_one_have_the_same_schema(open_ledger: Opener, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    write_version_1(old / "ledger.sqlite3")
    for folder in (old, new):
        open_ledger(state_dir=folder).close()
    assert schema_of(old / "ledger.sqlite3") == schema_of(new / "ledger.sqlite3")


def test_a_migration_that_was_cut_off_leaves_the_version_before(tmp_path: Path) -> None:
    """A step and its number are one transaction: killed in between, the step is simply done again."""
    path = tmp_path / "ledger.sqlite3"
    write_version_1(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(f"BEGIN IMMEDIATE; {STEPS[2]} PRAGMA user_version = 2;")
    connection.close()  # without COMMIT, as kill -9 would
    again = sqlite3.connect(path)
    assert again.execute("PRAGMA user_version").fetchone() == (1,)
    assert again.execute("SELECT COUNT(*) FROM decision").fetchone() == (1,)
    again.close()
