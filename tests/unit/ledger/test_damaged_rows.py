"""A damaged file: whatever one bit, one value or one field of it is, the ledger opens, answers and goes on, and no other row is lost.

SQLite finds damage of its structure only. A text that is no UTF-8, a number that is NULL or a label that is no JSON is for us to find.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.sender import event_body
from agent.ledger import Ledger, LedgerReader
from agent.ledger.store import FILE
from agent.look.kills import history
from agent.model import AgentError, OnExceeded, Rules, Source, Tolerance
from agent.modes.kept import decided_again, labels_text
from tests.unit.ledger.records import BOOT, a_baseline, a_decision, a_kill, a_notice, an_original
from tests.unit.profiles import examples

TABLES = ("boot", "kill", "share", "total", "baseline", "original", "exceeded", "decision", "notice")
NOW = 2000.0
ROWS = 3
LABELS = labels_text({"app": "web"})


@cache
def written() -> bytes:
    """A file with some rows in each table, as the agent has it at its end."""
    with TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder), BOOT, NOW)
        for n in range(ROWS):
            inode = n + 1
            pod = f"pod-{n}"
            ledger.record([a_kill(inode=inode, pod=pod, pod_uid=f"uid-{n}")], [a_baseline(inode=inode)], inode)
            ledger.queue(a_notice(f"{pod}.x"))
            ledger.remember_original(an_original(inode))
            ledger.remember_exceeded(inode, Tolerance(3, 60.0, OnExceeded.ARM))
            ledger.keep_decisions(
                f"uid-{n}", [replace(a_decision(pod_uid=f"uid-{n}"), source=Source.RULE, labels=LABELS)]
            )
        ledger.close()
        return (Path(folder) / FILE).read_bytes()


def use(folder: Path) -> Ledger:
    """All that the agent asks at its start and later, and what it does with the answers."""
    ledger = Ledger.open(folder, BOOT, NOW)
    for decision in ledger.kept_decisions():
        decided_again(decision, Rules())
    for baseline in ledger.baselines().values():
        assert baseline.oom_kill + baseline.oom_group_kill + baseline.oom + baseline.local_oom + baseline.ordinal >= 0
    for original in ledger.originals():
        assert original.value + original.at_unix_s >= 0
    for kill in [*ledger.kills(), *ledger.without_event(), *ledger.last_kills(60.0, NOW), *ledger.reported(None)]:
        assert kill.processes + kill.at_unix_s + kill.ordinal >= 0
    for notice in [*ledger.undelivered(), *ledger.series(0.0)]:
        event_body(notice, "node-1")
    assert sum(ledger.totals().values()) >= 0
    ledger.last_in_containers()
    for inode in range(ROWS + 1):
        ledger.exceeded(inode)
        ledger.kills_in(inode)
    ledger.record([a_kill(inode=99, at=NOW)], [a_baseline(inode=99)], 7)
    ledger.flush()
    ledger.prune(NOW, 7, 1, 10)
    assert ledger.trouble != ""
    return ledger


def ask(folder: Path) -> None:
    """What the commands ask beside the agent: an answer, or a sentence."""
    try:
        history(folder)
        reader = LedgerReader(folder)
        try:
            reader.sums(0.0, 10)
            reader.kept_decisions()
            reader.originals(BOOT)
            reader.exceeded(BOOT)
            assert sum(reader.processes_killed().values()) >= 0
        finally:
            reader.close()
    except AgentError as error:
        assert str(error)


@examples(150)
@given(st.integers(0), st.integers(0, 7))
def test_any_flipped_bit_leaves_an_agent_that_works(at: int, bit: int) -> None:
    with TemporaryDirectory() as name:
        folder, raw = Path(name), bytearray(written())
        raw[at % len(raw)] ^= 1 << bit
        (folder / FILE).write_bytes(raw)
        ask(folder)
        use(folder).close()
        use(folder).close()


VALUES = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=5), st.text("a{[\"0\udcff", max_size=5)
    .map(lambda text: text.encode("utf-8", "surrogateescape")),
)  # fmt: skip


@examples(150)
@given(st.sampled_from(TABLES), st.integers(0), st.integers(1, ROWS), VALUES)
def test_any_value_in_any_column_leaves_an_agent_that_works(table: str, column: int, row: int, value: Any) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / FILE).write_bytes(written())
        with_value(folder, table, column, row, value)
        ask(folder)
        use(folder).close()


def with_value(folder: Path, table: str, column: int, row: int, value: Any) -> None:
    """As damage leaves it: whatever the schema says of the column."""
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table'")
    connection.close()
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    names = [found[1] for found in connection.execute(f"PRAGMA table_info({table})")]
    chosen = names[column % len(names)]
    texts = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
    with suppress(sqlite3.IntegrityError):  # a key that another row has, or no integer for one
        connection.execute(f"UPDATE {table} SET {chosen} = {texts} WHERE rowid = ?", (value, row))
    connection.close()


FIELDS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**400), 10**400), st.floats(), st.just([]), st.just({}), st.just([[]]), st.text(max_size=3)
)  # fmt: skip


@examples(150)
@given(st.sampled_from(("kill", "notice")), st.integers(0), FIELDS)
def test_any_field_of_a_kill_or_an_event_leaves_an_agent_that_works(table: str, number: int, value: Any) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / FILE).write_bytes(written())
        connection = sqlite3.connect(folder / FILE, isolation_level=None)
        ((body,),) = connection.execute(f"SELECT body FROM {table} WHERE rowid = 1")
        fields = json.loads(body)
        fields[sorted(fields)[number % len(fields)]] = value
        connection.execute(f"UPDATE {table} SET body = ? WHERE rowid = 1", (json.dumps(fields),))
        connection.close()
        ask(folder)
        use(folder).close()


def damaged(folder: Path, table: str, column: str, value: Any) -> Ledger:
    """With this value in the first row of the table."""
    (folder / FILE).write_bytes(written())
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    text = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
    connection.execute(f"UPDATE {table} SET {column} = {text} WHERE rowid = 1", (value,))
    connection.close()
    return Ledger.open(folder, BOOT, NOW)


def body(table: str, **fields: Any) -> str:
    """The first row's, with other fields."""
    with TemporaryDirectory() as name:
        path = Path(name) / FILE
        path.write_bytes(written())
        connection = sqlite3.connect(path)
        ((found,),) = connection.execute(f"SELECT body FROM {table} WHERE rowid = 1")
        connection.close()
        return json.dumps(json.loads(found) | fields)


