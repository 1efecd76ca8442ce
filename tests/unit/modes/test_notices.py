"""What one pod may cause to be reported: each thing once, so many per hour, a limit that is reached once, and no memory of values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.metrics.metrics import Metrics
from agent.model import InvalidSetting, Mode, Notice, Reason, Source
from agent.modes.notices import HOUR_S, MOST_KNOWN, MOST_PER_HOUR, ModeNotices
from tests.unit.hostile.endless import MIB, peak_below
from tests.unit.modes.pods import a_pod

POD = a_pod("main")
MOST = MOST_PER_HOUR[Reason.MODE_INVALID]


class Desk:
    def __init__(self) -> None:
        self.now = 1000.0
        self.posted: list[Notice] = []
        self.metrics = Metrics("1", process_metrics=False)
        self.notices = ModeNotices("boot", self.metrics, self._post, lambda: self.now)

    def _post(self, notice: Notice) -> bool:
        self.posted.append(notice)
        return True

    def invalid(self, value: str, key: str = "mode.oomward.dev/main") -> None:
        self.notices.invalid(POD, InvalidSetting(Source.ANNOTATION, key, value, "main", "is not a mode"))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_pod_has_so_many_reports_of_invalid_values_in_an_hour_and_the_limit_is_reported_once(desk: Desk) -> None:
    for i in range(1200):
        desk.invalid(f"bad-{i}")
    assert len(desk.posted) == MOST + 1
    assert desk.posted[-1].note == (
        f"This pod had {MOST} Events OOMModeInvalid within an hour: more of them are not reported until the hour is over."
    )
    desk.now += HOUR_S
    desk.invalid("bad-1199")
    assert "bad-1199" in desk.posted[-1].note, "what was left out is reported when it is met again"


def test_the_limit_of_one_pod_is_no_other_pods_and_of_one_reason_no_other_reasons(desk: Desk) -> None:
    for i in range(1200):
        desk.invalid(f"bad-{i}")
    other = replace(POD, uid="other")
    desk.notices.invalid(other, InvalidSetting(Source.LABEL, "oomward.dev/mode", "x", None, "is not a mode"))
    desk.notices.applied(POD, "main", Mode.SINGLE, 7, "a label")
    desk.notices.failed(POD, "why", "what", 7)
    assert [(n.about.uid, n.reason) for n in desk.posted[-3:]] == [
        ("other", Reason.MODE_INVALID),
        (POD.uid, Reason.MODE_APPLIED),
        (POD.uid, Reason.MODE_FAILED),
    ]


def test_a_limit_of_normal_events_is_reported_by_a_normal_event(desk: Desk) -> None:
    for inode in range(MOST_PER_HOUR[Reason.MODE_APPLIED] + 5):
        desk.notices.applied(POD, "main", Mode.SINGLE, inode, "a label")
    assert not any(notice.warning for notice in desk.posted)
    assert "100 Events OOMModeApplied" in desk.posted[-1].note


def test_conflicts_without_end_are_reported_so_often_in_an_hour(desk: Desk) -> None:
    for second in range(1000):
        desk.notices.failed(POD, "why", f"conflict-7-{second}")
    assert len(desk.posted) == MOST_PER_HOUR[Reason.MODE_FAILED] + 1


def test_a_clock_that_is_set_back_ends_the_hour(desk: Desk) -> None:
    for i in range(50):
        desk.invalid(f"bad-{i}")
    desk.now -= 10 * HOUR_S
    desk.invalid("again")
    assert "again" in desk.posted[-1].note


def test_long_values_that_change_without_end_take_no_memory(desk: Desk) -> None:
    with peak_below(6 * MIB):
        for i in range(250):
            desk.now += HOUR_S / 10
            desk.invalid(f"{i}-" + "x" * 250_000)
            desk.posted.clear()
    assert len(desk.notices._announced[POD.uid]) == MOST_KNOWN
    desk.notices.forget(POD.uid)
    assert (desk.notices._announced, desk.notices._hours) == ({}, {})


def test_the_same_value_is_reported_once(desk: Desk) -> None:
    for _ in range(3):
        desk.invalid("bad")
    assert len(desk.posted) == 1
