"""The runtime's pods and containers become ours: as the API would have them, without what the kubelet adds."""

from __future__ import annotations

import pytest

from agent.model import RuntimeContainer
from agent.runtime.nri_pb2 import PodSandbox
from agent.runtime.parse import container_of, sandbox_of
from tests.unit.runtime.wire import ID, KUBELETS, SANDBOX_ID, UID, a_container, a_sandbox


def test_a_sandbox_has_its_pods_name_namespace_uid_and_labels() -> None:
    found = sandbox_of(a_sandbox({"oomward.dev/mode": "single", "app": "web"}))
    assert found is not None
    assert found.sandbox_id == SANDBOX_ID
    assert (found.pod.uid, found.pod.namespace, found.pod.name) == (UID, "default", "herder-1")
    assert found.pod.labels == {"oomward.dev/mode": "single", "app": "web"}
    assert found.pod.containers == ()


@pytest.mark.parametrize("label", KUBELETS)
def test_the_labels_that_the_kubelet_adds_are_none_of_the_pods(label: str) -> None:
    found = sandbox_of(a_sandbox({label: "x", "io.kubernetes.pod.other": "kept"}))
    assert found is not None
    assert found.pod.labels == {"io.kubernetes.pod.other": "kept"}


def test_of_the_annotations_only_oomwards_are_kept() -> None:
    ours = {"mode.oomward.dev/main": "group", "oomward.dev/tolerate": "5/10m"}
    found = sandbox_of(a_sandbox(None, ours | {"kubernetes.io/config.seen": "x", "note": "oomward.dev/mode"}))
    assert found is not None
    assert found.pod.annotations == ours


def test_a_static_pods_cgroup_is_found_by_the_uid_that_the_runtime_has_its_config_hash() -> None:
    config_hash = "8f2c5f3b1d6e7a90b1c2d3e4f5061728"
    found = sandbox_of(a_sandbox(None, {"kubernetes.io/config.hash": config_hash}, uid=config_hash))
    assert found is not None
    assert (found.pod.uid, found.pod.cgroup_key) == (config_hash, config_hash)


@pytest.mark.parametrize("missing", ["id", "uid", "namespace", "name"])
def test_a_sandbox_without_id_uid_namespace_or_name_is_none_of_the_kubelets(missing: str) -> None:
    assert sandbox_of(a_sandbox(**{missing: ""})) is None


def test_an_empty_pod_is_none() -> None:
    assert sandbox_of(PodSandbox()) is None


def test_a_container_has_its_name_id_and_sandbox() -> None:
    assert container_of(a_container()) == RuntimeContainer(ID, "main", SANDBOX_ID)


@pytest.mark.parametrize("missing", ["container_id", "name"])
def test_a_container_without_id_or_name_is_none(missing: str) -> None:
    assert container_of(a_container(**{missing: ""})) is None


def test_labels_and_annotations_of_ours_cannot_be_changed_by_later_reads() -> None:
    sandbox = a_sandbox({"a": "1"})
    found = sandbox_of(sandbox)
    sandbox.labels["a"] = "2"
    assert found is not None
    assert found.pod.labels == {"a": "1"}
