"""No step happens twice: not after ``kill -9`` at any request, not with two replicas, not by a leader that wakes up late.

Each scenario counts what really changed in the cluster, by a reactor that sees every successful write.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from agent.model.recover import STEP_ANNOTATION, Policy, State
from tests.lab.apifaults import Fault, How
from tests.unit.recover.lab import Counted, KilledError, Lab
from tests.unit.recover.pods import NOW, REAL, crash_loop, killed, no_image
from tests.unit.recover.scenarios import SCENARIOS, Effects, Scenario

Json = dict[str, Any]
MOST_WRITES = 9  # more than any step has
LATER = NOW + 40  # after the back-off between two tries


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return SCENARIOS[request.param]


@pytest.fixture
def effects(lab: Lab, scenario: Scenario) -> Effects:
    return scenario.begin(lab)


def test_a_step_is_done_once(lab: Lab, scenario: Scenario, effects: Effects) -> None:
    lab.replica().look(NOW)
    assert tuple(effects.seen) == scenario.effects
    assert [one.state for one in lab.history.attempts] == [State.DONE]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(1, MOST_WRITES))
def test_kill_9_at_any_request_leaves_a_step_that_the_next_replica_finishes_once(
    lab: Lab, scenario: Scenario, effects: Effects, at: int, when: str
) -> None:
    first = lab.replica("a", **{f"{when}_write": Counted(at)})
    with suppress(KilledError):
        first.look(NOW)
    lab.replica("b").look(NOW + 1)
    assert tuple(effects.seen) == scenario.effects
    assert [one.state for one in lab.history.attempts] == [State.DONE]


@pytest.mark.parametrize("at", range(1, MOST_WRITES))
def test_a_leader_that_is_suspended_before_any_request_changes_nothing_when_it_wakes_up(
    lab: Lab, scenario: Scenario, effects: Effects, at: int
) -> None:
    other, seen = lab.replica("b"), 0

    def suspended(_method: str, _path: str) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            other.look(NOW + 1)

    lab.replica("a", suspended).look(NOW)
    assert tuple(effects.seen) == scenario.effects
    assert len(lab.history.attempts) == 1


@pytest.mark.parametrize("at", range(1, MOST_WRITES))
@pytest.mark.parametrize("scenario", ["image", "grow"], indirect=True)
def test_a_late_request_does_nothing_even_if_the_step_was_reverted_meanwhile(
    lab: Lab, scenario: Scenario, effects: Effects, at: int
) -> None:
    """Then the old value is there again, and only the signature shows that the step was done."""
    other, seen = lab.replica("b"), 0

    def suspended(_method: str, _path: str) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            other.look(NOW + 1)
            lab.change("app-1", lambda raw: raw.update(spec=scenario.pod()["spec"]))

    lab.replica("a", suspended).look(NOW)
    assert tuple(effects.seen) == scenario.effects


@pytest.mark.parametrize("journal", [True, False], ids=["there", "not there yet"])
def test_a_leader_that_is_suspended_before_it_records_a_step_records_none_over_another_ones(
    lab: Lab, scenario: Scenario, effects: Effects, journal: bool
) -> None:
    if journal:
        lab.server.objects.stored["/api/v1", "configmaps", "oomward", "oomward-recover"] = {
            "metadata": {"name": "oomward-recover", "namespace": "oomward", "resourceVersion": "5"},
            "data": {"journal.json": ""},
        }
    other = lab.replica("b")
    seen: list[str] = []

    def suspended(_method: str, path: str) -> None:
        if "configmaps" in path and not seen:
            seen.append(path)
            other.look(NOW + 1)

    lab.replica("a", suspended).look(NOW + 2)
    assert seen
    assert tuple(effects.seen) == scenario.effects
    assert [one.at_unix_s for one in lab.history.attempts] == [NOW + 1]


def test_two_replicas_that_both_believe_to_lead_record_one_step(lab: Lab, scenario: Scenario, effects: Effects) -> None:
    replicas = [lab.replica("a"), lab.replica("b")]
    for seconds in range(0, 10, 2):
        for one in replicas:
            one.look(NOW + seconds)
    assert tuple(effects.seen) == scenario.effects
    assert len(lab.history.attempts) == 1


@pytest.mark.parametrize("at", range(1, MOST_WRITES))
def test_a_replica_that_loses_its_lease_in_the_middle_writes_no_more_and_the_other_one_goes_on(
    lab: Lab, scenario: Scenario, effects: Effects, at: int
) -> None:
    counted = 0

    def lost(_method: str, _path: str) -> None:
        nonlocal counted
        counted += 1
        if counted == at:
            lab.leading["a"] = False

    lab.replica("a", after_write=lost).look(NOW)
    assert counted <= at
    lab.replica("b").look(NOW + 1)
    assert tuple(effects.seen) == scenario.effects


def test_a_replica_that_does_not_lead_asks_for_nothing(lab: Lab, scenario: Scenario, effects: Effects) -> None:
    lab.leading["a"] = False
    lab.replica("a").look(NOW)
    assert (effects.seen, lab.server.requests) == ([], [])


@pytest.mark.parametrize("how", [How.CLOSE, How.LOST_ANSWER, How.STATUS])
def test_an_answer_that_is_lost_is_not_a_reason_to_do_it_again(
    lab: Lab, scenario: Scenario, effects: Effects, how: How
) -> None:
    for verb in ("patch", "create"):
        lab.server.faults.add(Fault(how, verb=verb, path="/api/v1/namespaces/shop/pods", times=1))
    controller = lab.replica()
    for seconds in (0, 31, 62):
        controller.look(NOW + seconds)
        for one in lab.history.in_state(State.INTENDED):
            assert one.number == 1
    first = [one for one in lab.history.attempts if one.number == 1]
    assert first[0].state in (State.DONE, State.FAILED)
    assert effects.seen[: len(scenario.effects)] == list(scenario.effects)


def test_a_controller_that_reverts_every_change_meets_the_bound(lab: Lab) -> None:
    lab.config = replace(REAL, policy=Policy(most_attempts=2))
    lab.put(no_image())

    def revert(before: Json | None, after: Json) -> None:
        if before is not None and after.get("kind") == "Pod" and after["spec"] != before["spec"]:
            lab.put({**after, "spec": before["spec"]})

    lab.server.objects.reactors.append(revert)
    controller = lab.replica()
    for seconds in range(0, 9000, 300):
        controller.look(NOW + seconds)
    assert [one.after for one in lab.history.attempts] == ["second.example/app:1", "third.example/app:1"]
    assert {one.state for one in lab.history.attempts} == {State.FAILED}


def test_a_limit_that_is_lowered_again_ends_the_growth(lab: Lab) -> None:
    lab.put(killed())
    controller = lab.replica()
    controller.look(NOW)
    lab.change("app-1", lambda raw: raw.update(spec=killed()["spec"]))
    controller.look(NOW + 20)
    assert lab.history.attempts[0].result == "something changed the limit back to 256Mi"


@pytest.mark.parametrize("failing", [killed, no_image])
def test_a_change_that_is_undone_at_once_is_not_made_again(lab: Lab, failing: Callable[[], Json]) -> None:
    """As by an autoscaler that watches: before the controller itself can look at the pod again."""
    changes: list[Json] = []

    def revert(before: Json | None, after: Json) -> None:
        if before is not None and after.get("kind") == "Pod" and after["spec"] != before["spec"]:
            changes.append(after["spec"])
            lab.put({**after, "spec": before["spec"]})

    lab.put(failing())
    lab.server.objects.reactors.append(revert)
    lab.replica().look(NOW)
    assert len(changes) == 1
    assert [one.state for one in lab.history.attempts] == [State.DONE]


def test_somebody_who_removes_the_signature_cannot_make_a_step_happen_twice(lab: Lab) -> None:
    """The journal has it; the pod's annotations are its owner's to edit."""
    lab.put(no_image())
    controller = lab.replica()
    controller.look(NOW)
    lab.change("app-1", lambda raw: raw["metadata"]["annotations"].pop(STEP_ANNOTATION))
    controller.look(NOW + 20)
    assert len(lab.history.attempts) == 1


def test_a_pod_of_the_same_name_that_replaced_the_failing_one_is_left_alone(
    lab: Lab, scenario: Scenario, effects: Effects
) -> None:
    raw = scenario.pod()
    stale = [{**raw, "metadata": {**raw["metadata"], "uid": "an-older-pod"}}]
    lab.old_pods = stale
    lab.replica().look(NOW)
    assert [one for one in effects.seen if one != "change" or raw["metadata"]["labels"] == {"app": "app"}] == []


@pytest.mark.parametrize("raw", [crash_loop(), killed(), no_image()], ids=["evict", "grow", "image"])
def test_a_pod_that_takes_the_name_right_before_the_request_is_left_alone(lab: Lab, raw: Json) -> None:
    """The request names the uid."""
    lab.put(raw)
    other = {**raw, "metadata": {**raw["metadata"], "uid": "another"}}

    def replaced(_method: str, path: str) -> None:
        if "/shop/pods/" in path:
            lab.put(other)

    lab.replica("a", replaced).look(NOW)
    assert lab.pod()["spec"] == raw["spec"]
    assert lab.pod()["metadata"]["uid"] == "another"
