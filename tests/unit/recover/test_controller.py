"""Each action from the failing pod to the recovered one, with its messages; bounds; dry run; what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from agent.model.recover import (
    OPTIONAL_INIT_ANNOTATION,
    REPLACES_ANNOTATION,
    STATUS_ANNOTATION,
    STEP_ANNOTATION,
    Action,
    Attempt,
    Bounds,
    Policy,
    RecoverConfig,
    State,
)
from agent.recover.executor import MOST_TRIES, RIGHTS
from agent.recover.planner import plan
from agent.recover.still import still
from agent.recover.subject import Subject
from agent.wording.times import rfc3339
from tests.lab.apifaults import Fault, How
from tests.manifests.objects import COMPONENTS
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import (
    NOT_FOUND,
    NOW,
    REAL,
    crash_loop,
    init_fails,
    killed,
    memory,
    no_image,
    past,
    pod,
    ready,
    waiting,
)
from tests.unit.recover.scenarios import CR
from tests.unit.recover.test_planner import JOB, NOT_THERE, OF_BUILD, WITH_BUILDS, resource


def states(lab: Lab) -> list[State]:
    return [one.state for one in lab.history.attempts]


def become_ready(lab: Lab, name: str, since: float) -> None:
    lab.put(ready(lab.pod(name), since))


def status(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["annotations"].get(STATUS_ANNOTATION))


def test_an_image_that_is_not_found_is_replaced_and_counted_as_a_success_when_the_pod_has_stayed_ready(
    lab: Lab,
) -> None:
    lab.put(no_image())
    controller = lab.replica()
    controller.look(NOW)
    assert lab.pod()["spec"]["containers"][0]["image"] == "second.example/app:1"
    assert states(lab) == [State.DONE]
    become_ready(lab, "app-1", NOW + 20)
    controller.look(NOW + 60)
    assert states(lab) == [State.DONE]
    controller.look(NOW + 141)
    assert states(lab) == [State.SUCCEEDED]
    text = "ImagePullBackOff (image not found). Recovered with image 2 of 3 after 1 attempt."
    assert status(lab.pod()) == text
    assert lab.notes == [
        "RecoveryStarted: ImagePullBackOff (image not found). Trying image 2 of 3 (attempt 1 of 3).",
        f"RecoverySucceeded: {text}",
    ]


def test_a_second_image_that_fails_too_leads_to_the_third_after_the_back_off(lab: Lab) -> None:
    lab.put(no_image())
    controller = lab.replica()
    for seconds in (0, 10, 20, 40):
        controller.look(NOW + seconds)
        nothing_of(lab, lab.pod()["spec"]["containers"][0]["image"])
    assert lab.pod()["spec"]["containers"][0]["image"] == "third.example/app:1"
    assert states(lab) == [State.FAILED, State.DONE]
    controller.look(NOW + 400)
    assert states(lab) == [State.FAILED, State.DONE]
    assert not any("NotDone" in one for one in lab.notes), "it is not known yet how the last one ends"
    controller.look(NOW + 2000)
    assert states(lab) == [State.FAILED, State.FAILED]
    controller.look(NOW + 2200)
    assert any("all images that the pod names were tried" in one for one in lab.notes)
    assert (
        status(lab.pod())
        == "ImagePullBackOff (image not found). Image 3 of 3 did not help: the pod did not stay ready (2 attempts)."
    )


def nothing_of(lab: Lab, image: str) -> None:
    """The kubelet has tried this image, and says that it is not there."""
    said = waiting("ImagePullBackOff", NOT_FOUND.replace("first.example/app:1", image))
    lab.change("app-1", lambda raw: raw["status"]["containerStatuses"][0].update(state=said))


def test_an_image_has_time_to_be_pulled_while_the_kubelet_shows_the_error_of_the_one_before(lab: Lab) -> None:
    """Its reasonCache has an error until the container starts, and a large image takes minutes."""
    lab.put(no_image())
    controller = lab.replica()
    for seconds in (0, 40, 100, 200, 290):
        controller.look(NOW + seconds)
    assert lab.pod()["spec"]["containers"][0]["image"] == "second.example/app:1"
    assert states(lab) == [State.DONE]
    controller.look(NOW + 301)
    assert lab.pod()["spec"]["containers"][0]["image"] == "third.example/app:1"


def test_an_image_that_is_there_but_whose_container_fails_is_not_waited_for(lab: Lab) -> None:
    lab.put(no_image())
    controller = lab.replica()
    controller.look(NOW)
    lab.change("app-1", lambda raw: raw["status"].update(containerStatuses=crash_loop()["status"]["containerStatuses"]))
    controller.look(NOW + 40)
    assert [(one.action, one.state) for one in lab.history.attempts] == [
        (Action.IMAGE, State.FAILED),
        (Action.RETRY, State.DONE),
    ]


def test_a_dry_run_writes_nothing_but_the_event_that_it_would_have_caused_once(lab: Lab) -> None:
    lab.config = RecoverConfig()
    lab.put(no_image())
    before = lab.pod()
    controller = lab.replica()
    for seconds in range(0, 100, 10):
        controller.look(NOW + seconds)
    assert lab.pod() == before
    assert lab.history.attempts == ()
    assert lab.notes == [
        "RecoveryPlanned: ImagePullBackOff (image not found). Dry run: would try image 2 of 3 (attempt 1 of 3).",
    ]
    assert (lab.writes("/events"), lab.writes("/pods/")) == (1, 0)


def test_memory_grows_in_place_and_the_qos_class_stays(lab: Lab) -> None:
    lab.put(killed(container=memory("256Mi", "256Mi")))
    controller = lab.replica()
    controller.look(NOW)
    assert lab.pod()["spec"]["containers"][0]["resources"] == {
        "limits": {"memory": "320Mi"},
        "requests": {"memory": "320Mi"},
    }
    become_ready(lab, "app-1", NOW - 20)
    controller.look(NOW + 200)
    assert states(lab) == [State.DONE]  # the status does not have it yet
    lab.change("app-1", lambda raw: raw["status"]["containerStatuses"][0].update(memory("320Mi")))
    controller.look(NOW + 210)
    assert status(lab.pod()) == "OOMKilledContainer (running after oom). Recovered with memory 320Mi after 1 attempt."


def test_a_request_below_the_limit_stays_where_it_is(lab: Lab) -> None:
    lab.put(killed(container=memory("256Mi", "64Mi")))
    lab.replica().look(NOW)
    assert lab.pod()["spec"]["containers"][0]["resources"] == {
        "limits": {"memory": "320Mi"},
        "requests": {"memory": "64Mi"},
    }


@pytest.mark.parametrize("reason", ["Deferred", "Infeasible"])
def test_a_resize_that_the_kubelet_refuses_is_reported_and_not_repeated(lab: Lab, reason: str) -> None:
    lab.put(killed())
    controller = lab.replica()
    controller.look(NOW)
    condition = {
        "type": "PodResizePending",
        "status": "True",
        "reason": reason,
        "message": "Node didn't have enough capacity: memory",
    }
    lab.change("app-1", lambda raw: raw["status"].update(conditions=[condition]))
    controller.look(NOW + 20)
    end = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": rfc3339(NOW + 900), "startedAt": rfc3339(NOW)}
    lab.change("app-1", lambda raw: raw["status"]["containerStatuses"][0].update(lastState={"terminated": end}))
    controller.look(NOW + 1000)
    assert states(lab) == [State.REFUSED]
    assert any(f"the resize is {reason}" in one and "not repeated" in one for one in lab.notes)


def test_a_quota_that_forbids_the_growth_ends_it(lab: Lab) -> None:
    lab.put(killed())
    lab.server.objects.admission.append(
        lambda _verb, path, _new, _old: "exceeded quota: memory" if path.endswith("/resize") else None
    )
    controller = lab.replica()
    controller.look(NOW)
    controller.look(NOW + 400)
    assert states(lab) == [State.REFUSED]
    assert "exceeded quota" in lab.history.attempts[0].result


def test_a_pod_cgroup_left_at_its_old_limit_ends_the_growth_after_five_minutes(lab: Lab) -> None:
    lab.put(killed())
    controller = lab.replica()
    controller.look(NOW)
    controller.look(NOW + 299)
    assert states(lab) == [State.DONE]
    controller.look(NOW + 301)
    assert lab.history.attempts[0].result == "the new limit is not in force after 5 minutes"


def test_a_pod_that_can_never_start_gets_a_deadline_that_is_over(lab: Lab) -> None:
    lab.put(pod(state=waiting("ErrImagePull", NOT_THERE), **JOB))
    controller = lab.replica()
    controller.look(NOW)
    assert lab.pod()["spec"]["activeDeadlineSeconds"] == 1
    lab.server.delete_pod("shop", "app-1")
    lab.put(pod(name="app-2", created=NOW + 5, **JOB))
    become_ready(lab, "app-2", NOW + 6)
    controller.look(NOW + 200)
    assert status(lab.pod("app-2")) == (
        "ErrImagePull (image not found). Recovered with a retry by its Job after 1 attempt."
    )


def test_a_crash_loop_of_a_controllers_pod_is_evicted_and_a_budget_is_respected(lab: Lab) -> None:
    lab.put(crash_loop())
    lab.server.objects.budgets.add("app-1")
    controller = lab.replica()
    for seconds in (0, 5, 31):
        controller.look(NOW + seconds)
    assert states(lab) == [State.INTENDED]
    lab.server.objects.budgets.clear()
    controller.look(NOW + 40)
    assert lab.pod()
    controller.look(NOW + 70)
    assert ("shop", "app-1") not in lab.server.store.pods
    assert states(lab) == [State.DONE]


def test_an_eviction_that_a_budget_forbids_for_a_quarter_of_an_hour_is_given_up(lab: Lab) -> None:
    lab.put(crash_loop())
    lab.server.objects.budgets.add("app-1")
    controller = lab.replica()
    for seconds in range(0, 1000, 100):
        controller.look(NOW + seconds)
    assert states(lab) == [State.DROPPED]
    assert "disruption budget" in lab.history.attempts[0].result


def test_an_optional_init_container_is_left_out_of_the_pod_that_replaces_one_without_a_controller(lab: Lab) -> None:
    lab.put(
        init_fails(
            owner=None, notes={OPTIONAL_INIT_ANNOTATION: "git-clone"}, spec={"volumes": [{"name": "kube-api-access-x"}]}
        )
    )
    lab.replica().look(NOW)
    assert list(lab.server.store.pods) == [("shop", "app-1-r1")]
    made = lab.pod("app-1-r1")
    assert (made["spec"]["initContainers"], made["spec"]["volumes"], "nodeName" in made["spec"]) == ([], [], False)
    assert made["metadata"]["labels"] == {"app": "app"}
    assert made["metadata"]["annotations"][REPLACES_ANNOTATION] == "app-1"
    assert made["metadata"]["annotations"][STEP_ANNOTATION] == "1.1"


def test_a_replacement_counts_for_the_first_pod_and_keeps_its_name(lab: Lab) -> None:
    lab.put(crash_loop(owner=None))
    controller = lab.replica()
    controller.look(NOW)
    for number, at in ((1, NOW + 100), (2, NOW + 300)):
        lab.change(f"app-1-r{number}", lambda raw: raw.update(status=crash_loop()["status"]))
        controller.look(at)
    assert [one.owner for one in lab.history.attempts] == ["shop/Pod/app-1"] * 3
    assert list(lab.server.store.pods) == [("shop", "app-1-r3")]


def test_a_name_that_is_taken_ends_the_replacement_and_evicts_nothing(lab: Lab) -> None:
    lab.put(crash_loop(owner=None), pod(name="app-1-r1", asks=None))
    lab.replica().look(NOW)
    assert states(lab) == [State.REFUSED]
    assert lab.pod()


def test_a_strategy_changes_the_resource_which_carries_the_message(lab: Lab) -> None:
    lab.config = WITH_BUILDS
    lab.server.objects.kinds.add(("/apis/ml.example/v1", "notebookjobs"))
    lab.server.objects.stored["/apis/ml.example/v1", "notebookjobs", "shop", "nb"] = resource("s2i")
    lab.put(crash_loop(labels={"ml.example/job": "nb"}, **JOB))
    controller = lab.replica()
    controller.look(NOW)
    found = lab.server.objects.stored["/apis/ml.example/v1", "notebookjobs", "shop", "nb"]
    assert found["spec"] == {"strategy": "tekton"}
    assert status(found) == "CrashLoopBackOff (ended exit code). Trying strategy tekton."
    lab.server.delete_pod("shop", "app-1")
    lab.put(pod(name="app-2", created=NOW + 5, labels={"ml.example/job": "nb"}, **JOB))
    become_ready(lab, "app-2", NOW + 6)
    controller.look(NOW + 200)
    found = lab.server.objects.stored["/apis/ml.example/v1", "notebookjobs", "shop", "nb"]
    text = "CrashLoopBackOff (ended exit code). Recovered with strategy tekton after 1 attempt."
    assert (status(found), status(lab.pod("app-2"))) == (text, text)


def test_a_refusal_by_admission_is_reported_with_its_words(lab: Lab) -> None:
    lab.put(no_image())
    lab.server.objects.admission.append(
        lambda _verb, path, _new, _old: "an image that is not listed" if "/pods/" in path else None
    )
    lab.replica().look(NOW)
    assert states(lab) == [State.REFUSED]
    assert any("an image that is not listed" in one for one in lab.notes)


def test_many_owners_that_fail_at_one_registry_open_the_circuit(lab: Lab) -> None:
    lab.config = replace(REAL, bounds=Bounds(breaker_owners=3))
    for i in range(3):
        raw = no_image(name=f"app-{i}")
        raw["metadata"]["ownerReferences"][0]["name"] = f"app-{i}"
        lab.put(raw)
    controller = lab.replica()
    controller.look(NOW)
    assert lab.history.attempts == ()
    assert sum("the circuit breaker is open" in one for one in lab.notes) == 3
    lab.server.delete_pod("shop", "app-0")
    controller.look(NOW + 599)
    assert lab.history.attempts == ()
    controller.look(NOW + 1201)
    assert len(lab.history.attempts) == 2


def test_a_replica_that_does_not_lead_any_more_shows_no_open_circuit(lab: Lab) -> None:
    """The alert would last as long as its process otherwise."""
    lab.config = replace(REAL, bounds=Bounds(breaker_owners=1))
    lab.put(no_image())
    controller = lab.replica()
    controller.look(NOW)
    assert "oomward_recovery_circuits_open 0.0" not in lab.metrics["a"].page()[1].decode()
    lab.leading["a"] = False
    controller.look(NOW + 1)
    assert "oomward_recovery_circuits_open 0.0" in lab.metrics["a"].page()[1].decode()


def test_one_owner_gets_one_step_at_a_time_however_many_of_its_pods_fail(lab: Lab) -> None:
    lab.put(*(crash_loop(name=f"app-{i}") for i in range(5)))
    lab.replica().look(NOW)
    assert len(lab.history.attempts) == 1


def test_the_metrics_count_by_action_and_result(lab: Lab) -> None:
    lab.put(no_image())
    controller = lab.replica()
    controller.look(NOW)
    become_ready(lab, "app-1", NOW + 20)
    controller.look(NOW + 300)
    page = lab.metrics["a"].page()[1].decode()
    assert 'oomward_recoveries_total{action="image",result="started"} 1.0' in page
    assert 'oomward_recoveries_total{action="image",result="succeeded"} 1.0' in page
    assert 'oomward_recoveries_total{action="grow",result="failed"} 0.0' in page


@pytest.mark.parametrize("how", [How.STATUS, How.CLOSE, How.LOST_ANSWER])
@pytest.mark.parametrize(
    "path", ["/api/v1/namespaces/oomward/configmaps", "/api/v1/namespaces/shop/pods", "/apis/events.k8s.io"]
)
def test_a_request_that_fails_or_whose_answer_is_lost_costs_time_and_nothing_else(
    lab: Lab, how: How, path: str
) -> None:
    lab.put(no_image())
    lab.server.faults.add(Fault(how, path=path, times=1))
    controller = lab.replica()
    for seconds in (0, 31, 62):
        controller.look(NOW + seconds)
    images = [one.after for one in lab.history.attempts]
    assert images in (["second.example/app:1"], ["second.example/app:1", "third.example/app:1"])
    assert lab.history.attempts[0].at_unix_s <= NOW + 31


def test_a_journal_that_cannot_be_read_stops_everything(lab: Lab) -> None:
    lab.put(no_image())
    body = {
        "metadata": {"name": "oomward-recover", "namespace": "oomward", "resourceVersion": "5"},
        "data": {"journal.json": "{"},
    }
    lab.server.objects.stored["/api/v1", "configmaps", "oomward", "oomward-recover"] = body
    controller = lab.replica()
    controller.look(NOW)
    assert lab.writes("") == 0


@pytest.mark.parametrize("state", [State.INTENDED, State.DONE, State.FAILED])
@pytest.mark.parametrize("odd", ["9" * 401, "9" * 4301, "1e999", "NaN", "true"])
def test_a_row_of_an_edited_journal_that_cannot_be_read_is_logged_once_and_the_others_go_on(
    lab: Lab, caplog: pytest.LogCaptureFixture, state: State, odd: str
) -> None:
    lab.put(no_image(), crash_loop(name="other", owner="Job"))
    before = past(Action.IMAGE, Action.IMAGE, after="second.example/app:1", state=state).text
    text = before.replace(f'"at_unix_s":{NOW - 700.0}', f'"at_unix_s":{odd}')
    assert text != before
    body = {
        "metadata": {"name": "oomward-recover", "namespace": "oomward", "resourceVersion": "5"},
        "data": {"journal.json": text},
    }
    lab.server.objects.stored["/api/v1", "configmaps", "oomward", "oomward-recover"] = body
    controller = lab.replica()
    for seconds in range(0, 200, 40):
        controller.look(NOW + seconds)
        controller._journal.forget()
    said = [one.getMessage() for one in caplog.records if "row 2" in one.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("the journal (ConfigMap oomward/oomward-recover): row 2 ")
    assert {one.number for one in lab.history.attempts} >= {1, 3}
    assert 2 not in {one.number for one in lab.history.attempts}
    assert "other" in {one.pod for one in lab.history.attempts}
    assert not [one for one in caplog.records if one.exc_info]


def test_a_step_of_an_edited_journal_that_began_in_a_thousand_years_is_given_up_after_a_number_of_tries(
    lab: Lab,
) -> None:
    lab.put(crash_loop())
    lab.server.objects.budgets.add("app-1")
    lab.replica().look(NOW)
    stored = lab.server.objects.stored["/api/v1", "configmaps", "oomward", "oomward-recover"]
    (attempt,) = lab.history.attempts
    edited = replace(attempt, at_unix_s=NOW + 3e10, tries=MOST_TRIES - 2)
    stored["data"]["journal.json"] = lab.history.changed(edited).text
    controller = lab.replica("b")
    controller.look(NOW + 31)
    assert states(lab) == [State.INTENDED]
    controller.look(NOW + 62)
    assert states(lab) == [State.DROPPED]


VERSIONED = b'{"metadata": {"resourceVersion": "5"}, "data": %s}'
NO_OBJECTS = [b"null", b"[]", b"{}", b'"x"', b"5", b'{"metadata": 5}', b'{"metadata": {"resourceVersion": 5}}']


@pytest.mark.parametrize(
    "body",
    [*NO_OBJECTS, *(VERSIONED % data for data in (b"[]", b'"x"', b'{"journal.json": null}', b'{"journal.json": []}'))],
)
@pytest.mark.parametrize("verb", ["get", "create"])
def test_an_answer_that_is_no_journal_is_not_taken_for_an_empty_one(
    lab: Lab, caplog: pytest.LogCaptureFixture, verb: str, body: bytes
) -> None:
    lab.put(no_image())
    lab.server.faults.add(Fault(How.BODY, verb=verb, path="/api/v1/namespaces/oomward/configmaps", body=body))
    controller = lab.replica()
    controller.look(NOW)
    assert lab.writes("/shop/") == 0
    assert ["has to wait: the API's answer" in one.getMessage() for one in caplog.records] == [True]
    controller.look(NOW + 5)
    assert [one.number for one in lab.history.attempts] == [1]


@pytest.mark.parametrize(
    "body", [*NO_OBJECTS, b'{"metadata": {"uid": "uid-app-1"}}', b'{"metadata": {"uid": "uid-app-1"}, "spec": []}']
)
def test_an_answer_that_is_no_pod_keeps_no_other_waiting_and_is_no_fault_of_ours(
    lab: Lab, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    lab.put(killed(name="app-1"), crash_loop(name="app-2", owner="Job"))
    lab.server.faults.add(Fault(How.BODY, verb="get", path="/api/v1/namespaces/shop/pods/app-1", body=body, times=3))
    controller = lab.replica()
    controller.look(NOW)
    assert [one.pod for one in lab.history.attempts] == ["app-2"]
    for seconds in range(5, 50, 5):
        controller.look(NOW + seconds)
    assert {one.pod for one in lab.history.attempts} == {"app-1", "app-2"}
    assert not [one for one in caplog.records if one.exc_info]


@pytest.mark.parametrize("body", [*NO_OBJECTS, b'{"metadata": {"uid": "uid-app-1"}}'])
def test_an_answer_that_is_no_pod_in_the_middle_of_a_step_makes_it_wait(
    lab: Lab, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    lab.put(killed())
    odd = Fault(How.BODY, verb="get", path="/api/v1/namespaces/shop/pods/app-1", body=body, times=None)
    lab.replica("a", after_write=lambda _method, _path: lab.server.faults.add(odd)).look(NOW)
    assert states(lab) == [State.INTENDED]
    lab.server.faults.clear()
    lab.replica("b").look(NOW + 31)
    assert states(lab) == [State.DONE]
    assert not [one for one in caplog.records if one.exc_info]


def test_attempts_outlive_the_pods_and_the_controller(lab: Lab) -> None:
    lab.config = replace(REAL, policy=Policy(most_attempts=2))
    for i in range(4):
        lab.put(crash_loop(name=f"app-{i}"))
        lab.replica(f"replica-{i}").look(NOW + 1000 * i)
    assert [one.action for one in lab.history.attempts] == [Action.RETRY] * 2
    assert any("2 attempts were made" in one for one in lab.notes)


def test_a_pod_that_the_api_refuses_everything_about_keeps_no_other_waiting(lab: Lab) -> None:
    lab.put(crash_loop(name="app-1"), crash_loop(name="app-2", owner="Job"))
    lab.server.faults.add(Fault(How.STATUS, path="/api/v1/namespaces/shop/pods/app-1", status=403, times=None))
    lab.replica().look(NOW)
    assert {one.pod: one.state for one in lab.history.attempts} == {"app-2": State.DONE}


def test_a_pod_that_the_api_lets_nobody_evict_keeps_no_other_waiting(lab: Lab) -> None:
    lab.put(crash_loop(name="app-1"), crash_loop(name="app-2", owner="Job"))
    path = "/api/v1/namespaces/shop/pods/app-1"
    lab.server.faults.add(Fault(How.STATUS, verb="create", path=path, status=500, times=None))
    lab.replica().look(NOW)
    assert {one.pod: one.state for one in lab.history.attempts} == {"app-1": State.INTENDED, "app-2": State.DONE}


def test_a_step_that_can_be_neither_read_nor_done_is_given_up(lab: Lab) -> None:
    lab.put(crash_loop())
    path = "/api/v1/namespaces/shop/pods/app-1"

    def refuse(_method: str, _path: str) -> None:
        if lab.history.attempts and not refused:
            refused.append(path)
            lab.server.faults.add(Fault(How.STATUS, path=path, status=403, times=None))

    refused: list[str] = []
    controller = lab.replica("a", after_write=refuse)
    for seconds in range(0, 1000, 40):
        controller.look(NOW + seconds)
    assert states(lab) == [State.DROPPED]
    assert "could not be carried out in time" in lab.history.attempts[0].result


def test_a_fault_of_ours_about_one_pod_keeps_no_other_waiting(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.put(crash_loop(name="app-1"), crash_loop(name="app-2", owner="Job"))

    def faulty(subject: Subject, *more: Any) -> Any:
        if subject.pod.name == "app-1":
            raise KeyError("a fault")
        return plan(subject, *more)

    monkeypatch.setattr("agent.recover.controller.plan", faulty)
    lab.replica().look(NOW)
    assert [one.pod for one in lab.history.attempts] == ["app-2"]


@pytest.mark.parametrize("fault", [KeyError("a fault"), OverflowError("too large"), RecursionError("too deep")])
def test_a_step_that_meets_a_fault_of_ours_each_time_is_given_up_and_the_fault_is_logged_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    """Otherwise it would be tried again and again, and the journal written each time."""
    lab.put(crash_loop(name="app-1"), crash_loop(name="app-2", owner="Job"))

    def faulty(attempt: Attempt, *more: Any) -> Any:
        if attempt.pod == "app-1":
            raise fault
        return still(attempt, *more)

    monkeypatch.setattr("agent.recover.executor.still", faulty)
    controller = lab.replica()
    for seconds in range(0, 1000, 40):
        controller.look(NOW + seconds)
    first, other = lab.history.attempts[:2]
    assert (first.pod, first.state, other.pod, other.state) == ("app-1", State.DROPPED, "app-2", State.DONE)
    assert "could not be carried out in time: a fault of oomward" in first.result
    assert sum(one.startswith("RecoveryFailed") and str(fault.args[0]) in one for one in lab.notes) == 1
    assert len([one for one in caplog.records if one.exc_info]) == 1


def test_a_step_whose_effect_we_fail_to_judge_is_given_up_and_the_fault_is_logged_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab.put(no_image())

    def faulty(*_: Any) -> Any:
        raise OverflowError("int too large to convert to float")

    monkeypatch.setattr("agent.recover.controller.settled", faulty)
    controller = lab.replica()
    for seconds in range(0, 290, 10):
        controller.look(NOW + seconds)
    assert states(lab) == [State.DONE]
    assert len([one for one in caplog.records if one.exc_info]) == 1
    lab.server.delete_pod("shop", "app-1")
    controller.look(NOW + 1801)
    assert states(lab) == [State.FAILED]
    assert any("int too large to convert to float" in one for one in lab.notes if one.startswith("RecoveryFailed"))


def test_a_step_whose_request_is_never_answered_is_given_up_and_keeps_no_other_waiting(lab: Lab) -> None:
    """As one that meets a webhook that hangs."""
    lab.put(crash_loop(name="app-1"), crash_loop(name="app-2", owner="Job"))
    lab.server.faults.add(Fault(How.CLOSE, verb="create", path="/api/v1/namespaces/shop/pods/app-1", times=None))
    controller = lab.replica()
    controller.look(NOW)
    assert {one.pod: one.state for one in lab.history.attempts} == {"app-1": State.INTENDED, "app-2": State.DONE}
    for seconds in range(40, 1000, 40):
        controller.look(NOW + seconds)
    first = next(one for one in lab.history.attempts if one.pod == "app-1")
    assert first.state is State.DROPPED
    assert "could not be carried out in time: no answer from the API" in first.result


def test_a_resource_that_never_answers_costs_its_message_only(lab: Lab) -> None:
    """As one with a conversion webhook that hangs."""
    lab.config = WITH_BUILDS
    lab.server.objects.kinds.add(CR[:2])
    lab.server.objects.stored[CR] = resource("s2i")
    lab.put(crash_loop(**OF_BUILD))
    controller = lab.replica()
    controller.look(NOW)
    assert states(lab) == [State.DONE]
    lab.server.faults.add(Fault(How.CLOSE, path="/apis/ml.example/", times=None))
    lab.put(crash_loop(name="other", owner="Job"))
    controller.look(NOW + 2000)
    assert [(one.pod, one.state) for one in lab.history.attempts] == [
        ("app-1", State.FAILED),
        ("other", State.DONE),
    ]


def test_a_right_that_is_missing_is_named_with_the_component_that_gives_it(lab: Lab) -> None:
    lab.put(no_image())
    said = 'pods "app-1" is forbidden: User "system:serviceaccount:oomward:oomward-recover" cannot patch resource "pods" in API group ""'
    path = "/api/v1/namespaces/shop/pods"
    lab.server.faults.add(
        Fault(How.STATUS, verb="patch", path=path, status=403, reason="Forbidden", message=said, times=None)
    )
    lab.replica().look(NOW)
    assert states(lab) == [State.REFUSED]
    assert any(
        one.startswith("RecoveryFailed") and "the right of components/recover-image is missing: pods" in one
        for one in lab.notes
    )


@pytest.mark.parametrize(
    "raw",
    [
        pod(phase="Succeeded", state={"terminated": {"exitCode": 0, "reason": "Completed"}}, **JOB),
        pod(state=waiting("ImagePullBackOff", "toomanyrequests: You have reached your pull rate limit")),
        pod(phase="Running", state={"running": {"startedAt": rfc3339(NOW - 5)}}, created=NOW - 6),
        pod(state={}, created=NOW - 2, status={"containerStatuses": []}),
    ],
    ids=["completed", "passes by itself", "not ready yet", "new"],
)
def test_nobody_is_warned_of_what_needs_no_recovery(lab: Lab, raw: Any) -> None:
    lab.put(raw)
    lab.replica().look(NOW)
    assert lab.notes == []


def test_a_change_of_one_container_is_not_judged_by_the_failure_of_another(lab: Lab) -> None:
    raw = killed()
    raw["spec"]["containers"].append({"name": "side", "image": "x", **memory("64Mi")})
    raw["status"]["containerStatuses"].append({**raw["status"]["containerStatuses"][0], "name": "side"})
    lab.put(raw)
    controller = lab.replica()
    controller.look(NOW)
    controller.look(NOW + 40)
    assert [(one.container, one.state) for one in lab.history.attempts] == [("app", State.DONE), ("side", State.DONE)]
    assert [one.split(". ")[0] for one in lab.notes] == [
        "RecoveryStarted: OOMKilledContainer (running after oom) in container app",
        "RecoveryStarted: OOMKilledContainer (running after oom) in container side",
    ]


def test_a_pod_that_cannot_be_read_is_named_once(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    raw = no_image()
    raw["status"]["containerStatuses"] = [{"name": "app", "state": "x"}]
    lab.put(raw)
    controller = lab.replica()
    with caplog.at_level("WARNING", "oomward"):
        for seconds in (0, 5, 10):
            controller.look(NOW + seconds)
    assert [one.getMessage().split(":")[0] for one in caplog.records] == ["pod shop/app-1 can't be read"]


def test_the_reason_of_a_refusal_is_not_cut_off_by_long_names(lab: Lab) -> None:
    said = f"pods {'a' * 253} is forbidden: ValidatingAdmissionPolicy {'x' * 60} denied request: it is not listed"
    lab.put(no_image())
    lab.server.objects.admission.append(lambda _verb, path, _new, _old: said if "/pods/" in path else None)
    lab.replica().look(NOW)
    assert lab.history.attempts[0].result.endswith("denied request: it is not listed")


def test_the_components_that_a_missing_right_names_are_there() -> None:
    assert set(RIGHTS) == set(Action)
    named = set(re.findall(r"recover-[a-z]+", " ".join(RIGHTS.values())))
    assert named <= {component.name for component in COMPONENTS}
