"""Pod objects of the stand-in kubelet have the API's shape, and its restart policies are the API's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.spec import Container, Instance, Pod
from tests.lab.status import pod_object


def instance(pod: Pod, name: str, number: int, exit_code: int | None = None, **more: Any) -> Instance:
    return Instance(pod, name, f"{number:064x}", "p", number, number, number, 0.0, exit_code=exit_code, **more)


def status_of(pod: Pod, instances: list[Instance]) -> Any:
    return pod_object(pod, "node", instances)["status"]


def test_a_pod_that_was_only_scheduled_has_no_container_statuses_and_no_address() -> None:
    pod = Pod("new", (Container("main", ()),))
    status = status_of(pod, [])
    assert status == {"phase": "Pending", "qosClass": "Burstable"}


def test_a_container_that_waits_for_others_has_a_status_without_an_id() -> None:
    pod = Pod("begun", (Container("a", ()), Container("b", ())))
    a, b = status_of(pod, [instance(pod, "a", 0)])["containerStatuses"]
    assert "running" in a["state"]
    assert b["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert "containerID" not in b


def test_only_a_sigkill_that_the_kernel_counted_is_called_oomkilled() -> None:
    pod = Pod("ended", (Container("a", ()), Container("b", ()), Container("c", ())), restart_policy="Never")
    ended = [
        instance(pod, "a", 0, 137, events={"oom_kill": 1}),
        instance(pod, "b", 1, 137, events={"oom_kill": 0}),
        instance(pod, "c", 2, 0),
    ]
    status = status_of(pod, ended)
    reasons = [s["state"]["terminated"]["reason"] for s in status["containerStatuses"]]
    assert reasons == ["OOMKilled", "Error", "Completed"]
    assert status["phase"] == "Failed"


def test_a_restarted_container_has_its_former_id_in_its_last_state() -> None:
    pod = Pod("again", (Container("main", ()),))
    (status,) = status_of(pod, [instance(pod, "main", 0, 137, events={"oom_kill": 1}), instance(pod, "main", 1)])[
        "containerStatuses"
    ]
    assert status["containerID"] == f"containerd://{1:064x}"
    assert status["lastState"]["terminated"]["containerID"] == f"containerd://{0:064x}"
    assert status["restartCount"] == 1


def test_sidecars_are_init_containers_that_always_restart_and_pod_limits_are_in_the_spec() -> None:
    pod = Pod("mixed", (Container("main", (), None), Container("proxy", (), 32, "sidecar")), limit_mib=64)
    spec: Any = pod_object(pod, "node", [])["spec"]
    assert spec["initContainers"][0]["restartPolicy"] == "Always"
    assert spec["resources"] == {"limits": {"memory": "64Mi"}}
    assert spec["containers"][0]["resources"] == {}


@pytest.mark.parametrize(
    ("kind", "policy", "exit_code", "again"),
    [
        ("containers", "Always", 0, True),
        ("containers", "OnFailure", 0, False),
        ("containers", "OnFailure", 1, True),
        ("containers", "Never", 1, False),
        ("initContainers", "Always", 0, False),
        ("initContainers", "Always", 1, True),
        ("initContainers", "Never", 1, False),
        ("sidecar", "Never", 0, True),
        ("ephemeralContainers", "Always", 1, False),
    ],
)
def test_restart_policies_are_the_kubelets(kind: str, policy: str, exit_code: int, again: bool) -> None:
    container = Container("main", (), kind=kind)
    assert Pod("pod", (container,), restart_policy=policy).restarts(container, exit_code) is again


@pytest.mark.parametrize(
    ("limits", "pod_limit", "expected"),
    [((32, 48), None, 80), ((32, None), None, None), ((32, None), 64, 64), ((), None, None)],
)
def test_the_pods_limit_is_its_own_or_the_sum_when_all_have_one(
    limits: tuple[int | None, ...], pod_limit: int | None, expected: int | None
) -> None:
    pod = Pod("pod", tuple(Container(f"c{n}", (), limit) for n, limit in enumerate(limits)), limit_mib=pod_limit)
    assert pod.sum_of_limits_mib == expected
