"""grow within what there is: the node's memory, the quota, the QoS class, and reports of pressure before a kill."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.pressure import GROW_ON_PRESSURE_ANNOTATION
from agent.model.recover import Action, State
from agent.wording.times import rfc3339
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import NOW, killed, memory, past, pod, step, waiting, why

Json = dict[str, Any]
ASKS = {"oomward.dev/grow": "25%/1Gi", GROW_ON_PRESSURE_ANNOTATION: "true"}


def node(allocatable: str, *, short: bool = False) -> Json:
    conditions = [{"type": "Ready", "status": "True"}, {"type": "MemoryPressure", "status": str(short)}]
    return {
        "metadata": {"name": "node-1"},
        "status": {"allocatable": {"memory": allocatable}, "conditions": conditions},
    }


def running(**more: Any) -> Json:
    """It runs, and nothing was killed."""
    return pod(
        phase="Running", state={"running": {}}, last={"ready": True}, container=memory("256Mi"), notes=ASKS, **more
    )


@pytest.mark.parametrize(
    ("made", "state", "why"),
    [
        (node("300Mi"), State.REFUSED, "its node has 300Mi for all pods"),
        (node("8Gi", short=True), State.DROPPED, "its node is short of memory (MemoryPressure)"),
    ],
)
def test_no_limit_is_raised_beyond_what_the_node_has(lab: Lab, made: Json, state: State, why: str) -> None:
    lab.server.store.nodes["node-1"] = made
    lab.put(killed())
    lab.replica().look(NOW)
    assert lab.pod()["spec"] == killed()["spec"]
    assert [(one.state, one.result) for one in lab.history.attempts] == [(state, why)]


def test_a_node_with_room_lets_it_grow(lab: Lab) -> None:
    lab.server.store.nodes["node-1"] = node("320Mi")
    lab.put(killed())
    lab.replica().look(NOW)
    assert [one.state for one in lab.history.attempts] == [State.DONE]


def test_a_node_that_must_not_be_read_leaves_the_decision_to_the_kubelet(lab: Lab) -> None:
    from tests.lab.apifaults import Fault, How

    lab.server.faults.add(Fault(How.STATUS, path="/api/v1/nodes/", status=403, times=None))
    lab.put(killed())
    lab.replica().look(NOW)
    assert [one.state for one in lab.history.attempts] == [State.DONE]


@pytest.mark.parametrize("request_", [None, "256Mi", "64Mi", "268435456"])
def test_the_qos_class_is_the_same_after_every_growth(lab: Lab, request_: str | None) -> None:
    """The stand-in refuses a resize that changes it, as the API server does."""
    lab.put(killed(container=memory("256Mi", request_)))
    lab.replica().look(NOW)
    assert [one.state for one in lab.history.attempts] == [State.DONE]


def test_pressure_leads_to_growth_each_time_that_it_is_reported_again() -> None:
    assert step(running(), pressed={"app": NOW - 10}).attempt.action is Action.GROW
    grown = past(Action.GROW, pod_uid="uid-app-1", every=200.0)
    assert "since the last growth" in why(running(), pressed={"app": NOW - 210}, history=grown)
    assert step(running(), pressed={"app": NOW - 10}, history=grown).attempt.action is Action.GROW


def test_an_old_kill_does_not_hide_that_the_container_is_at_its_limit_again() -> None:
    grown = past(Action.GROW, pod_uid="uid-app-1", every=200.0)
    raw = killed(at=NOW - 400, notes=ASKS)
    assert "since the last growth" in why(raw, history=grown)
    assert step(raw, history=grown, pressed={"app": NOW - 10}).attempt.action is Action.GROW


def test_pressure_counts_against_the_bounds_of_growth() -> None:
    often = past(*[Action.GROW] * 3, pod_uid="uid-app-1", every=200.0)
    assert "3 times in an hour" in why(running(), pressed={"app": NOW - 10}, history=often)


@pytest.mark.parametrize("kind", ["init", "ephemeral"])
def test_only_containers_that_can_be_resized_grow(kind: str) -> None:
    field = "initContainers" if kind == "init" else "ephemeralContainers"
    raw = killed(spec={field: [{"name": "other", "image": "x", **memory("64Mi")}]})
    assert step(raw).attempt.container == "app"


def test_a_sidecar_grows(lab: Lab) -> None:
    side = {"name": "side", "image": "x", "restartPolicy": "Always", **memory("64Mi")}
    raw = running(spec={"initContainers": [side]})
    found = step(raw, pressed={"side": NOW - 10})
    assert (found.attempt.container, found.attempt.after) == ("side", "80Mi")


def in_crash_loop(**more: Any) -> Json:
    """Killed at its limit, and waiting for its restart."""
    at, back_off = rfc3339(NOW - 20), waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container")
    end = {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": at, "startedAt": at}}
    notes = {"oomward.dev/grow": "25%/1Gi"}
    last = {"lastState": end}
    return pod(phase="Running", state=back_off, last=last, restarts=5, container=memory("256Mi"), notes=notes, **more)


def test_a_container_that_has_grown_keeps_its_pod_while_it_waits_for_its_restart(lab: Lab) -> None:
    """An eviction would lose the new limit, and the kubelet's back-off is up to five minutes."""
    lab.put(in_crash_loop())
    controller = lab.replica()
    for seconds in (0, 35, 60, 120, 299, 301, 590):
        controller.look(NOW + seconds)
    assert [(one.action, one.state) for one in lab.history.attempts] == [(Action.GROW, State.DONE)]
    assert ("shop", "app-1") in lab.server.store.pods
    controller.look(NOW + 700)
    assert lab.history.attempts[0].result == "the new limit is not in force after 10 minutes"


