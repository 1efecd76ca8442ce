"""Every recorded status of a pod leads to one step, or to a reason why not; and the request's categories to their actions."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from agent.model.recover import ENABLED_LABEL, OPTIONAL_INIT_ANNOTATION, Action, Nothing, Space, Step
from agent.recover.table import chain
from tests.unit.diagnose.recorded import NAMES, recorded
from tests.unit.recover.pods import crash_loop, init_fails, killed, no_image, planned, pod, step, waiting
from tests.unit.recover.test_planner import WITH_BUILDS, resource

BUILD: dict[str, Any] = {"labels": {"ml.example/job": "nb"}, "owner": "Job", "api": "batch/v1"}


@pytest.mark.parametrize("owner", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_status_leads_to_an_action_of_its_table_or_to_a_reason(name: str, owner: bool) -> None:
    one = recorded(name)
    raw: dict[str, Any] = copy.deepcopy(one.pod)
    notes = {"oomward.dev/recover": "true", "oomward.dev/grow": "25%/64Gi"}
    raw["metadata"].setdefault("annotations", {}).update(notes)
    if not owner:
        raw["metadata"].pop("ownerReferences", None)
    space = Space(raw["metadata"]["namespace"], {ENABLED_LABEL: "true"})
    found = planned(raw, space=space, now=one.now_unix_s)
    if isinstance(found, Step):
        assert found.attempt.action in {action for diagnosis in one.diagnoses() for action in chain(diagnosis)}
    else:
        assert isinstance(found, Nothing)
        assert found.why


CATEGORIES: dict[str, tuple[dict[str, Any], Action]] = {
    "image pull failure": (no_image(), Action.IMAGE),
    "image pull failure of a build": (pod(state=waiting("ErrImagePull", "manifest unknown"), **BUILD), Action.STRATEGY),
    "security constraint": (init_fails(owner=None, notes={OPTIONAL_INIT_ANNOTATION: "git-clone"}), Action.REPLACE),
    "security constraint of a build": (init_fails(**BUILD), Action.STRATEGY),
    "crash loop of a build": (crash_loop(**BUILD), Action.STRATEGY),
    "crash loop": (crash_loop(), Action.RETRY),
    "failing init container of a build": (init_fails("some other error", **BUILD), Action.STRATEGY),
    "out of memory": (killed(), Action.GROW),
    "configuration": (
        pod(state=waiting("CreateContainerConfigError", 'secret "x" not found'), **BUILD),
        Action.STRATEGY,
    ),
    "evicted": (pod(owner=None, phase="Failed", status={"reason": "Evicted"}), Action.REPLACE),
    "unknown": (pod(state=waiting("SomethingNew", "never seen")), Action.RETRY),
}


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_category_of_the_request_leads_to_its_action(category: str) -> None:
    raw, action = CATEGORIES[category]
    assert step(raw, config=WITH_BUILDS, resource=resource("s2i")).attempt.action is action


@pytest.mark.parametrize(
    "name",
    [
        "create-sandbox-gone-containerd-1.7",
        "config-cache-kubelet-1.27",
        "err-image-pull-qps-kubelet-1.27",
        "node-lost-controller-1.12",
    ],
)
def test_what_passes_by_itself_or_may_still_run_is_left_alone(name: str) -> None:
    assert [chain(diagnosis) for diagnosis in recorded(name).diagnoses()] == [()]
