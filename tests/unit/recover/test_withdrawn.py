"""What a step is decided by is read again right before it: opt-ins, policy, what the pod names, and that the pod still fails.

Most tests here run without the admission policies: the controller itself does nothing that nobody asks for any more.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.model.recover import (
    IMAGES_ANNOTATION_PREFIX,
    OPTIONAL_INIT_ANNOTATION,
    POLICY_ANNOTATION,
    RECOVER_ANNOTATION,
    STATUS_ANNOTATION,
    Policy,
    State,
)
from tests.unit.recover.lab import KilledError, Lab
from tests.unit.recover.pods import NOW, REAL, crash_loop, killed, no_image, ready
from tests.unit.recover.scenarios import SCENARIOS, Effects, Scenario

Json = dict[str, Any]


def notes(lab: Lab, **changed: str | None) -> None:
    def change(raw: Json) -> None:
        for key, value in changed.items():
            raw["metadata"]["annotations"].pop(key, None)
            raw["metadata"]["annotations"] |= {} if value is None else {key: value}

    for _, name in list(lab.server.store.pods):
        lab.change(name, change)


def space(lab: Lab, **metadata: Any) -> None:
    key = ("/api/v1", "namespaces", "", "shop")
    found = lab.server.objects.stored[key]
    lab.server.objects.stored[key] = {"metadata": {**found["metadata"], **metadata}}


NOTHING_ALLOWED = json.dumps({"disabledRecoveryActions": ["grow", "image", "fail", "replace", "strategy", "retry"]})
WITHDRAWALS: dict[str, Callable[[Lab], object]] = {
    "the pod's annotation is removed": lambda lab: notes(lab, **{RECOVER_ANNOTATION: None}),
    "the pod's annotation is false": lambda lab: notes(lab, **{RECOVER_ANNOTATION: "false"}),
    "the pod's annotation has a typo": lambda lab: notes(lab, **{RECOVER_ANNOTATION: "treu"}),
    "the pod disables the action": lambda lab: notes(lab, **{POLICY_ANNOTATION: NOTHING_ALLOWED}),
    "the pod asks for a dry run": lambda lab: notes(lab, **{POLICY_ANNOTATION: '{"dryRun": true}'}),
    "the namespace is closed": lambda lab: space(lab, labels={}),
    "the namespace is removed": lambda lab: lab.server.objects.stored.pop(("/api/v1", "namespaces", "", "shop")),
    "the namespace disables the action": lambda lab: space(lab, annotations={POLICY_ANNOTATION: NOTHING_ALLOWED}),
    "the namespace switches recovery off": lambda lab: space(
        lab, annotations={POLICY_ANNOTATION: '{"enableSmartRecovery": false}'}
    ),
}


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return SCENARIOS[request.param]


@pytest.fixture
def effects(lab: Lab, scenario: Scenario) -> Effects:
    lab.server.objects.admission.clear()
    return scenario.begin(lab)


def after_the_write(part: str, then: Callable[[], object]) -> Callable[[str, str], None]:
    """A hook: does that once, after the first write to such a path that has an intent in the journal."""
    done: list[str] = []

    def hook(_method: str, path: str) -> None:
        if part in path and not done:
            done.append(path)
            then()

    return hook


@pytest.mark.parametrize("withdrawal", WITHDRAWALS)
def test_what_is_withdrawn_right_after_the_intent_is_not_done(
    lab: Lab, scenario: Scenario, effects: Effects, withdrawal: str
) -> None:
    def withdraw(_method: str, _path: str) -> None:
        if lab.history.attempts and "dropped" not in done:
            done.append("dropped")
            WITHDRAWALS[withdrawal](lab)

    done: list[str] = []
    controller = lab.replica("a", after_write=withdraw)
    controller.look(NOW)
    before = copy.deepcopy(lab.pod()["spec"])
    for seconds in (40, 1000):
        controller.look(NOW + seconds)
    assert done == ["dropped"]
    assert effects.seen == []
    assert [one.state for one in lab.history.attempts] == [State.DROPPED]
    assert lab.pod()["spec"] == before
    if "action" not in withdrawal:  # the pod does not ask at all
        assert STATUS_ANNOTATION not in lab.pod()["metadata"]["annotations"]


@pytest.mark.parametrize("withdrawal", WITHDRAWALS)
@pytest.mark.parametrize(
    ("scenario", "part", "left"),
    [("grow", "/pods/app-1", []), ("replace", "/shop/pods", ["create"])],
    indirect=["scenario"],
    ids=["grow", "replace"],
)
def test_what_is_withdrawn_between_two_requests_of_a_step_ends_it_there(
    lab: Lab, scenario: Scenario, effects: Effects, withdrawal: str, part: str, left: list[str]
) -> None:
    controller = lab.replica("a", after_write=after_the_write(part, lambda: WITHDRAWALS[withdrawal](lab)))
    for seconds in (0, 40):
        controller.look(NOW + seconds)
    assert effects.seen == left
    assert lab.history.attempts[0].state is State.DROPPED
    assert not left or "app-1-r1 was made already" in lab.history.attempts[0].result


def test_a_step_from_before_the_dry_run_is_not_finished(lab: Lab, scenario: Scenario, effects: Effects) -> None:
    def killed_then(_method: str, _path: str) -> None:
        if lab.history.attempts:
            raise KilledError

    with pytest.raises(KilledError):
        lab.replica("a", after_write=killed_then).look(NOW)
    lab.config = replace(lab.config, policy=replace(lab.config.policy, dry_run=True))
    controller = lab.replica("b")
    for seconds in (1, 40, 1000, 3000):
        controller.look(NOW + seconds)
    assert effects.seen == []
    assert lab.history.attempts[0].result == "it is a dry run now"
    assert not any(STATUS_ANNOTATION in one["metadata"]["annotations"] for one in lab.server.store.pods.values())


@pytest.mark.parametrize("scenario", ["image", "fail", "retry", "replace", "strategy"], indirect=True)
def test_a_pod_that_has_recovered_by_itself_is_left_alone_whatever_an_old_watch_shows(
    lab: Lab, scenario: Scenario, effects: Effects
) -> None:
    old = lab.pods()
    lab.old_pods = old
    raw = lab.pod()
    well = ready({**raw, "status": {**raw["status"], "initContainerStatuses": []}}, NOW - 100)
    lab.put({**well, "spec": {**well["spec"], "initContainers": []}})
    controller = lab.replica()
    for seconds in (0, 40, 400):
        controller.look(NOW + seconds)
    assert (effects.seen, lab.history.attempts) == ([], ())


def test_an_old_watch_that_does_not_show_a_closed_namespace_opens_none(
    lab: Lab, scenario: Scenario, effects: Effects
) -> None:
    old = lab.spaces()
    lab.old_spaces = old
    space(lab, labels={})
    lab.replica().look(NOW)
    assert (effects.seen, lab.history.attempts) == ([], ())


def test_an_eviction_that_waited_for_a_budget_is_not_made_when_the_pod_works_again(lab: Lab) -> None:
    lab.put(crash_loop())
    lab.server.objects.budgets.add("app-1")
    controller = lab.replica()
    controller.look(NOW)
    lab.put(ready(lab.pod(), NOW + 10))
    lab.server.objects.budgets.clear()
    for seconds in (40, 80, 500, 1000):
        controller.look(NOW + seconds)
    assert lab.pod()
    assert [(one.state, one.result) for one in lab.history.attempts] == [
        (State.DROPPED, "the pod does not fail any more")
    ]
    assert any("Not done any more" in one for one in lab.notes)


@pytest.mark.parametrize(
    ("raw", "changed"),
    [
        (no_image, {IMAGES_ANNOTATION_PREFIX + "app": "third.example/app:1"}),
        (killed, {"oomward.dev/grow": "25%/257Mi"}),
        (SCENARIOS["replace"].pod, {OPTIONAL_INIT_ANNOTATION: "another"}),
    ],
    ids=["image", "grow", "replace"],
)
def test_what_the_pod_names_no_more_is_not_done(lab: Lab, raw: Callable[[], Json], changed: dict[str, str]) -> None:
    lab.server.objects.admission.clear()
    lab.put(raw())
    spec = lab.pod()["spec"]

    def change(_method: str, _path: str) -> None:
        if lab.history.attempts:
            notes(lab, **changed)

    lab.replica("a", after_write=change).look(NOW)
    assert lab.pod()["spec"] == spec
    assert lab.history.attempts[0].state is State.DROPPED


def test_an_old_watch_costs_no_attempt_and_calls_no_success_a_failure(lab: Lab) -> None:
    """The watch shows the pod as it was before the step, long after the back-off."""
    lab.put(no_image())
    old = lab.pods()
    lab.old_pods = old
    controller = lab.replica()
    controller.look(NOW)
    lab.put(ready(lab.pod(), NOW + 5))
    for seconds in (60, 120):
        controller.look(NOW + seconds)
    assert [one.state for one in lab.history.attempts] == [State.DONE]


def test_a_status_is_not_written_to_a_pod_that_asks_no_more(lab: Lab) -> None:
    lab.server.objects.admission.clear()
    lab.put(no_image())
    controller = lab.replica()
    controller.look(NOW)
    written = lab.pod()["metadata"]["annotations"][STATUS_ANNOTATION]
    lab.put(ready(lab.pod(), NOW + 5))
    old = lab.pods()
    lab.old_pods = old
    notes(lab, **{RECOVER_ANNOTATION: None})
    controller.look(NOW + 300)
    assert lab.history.attempts[0].state is State.SUCCEEDED
    assert lab.pod()["metadata"]["annotations"][STATUS_ANNOTATION] == written


def test_two_pods_of_one_owner_are_two_stories(lab: Lab) -> None:
    """The second pod's step does not call the first one's a failure."""
    lab.put(no_image(name="app-1"), no_image(name="app-2"))
    controller = lab.replica()
    controller.look(NOW)
    lab.put(ready(lab.pod("app-1"), NOW + 5))
    controller.look(NOW + 60)
    assert [(one.pod, one.state) for one in lab.history.attempts] == [("app-1", State.DONE), ("app-2", State.DONE)]
    lab.put(ready(lab.pod("app-2"), NOW + 65))
    controller.look(NOW + 300)
    assert {one.state for one in lab.history.attempts} == {State.SUCCEEDED}


def test_a_controllers_new_pod_that_fails_again_ends_the_attempt_that_made_it(lab: Lab) -> None:
    lab.config = replace(REAL, policy=Policy(most_attempts=3))
    lab.put(crash_loop())
    controller = lab.replica()
    controller.look(NOW)
    lab.put(crash_loop(name="app-2", created=NOW + 5))
    controller.look(NOW + 60)
    assert [one.state for one in lab.history.attempts] == [State.FAILED, State.DONE]
