"""Whose pod it is: by its controller and labels, and by its name once the API has forgotten it."""

from __future__ import annotations

from typing import Any

import pytest

from agent.look.workloads import Workload, workload_by_name, workload_of
from agent.pods.parse import parse_pod

HASH = "7d4b9c6f5d"
KNOWN = [
    Workload("shop", "Deployment", "web"),
    Workload("shop", "Deployment", "web-api"),
    Workload("shop", "StatefulSet", "db"),
    Workload("shop", "DaemonSet", "log"),
    Workload("shop", "Job", "load"),
    Workload("shop", "CronJob", "night"),
    Workload("shop", "SparkJob", "spark"),
    Workload("shop", "Pod", "bare"),
]


def pod(
    kind: str = "", owner: str = "", labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None
) -> dict[str, Any]:
    owners = [{"kind": kind, "name": owner, "controller": True}] if kind else []
    meta = {"labels": labels or {}, "annotations": annotations or {}, "ownerReferences": owners}
    return {"metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1", **meta}, "spec": {"containers": []}}


@pytest.mark.parametrize(
    ("given", "workload"),
    [
        (pod("ReplicaSet", f"web-{HASH}", {"pod-template-hash": HASH}), ("Deployment", "web")),
        (pod("ReplicaSet", f"web-{HASH}", {"rollouts-pod-template-hash": HASH}), ("Rollout", "web")),
        (pod("ReplicaSet", "web", {"pod-template-hash": HASH}), ("ReplicaSet", "web")),
        (pod("ReplicaSet", "web"), ("ReplicaSet", "web")),
        (pod("StatefulSet", "db"), ("StatefulSet", "db")),
        (pod("DaemonSet", "log", {"pod-template-hash": HASH}), ("DaemonSet", "log")),
        (pod("Job", "load"), ("Job", "load")),
        (pod("Job", "night-29387520"), ("CronJob", "night")),
        (pod("Job", "night-1637000000"), ("CronJob", "night")),
        (pod("Job", "top-10"), ("Job", "top-10")),
        (pod("SparkJob", "spark"), ("SparkJob", "spark")),
        (pod(), ("Pod", "web-1")),
        (pod("Node", "node-1"), ("StaticPod", "web-1")),
    ],
)
def test_the_workload_of_a_pod(given: dict[str, Any], workload: tuple[str, str]) -> None:
    assert workload_of(parse_pod(given)) == Workload("shop", *workload)


@pytest.mark.parametrize(
    ("name", "workload"),
    [
        (f"web-{HASH}-x2p4q", ("Deployment", "web")),
        (f"web-api-{HASH}-x2p4q", ("Deployment", "web-api")),
        ("db-0", ("StatefulSet", "db")),
        ("log-x2p4q", ("DaemonSet", "log")),
        ("load-x2p4q", ("Job", "load")),
        ("load-3-x2p4q", ("Job", "load")),
        ("night-29387520-x2p4q", ("CronJob", "night")),
        ("spark-driver", ("SparkJob", "spark")),
        ("bare", ("Pod", "bare")),
        ("bare-1", ("Pod", "bare-1")),
        (f"other-{HASH}-x2p4q", ("Deployment", "other")),
        ("hourly-29387520-x2p4q", ("CronJob", "hourly")),
        ("my-backend-x2p4q", ("Pod", "my-backend-x2p4q")),
    ],
)
def test_the_workload_of_a_deleted_pod_by_its_name(name: str, workload: tuple[str, str]) -> None:
    assert workload_by_name("shop", name, KNOWN) == Workload("shop", *workload)


def test_a_name_fits_only_a_workload_of_its_namespace() -> None:
    assert workload_by_name("other", "db-0", KNOWN) == Workload("other", "Pod", "db-0")
