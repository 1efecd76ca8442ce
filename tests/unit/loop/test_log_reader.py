"""The kernel's log, read in turns: whole reports out, a position that never skips one, losses counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel.kmsg import Kmsg
from agent.loop.log_reader import ASK_AGAIN_S, AT_ONCE, LogReader
from agent.metrics.metrics import Metrics
from agent.model import OomReport
from tests.unit.kernel.made_reports import Kill, Process

FIRST = 100
SINGLE = Kill(Process(11), "/kubepods/pod1/a", "/kubepods/pod1/a")
GROUP = Kill(
    Process(21), "/kubepods/pod1/c", "/kubepods/pod1/c", group="/kubepods/pod1/c", members=(Process(22), Process(23))
)
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


def soon(told_group: bool) -> float:
    """As if the counters told of a single kill."""
    return 0.005


def pids(reports: list[OomReport]) -> list[list[int]]:
    return [[victim.pid for victim in report.victims] for report in reports]


def test_a_report_comes_out_after_its_quiet_time_and_not_before(log: Log) -> None:
    log.say(*SINGLE.lines())
    assert log.reader.read(10.0, soon) == []
    assert log.reader.due_s() == 10.005
    assert log.reader.read(10.004, soon) == []
    assert log.reader.due_s() == 10.005, "a turn for another reason doesn't make it longer"
    assert pids(log.reader.read(10.005, soon)) == [[11]]
    assert log.reader.due_s() is None
    assert log.reader.read(20.0, soon) == []


def test_where_a_group_kill_may_go_on_it_is_asked_again_how_long(log: Log) -> None:
    quiet = {False: 1.0, True: 0.3}
    log.say(*GROUP.lines()[:-1])
    log.reader.read(10.0, quiet.__getitem__)
    assert log.reader.due_s() == 10.0 + ASK_AGAIN_S
    assert log.reader.read(10.299, quiet.__getitem__) == []
    assert pids(log.reader.read(10.299, soon)) == [[21, 22]], "the counters say meanwhile that it is over"


def test_a_victim_that_the_kernel_comes_to_late_is_of_the_same_report(log: Log) -> None:
    *most, last = GROUP.lines()
    log.say(*most)
    log.reader.read(10.0, lambda told: 0.3 if told else 0.005)
    log.say(last)
    assert log.reader.read(10.25, lambda told: 0.3) == []
    assert pids(log.reader.read(10.55, lambda told: 0.3)) == [[21, 22, 23]]


def test_lines_that_lie_in_the_log_already_are_read_before_a_report_is_held_for_quiet(log: Log) -> None:
    """The agent itself may come late: what was printed in time belongs to the report."""
    *most, last = GROUP.lines()
    log.say(*most)
    log.reader.read(10.0, soon)
    log.say(last)
    assert log.reader.read(12.0, soon) == []
    assert pids(log.reader.read(12.005, soon)) == [[21, 22, 23]]


def test_a_report_is_not_over_while_more_lies_in_the_log_than_is_read_at_once(log: Log) -> None:
    *most, last = GROUP.lines()
    log.say(*most)
    log.reader.read(10.0, soon)
    log.say(*["eth0: link is up"] * AT_ONCE, last)
    assert log.reader.read(12.0, soon) == []
    assert log.reader.read(12.0, soon) == []
    assert pids(log.reader.read(12.005, soon)) == [[21, 22, 23]]


def test_the_next_report_ends_the_one_before_at_once(log: Log) -> None:
    log.say(*SINGLE.lines(), *NEXT.lines())
    assert pids(log.reader.read(10.0, lambda told: 0.02)) == [[11]]
    assert log.reader.due_s() == 10.02
    assert pids(log.reader.read(11.0, lambda told: 0.02)) == [[12]]


def test_the_position_waits_for_the_report_that_is_open(log: Log) -> None:
    assert log.reader.sequence is None
    log.say("eth0: link is up")
    log.reader.read(10.0, soon)
    assert log.reader.sequence == FIRST
    log.say(*SINGLE.lines())
    log.reader.read(11.0, soon)
    first = log.next - len(SINGLE.kill_lines())
    assert log.reader.sequence is not None
    assert log.reader.sequence < first, "a restart now must read the report again"
    log.reader.read(20.0, soon)
    log.say("eth0: link is down")
    log.reader.read(21.0, soon)
    assert log.reader.sequence == log.next - 1


def test_reports_that_the_ledger_has_already_are_not_told_again(tmp_path: Path) -> None:
    for known in (False, True):
        log = Log(tmp_path / f"kmsg-{known}", used=(FIRST,) if known else ())
        log.say(*SINGLE.lines())
        log.reader.read(10.0, soon)
        assert len(log.reader.read(11.0, soon)) == (0 if known else 1)
        log.reader.close()


def test_records_that_were_overwritten_are_counted(log: Log) -> None:
    log.say("one")
    log.next += 132
    log.say("two")
    assert log.reader.read(10.0, soon) == []
    assert log.value("oomward_kmsg_lost_records_total") == 132


def test_records_that_are_not_the_kernels_are_counted_once_and_not_believed(log: Log) -> None:
    log.say(*SINGLE.kill_lines(), "bye", facility=1)
    assert log.reader.read(10.0, soon) == []
    assert log.reader.read(20.0, soon) == []
    foreign = len(SINGLE.kill_lines()) + 1
    assert log.value("oomward_kmsg_foreign_records_total") == foreign
    log.reader.read(21.0, soon)
    assert log.value("oomward_kmsg_foreign_records_total") == foreign


def test_the_descriptor_is_the_logs(log: Log) -> None:
    assert log.reader.fileno() >= 0
