"""A container that is to be killed as a whole: tried until nobody is left, told once."""

from __future__ import annotations

import pytest

from agent.cgroup.layout import classify
from agent.model import Cgroup, KillAttempt, KillOutcome, OnExceeded
from agent.modes.consequences import AGAIN_S, GIVE_UP_S, LATER_S, Restart, Restarts
from tests.unit.loop.world import CONTAINER

HERDER = Cgroup(classify(CONTAINER), 7)
EMPTY, GONE, SENT = (KillAttempt(outcome) for outcome in (KillOutcome.EMPTY, KillOutcome.GONE, KillOutcome.KILLED))
DENIED = KillAttempt(KillOutcome.DENIED, "run as root")
DONE = ""


class Scene:
    """``answers`` are what the attempts come to, the last one for ever."""

    def __init__(self, *answers: KillAttempt) -> None:
        self.answers = list(answers)
        self.attempts = 0
        self.restarts = Restarts(self.attempt, self._report)
        self._reported: list[str] = []

    def _report(self, restart: Restart, trouble: str) -> None:
        assert (restart.container, restart.pod_uid, restart.name) == (HERDER, "uid", "herder")
        self._reported.append(trouble)

    def collect(self, now_s: float) -> list[str]:
        """The troubles that were reported until then, "" for an end."""
        self.restarts.collect(now_s)
        reported, self._reported = self._reported, []
        return reported

    def attempt(self, container: Cgroup) -> KillAttempt:
        assert container == HERDER
        self.attempts += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def start(self, now_s: float = 0.0) -> None:
        self.restarts.start(HERDER, "uid", "herder", OnExceeded.RESTART, now_s)


@pytest.mark.parametrize("end", [EMPTY, GONE])
def test_it_is_done_when_nobody_is_left(end: KillAttempt) -> None:
    scene = Scene(SENT, SENT, end)
    scene.start()
    assert scene.collect(0.0) == []
    assert scene.restarts.due_s() == AGAIN_S
    assert scene.collect(AGAIN_S) == []
    assert scene.collect(2 * AGAIN_S) == [DONE]
    assert (scene.restarts.due_s(), scene.attempts) == (None, 3)


def test_it_is_told_in_the_same_turn_when_one_attempt_is_enough() -> None:
    scene = Scene(EMPTY)
    scene.start()
    assert scene.collect(0.0) == [DONE]
    assert scene.restarts.due_s() is None


def test_saying_so_again_while_it_is_under_way_changes_nothing() -> None:
    scene = Scene(SENT)
    for _ in range(5):
        scene.start()
    assert scene.attempts == 1


def test_the_removal_of_its_cgroup_is_its_end() -> None:
    scene = Scene(SENT)
    scene.start()
    scene.restarts.gone(HERDER)
    assert scene.collect(0.0) == [DONE]
    scene.restarts.gone(HERDER)
    assert scene.collect(0.0) == []


def test_what_will_not_die_is_told_once_and_tried_on_slowly() -> None:
    scene = Scene(SENT)
    scene.start()
    now = 0.0
    reported: list[str] = []
    while (due := scene.restarts.due_s()) is not None and due < 120.0:
        now = due
        reported += scene.collect(now)
    assert ["processes are left" in trouble for trouble in reported] == [True]
    assert scene.attempts < GIVE_UP_S / AGAIN_S + 120 / LATER_S + 3
    scene.answers = [EMPTY]
    assert scene.collect(now + LATER_S) == [DONE], "and when it went at last, that is told"


def test_a_refusal_is_told_at_once_with_its_mend() -> None:
    scene = Scene(DENIED)
    scene.start()
    assert scene.collect(0.0) == ["run as root"]
    assert scene.collect(LATER_S) == []