def test_a_container_that_is_killed_again_after_its_growth_grows_again(lab: Lab) -> None:
    lab.put(in_crash_loop())
    controller = lab.replica()
    controller.look(NOW)
    end = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": rfc3339(NOW + 200), "startedAt": rfc3339(NOW + 100)}
    lab.change("app-1", lambda raw: raw["status"]["containerStatuses"][0].update(lastState={"terminated": end}))
    controller.look(NOW + 210)
    assert [(one.action, one.state, one.after) for one in lab.history.attempts] == [
        (Action.GROW, State.FAILED, "320Mi"),
        (Action.GROW, State.DONE, "400Mi"),
    ]


def test_nobody_is_told_of_no_recovery_while_one_goes_on_or_has_succeeded(lab: Lab) -> None:
    """A kill counts as a failure for an hour."""
    lab.put(killed())
    controller = lab.replica()
    controller.look(NOW)
    controller.look(NOW + 40)
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(NOW)}
    lab.change("app-1", lambda raw: raw["status"].update(conditions=[condition]))
    grown = {"limits": {"memory": "320Mi"}}
    lab.change("app-1", lambda raw: raw["status"]["containerStatuses"][0].update(resources=grown))
    for seconds in (80, 130, 500, 2000):
        controller.look(NOW + seconds)
    assert [one.split(":")[0] for one in lab.notes] == ["RecoveryStarted", "RecoverySucceeded"]


@pytest.mark.parametrize(
    ("limit", "most", "after"),
    [
        ("900M", "1G", "1G"),
        ("400M", "500M", "500M"),
        ("900Gi", "2Ti", "1125Gi"),
        ("1000Gi", "1Ti", "1Ti"),
        ("1M", "1001k", "1001k"),
    ],
)
def test_a_growth_is_done_however_the_api_writes_the_new_limit(lab: Lab, limit: str, most: str, after: str) -> None:
    """The API server writes 1000000000 as 1G, and 1024Gi as 1Ti."""
    lab.put(killed(container=memory(limit), notes={"oomward.dev/grow": f"25%/{most}"}))
    controller = lab.replica()
    controller.look(NOW)
    assert lab.pod()["spec"]["containers"][0]["resources"]["limits"]["memory"] == after
    assert [(one.state, one.result) for one in lab.history.attempts] == [(State.DONE, "")]
    status = {"name": "app", "resources": {"limits": {"memory": after}}, "ready": True, "state": {"running": {}}}
    lab.change("app-1", lambda raw: raw["status"].update(containerStatuses=[status]))
    controller.look(NOW + 30)
    assert [(one.state, one.result) for one in lab.history.attempts] == [(State.DONE, "")]
