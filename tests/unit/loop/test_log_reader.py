"""The kernel's log, read in turns: whole reports out, a position that never skips one, losses counted, opened again when lost."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from agent.kernel.kmsg import Kmsg
from agent.kernel.oom_blocks import monotonic_us
from agent.loop.log_reader import (
    ASK_AGAIN_S,
    AT_ONCE,
    RETRY_FIRST_S,
    RETRY_MOST_S,
    LogReader,
    Recorded,
    recorded_reports,
)
from agent.metrics.metrics import Metrics
from agent.model import OomReport
from tests.unit.kernel.made_reports import Kill, Process
from tests.unit.wording.kills import KILL

FIRST = 100
SINGLE = Kill(Process(11), "/kubepods/pod1/a", "/kubepods/pod1/a")
GROUP = Kill(
    Process(21), "/kubepods/pod1/c", "/kubepods/pod1/c", group="/kubepods/pod1/c", members=(Process(22), Process(23))
)
NEXT = Kill(Process(12), "/kubepods/pod1/b", "/kubepods/pod1/b")


NOTHING = Recorded()


class Log:
    """A file in /dev/kmsg's format and a reader of it from its beginning. ``fails``: what each read(2) ends with."""

    def __init__(
        self, path: Path, used: Recorded = NOTHING, *, exists: bool = True, after: int | None = FIRST - 1
    ) -> None:
        self.path = path
        if exists:
            path.touch()
        self.next = FIRST
        self.fails: int | None = None
        self.opened: list[int | None] = []
        self.metrics = Metrics("1", process_metrics=False)
        self.reader = LogReader(self.open, after, self.metrics, used)

    def open(self, after: int | None) -> Kmsg:
        self.opened.append(after)
        return Kmsg(self.path, after, read=self._read)

    def _read(self, fd: int, size: int) -> bytes:
        if self.fails is not None:
            raise OSError(self.fails, os.strerror(self.fails))
        return os.read(fd, size)

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


def test_while_a_turn_leaves_records_behind_the_next_is_due_at_once(log: Log) -> None:
    log.say(*["eth0: link is up"] * (AT_ONCE + 1))
    log.reader.read(10.0, soon)
    assert (log.reader.more, log.reader.unread, log.reader.due_s()) == (True, True, -inf)
    log.reader.read(10.0, soon)
    assert (log.reader.more, log.reader.unread, log.reader.due_s()) == (False, False, None)


def test_a_turn_that_only_passes_over_old_records_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    log = Log(tmp_path / "kmsg", after=FIRST + 249)
    log.say(*["eth0: link is up"] * 250, *SINGLE.lines())
    for _ in range(2):
        assert log.reader.read(10.0, soon) == []
        assert (log.reader.more, log.reader.due_s()) == (True, -inf)
    reports = [report for _ in range(20) for report in log.reader.read(10.0 + _, soon)]
    assert pids(reports) == [[11]]
    log.reader.close()


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
        log = Log(tmp_path / f"kmsg-{known}", used=Recorded(frozenset({FIRST})) if known else Recorded())
        log.say(*SINGLE.lines())
        log.reader.read(10.0, soon)
        assert len(log.reader.read(11.0, soon)) == (0 if known else 1)
        log.reader.close()


@pytest.mark.parametrize(("later_s", "given"), [(9.0, 1), (11.0, 0)])
def test_a_report_that_agents_before_had_time_for_is_not_given_again(
    tmp_path: Path, later_s: float, given: int
) -> None:
    """An agent that is killed every few seconds would keep it until a later kill of its pod takes it."""
    at_us = FIRST * 20
    log = Log(tmp_path / "kmsg", used=Recorded(frozenset({FIRST + 1000}), at_us + int(later_s * 1e6)))
    log.say(*SINGLE.lines())
    log.reader.read(10.0, soon)
    assert len(log.reader.read(11.0, soon)) == given
    log.reader.close()


def test_a_report_after_the_newest_recorded_one_is_given_however_old_the_clocks_say_it_is(tmp_path: Path) -> None:
    """The time of a recorded kill is of the wall clock, which may have been set."""
    log = Log(tmp_path / "kmsg", used=Recorded(frozenset({FIRST - 1}), FIRST * 20 + int(3600e6)))
    log.say(*SINGLE.lines())
    log.reader.read(10.0, soon)
    assert len(log.reader.read(11.0, soon)) == 1
    log.reader.close()


def test_the_ledgers_kills_say_which_reports_had_their_time() -> None:
    kill = replace(KILL, report_sequence=7, at_unix_s=time.time() - 5.0)
    found = recorded_reports(
        [replace(KILL, report_sequence=None), kill, replace(kill, report_sequence=3, at_unix_s=time.time())]
    )
    assert found.sequences == {3, 7}
    assert found.newest_us == pytest.approx(monotonic_us() - 5e6, abs=1e5)
    assert recorded_reports([]) == Recorded()


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
    assert (log.reader.fileno() or -1) >= 0
    assert log.reader.trouble is None


# ---------------------------------------------------------------------------------------------- lost, and found again


def lose(log: Log, now_s: float) -> list[OomReport]:
    log.fails = errno.EIO
    reports = log.reader.read(now_s, soon)
    log.fails = None
    assert log.reader.fileno() is None
    assert "Input/output error" in (log.reader.trouble or "")
    return reports


