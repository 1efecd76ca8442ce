"""No thread waits for the disk but the one that brings the log into the file: by whose thread each sync is made, not by time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.ledger import Ledger, opening, store
from tests.unit.ledger.conftest import Opener
from tests.unit.ledger.records import a_baseline, a_kill
from tests.unit.patience import PATIENCE_S, wait_until

SOURCE = Path(__file__).with_name("syncs.c")
FILE = "ledger.sqlite3"
SYNC_MS = 2

AGENT = """
import json, os, sys, threading
from pathlib import Path
from agent.ledger import Ledger, checkpoints, store
from agent.model import Outcome
from tests.unit.ledger.records import BOOT, a_baseline, a_kill, a_notice, an_original

store.CHECKPOINT_ROWS, checkpoints.MOST_FRAMES = 100, 2000
syncs, state = Path(os.environ["SYNCS"]), Path(sys.argv[1])
woken = threading.Event()
ledger = Ledger.open(state, BOOT)
ledger.checkpoint_in_background(woken.set)
if sys.argv[2] == "NORMAL":
    ledger._store._connection.execute("PRAGMA synchronous = NORMAL")

def salts():
    with (state / "ledger.sqlite3-wal").open("rb") as log:
        return log.read(24)[16:].hex()

def written():
    while not ledger.commit():
        woken.wait()
        woken.clear()

written()
before, begun, number = len(syncs.read_text().splitlines()), {salts()}, 0
while len(begun) < 4:
    number += 1
    ledger.remember_original(an_original(number))
    ledger.record([a_kill(number)], [a_baseline(number, inode=number)], number)
    written()
    ledger.record_outcome(a_kill(number).kill_id, Outcome.SURVIVED, a_notice(f"n{number}"))
    ledger.delivered(f"n{number}", "created")
    written()
    begun.add(salts())
    assert number < 100_000, "the log never began again"
after = syncs.read_text().splitlines()[before:]
ledger.close()
print(json.dumps({"loop": os.getpid(), "kills": number, "syncs": after, "trouble": ledger.trouble}))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C library's fsync and fdatasync, that note who calls them."""
    made = tmp_path_factory.mktemp("syncs") / "syncs.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(made), str(SOURCE), "-ldl"], check=True
    )
    return made


@pytest.fixture
def run(library: Path, tmp_path: Path) -> Callable[..., dict[str, object]]:
    """Runs a program with these in place; what it prints is JSON."""

    def program(text: str, *arguments: str) -> dict[str, object]:
        syncs = tmp_path / "syncs"
        syncs.touch()
        environment = os.environ | {"LD_PRELOAD": str(library), "SYNCS": str(syncs), "SYNC_MS": str(SYNC_MS)}
        command = [sys.executable, "-c", text, str(tmp_path / "state"), *arguments]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    return program


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_the_thread_that_records_never_syncs_and_the_one_that_checkpoints_syncs_all_that_sqlite_asks_for(
    run: Callable[..., dict[str, object]], synchronous: str
) -> None:
    """OFF is how the agent has it. With NORMAL each of its syncs is still made by the other: so OFF leaves none out."""
    found = run(AGENT, synchronous)
    assert found["trouble"] is None
    syncs = found["syncs"]
    assert isinstance(syncs, list)
    by = Counter((int(thread) == found["loop"], path.rpartition("/")[2]) for thread, path in map(str.split, syncs))
    assert not [path for (by_loop, path) in by if by_loop], "the loop waited for the disk"
    checkpoints = by[False, FILE]
    assert checkpoints >= 3
    log = by[False, f"{FILE}-wal"]
    assert log >= checkpoints + 3, "the log before each checkpoint, and its header each time that it begins again"


