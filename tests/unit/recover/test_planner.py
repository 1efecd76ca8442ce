"""What is planned for which failure: one step at most, with its bound; or the reason why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent.model import Scope
from agent.model.recover import (
    ENABLED_LABEL,
    OPTIONAL_INIT_ANNOTATION,
    POLICY_ANNOTATION,
    Action,
    Bounds,
    Nothing,
    Policy,
    RecoverConfig,
    Space,
    State,
    Strategy,
    StrategyEntry,
)
from agent.recover.circuits import Circuits
from agent.recover.history import FullError, History
from agent.wording.times import rfc3339
from tests.unit.recover.pods import (
    IMAGES,
    NOT_FOUND,
    NOW,
    OPENED,
    REAL,
    crash_loop,
    init_fails,
    kill,
    killed,
    memory,
    no_image,
    past,
    planned,
    pod,
    step,
    waiting,
    why,
)

NOT_THERE = "manifest unknown"
JOB = {"owner": "Job", "api": "batch/v1"}


def swap(before: str, after: str) -> tuple[Mapping[str, object], ...]:
    path = "/spec/strategy"
    return ({"op": "test", "path": path, "value": before}, {"op": "replace", "path": path, "value": after})


BUILDS = Strategy(
    "ml.example",
    "v1",
    "notebookjobs",
    "NotebookJob",
    "ml.example/job",
    (
        StrategyEntry("s2i"),
        StrategyEntry("tekton", swap("s2i", "tekton")),
        StrategyEntry("prebuilt", swap("tekton", "prebuilt")),
    ),
)
WITH_BUILDS = replace(REAL, strategies=(BUILDS,))
OF_BUILD = {"labels": {"ml.example/job": "nb"}, **JOB}
OWNER = "shop/NotebookJob/nb"


def resource(strategy: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "nb", "uid": "r", **metadata}, "spec": {"strategy": strategy}}


# ------------------------------------------------------------------------------------------------------------------- gates


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "openshift-etcd", "openshift", "oomward"])
def test_a_system_namespace_is_never_touched_whatever_it_asks_for(namespace: str) -> None:
    space = Space(namespace, {ENABLED_LABEL: "true"})
    assert "system" in why(no_image(namespace=namespace), space=space)


def test_a_namespace_that_the_configuration_closes_is_never_touched() -> None:
    assert "system" in why(no_image(), config=replace(REAL, closed=frozenset({"shop"})))


@pytest.mark.parametrize("labels", [{}, {ENABLED_LABEL: "false"}, {ENABLED_LABEL: "True"}])
def test_a_namespace_that_is_not_opened_gets_nothing(labels: dict[str, str]) -> None:
    assert "not opened" in why(no_image(), space=Space("shop", labels))


@pytest.mark.parametrize("asks", [None, "false", ""])
def test_a_pod_that_does_not_ask_gets_nothing(asks: str | None) -> None:
    assert "does not ask" in why(no_image(asks=asks))


def test_a_pod_gets_only_the_actions_that_it_lists() -> None:
    assert step(no_image(asks="image, retry")).attempt.action is Action.IMAGE
    assert "not asked for" in why(no_image(asks="grow"))


@pytest.mark.parametrize(
    "notes",
    [{"oomward.dev/recover": "yes"}, {POLICY_ANNOTATION: "{"}, {"recover.oomward.dev/images.app": "no spaces here"}],
)
def test_a_mistake_in_an_annotation_means_that_nothing_is_done_and_is_reported(notes: dict[str, str]) -> None:
    found = planned(no_image(notes=notes))
    assert isinstance(found, Nothing)
    assert "invalid" in found.why
    assert found.report


@pytest.mark.parametrize("where", ["cluster", "namespace", "pod"])
def test_each_level_can_disable_an_action_and_switch_everything_off(where: str) -> None:
    for keys, said in (
        ({"disabledRecoveryActions": ["image"]}, "disabled"),
        ({"enableSmartRecovery": False}, "switched off"),
    ):
        text = {POLICY_ANNOTATION: json.dumps(keys)}
        policy = Policy(most_attempts=3, enabled="enableSmartRecovery" not in keys, disabled=frozenset({Action.IMAGE}))
        config = replace(REAL, policy=policy) if where == "cluster" else REAL
        space = Space("shop", OPENED.labels, text) if where == "namespace" else OPENED
        assert said in why(no_image(notes=text if where == "pod" else {}), space=space, config=config)


def test_a_pod_of_a_system_priority_is_left_alone() -> None:
    assert "depends" in why(no_image(spec={"priorityClassName": "system-node-critical"}))


def test_dry_run_is_the_default_and_a_pod_can_ask_for_one() -> None:
    assert step(no_image(), config=RecoverConfig()).dry_run
    assert step(no_image(notes={POLICY_ANNOTATION: '{"dryRun": true}'})).dry_run
    assert step(no_image(notes={POLICY_ANNOTATION: '{"dryRun": false}'}), config=RecoverConfig()).dry_run


# ------------------------------------------------------------------------------------------------------------------ actions


def test_a_missing_image_leads_to_the_next_one_that_the_pod_names() -> None:
    found = step(no_image())
    assert (found.attempt.action, found.attempt.before, found.attempt.after) == (
        Action.IMAGE,
        "first.example/app:1",
        "second.example/app:1",
    )
    assert (found.attempt.what, found.attempt.cause) == ("image 2 of 3", "ImagePullBackOff (image not found)")


def test_the_third_image_follows_the_second_and_then_there_is_none() -> None:
    tried: dict[str, Any] = {"after": "second.example/app:1", "pod_uid": "uid-app-1"}
    assert step(no_image(), history=past(Action.IMAGE, **tried)).attempt.after == "third.example/app:1"
    container = {"image": "third.example/app:1"}
    assert "all images" in why(no_image(container=container), history=past(Action.IMAGE, **tried))


@pytest.mark.parametrize("said", ["toomanyrequests: rate limit", "dial tcp: i/o timeout", "pull QPS exceeded"])
def test_an_image_error_that_passes_by_itself_is_left_to_the_kubelet(said: str) -> None:
    assert "passes by itself" in why(pod(state=waiting("ErrImagePull", said), notes=IMAGES))


def test_a_pod_that_can_never_start_fails_so_that_its_job_tries_again() -> None:
    found = step(pod(state=waiting("ErrImagePull", NOT_THERE), **JOB))
    assert (found.attempt.action, found.attempt.what) == (Action.FAIL, "a retry by its Job")


@pytest.mark.parametrize("kind", ["Job", "TaskRun", "CustomRun", "Workflow", "Workload"])
def test_a_pod_of_whatever_retries_failed_pods_is_failed(kind: str) -> None:
    """Job, Tekton, Argo and Kueue."""
    found = step(pod(state=waiting("ErrImagePull", NOT_THERE), owner=kind, api="x.example/v1"))
    assert found.attempt.action is Action.FAIL


def test_an_init_containers_image_is_replaced_too() -> None:
    notes = {"recover.oomward.dev/images.fetch": "second.example/fetch:1"}
    status = [{"name": "fetch", "restartCount": 0, "ready": False, "state": waiting("ImagePullBackOff", NOT_FOUND)}]
    raw = pod(
        spec={"initContainers": [{"name": "fetch", "image": "first.example/app:1"}]},
        status={"initContainerStatuses": status},
        state=waiting("PodInitializing"),
        notes=notes,
    )
    found = step(raw)
    assert (found.attempt.action, found.attempt.container, found.attempt.after) == (
        Action.IMAGE,
        "fetch",
        "second.example/fetch:1",
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"owner": "ReplicaSet"}, "nothing retries"),
        ({**JOB, "node": ""}, "not scheduled"),
        ({**JOB, "spec": {"activeDeadlineSeconds": 1}}, "over already"),
        ({**JOB, "last": {"lastState": {"terminated": {"exitCode": 1}}}}, "has run already"),
    ],
)
def test_no_other_pod_is_failed(more: dict[str, Any], said: str) -> None:
    assert said in why(pod(state=waiting("ErrImagePull", NOT_THERE), **more))


def test_a_kill_at_the_containers_limit_leads_to_a_quarter_more_up_to_the_maximum() -> None:
    found = step(killed())
    assert (found.attempt.action, found.attempt.before, found.attempt.after) == (Action.GROW, "256Mi", "320Mi")
    assert step(killed(container=memory("1000Mi"))).attempt.after == "1Gi"
    assert "maximum" in why(killed(container=memory("1Gi")))
    assert step(killed(notes={"oomward.dev/grow": "512Mi/4Gi"})).attempt.after == "768Mi"
    both = {"oomward.dev/grow": "25%/1Gi", "recover.oomward.dev/grow.app": "100%/1Gi"}
    assert step(killed(notes=both)).attempt.after == "512Mi"


def test_the_kill_of_a_single_process_that_an_agent_reports_leads_to_growth() -> None:
    raw = killed()
    status = raw["status"]["containerStatuses"][0]
    del status["lastState"]
    status["state"] = {"running": {"startedAt": rfc3339(NOW - 600)}}
    assert "does not fail" in why(raw)
    assert step(raw, kills=(kill(),)).attempt.action is Action.GROW
    assert "pod's limit" in why(raw, kills=(kill(scope=Scope.POD),))
    for scope in (Scope.NODE, Scope.NUMA, Scope.SYSRQ):
        assert "passes by itself" in why(raw, kills=(kill(scope=scope),))


def test_growth_needs_a_kill_since_the_last_growth_and_ends_after_the_third_in_an_hour() -> None:
    done: dict[str, Any] = {"pod_uid": "uid-app-1", "state": State.DONE}
    assert "may still help" in why(killed(NOW - 800), history=past(Action.GROW, **done))
    assert "no kill since" in why(killed(NOW - 800), history=past(Action.GROW, **{**done, "state": State.SUCCEEDED}))
    assert step(killed(), history=past(Action.GROW, **done)).nth == 2
    config = replace(REAL, policy=Policy(most_attempts=9), bounds=Bounds(most_back_off_s=60.0))
    assert "3 times" in why(killed(), history=past(*[Action.GROW] * 3, **done), config=config)


def test_growth_that_was_refused_is_not_repeated() -> None:
    assert "refused" in why(killed(), history=past(Action.GROW, pod_uid="uid-app-1", state=State.REFUSED))


def test_an_optional_init_container_that_a_constraint_forbids_is_left_out_of_the_replacement() -> None:
    found = step(init_fails(owner=None, notes={OPTIONAL_INIT_ANNOTATION: "git-clone"}))
    assert (found.attempt.action, found.attempt.left_out, found.attempt.after) == (Action.REPLACE, "git-clone", "app-1")
    assert found.attempt.owner == "shop/Pod/app-1"


def test_an_init_container_that_is_not_optional_or_comes_from_a_controller_stays() -> None:
    assert "does not call init container git-clone optional" in why(init_fails(owner=None))
    assert "would make it with" in why(init_fails(notes={OPTIONAL_INIT_ANNOTATION: "git-clone"}))


def test_a_pod_without_a_controller_that_was_evicted_is_made_again() -> None:
    raw = pod(
        owner=None, phase="Failed", status={"reason": "Evicted", "message": "The node was low on resource: memory."}
    )
    assert step(raw).attempt.action is Action.REPLACE
    owned = pod(phase="Failed", status={"reason": "Evicted", "message": "The node was low on resource: memory."})
    assert "ReplicaSet replaces it" in why(owned)


def test_a_crash_loop_is_tried_again_three_times_and_not_more() -> None:
    for many in range(3):
        found = step(crash_loop(), history=past(*[Action.RETRY] * many))
        assert (found.attempt.action, found.nth, found.of) == (Action.RETRY, many + 1, 3)
    assert "all 3 attempts were made" in why(crash_loop(), history=past(*[Action.RETRY] * 3))


def test_where_one_attempt_is_allowed_it_is_the_only_one() -> None:
    once = replace(REAL, policy=Policy(most_attempts=1))
    assert why(crash_loop(), history=past(Action.RETRY), config=once).endswith("the only attempt was made")


def test_one_step_and_one_growth_of_an_hour_are_one() -> None:
    elsewhere = History((replace(past(Action.RETRY, every=60).attempts[0], owner="shop/Pod/1"),), 1)
    for key, who in (("namespace_per_hour", "namespace"), ("cluster_per_hour", "cluster")):
        tight = replace(REAL, bounds=replace(Bounds(), **{key: 1}))
        assert f"the {who} had its 1 step of this hour" in why(crash_loop(), history=elsewhere, config=tight)
    grown = past(Action.GROW, pod_uid="uid-app-1", every=1200.0)
    tight = replace(REAL, bounds=Bounds(grows_per_hour=1))
    assert "it has grown 1 time in an hour" in why(killed(), history=grown, config=tight)


def test_a_crash_loop_of_a_build_changes_its_strategy_in_order() -> None:
    found = step(crash_loop(**OF_BUILD), config=WITH_BUILDS, resource=resource("s2i"))
    assert (found.attempt.owner, found.attempt.action) == (OWNER, Action.STRATEGY)
    assert (found.attempt.before, found.attempt.after) == ("s2i", "tekton")
    assert found.attempt.resource == "/apis/ml.example/v1/namespaces/shop/notebookjobs/nb"
    changed = past(Action.STRATEGY, owner=OWNER, after="tekton")
    assert (
        step(crash_loop(**OF_BUILD), config=WITH_BUILDS, resource=resource("tekton"), history=changed).attempt.after
        == "prebuilt"
    )
    changed = past(Action.STRATEGY, Action.STRATEGY, owner=OWNER, after="prebuilt")
    assert (
        step(crash_loop(**OF_BUILD), config=WITH_BUILDS, resource=resource("prebuilt"), history=changed).attempt.action
        is Action.RETRY
    )


@pytest.mark.parametrize("index", ["1", "01", "-1", "x", "²", "9" * 5000, "-"])
def test_a_test_of_a_list_item_that_is_not_there_does_not_apply(index: str) -> None:
    swapped = ({"op": "test", "path": f"/spec/steps/{index}", "value": "build"}, *swap("s2i", "tekton"))
    builds = replace(BUILDS, entries=(StrategyEntry("s2i"), StrategyEntry("tekton", swapped)))
    one = {**resource("s2i"), "spec": {"strategy": "s2i", "steps": ["build"]}}
    config = replace(REAL, strategies=(builds,))
    assert step(crash_loop(**OF_BUILD), config=config, resource=one).attempt.action is Action.RETRY
    there = replace(builds, entries=(StrategyEntry("s2i"), StrategyEntry("tekton", _renamed(swapped, "/spec/steps/0"))))
    found = step(crash_loop(**OF_BUILD), config=replace(REAL, strategies=(there,)), resource=one)
    assert found.attempt.after == "tekton"


def _renamed(patch: tuple[Mapping[str, object], ...], path: str) -> tuple[Mapping[str, object], ...]:
    return ({**patch[0], "path": path}, *patch[1:])


def test_attempts_are_counted_afresh_for_each_strategy() -> None:
    disabled = {POLICY_ANNOTATION: '{"enableBuildFallback": false}'}
    raw, retries = crash_loop(notes=disabled, **OF_BUILD), [Action.RETRY] * 3
    assert "3 attempts" in why(raw, config=WITH_BUILDS, history=past(*retries, owner=OWNER))
    assert step(raw, config=WITH_BUILDS, history=past(*retries, Action.STRATEGY, owner=OWNER)).nth == 1


def test_a_resource_of_a_gitops_tool_or_one_that_cannot_be_read_is_left_alone() -> None:
    of_argo = resource("s2i", annotations={"argocd.argoproj.io/tracking-id": "x"})
    for one in (of_argo, None):
        assert step(crash_loop(**OF_BUILD), config=WITH_BUILDS, resource=one).attempt.action is Action.RETRY


# ------------------------------------------------------------------------------------------------------------------- bounds


def test_a_step_under_way_and_the_back_off_after_one_keep_the_owner_waiting() -> None:
    assert "under way" in why(crash_loop(), history=past(Action.RETRY, state=State.INTENDED))
    found = planned(crash_loop(), history=past(Action.RETRY, every=10))
    assert isinstance(found, Nothing)
    assert found.due_unix_s is not None
    assert NOW + 20 <= found.due_unix_s <= NOW + 27.5


def test_a_namespace_and_the_cluster_have_so_many_steps_in_an_hour() -> None:
    others = [
        replace(one, owner=f"shop/Pod/{i}", number=i)
        for i, one in enumerate(past(*[Action.RETRY] * 10, every=60).attempts, 1)
    ]
    assert "namespace had" in why(crash_loop(), history=History(tuple(others), 10))
    elsewhere = tuple(replace(one, namespace="other") for one in others)
    assert step(crash_loop(), history=History(elsewhere, 10)).nth == 1
    tight = replace(REAL, bounds=Bounds(cluster_per_hour=10))
    assert "cluster had" in why(crash_loop(), history=History(elsewhere, 10), config=tight)


def test_an_open_circuit_stops_steps_against_its_cause_only() -> None:
    assert "circuit" in why(no_image(), circuits=Circuits({"registry first.example": NOW + 1}))
    assert "circuit" in why(no_image(), circuits=Circuits({"reason image-not-found": NOW + 1}))
    assert step(no_image(), circuits=Circuits({"registry third.example": NOW + 1})).nth == 1


def test_attempts_count_for_a_day() -> None:
    old = past(*[Action.RETRY] * 3, every=30_000)
    assert step(crash_loop(), history=old).nth == 3
    assert step(crash_loop(), history=past(*[Action.RETRY] * 3, every=90_000)).nth == 1


def test_a_full_journal_stops_everything_until_its_attempts_are_a_day_old() -> None:
    one = past(Action.RETRY, owner="other/Pod/x", namespace="other", every=7200).attempts[0]
    many = [replace(one, number=i) for i in range(1, 1501)]
    full = History(tuple(many), 1500)
    assert "journal is full" in why(crash_loop(), history=full)
    with pytest.raises(FullError):
        full.with_intent(step(crash_loop()).attempt, NOW)
    assert len(full.with_intent(step(crash_loop()).attempt, NOW + 90_000).attempts) == 1


def test_a_pod_that_cannot_work_is_not_tried_again() -> None:
    raw = crash_loop()
    raw["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] = 127
    assert "would fail again" in why(raw)


def test_a_pod_that_can_never_start_has_five_minutes_for_somebody_to_help_it() -> None:
    assert "may still start" in why(pod(state=waiting("ErrImagePull", NOT_THERE), created=NOW - 299, **JOB))