def test_a_log_that_is_lost_is_opened_again_behind_the_last_record_that_was_read(log: Log) -> None:
    log.say("one", *SINGLE.lines())
    log.reader.read(10.0, soon)
    read_up_to = log.next - 1
    lose(log, 11.0)
    log.say(*NEXT.lines())
    assert log.reader.read(11.0 + RETRY_FIRST_S - 0.001, soon) == []
    assert log.opened == [FIRST - 1]
    assert log.reader.read(11.0 + RETRY_FIRST_S, soon) == []
    assert log.opened == [FIRST - 1, read_up_to]
    assert log.reader.trouble is None
    assert pids(log.reader.read(20.0, soon)) == [[12]], "none lost, none twice"
    assert log.value("oomward_kmsg_lost_records_total") == 0


def test_records_read_right_before_the_error_are_read_again(log: Log) -> None:
    """They came with the call that failed."""
    log.say(*SINGLE.lines())
    chunks = iter((log.path.read_bytes(),))
    log.path.write_bytes(b"")
    log.reader.close()

    def read(fd: int, size: int) -> bytes:
        if (chunk := next(chunks, None)) is not None:
            return chunk
        raise OSError(errno.EIO, "gone")

    opened = iter((Kmsg(log.path, FIRST - 1, read=read),))
    reader = LogReader(lambda after: next(opened, None) or Kmsg(log.path, after), FIRST - 1, log.metrics, Recorded())
    assert reader.read(10.0, soon) == []
    log.next = FIRST
    log.say(*SINGLE.lines())
    assert reader.read(11.0, soon) == []
    assert pids(reader.read(12.0, soon)) == [[11]]
    reader.close()


def test_a_report_that_is_open_when_the_log_is_lost_still_comes_out(log: Log) -> None:
    log.say(*SINGLE.lines())
    log.reader.read(10.0, soon)
    assert lose(log, 10.001) == []
    assert log.reader.due_s() == 10.005
    assert pids(log.reader.read(10.005, soon)) == [[11]]


def test_a_report_cut_in_two_by_the_loss_is_one_report(log: Log) -> None:
    lines = SINGLE.lines()
    log.say(*lines[:-1])
    log.reader.read(10.0, soon)
    lose(log, 10.0)
    log.say(lines[-1])
    log.reader.read(12.0, soon)
    (report,) = log.reader.read(13.0, soon)
    assert (report.first_sequence, report.task_memcg) == (FIRST, SINGLE.task_memcg)


def waits(log: Log, now_s: float) -> list[float]:
    """Until when it waits by itself, each time that it fails again, in seconds since the time before."""
    found = []
    while (due_s := log.reader.due_s()) is not None:
        found.append(due_s - now_s)
        now_s = due_s
        log.reader.read(now_s, soon)
    return found


def test_the_tries_become_rarer_and_wake_nobody_in_the_end(tmp_path: Path) -> None:
    log = Log(tmp_path / "nowhere", exists=False)
    log.reader.read(100.0, soon)
    assert waits(log, 100.0) == [1, 2, 4, 8, 16, 32]
    tries = len(log.opened)
    for second in range(round(RETRY_MOST_S) * 3):
        log.reader.read(1000.0 + second, soon)
    assert len(log.opened) == tries + 3, "once a minute, in turns that are there for another reason"


def test_a_log_that_is_not_there_at_the_start_is_read_once_it_is(tmp_path: Path) -> None:
    log = Log(tmp_path / "kmsg", exists=False)
    assert "mount the host's /dev/kmsg into the container" in (log.reader.trouble or "")
    assert log.reader.read(10.0, soon) == []
    log.say(*SINGLE.lines())
    log.reader.read(11.0, soon)
    assert log.reader.trouble is None
    assert pids(log.reader.read(12.0, soon)) == [[11]], "from the ledger's position on"
    log.reader.close()


def test_without_a_position_a_log_opened_late_is_read_from_its_end(tmp_path: Path) -> None:
    log = Log(tmp_path / "kmsg", exists=False, after=None)
    log.say(*SINGLE.lines())
    log.reader.read(10.0, soon)
    log.say(*NEXT.lines())
    log.reader.read(11.0, soon)
    assert pids(log.reader.read(12.0, soon)) == [[12]]
    log.reader.close()


def test_opened_is_not_found_while_every_read_fails(log: Log) -> None:
    log.fails = errno.EPERM
    log.reader.read(10.0, soon)
    assert waits(log, 10.0) == [1, 2, 4, 8, 16, 32]
    assert log.reader.trouble is not None


def test_a_log_that_comes_and_goes_is_not_tried_each_second_for_ever(log: Log) -> None:
    """Only one that could be read for a minute is as good as new."""
    now_s = 10.0
    for wait_s in (1, 2, 4):
        lose(log, now_s)
        assert log.reader.due_s() == now_s + wait_s
        now_s += wait_s
        log.reader.read(now_s, soon)
        assert log.reader.trouble is None
    now_s += RETRY_MOST_S
    lose(log, now_s)
    assert log.reader.due_s() == now_s + RETRY_FIRST_S
