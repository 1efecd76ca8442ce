"""Attempt, not set: the value comes back whoever wrote, the original comes back on opt-out, and a fight slows us down."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.cgroup.files import CgroupFiles
from agent.model import Cgroup, CgroupKind, CgroupPlace, OomGroupWrite, Original, WriteOutcome
from agent.modes.enforcer import CONFLICT_REWRITES, CONFLICT_WINDOW_S, CORRECT_EVERY_S, Enforcer

CGROUP = Cgroup(CgroupPlace("kubepods/podu/c", CgroupKind.CONTAINER, "u", "c"), inode=7)


class Knob(CgroupFiles):
    """One cgroup's knob, written by us as files.py would, and by others at will."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.writes = 0
        self.fault: WriteOutcome | None = None

    def plan_oom_group(self, cgroup: Cgroup, wanted: int) -> OomGroupWrite:
        same = self.value == wanted
        return OomGroupWrite(WriteOutcome.ALREADY if same else WriteOutcome.DRY_RUN, self.value, wanted)

    def set_oom_group(
        self, cgroup: Cgroup, wanted: int, before_write: Callable[[int], None] | None = None
    ) -> OomGroupWrite:
        if self.fault is not None:
            return OomGroupWrite(self.fault, None, wanted)
        before = self.value
        if before == wanted:
            return OomGroupWrite(WriteOutcome.ALREADY, before, wanted)
        if before_write is not None:
            before_write(before)
        self.value = wanted
        self.writes += 1
        return OomGroupWrite(WriteOutcome.WRITTEN, before, wanted)


class Starting(Knob):
    """A container at its start: the kernel's 0, and the runtime's 1 just before somebody looks for this many times."""

    def __init__(self, look: int) -> None:
        super().__init__(0)
        self._looks_left = look

    def _looked(self) -> None:
        self._looks_left -= 1
        if self._looks_left == 0:
            self.value = 1

    def plan_oom_group(self, cgroup: Cgroup, wanted: int) -> OomGroupWrite:
        self._looked()
        return super().plan_oom_group(cgroup, wanted)

    def set_oom_group(
        self, cgroup: Cgroup, wanted: int, before_write: Callable[[int], None] | None = None
    ) -> OomGroupWrite:
        self._looked()
        return super().set_oom_group(cgroup, wanted, before_write)


class Memory:
    """The ledger's part: originals, the first of each cgroup wins."""

    def __init__(self) -> None:
        self.rows: dict[int, Original] = {}

    def remember_original(self, original: Original) -> None:
        self.rows.setdefault(original.inode, original)

    def original(self, inode: int) -> Original | None:
        return self.rows.get(inode)

    def forget_original(self, inode: int) -> None:
        self.rows.pop(inode, None)


@pytest.fixture
def knob() -> Knob:
    return Knob(1)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def enforcer(knob: Knob, memory: Memory) -> Enforcer:
    return Enforcer(knob, memory, unix_s=lambda: 1.0)


def test_a_desired_value_is_written_and_what_was_there_before_is_remembered(
    knob: Knob, memory: Memory, enforcer: Enforcer
) -> None:
    attempt = enforcer.enforce(CGROUP, 0, "uid", 0.0)
    assert attempt is not None
    assert (attempt.write.outcome, attempt.drift) == (WriteOutcome.WRITTEN, False)
    assert knob.value == 0
    assert memory.rows[7] == Original(7, CGROUP.path, 1, "uid", 1.0)


def test_a_value_that_is_right_already_is_not_written_and_nothing_is_remembered(memory: Memory) -> None:
    knob = Knob(0)
    attempt = Enforcer(knob, memory, unix_s=lambda: 1.0).enforce(CGROUP, 0, "uid", 0.0)
    assert attempt is not None
    assert attempt.write.outcome is WriteOutcome.ALREADY
    assert (knob.writes, memory.rows) == (0, {})


@pytest.mark.parametrize("look", [1, 2, 3, 4])
def test_at_whichever_look_the_runtimes_value_comes_it_is_remembered_before_it_is_changed(
    memory: Memory, look: int
) -> None:
    knob = Starting(look)
    enforcer = Enforcer(knob, memory, unix_s=lambda: 1.0)
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    for turn in range(4):
        enforcer.touched(CGROUP, turn)
    assert (knob.value, knob.writes) == (0, 1)
    assert memory.rows[7].value == 1


@pytest.mark.parametrize("without_us", [0, 1])
def test_a_container_that_was_created_with_our_value_gets_the_one_it_would_have_without_us(
    memory: Memory, without_us: int
) -> None:
    knob = Knob(0)
    enforcer = Enforcer(knob, memory, unix_s=lambda: 1.0)
    enforcer.created_with_mode(CGROUP, without_us, "uid")
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    assert memory.rows[7] == Original(7, CGROUP.path, without_us, "uid", 1.0)
    attempt = enforcer.release(CGROUP)
    assert attempt is not None
    assert (knob.value, memory.rows) == (without_us, {})


def test_a_value_that_was_really_there_goes_before_the_one_it_would_have_without_us(
    knob: Knob, memory: Memory, enforcer: Enforcer
) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    enforcer.created_with_mode(CGROUP, 0, "uid")
    assert memory.rows[7].value == 1


def test_the_same_value_again_does_nothing(knob: Knob, enforcer: Enforcer) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    assert enforcer.enforce(CGROUP, 0, "uid", 1.0) is None
    assert knob.writes == 1


