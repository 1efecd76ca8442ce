"""Steps that the cluster lets happen in part only, and controllers that undo what was done: no loop, no heap of pods, and it is said."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.recover import STATUS_ANNOTATION, STEP_ANNOTATION, State
from tests.lab.apifaults import Fault, How
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import NOW, crash_loop, killed, no_image
from tests.unit.recover.scenarios import CR
from tests.unit.recover.test_planner import OF_BUILD, WITH_BUILDS, resource

Json = dict[str, Any]
PODS = "/api/v1/namespaces/shop/pods"


def hours(lab: Lab, *, many: int = 3, step: int = 40) -> None:
    controller = lab.replica()
    for seconds in range(0, many * 3600, step):
        controller.look(NOW + seconds)


def never(lab: Lab, verb: str, path: str, status: int = 403) -> None:
    lab.server.faults.add(Fault(How.STATUS, verb=verb, path=path, status=status, reason="Forbidden", times=None))


def test_a_pod_that_nobody_may_evict_is_made_again_once_and_not_more(lab: Lab) -> None:
    lab.put(crash_loop(owner=None))
    never(lab, "create", f"{PODS}/app-1/eviction")
    hours(lab)
    assert sorted(name for _, name in lab.server.store.pods) == ["app-1", "app-1-r1"]
    assert any("it was made again already" in one for one in lab.notes)


def test_a_pod_that_its_budget_protects_is_made_again_once_and_not_more(lab: Lab) -> None:
    lab.put(crash_loop(owner=None))
    lab.server.objects.budgets.add("app-1")
    hours(lab)
    assert sorted(name for _, name in lab.server.store.pods) == ["app-1", "app-1-r1"]


def test_a_replacement_that_may_not_be_created_costs_the_pod_nothing(lab: Lab) -> None:
    lab.put(crash_loop(owner=None))
    before = lab.pod()["spec"]
    lab.server.objects.admission.append(
        lambda verb, path, _new, old: "quota" if verb == "create" and path == PODS and old is None else None
    )
    hours(lab)
    assert [name for _, name in lab.server.store.pods] == ["app-1"]
    assert lab.pod()["spec"] == before
    assert [one.state for one in lab.history.attempts] == [State.REFUSED]


@pytest.mark.parametrize("raw", [killed, no_image], ids=["grow", "image"])
def test_a_webhook_that_removes_our_annotations_makes_no_loop(lab: Lab, raw: Any) -> None:
    lab.put(raw())

    def strip(_before: Json | None, after: Json) -> None:
        notes = after["metadata"].get("annotations") or {}
        if after.get("kind") == "Pod" and STEP_ANNOTATION in notes:
            kept = {key: text for key, text in notes.items() if key not in (STEP_ANNOTATION, STATUS_ANNOTATION)}
            lab.put({**after, "metadata": {**after["metadata"], "annotations": kept}})

    lab.server.objects.reactors.append(strip)
    hours(lab, many=2)
    assert len(lab.history.attempts) <= 3
    assert lab.writes("/pods/") <= 3 * 8 * (900 // 30 + 1)


def test_an_operator_that_changes_the_strategy_back_is_not_fought(lab: Lab) -> None:
    lab.config = WITH_BUILDS
    lab.server.objects.kinds.add(CR[:2])
    lab.server.objects.stored[CR] = resource("s2i")
    lab.put(crash_loop(**OF_BUILD))
    changes: list[str] = []

    def revert(before: Json | None, after: Json) -> None:
        if before is not None and after["metadata"].get("name") == "nb" and after["spec"] != before["spec"]:
            changes.append(after["spec"]["strategy"])
            lab.server.objects.stored[CR] = {**lab.server.objects.stored[CR], "spec": before["spec"]}

    lab.server.objects.reactors.append(revert)
    hours(lab)
    assert changes == ["tekton"]


def test_somebody_else_who_writes_the_journal_all_the_time_only_delays(lab: Lab) -> None:
    """Each look fails at a conflict, and changes nothing; when it ends, the step is done once."""
    lab.put(no_image())
    key = ("/api/v1", "configmaps", "oomward", "oomward-recover")
    lab.server.objects.stored[key] = {
        "metadata": {"name": key[3], "namespace": key[2], "resourceVersion": "5"},
        "data": {"journal.json": ""},
    }
    version = 5

    def write(method: str, path: str) -> None:
        nonlocal version
        if busy and method == "PUT" and "configmaps" in path:
            version += 1
            found = lab.server.objects.stored[key]
            lab.server.objects.stored[key] = {
                **found,
                "metadata": {**found["metadata"], "resourceVersion": str(version)},
            }

    busy = True
    controller = lab.replica("a", write)
    for seconds in range(0, 100, 5):
        controller.look(NOW + seconds)
    assert (lab.history.attempts, lab.writes("/pods/")) == ((), 0)
    busy = False
    controller.look(NOW + 200)
    assert [one.state for one in lab.history.attempts] == [State.DONE]
