"""What one tenant writes widens nothing, resets no bound, and costs no other tenant a recovery."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.model.recover import REPLACES_ANNOTATION, STEP_ANNOTATION, Action, Bounds, Policy, State
from agent.recover.circuits import Circuits, Failure
from agent.recover.history import History
from agent.recover.still import diagnoses_of
from agent.recover.subject import Subject, subject_of
from tests.lab.apifaults import Fault, How
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import NOW, REAL, crash_loop, killed, no_image, past, pod, step, why
from tests.unit.recover.scenarios import CR
from tests.unit.recover.test_planner import JOB, OF_BUILD, WITH_BUILDS, resource

Json = dict[str, Any]


def owned(name: str, **more: Any) -> Json:
    raw = crash_loop(owner="NotebookJob", api="ml.example/v1", **more)
    raw["metadata"]["ownerReferences"][0]["name"] = name
    return raw


@pytest.mark.parametrize(
    "name", ["../../../../../api/v1/namespaces/kube-system/secrets/x", "a/b", "..", "a?b", "A b", "a%2fb", "x" * 254]
)
def test_an_owner_reference_leads_to_no_other_path_of_the_api(name: str) -> None:
    """The API server does not check the name in an owner reference."""
    assert subject_of(owned(name), WITH_BUILDS.strategies).strategy is None
    assert step(owned(name), config=WITH_BUILDS).attempt.resource == ""


def test_an_owner_reference_with_a_proper_name_leads_to_the_resource() -> None:
    assert subject_of(owned("nb.v2-x"), WITH_BUILDS.strategies).owner.name == "nb.v2-x"


def test_a_pod_that_somebody_else_owns_without_controlling_it_is_not_made_again() -> None:
    """Its replacement would lack the owner, and so never be collected."""
    raw = crash_loop(owner="Workspace")
    raw["metadata"]["ownerReferences"][0].pop("controller")
    assert "owned by a Workspace" in why(raw)


def test_a_pod_that_a_gitops_tool_made_is_not_made_again() -> None:
    assert "GitOps" in why(crash_loop(owner=None, notes={"argocd.argoproj.io/tracking-id": "x"}))
    assert step(crash_loop(notes={"argocd.argoproj.io/tracking-id": "x"})).attempt.action is Action.RETRY


def test_images_with_a_digest_are_tried_before_those_with_a_tag_only() -> None:
    names = "a.example/app:1, b.example/app@sha256:00, c.example/app:2, d.example/app:3@sha256:11"
    raw = no_image(notes={"recover.oomward.dev/images.app": names})
    assert step(raw).attempt.after == "b.example/app@sha256:00"
    history = past(Action.IMAGE, pod_uid="uid-app-1", after="b.example/app@sha256:00")
    assert step(raw, history=history).attempt.after == "d.example/app:3@sha256:11"


# ------------------------------------------------------------------------------------------------------------------- turns


def test_the_steps_of_the_cluster_are_shared_by_namespaces_whatever_their_names(lab: Lab) -> None:
    """Namespaces that always fail, and come first in the alphabet, must not have all of each hour's steps."""
    lab.config = replace(REAL, bounds=Bounds(namespace_per_hour=3, cluster_per_hour=6, breaker_owners=100))
    for space in "abcd":
        lab.open(space)
        lab.put(*(crash_loop(name=f"{space}-{i}", namespace=space, owner=None) for i in range(3)))
    lab.replica().look(NOW)
    assert [one.pod for one in lab.history.attempts] == ["a-0", "b-0", "c-0", "d-0", "a-1", "b-1"]


def test_a_namespace_that_had_fewer_steps_in_this_hour_is_next(lab: Lab) -> None:
    lab.config = replace(REAL, bounds=Bounds(cluster_per_hour=3))
    for space in "az":
        lab.open(space)
    lab.put(*(crash_loop(name=f"a-{i}", namespace="a", owner=None) for i in range(2)))
    controller = lab.replica()
    controller.look(NOW)
    lab.put(*(crash_loop(name=name, namespace=name[0], owner=None) for name in ("a-2", "z-0")))
    controller.look(NOW + 1)
    assert [one.pod for one in lab.history.attempts] == ["a-0", "a-1", "z-0"]


# ---------------------------------------------------------------------------------------------------------------- circuits


def failures(many: int, *namespaces: str) -> list[Failure]:
    return [Failure(f"{space}/Job/{i}", space, "r", "registry.example") for space in namespaces for i in range(many)]