@pytest.mark.parametrize("wanted", [0, 1])
def test_whoever_writes_another_value_it_is_back_at_once_in_both_modes(wanted: int, memory: Memory) -> None:
    knob = Knob(1 - wanted)
    enforcer = Enforcer(knob, memory, unix_s=lambda: 1.0)
    enforcer.enforce(CGROUP, wanted, "uid", 0.0)
    knob.value = 1 - wanted
    attempt = enforcer.touched(CGROUP, 1.0)
    assert attempt is not None
    assert (attempt.write.outcome, attempt.drift, knob.value) == (WriteOutcome.WRITTEN, True, wanted)


def test_the_notification_of_our_own_write_leads_to_no_second_write(knob: Knob, enforcer: Enforcer) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    enforcer.touched(CGROUP, 0.001)
    assert knob.writes == 1


def test_a_cgroup_that_nobody_asked_for_is_never_written(knob: Knob, enforcer: Enforcer) -> None:
    assert enforcer.touched(CGROUP, 0.0) is None
    assert enforcer.release(CGROUP) is None
    assert knob.writes == 0


def test_opting_out_gives_back_what_was_there_before_the_first_write(
    knob: Knob, memory: Memory, enforcer: Enforcer
) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    knob.value = 1
    enforcer.touched(CGROUP, 1.0)
    attempt = enforcer.release(CGROUP)
    assert attempt is not None
    assert (attempt.drift, knob.value, memory.rows) == (False, 1, {})
    assert enforcer.wanted(CGROUP) is None


def test_a_restoring_that_failed_is_tried_again_at_the_next_resync(
    knob: Knob, memory: Memory, enforcer: Enforcer
) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    knob.fault = WriteOutcome.DENIED
    enforcer.release(CGROUP)
    assert 7 in memory.rows
    knob.fault = None
    enforcer.resync(enforcer.deviating(lambda: None), 10.0)
    assert (knob.value, memory.rows) == (1, {})


def test_an_agent_started_anew_gives_back_what_the_first_one_found(
    knob: Knob, memory: Memory, enforcer: Enforcer
) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    second = Enforcer(knob, memory, unix_s=lambda: 2.0)
    second.enforce(CGROUP, 0, "uid", 0.0)
    second.release(CGROUP)
    assert knob.value == 1


def test_after_a_restart_of_the_agent_the_first_correction_counts_as_drift(
    knob: Knob, memory: Memory, enforcer: Enforcer
) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    second = Enforcer(knob, memory, unix_s=lambda: 2.0)
    second.enforce(CGROUP, 0, "uid", 0.0)
    knob.value = 1
    attempt = second.touched(CGROUP, 1.0)
    assert attempt is not None
    assert attempt.drift


def test_a_dry_run_writes_nothing_and_remembers_nothing(knob: Knob, memory: Memory) -> None:
    attempt = Enforcer(knob, memory, unix_s=lambda: 1.0, dry_run=True).enforce(CGROUP, 0, "uid", 0.0)
    assert attempt is not None
    assert attempt.write.outcome is WriteOutcome.DRY_RUN
    assert (knob.value, memory.rows) == (1, {})


def rewrite(knob: Knob, enforcer: Enforcer, start_s: float, every_s: float, times: int) -> list[bool]:
    """Somebody rewrites the knob; returns for each time whether a conflict began."""
    began = []
    for i in range(times):
        knob.value = 1
        attempt = enforcer.touched(CGROUP, start_s + i * every_s)
        began.append(attempt is not None and attempt.conflict)
    return began


def test_more_than_ten_rewrites_in_ten_seconds_are_a_conflict_reported_once(knob: Knob, enforcer: Enforcer) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    began = rewrite(knob, enforcer, 1.0, 0.1, 50)
    assert began.index(True) == CONFLICT_REWRITES
    assert began.count(True) == 1
    assert enforcer.due_s() is not None


def test_rewrites_that_are_far_apart_are_no_conflict(knob: Knob, enforcer: Enforcer) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    assert not any(rewrite(knob, enforcer, 1.0, CONFLICT_WINDOW_S / CONFLICT_REWRITES + 0.1, 40))


def test_in_a_conflict_we_correct_once_a_second(knob: Knob, enforcer: Enforcer) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    rewrite(knob, enforcer, 1.0, 0.01, 50)
    before = knob.writes
    now = 2.0
    for _ in range(5):
        knob.value = 1
        now = max(now, enforcer.due_s() or now)
        enforcer.collect(now)
        rewrite(knob, enforcer, now, 0.01, 20)
        now += CORRECT_EVERY_S
    assert knob.writes - before == 5


def test_a_conflict_is_over_when_the_other_side_stops(knob: Knob, enforcer: Enforcer) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    rewrite(knob, enforcer, 1.0, 0.01, 50)
    now = 1.5
    while (due := enforcer.due_s()) is not None:
        now = due
        enforcer.collect(now)
        assert now < 60
    assert knob.value == 0
    knob.value = 1
    enforcer.touched(CGROUP, now + 1)
    assert knob.value == 0


def test_a_vanished_cgroup_is_enforced_no_more(knob: Knob, enforcer: Enforcer) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    enforcer.gone(CGROUP)
    assert enforcer.wanted(CGROUP) is None
    assert enforcer.touched(CGROUP, 1.0) is None


def test_a_restoring_that_failed_is_not_tried_again_once_the_mode_is_requested_again(
    knob: Knob, memory: Memory, enforcer: Enforcer
) -> None:
    enforcer.enforce(CGROUP, 0, "uid", 0.0)
    knob.fault = WriteOutcome.DENIED
    enforcer.release(CGROUP)
    knob.fault = None
    enforcer.enforce(CGROUP, 0, "uid", 1.0)
    enforcer.resync([], 2.0)
    assert (knob.value, enforcer.wanted(CGROUP)) == (0, 0)
    assert memory.rows[7].value == 1, "still to be restored when the mode is not requested any more"
