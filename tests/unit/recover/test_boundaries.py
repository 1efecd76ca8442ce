"""``kill -9`` at every single request of a step, reads included, and at two of them in a row: what changes, changes once.

The requests are counted by a run without a kill, so none can be added that is not killed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.model.recover import STATUS_ANNOTATION, State
from tests.lab.apifaults import Fault, How
from tests.unit.recover.lab import Counted, KilledError, Lab, fresh_lab
from tests.unit.recover.pods import NOW, ready
from tests.unit.recover.scenarios import SCENARIOS, Effects, Scenario

NEVER = 1_000
RESUMED = NOW + 30  # the pause between two tries of one step, and less than the back-off before another one


@contextmanager
def cluster(folder: Path, scenario: Scenario) -> Iterator[tuple[Lab, Effects]]:
    with fresh_lab(folder) as lab:
        yield lab, scenario.begin(lab)


def requests(folder: Path, scenario: Scenario, hook: str) -> int:
    """How many one undisturbed look sends, of those that the hook sees."""
    with cluster(folder, scenario) as (lab, _):
        counted = Counted(NEVER)
        lab.replica("a", **{hook: counted}).look(NOW)
        return counted.seen


def once(lab: Lab, effects: Effects, scenario: Scenario) -> bool:
    return tuple(effects.seen) == scenario.effects and [a.state for a in lab.history.attempts] == [State.DONE]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_kill_9_before_and_after_every_request_leaves_one_step(tmp_path: Path, name: str, when: str) -> None:
    scenario = SCENARIOS[name]
    many = requests(tmp_path, scenario, when)
    assert many >= 6  # the journal, the pod, the namespace, the intent, the step, the Event, the result
    for at in range(1, many + 1):
        with cluster(tmp_path, scenario) as (lab, effects):
            killed = Counted(at)
            with suppress(KilledError):
                lab.replica("a", **{when: killed}).look(NOW)
            assert killed.seen == at, "the kill happened"
            lab.replica("b").look(NOW + 1)
            assert once(lab, effects, scenario), at


@pytest.mark.parametrize("name", SCENARIOS)
def test_kill_9_of_both_replicas_one_after_the_other_at_any_two_writes_leaves_one_step(
    tmp_path: Path, name: str
) -> None:
    scenario = SCENARIOS[name]
    many = requests(tmp_path, scenario, "after_write")
    for first in range(1, many + 1):
        for second in range(1, many + 1):
            with cluster(tmp_path, scenario) as (lab, effects):
                for replica, at, now in (("a", first, NOW), ("b", second, NOW + 1)):
                    with suppress(KilledError):
                        lab.replica(replica, after_write=Counted(at)).look(now)
                lab.replica("c").look(NOW + 2)
                assert once(lab, effects, scenario), (first, second)


@pytest.mark.parametrize("status", [500, 429])
@pytest.mark.parametrize("name", SCENARIOS)
def test_an_api_that_answers_with_an_error_after_it_has_written_gets_no_second_step(
    tmp_path: Path, name: str, status: int
) -> None:
    scenario = SCENARIOS[name]
    for at in range(1, requests(tmp_path, scenario, "after_write") + 1):
        with cluster(tmp_path, scenario) as (lab, effects):
            seen = 0

            def spoilt(_method: str, _path: str, lab: Lab = lab, at: int = at) -> None:
                nonlocal seen
                seen += 1
                if seen == at:
                    lab.server.faults.add(Fault(How.LATE_STATUS, status=status))

            controller = lab.replica("a", before_write=spoilt)
            controller.look(NOW)
            controller.look(RESUMED)
            assert tuple(effects.seen) == scenario.effects, at
            assert len(lab.history.attempts) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_9_at_every_request_of_a_look_that_sees_a_success_loses_no_word_of_it(tmp_path: Path, when: str) -> None:
    """The status on the pod and the Event are there in the end, the Event once."""
    scenario, text = SCENARIOS["image"], "Recovered with image 2 of 3 after 1 attempt."
    for at in range(1, NEVER):
        with cluster(tmp_path, scenario) as (lab, _):
            lab.replica("a").look(NOW)
            lab.put(ready(lab.pod(), NOW + 5))
            killed = Counted(at)
            with suppress(KilledError):
                lab.replica("b", **{when: killed}).look(NOW + 200)
            lab.replica("c").look(NOW + 210)
            assert lab.history.attempts[0].state is State.SUCCEEDED
            assert lab.pod()["metadata"]["annotations"][STATUS_ANNOTATION].endswith(text), at
            assert [one for one in lab.notes if "RecoverySucceeded" in one] == [
                f"RecoverySucceeded: ImagePullBackOff (image not found). {text}"
            ]
        if killed.seen < at:
            assert at > 5
            return
