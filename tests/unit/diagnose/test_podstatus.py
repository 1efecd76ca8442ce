"""How a pod fares is read from its JSON whatever is in there: what has the wrong type counts as not there."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from agent.model import ContainerKind
from agent.model.status import MOST_TEXT, Controller, Phase, RestartRule
from agent.pods.parse import parse_pod
from tests.unit.diagnose.recorded import at

WHOLE: dict[str, Any] = {
    "metadata": {
        "uid": "u", "namespace": "n", "name": "p", "deletionTimestamp": "2026-06-01T12:00:00Z",
        "annotations": {"batch.kubernetes.io/job-index-failure-count": "2", "kubernetes.io/config.hash": "8f3a" * 8,
                        "kubernetes.io/config.mirror": "8f3a" * 8},
        "ownerReferences": [{"kind": "Tool", "name": "t"}, {"kind": "Job", "name": "import", "controller": True}],
    },
    "spec": {
        "nodeName": "node-1", "restartPolicy": "OnFailure", "activeDeadlineSeconds": 300, "securityContext": {"runAsUser": 1000},
        "initContainers": [{"name": "setup"}, {"name": "proxy", "restartPolicy": "Always"}],
        "containers": [
            {"name": "web", "image": "web:1", "resources": {"limits": {"memory": "64Mi"}}, "securityContext": {"runAsUser": 0},
             "restartPolicy": "Never", "livenessProbe": {}, "startupProbe": {"exec": {}},
             "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0, 42]}}]},
        ],
        "ephemeralContainers": [{"name": "debugger"}],
    },
    "status": {
        "phase": "Running", "reason": "R", "message": "M", "startTime": "2026-06-01T11:40:02.5+02:00",
        "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "x"}],
        "initContainerStatuses": [{"name": "setup", "state": {"waiting": {"reason": "PodInitializing"}}}],
        "containerStatuses": [
            {"name": "web", "containerID": "containerd://def",
             "restartCount": 3, "ready": True, "started": True, "state": {"running": {"startedAt": "2026-06-01T11:59:00Z"}},
             "lastState": {"terminated": {"containerID": "containerd://abc", "exitCode": 137, "signal": 9, "reason": "OOMKilled",
                                          "message": "m", "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-06-01T11:58:00Z"}}},
        ],
    },
}  # fmt: skip


def test_all_that_diagnosis_needs_is_read() -> None:
    pod = parse_pod(WHOLE)
    assert (pod.uid, pod.namespace, pod.name, pod.status.phase, pod.status.reason, pod.status.message) == (
        "u",
        "n",
        "p",
        "Running",
        "R",
        "M",
    )
    assert (pod.status.restart_policy, pod.status.deadline_s, pod.status.index_failures, pod.config_hash) == (
        "OnFailure",
        300,
        2,
        "8f3a" * 8,
    )
    assert pod.status.controller == Controller("Job", "import")
    assert pod.status.start_unix_s == at("2026-06-01T09:40:02.5Z")
    assert pod.status.deletion_unix_s == at("2026-06-01T12:00:00Z")
    ready = pod.status.condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "ContainersNotReady")
    assert pod.status.condition("Initialized") is None


def test_containers_are_of_every_kind_in_the_specs_order() -> None:
    pod = parse_pod(WHOLE)
    kinds = [ContainerKind.INIT, ContainerKind.SIDECAR, ContainerKind.REGULAR, ContainerKind.EPHEMERAL]
    assert [(one.name, one.kind) for one in pod.containers] == list(
        zip(("setup", "proxy", "web", "debugger"), kinds, strict=True)
    )
    setup, proxy, web, _ = pod.containers
    assert (setup.status.state.phase, setup.status.state.reason, setup.status.run_as_user) == (
        Phase.WAITING,
        "PodInitializing",
        1000,
    )
    assert proxy.status.state.phase is Phase.NONE, "nothing is reported of it"
    assert (
        web.status.image,
        web.limit_bytes,
        web.status.run_as_user,
        web.status.restart_count,
        web.status.ready,
        web.status.started,
    ) == (
        "web:1",
        64 << 20,
        0,
        3,
        True,
        True,
    )
    assert web.status.probes == {"liveness", "startup"}
    assert web.status.restart_policy == "Never"
    assert web.status.restart_rules == (RestartRule("Restart", True, frozenset({0, 42})),)
    assert (web.status.last.exit_code, web.status.last.signal, web.status.last.reason, web.previous_id) == (
        137,
        9,
        "OOMKilled",
        "abc",
    )
    assert (web.container_id, web.running) == ("def", True)
    assert (setup.container_id, setup.running) == (None, False)
    assert web.status.last.started_unix_s is None, "1970 stands for never"
    assert web.status.last.finished_unix_s == at("2026-06-01T11:58:00Z")


@pytest.mark.parametrize(
    "time", ["", "yesterday", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 7, None]
)
def test_a_time_that_is_none_is_not_known(time: object) -> None:
    pod = copy.deepcopy(WHOLE)
    pod["status"]["startTime"] = time
    start = parse_pod(pod).status.start_unix_s
    assert start is None or start > at("9999-12-01T00:00:00Z")


def test_a_message_of_any_length_is_cut() -> None:
    pod = copy.deepcopy(WHOLE)
    pod["status"]["message"] = "x" * 1_000_000
    assert len(parse_pod(pod).status.message) == MOST_TEXT


@pytest.mark.parametrize("field", ["exitCode", "signal", "reason", "message", "startedAt", "finishedAt"])
@pytest.mark.parametrize("value", [{}, [], True, 1.5])
def test_what_decides_nothing_and_has_the_wrong_type_counts_as_not_there(field: str, value: object) -> None:
    pod = copy.deepcopy(WHOLE)
    ended = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    del ended[field]
    without = parse_pod(pod)
    ended[field] = value
    broken = parse_pod(pod)
    assert broken == without
    assert broken.same_status(without)
