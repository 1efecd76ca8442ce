"""kill -9 at random moments: what record() returned from is in the file, once, and the file is sound."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

from agent.ledger import Ledger
from tests.unit.ledger.records import BOOT

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from agent.ledger import Ledger
from agent.model import Outcome
from tests.unit.ledger.records import BOOT, a_baseline, a_kill, a_notice

ledger = Ledger.open(Path(sys.argv[1]), BOOT)
done = ledger.baselines()[7].ordinal if ledger.baselines() else 0
series = [*ledger.series(0.0), replace(a_notice("series"), count=0, series="herder")][0]

def settle():
    global series
    for kill in ledger.unsettled():
        series = replace(series, count=series.count + 1)
        ledger.settle(kill.kill_id, Outcome.SURVIVED, series)

settle()
if done:
    ledger.queue(a_notice(f"n{done}"))  # the writer before may have been killed between the two
while True:
    first, done = done + 1, done + 3
    # What an agent that starts again may do: tell of a kill that is in the file already.
    kills = [a_kill(n, processes=2) for n in range(max(1, first - 2), done + 1)]
    ledger.record(kills, [a_baseline(done)], done)
    ledger.queue(a_notice(f"n{done}"))
    settle()
    assert ledger.pending == 0
    print(done, flush=True)
"""


def write_until_killed(state_dir: Path, lines: int) -> int:
    """The last kill that a writer reported as recorded before it was killed, somewhere behind that line."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(state_dir)], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(lines)]
        writer.kill()
        told += [int(line) for line in writer.stdout.read().splitlines() if line]
        assert writer.wait() == -9
    return told[-1]


def test_no_kill_is_lost_or_doubled_by_kill_9(tmp_path: Path) -> None:
    chance = random.Random(5507)
    for _ in range(8):
        told = write_until_killed(tmp_path, chance.randint(1, 60))
        ledger = Ledger.open(tmp_path, BOOT)
        assert (ledger.persistent, ledger.trouble, ledger.seen_this_boot) == (True, None, True)
        recorded = ledger.baselines()[7].ordinal
        assert told <= recorded <= told + 3
        ordinals = sorted(int(kill.kill_id.rsplit("-", 1)[1]) for kill in ledger.kills(limit=100_000))
        assert ordinals == list(range(1, recorded + 1))
        assert list(ledger.totals().values()) == [2 * recorded]
        assert ledger.kmsg_sequence == recorded
        (series,) = ledger.series(0.0)
        assert series.count == recorded - len(ledger.unsettled()), "the Event counts each kill that was settled, once"
        assert recorded // 3 <= len(ledger.undelivered(100_000)) <= recorded // 3 + 1
        ledger.close()
    connection = sqlite3.connect(tmp_path / "ledger.sqlite3")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