ONE_LEFT_OUT = "1 row could not be read and was left out"


@pytest.mark.parametrize(
    "value", [b"\xee{", "[]", body("notice", at_unix_s=1e17), body("notice", count=None), "[" * 2000]
)
def test_an_event_that_cannot_be_read_keeps_no_other_waiting(tmp_path: Path, value: Any) -> None:
    ledger = damaged(tmp_path, "notice", "body", value)
    for _ in range(3):
        assert [notice.name for notice in ledger.undelivered()] == ["pod-1.x", "pod-2.x"]
    assert ledger.trouble == ONE_LEFT_OUT, "however often it is read"
    assert ledger.queue(a_notice("pod-3.x"))
    assert ledger.commit()
    assert [notice.name for notice in ledger.undelivered()] == ["pod-1.x", "pod-2.x", "pod-3.x"]
    ledger.close()


@pytest.mark.parametrize(
    "value", [b"\xee{", body("kill", at_unix_s=3.6e70), body("kill", at_unix_s="abc"), body("kill", processes=True)]
)
def test_a_kill_that_cannot_be_read_hides_no_other(tmp_path: Path, value: Any) -> None:
    ledger = damaged(tmp_path, "kill", "body", value)
    assert sorted(str(kill.pod) for kill in ledger.kills()) == ["pod-1", "pod-2"]
    ledger.close()
    shown = history(tmp_path)
    assert len((shown.document or {})["kills"]) == 2
    assert any("1 kill that cannot be read" in trouble for trouble in shown.troubles)


@pytest.mark.parametrize("value", [None, "x", -1, 2.5, b"\xff"])
def test_a_counter_that_cannot_be_read_leaves_those_of_other_cgroups(tmp_path: Path, value: Any) -> None:
    ledger = damaged(tmp_path, "baseline", "oom_kill", value)
    assert sorted(ledger.baselines()) == [2, 3]
    assert ledger.trouble == ONE_LEFT_OUT
    ledger.close()


@pytest.mark.parametrize("value", ['{#app": "web"}', "[]", '{"app": 1}', "[" * 2000, b'{"\xee": "web"'])
def test_a_decision_with_labels_that_are_none_leaves_those_of_other_pods(tmp_path: Path, value: Any) -> None:
    ledger = damaged(tmp_path, "decision", "labels", value)
    decisions = [decided_again(decision, Rules()) for decision in ledger.kept_decisions()]
    assert [decision.pod_uid for decision in decisions] == ["uid-1", "uid-2"]
    assert ledger.trouble == ONE_LEFT_OUT
    ledger.close()