def test_a_file_that_is_removed_is_made_again_and_checkpointed_again(
    open_ledger: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHECKPOINT_ROWS", 1)
    woken = threading.Event()
    ledger = open_ledger()
    ledger.checkpoint_in_background(woken.set)

    def record(number: int) -> None:
        ledger.record([a_kill(number)], [a_baseline(number)], number)
        while not ledger.commit() or ledger.pending:
            assert woken.wait(PATIENCE_S)
            woken.clear()

    record(1)
    for path in tmp_path.glob(f"{FILE}*"):
        path.unlink()
    record(2)
    wait_until(lambda: a_kill(2).kill_id.encode() in (tmp_path / FILE).read_bytes(), "a checkpoint of the new file")
    assert ledger.persistent
    assert open_ledger().baselines() == {7: a_baseline(2)}


def test_when_the_disk_hangs_a_commit_is_put_off_for_a_second_and_then_waits_in_memory(
    open_ledger: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else no kill would be counted, logged or posted until the disk is back."""
    now_s = 100.0
    monkeypatch.setattr(store, "monotonic", lambda: now_s)
    ledger = open_ledger()
    ledger.checkpoint_in_background(lambda: None)
    checkpointer = ledger._store._checkpointer
    assert checkpointer is not None
    checkpointer._writer.acquire()  # as its thread has it while it starts the log again
    ledger.record([a_kill(1)], [a_baseline(1)], 1)
    assert (ledger.commit(), ledger.trouble) == (False, None)
    now_s += store.MOST_WAIT_S
    assert ledger.commit(), "a kill is reported"
    assert "the disk has not answered for more than 1 s" in (ledger.trouble or "")
    assert ledger.pending
    checkpointer._writer.release()
    assert ledger.commit()
    assert (ledger.pending, ledger.trouble) == (0, None)
    assert [kill.kill_id for kill in ledger.kills(limit=9)] == [a_kill(1).kill_id]


REPLACED = """
import json, os, sys, threading
from pathlib import Path
from agent.ledger import Ledger
from tests.unit.ledger.records import BOOT, a_baseline, a_kill

syncs, file, woken = Path(os.environ["SYNCS"]), Path(sys.argv[1]) / "ledger.sqlite3", threading.Event()
ledger = Ledger.open(file.parent, BOOT)
ledger.checkpoint_in_background(woken.set)

def written():
    while not ledger.commit() or ledger.pending:
        woken.wait()
        woken.clear()

written()
before = len(syncs.read_text().splitlines())
for number in (1, 2, 3):
    ledger.record([a_kill(number)], [a_baseline(number)], number)
    written()
    if sys.argv[2] == "removed":
        file.unlink()
    else:
        for part in (file, file.with_name(file.name + "-wal")):
            with part.open("r+b") as raw:
                size = raw.seek(0, os.SEEK_END)
                raw.seek(100)
                raw.write(b"\\xa5" * (size - 100))
        ledger._store._connection.execute("PRAGMA shrink_memory")
        ledger.kills()
ledger.record([a_kill(4)], [a_baseline(4)], 4)
written()
after = syncs.read_text().splitlines()[before:]
ledger.close()
kept = [baseline.ordinal for baseline in Ledger.open(file.parent, BOOT).baselines().values()]
aside = len(list(file.parent.glob("ledger.corrupt-*.sqlite3")))
print(json.dumps({"loop": os.getpid(), "syncs": after, "kept": kept, "aside": aside}))
"""


@pytest.mark.parametrize("how", ["removed", "damaged"])
def test_a_file_that_is_removed_or_damaged_in_use_is_replaced_without_a_sync_of_the_thread_that_records(
    run: Callable[..., dict[str, object]], how: str
) -> None:
    found = run(REPLACED, how)
    syncs = found["syncs"]
    assert isinstance(syncs, list)
    assert syncs, "another thread synced"
    assert not [line for line in syncs if int(line.split()[0]) == found["loop"]]
    assert found["kept"] == [4]
    assert (found["aside"] != 0) == (how == "damaged")


def test_while_a_file_is_being_replaced_nobody_waits_and_nothing_is_lost(
    open_ledger: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger()
    woken, disk = threading.Event(), threading.Event()
    ledger.checkpoint_in_background(woken.set)
    ledger.record([a_kill(1)], [a_baseline(1)], 1)
    wait_until(lambda: ledger.commit() and not ledger.pending, "the first commit")
    waited = []

    def slowly(*arguments: Any) -> Any:
        waited.append(disk.wait(PATIENCE_S))
        return opening.open_file(*arguments)

    monkeypatch.setattr(store, "open_file", slowly)
    (tmp_path / FILE).unlink()
    ledger.record([a_kill(2)], [a_baseline(2)], 2)
    woken.clear()
    assert ledger.commit()
    ledger.record([a_kill(3)], [a_baseline(3)], 3)
    assert ledger.commit()
    assert (waited, ledger.pending, ledger.persistent) == ([], 4, True)
    assert "is being replaced" in (ledger.trouble or "")
    assert [kill.ordinal for kill in ledger.kills()] == [2, 3]
    disk.set()
    assert woken.wait(PATIENCE_S)
    wait_until(lambda: ledger.commit() and not ledger.pending, "the commit into the new file")
    again = open_ledger()
    assert sorted(kill.ordinal for kill in again.kills()) == [2, 3]
    assert again.baselines() == {7: a_baseline(3)}


def no_thread(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("again", [1, 2], ids=["for the new file", "for its checkpoints"])
def test_where_no_thread_can_be_started_for_a_new_file_it_is_tried_again_and_nothing_is_lost(
    open_ledger: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: int
) -> None:
    ledger, woken, started, real = open_ledger(), threading.Event(), list[str](), threading.Thread.start
    ledger.checkpoint_in_background(woken.set)
    ledger.record([a_kill(1)], [a_baseline(1)], 1)
    wait_until(lambda: ledger.commit() and not ledger.pending, "the first commit")
    woken.clear()

    def some(thread: threading.Thread) -> None:
        started.append(thread.name)
        if len(started) >= again:
            no_thread(thread)
        real(thread)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", some)
        (tmp_path / FILE).unlink()
        ledger.record([a_kill(2)], [a_baseline(2)], 2)
        assert ledger.commit()
        if again > 1:
            assert woken.wait(PATIENCE_S)
        for _ in range(2):
            assert ledger.commit()
            assert ledger.pending
            assert "can't start new thread" in (ledger.trouble or "")
    assert len(started) == 3, "each commit tries again"
    wait_until(lambda: ledger.flush() and ledger.trouble is not None, "the commit into the new file")
    assert "can't start" not in (ledger.trouble or "")
    assert open_ledger().baselines() == {7: a_baseline(2)}


@pytest.mark.parametrize("start", [threading.Thread.start, no_thread], ids=["with a thread", "without one"])
def test_what_waits_for_a_new_file_is_written_at_the_end(
    open_ledger: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[[threading.Thread], None]
) -> None:
    ledger = open_ledger()
    ledger.checkpoint_in_background(lambda: None)
    ledger.record([a_kill(1)], [a_baseline(1)], 1)
    (tmp_path / FILE).unlink()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", start)
        ledger.commit()
        ledger.close()
    assert open_ledger().baselines() == {7: a_baseline(1)}


def test_a_start_without_a_free_thread_writes_as_soon_as_there_is_one(
    open_ledger: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", no_thread)
        ledger.checkpoint_in_background(lambda: None)
        ledger.record([a_kill(1)], [a_baseline(1)], 1)
        assert ledger.commit()
        assert ledger.pending
        assert "can't start new thread" in (ledger.trouble or "")
    wait_until(ledger.flush, "the commit")
    assert (ledger.pending, ledger.trouble) == (0, None)


def test_a_ledger_in_memory_has_nothing_to_checkpoint(open_ledger: Opener) -> None:
    ledger = open_ledger(state_dir=Path("/proc/oomward"))
    ledger.checkpoint_in_background(lambda: None)
    ledger.record([a_kill()], [], None)
    assert ledger.commit()
    assert ledger.kills() == [a_kill()]


def test_a_checkpoint_thread_that_is_ended_as_it_wakes_up_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.open(tmp_path, "boot")
    ledger.checkpoint_in_background(lambda: None)
    checkpointer = ledger._store._checkpointer
    assert checkpointer is not None
    real, ending = checkpointer._wanted.clear, threading.Event()

    def clear() -> None:
        """``close`` is called between the thread's wake-up and its clearing of the wish."""
        if not ending.is_set():
            ending.set()
            checkpointer._closing = True
            checkpointer._wanted.set()
        real()

    monkeypatch.setattr(checkpointer._wanted, "clear", clear)
    checkpointer.want()
    checkpointer._thread.join(PATIENCE_S)
    assert not checkpointer._thread.is_alive()
    ledger.close()
