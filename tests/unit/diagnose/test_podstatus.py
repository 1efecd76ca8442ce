"""A pod's JSON becomes a PodStatus whatever is in it, as long as it says which pod it is; what has the wrong type counts as not there."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent.kube.api import ApiRefusedError, connect
from agent.model import ContainerKind
from agent.model.status import MOST_TEXT, Owner, Phase, RestartRule
from agent.pods.parse import UnreadablePodError
from agent.pods.parse_status import parse_status
from agent.pods.statuses import list_statuses, read_status
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.diagnose.recorded import at

WHOLE: dict[str, Any] = {
    "metadata": {
        "uid": "u", "namespace": "n", "name": "p", "deletionTimestamp": "2026-06-01T12:00:00Z",
        "annotations": {"batch.kubernetes.io/job-index-failure-count": "2", "kubernetes.io/config.hash": "8f3a"},
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
    pod = parse_status(WHOLE)
    assert (pod.uid, pod.namespace, pod.name, pod.phase, pod.reason, pod.message) == (
        "u",
        "n",
        "p",
        "Running",
        "R",
        "M",
    )
    assert (pod.restart_policy, pod.deadline_s, pod.index_failures, pod.static) == ("OnFailure", 300, 2, True)
    assert pod.owner == Owner("Job", "import")
    assert pod.start_unix_s == at("2026-06-01T09:40:02.5Z")
    assert pod.deletion_unix_s == at("2026-06-01T12:00:00Z")
    ready = pod.condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "ContainersNotReady")
    assert pod.condition("Initialized") is None


def test_containers_are_of_every_kind_in_the_specs_order() -> None:
    pod = parse_status(WHOLE)
    kinds = [ContainerKind.INIT, ContainerKind.SIDECAR, ContainerKind.REGULAR, ContainerKind.EPHEMERAL]
    assert [(one.name, one.kind) for one in pod.containers] == list(
        zip(("setup", "proxy", "web", "debugger"), kinds, strict=True)
    )
    setup, proxy, web, _ = pod.containers
    assert (setup.state.phase, setup.state.reason, setup.run_as_user) == (Phase.WAITING, "PodInitializing", 1000)
    assert proxy.state.phase is Phase.NONE, "nothing is reported of it"
    assert (web.image, web.limit_bytes, web.run_as_user, web.restart_count, web.ready, web.started) == (
        "web:1",
        64 << 20,
        0,
        3,
        True,
        True,
    )
    assert web.probes == {"liveness", "startup"}
    assert web.restart_policy == "Never"
    assert web.restart_rules == (RestartRule("Restart", True, frozenset({0, 42})),)
    assert (web.last.exit_code, web.last.signal, web.last.reason, web.last.container_id) == (137, 9, "OOMKilled", "abc")
    assert web.state.container_id == "def"
    assert setup.state.container_id is None, "it does not run"
    assert web.last.started_unix_s is None, "1970 stands for never"
    assert web.last.finished_unix_s == at("2026-06-01T11:58:00Z")


@pytest.mark.parametrize(
    "bad", [None, 7, "x", [], {}, {"metadata": {"name": "p", "namespace": "n"}}, {"metadata": {"uid": 7}}]
)
def test_what_does_not_say_which_pod_it_is_is_unreadable(bad: object) -> None:
    with pytest.raises(UnreadablePodError, match="no uid, namespace or name"):
        parse_status(bad)


@pytest.mark.parametrize(
    "time", ["", "yesterday", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 7, None]
)
def test_a_time_that_is_none_is_not_known(time: object) -> None:
    pod = copy.deepcopy(WHOLE)
    pod["status"]["startTime"] = time
    start = parse_status(pod).start_unix_s
    assert start is None or start > at("9999-12-01T00:00:00Z")


@pytest.mark.parametrize("limit", ["0", "-1Mi", "many", 7, None, {}])
def test_a_limit_that_is_none_is_not_known(limit: object) -> None:
    pod = copy.deepcopy(WHOLE)
    pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = limit
    assert parse_status(pod).containers[2].limit_bytes is None


def test_a_message_of_any_length_is_cut() -> None:
    pod = copy.deepcopy(WHOLE)
    pod["status"]["message"] = "x" * 1_000_000
    assert len(parse_status(pod).message) == MOST_TEXT


# --------------------------------------------------------------------------------------------------------------- requests


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer()
    server.start()
    yield server
    server.close()


def test_one_pods_status_is_one_request_and_one_that_is_gone_is_none(server: ApiServer, tmp_path: Any) -> None:
    server.put_pod(json.loads(json.dumps(WHOLE)))
    server.write_kubeconfig(tmp_path / "kubeconfig")
    api = connect(tmp_path / "kubeconfig", user_agent="test")
    found = read_status(api, "n", "p")
    assert found is not None
    assert found.containers == parse_status(WHOLE).containers
    assert read_status(api, "n", "nobody") is None
    assert [request.path for request in server.requests] == [
        "/api/v1/namespaces/n/pods/p",
        "/api/v1/namespaces/n/pods/nobody",
    ]


def test_a_refusal_is_an_error(server: ApiServer, tmp_path: Any) -> None:
    server.write_kubeconfig(tmp_path / "kubeconfig")
    server.faults.add(Fault(How.STATUS, status=403, reason="Forbidden", message="no"))
    with pytest.raises(ApiRefusedError, match="Forbidden"):
        read_status(connect(tmp_path / "kubeconfig", user_agent="test"), "n", "p")


def test_the_nodes_statuses_are_one_request_and_what_is_no_pod_is_told(server: ApiServer, tmp_path: Any) -> None:
    server.put_pod(json.loads(json.dumps(WHOLE)))
    server.write_kubeconfig(tmp_path / "kubeconfig")
    server.faults.add(Fault(How.POISON))
    skipped: list[str] = []
    found = list_statuses(connect(tmp_path / "kubeconfig", user_agent="test"), "node-1", skipped.append)
    assert [status.name for status in found] == ["p"]
    assert skipped == ["a pod's status could not be read: metadata has no uid, namespace or name"]