def opened(many: int, *namespaces: str) -> Circuits:
    return Circuits().after(failures(many, *namespaces), 10, NOW)


def test_one_namespace_opens_its_own_circuit_and_no_other_ones() -> None:
    found = opened(50, "evil")
    assert found.against(failures(1, "evil")[0]) == "reason r in namespace evil"
    assert found.against(failures(1, "shop")[0]) is None


def test_failures_in_several_namespaces_open_the_circuit_for_all() -> None:
    assert opened(3, "a", "b", "c").against(failures(1, "shop")[0]) is None
    assert opened(4, "a", "b", "c").against(failures(1, "shop")[0]) == "reason r"
    assert opened(1, *"abcdefghij").against(failures(1, "shop")[0]) == "reason r"


def test_pods_that_ask_for_nothing_that_is_allowed_open_no_circuit(lab: Lab) -> None:
    lab.config = replace(REAL, bounds=Bounds(breaker_owners=3))
    for i in range(5):
        raw = crash_loop(name=f"app-{i}", notes={"recover.oomward.dev/policy": '{"enableSmartRecovery": false}'})
        raw["metadata"]["ownerReferences"][0]["name"] = f"app-{i}"
        lab.put(raw)
    lab.put(crash_loop(name="web-1", owner="Job"))
    lab.replica().look(NOW)
    assert [one.pod for one in lab.history.attempts] == ["web-1"]


# ------------------------------------------------------------------------------------------------------------------ owners


def test_an_owner_that_is_deleted_and_made_again_under_its_name_has_the_attempts_of_before(lab: Lab) -> None:
    lab.config = replace(REAL, policy=Policy(most_attempts=2))
    controller = lab.replica()
    for i in range(4):
        raw = crash_loop(uid=f"pod-{i}", **JOB)
        raw["metadata"]["ownerReferences"][0]["uid"] = f"owner-{i}"
        lab.put(raw)
        controller.look(NOW + 1000 * i)
    assert len(lab.history.attempts) == 2


def test_a_resource_that_is_made_again_under_its_name_has_the_strategies_of_before(lab: Lab) -> None:
    lab.config = WITH_BUILDS
    lab.server.objects.kinds.add(CR[:2])
    controller = lab.replica()
    for i in range(4):
        lab.server.objects.stored[CR] = resource("s2i", uid=f"r{i}")
        lab.put(crash_loop(uid=f"pod-{i}", **OF_BUILD))
        controller.look(NOW + 2000 * i)
    assert [one.after for one in lab.history.attempts if one.action is Action.STRATEGY] == ["tekton"]


def test_a_pod_that_names_another_one_as_its_origin_gets_no_more_steps_than_its_namespace_has(lab: Lab) -> None:
    lab.config = replace(REAL, bounds=Bounds(namespace_per_hour=4))
    controller = lab.replica()
    for i in range(20):
        lab.put(crash_loop(name=f"app-{i}", owner=None, notes={REPLACES_ANNOTATION: f"origin-{i}"}))
        controller.look(NOW + 60 * i)
    assert len(lab.history.attempts) == 4


def test_no_owner_or_image_makes_an_attempt_long() -> None:
    assert len(History((step(owned("x" * 100_000)).attempt,), 1).text) < 1500
    origin = "x" * 100_000
    assert step(crash_loop(owner=None, notes={REPLACES_ANNOTATION: origin})).attempt.owner == "shop/Pod/app-1"
    assert step(crash_loop(owner=None, notes={REPLACES_ANNOTATION: "../a"})).attempt.after == "app-1"
    assert "too long" in why(no_image(container={"image": "a/" + "x" * 100_000}))


def test_a_namespace_that_has_filled_its_part_of_the_journal_keeps_no_other_one_waiting(lab: Lab) -> None:
    lab.config = replace(REAL, bounds=Bounds(namespace_per_hour=1000, cluster_per_hour=1000))
    long = past(*[Action.RETRY] * 400, owner="evil/Job/x", namespace="evil", before="x" * 800, every=200.0)
    body = {"metadata": {"name": "oomward-recover", "resourceVersion": "5"}, "data": {"journal.json": long.text}}
    lab.server.objects.stored["/api/v1", "configmaps", "oomward", "oomward-recover"] = body
    lab.open("evil")
    lab.put(crash_loop(namespace="evil", name="a"), crash_loop())
    lab.replica().look(NOW)
    assert lab.history.attempts[-1].namespace == "shop"
    assert any("filled its part of the journal" in one for one in lab.notes)


