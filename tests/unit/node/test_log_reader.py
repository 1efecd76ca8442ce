"""The kernel's log, read in turns: whole reports out, a position that never skips one, losses counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel.kmsg import Kmsg
from agent.node.log_reader import QUIET_S, SINGLE_QUIET_S, LogReader
from agent.report.metrics import Metrics
from tests.unit.kernel.made_reports import Kill, Process

FIRST = 100
SINGLE = Kill(Process(11), "/kubepods/pod1/a", "/kubepods/pod1/a")
NEXT = Kill(Process(12), "/kubepods/pod1/b", "/kubepods/pod1/b")


class Log:
    """A file in /dev/kmsg's format and a reader of it from its beginning."""

    def __init__(self, path: Path, used: tuple[int, ...] = ()) -> None:
        self.path = path
        path.touch()
        self.next = FIRST
        self.metrics = Metrics("1", process_metrics=False)
        self.reader = LogReader(Kmsg(path, FIRST - 1), self.metrics, used)

    def say(self, *lines: str, facility: int = 0) -> None:
        with self.path.open("a") as file:
            for line in lines:
                file.write(f"{facility * 8 + 6},{self.next},{self.next * 20},-;{line}\n")
                self.next += 1

    def value(self, name: str) -> float:
        found = re.search(rf"^{name} (\S+)$", self.metrics.page()[1].decode(), re.MULTILINE)
        assert found is not None
        return float(found[1])


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "kmsg")
    yield log
    log.reader.close()


def test_a_report_comes_out_after_its_quiet_time_and_not_before(log: Log) -> None:
    log.say(*SINGLE.lines())
    assert log.reader.read(10.0, expects_group=False) == []
    due = log.reader.due_s()
    assert due == 10.0 + SINGLE_QUIET_S
    assert log.reader.flush(due - 0.001) == []
    assert [[v.pid for v in r.victims] for r in log.reader.flush(due)] == [[11]]
    assert log.reader.due_s() is None
    assert log.reader.flush(due + 10) == []


def test_where_a_group_kill_may_go_on_the_quiet_time_is_longer(log: Log) -> None:
    log.say(*SINGLE.lines())
    log.reader.read(10.0, expects_group=True)
    assert log.reader.due_s() == 10.0 + QUIET_S


def test_the_next_report_ends_the_one_before_at_once(log: Log) -> None:
    log.say(*SINGLE.lines(), *NEXT.lines())
    assert [[v.pid for v in r.victims] for r in log.reader.read(10.0, expects_group=True)] == [[11]]
    assert log.reader.due_s() == 10.0 + QUIET_S
    assert [[v.pid for v in r.victims] for r in log.reader.flush(11.0)] == [[12]]


def test_the_position_waits_for_the_report_that_is_open(log: Log) -> None:
    assert log.reader.sequence is None
    log.say("eth0: link is up")
    log.reader.read(10.0, expects_group=False)
    assert log.reader.sequence == FIRST
    log.say(*SINGLE.lines())
    log.reader.read(11.0, expects_group=False)
    first = log.next - len(SINGLE.kill_lines())
    assert log.reader.sequence is not None
    assert log.reader.sequence < first, "a restart now must read the report again"
    log.reader.flush(20.0)
    log.say("eth0: link is down")
    log.reader.read(21.0, expects_group=False)
    assert log.reader.sequence == log.next - 1


def test_reports_that_the_ledger_has_already_are_not_told_again(tmp_path: Path) -> None:
    for known in (False, True):
        log = Log(tmp_path / f"kmsg-{known}", used=(FIRST,) if known else ())
        log.say(*SINGLE.lines())
        log.reader.read(10.0, expects_group=False)
        assert len(log.reader.flush(11.0)) == (0 if known else 1)
        log.reader.close()


def test_records_that_were_overwritten_are_counted(log: Log) -> None:
    log.say("one")
    log.next += 132
    log.say("two")
    assert log.reader.read(10.0, expects_group=False) == []
    assert log.value("oomward_kmsg_lost_records_total") == 132


def test_records_that_are_not_the_kernels_are_counted_once_and_not_believed(log: Log) -> None:
    log.say(*SINGLE.kill_lines(), "bye", facility=1)
    assert log.reader.read(10.0, expects_group=False) == []
    assert log.reader.flush(20.0) == []
    foreign = len(SINGLE.kill_lines()) + 1
    assert log.value("oomward_kmsg_foreign_records_total") == foreign
    log.reader.read(21.0, expects_group=False)
    assert log.value("oomward_kmsg_foreign_records_total") == foreign


def test_the_descriptor_is_the_logs(log: Log) -> None:
    assert log.reader.fileno() >= 0