def test_an_attempt_that_was_dropped_counts_like_any_other() -> None:
    """Otherwise whoever edits the pod in the middle of each step could keep the controller busy."""
    assert "3 attempts were made" in why(crash_loop(), history=past(*[Action.RETRY] * 3, state=State.DROPPED))


def test_a_strategy_that_was_dropped_is_still_the_next_one() -> None:
    history = past(Action.STRATEGY, owner="shop/NotebookJob/nb", after="tekton", state=State.DROPPED)
    found = step(crash_loop(**OF_BUILD), history=history, config=WITH_BUILDS, resource=resource("s2i"))
    assert (found.attempt.before, found.attempt.after) == ("s2i", "tekton")


def test_the_controllers_own_namespace_is_closed_whatever_its_name_is() -> None:
    from agent.commands.recover import closing

    config = closing(REAL, "monitoring")
    assert "system namespaces" in why(pod(namespace="monitoring"), space=replace_space("monitoring"), config=config)


def replace_space(name: str) -> Any:
    from agent.model.recover import ENABLED_LABEL, Space

    return Space(name, {ENABLED_LABEL: "true"})


def test_a_resource_that_cannot_be_read_keeps_no_other_pod_waiting(lab: Lab) -> None:
    """It is nested more deeply than any reader takes, or was made so after the step was recorded."""
    lab.config = WITH_BUILDS
    lab.server.objects.kinds.add(CR[:2])
    lab.server.objects.stored[CR] = resource("s2i")
    lab.put(crash_loop(name="a", **OF_BUILD), crash_loop(name="z"))

    def deepen(_method: str, _path: str) -> None:
        if lab.history.attempts:
            lab.server.faults.add(Fault(How.BODY, path="/apis/ml.example/", body=b"[" * 100_000, times=None))

    controller = lab.replica("a", after_write=deepen)
    for seconds in range(0, 1000, 40):
        controller.look(NOW + seconds)
    assert [(one.pod, one.state) for one in lab.history.attempts][:2] == [("a", State.DROPPED), ("z", State.DONE)]


def test_a_pod_that_is_as_large_as_json_makes_it_is_recovered_like_any_other(lab: Lab) -> None:
    raw = crash_loop(container={"env": [{"name": "A", "value": "<" * 5_000_000}]})
    lab.put(raw)
    lab.replica().look(NOW)
    assert [one.state for one in lab.history.attempts] == [State.DONE]


def test_a_fault_of_ours_in_the_diagnosis_of_one_pod_keeps_no_other_waiting(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.put(crash_loop(name="app-1"), crash_loop(name="app-2", owner="Job"))

    def faulty(subject: Subject, *more: Any) -> Any:
        if subject.pod.name == "app-1":
            raise KeyError("a fault")
        return diagnoses_of(subject, *more)

    monkeypatch.setattr("agent.recover.controller.diagnoses_of", faulty)
    lab.replica().look(NOW)
    assert [one.pod for one in lab.history.attempts] == ["app-2"]


@pytest.mark.parametrize("tries", ["9" * 4301, "٣", "²", "", "-1", "1e9"])
def test_a_step_annotation_that_is_no_number_of_ours_ends_no_step(lab: Lab, tries: str) -> None:
    """It is the tenant's to edit while the step is under way; Python reads no number of more than 4300 digits."""
    lab.put(killed())
    resizes = Fault(How.STATUS, verb="patch", path="/api/v1/namespaces/shop/pods/app-1/resize", status=500, times=None)
    lab.server.faults.add(resizes)
    controller = lab.replica()
    controller.look(NOW)
    assert [one.state for one in lab.history.attempts] == [State.INTENDED]
    lab.change("app-1", lambda raw: raw["metadata"]["annotations"].update({STEP_ANNOTATION: f"1.{tries}"}))
    lab.server.faults.drop(resizes)
    controller.look(NOW + 31)
    assert [one.state for one in lab.history.attempts] == [State.DONE]


def test_the_highest_number_of_tries_that_counts_has_nine_digits() -> None:
    (attempt,) = past(Action.GROW).attempts
    assert (attempt.newer("1.999999999"), attempt.newer("1.1000000000")) == (True, False)
