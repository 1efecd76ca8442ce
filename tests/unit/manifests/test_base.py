"""The base is one agent a node with what it needs and no more, and agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import __version__
from agent.kube.access import NEEDED
from agent.settings import SETTINGS, load
from tests.manifests.objects import BASE, Object

DEFAULTS: dict[str, Any] = {s.name: s.default and s.parse(s.default) for s in SETTINGS}


def read(file: str) -> Object:
    (found,) = yaml.safe_load_all((BASE / file).read_text())
    return dict(found)


@pytest.fixture
def daemonset() -> Any:
    return read("daemonset.yaml")["spec"]


@pytest.fixture
def pod(daemonset: Any) -> Any:
    return daemonset["template"]["spec"]


@pytest.fixture
def agent(pod: Any) -> Any:
    (container,) = pod["containers"]
    return container


def test_all_files_of_the_base_are_in_its_kustomization() -> None:
    kustomization = read("kustomization.yaml")
    (generated,) = kustomization["configMapGenerator"]
    assert {*kustomization["resources"], *generated["files"]} == {p.name for p in BASE.iterdir()} - {
        "kustomization.yaml"
    }


def test_the_namespace_lets_the_pods_in() -> None:
    labels = read("namespace.yaml")["metadata"]["labels"]
    assert [labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")] == ["privileged"] * 3


def test_the_role_is_what_the_agent_asks_for_and_nothing_else() -> None:
    rules = read("clusterrole.yaml")["rules"]
    allowed = {(v, r, g) for rule in rules for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}
    assert allowed == {(needed.verb, needed.resource, needed.group) for needed in NEEDED}
    assert {key for rule in rules for key in rule} == {"apiGroups", "resources", "verbs"}


def test_the_role_is_bound_to_the_agent_s_account_only() -> None:
    binding = read("clusterrolebinding.yaml")
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "oomward"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "oomward", "namespace": "oomward"}]


def test_only_the_pod_that_uses_the_token_has_it(pod: Any) -> None:
    assert read("serviceaccount.yaml")["automountServiceAccountToken"] is False
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("oomward", True)


def test_the_image_is_this_version(agent: Any) -> None:
    assert agent["image"] == f"ghcr.io/oomward/oomward:{__version__}"


def test_it_runs_on_every_node_and_is_the_last_to_go(pod: Any) -> None:
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["priorityClassName"] == "system-node-critical"
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_an_update_takes_a_tenth_of_the_nodes_at_a_time(daemonset: Any) -> None:
    assert daemonset["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}


def test_of_the_host_it_has_the_pids_and_no_network(pod: Any) -> None:
    assert pod["hostPID"] is True
    assert not {"hostNetwork", "hostIPC", "hostUsers"} & pod.keys()
    assert pod["enableServiceLinks"] is False


def test_the_probes_ask_the_pages_that_the_agent_has(agent: Any) -> None:
    asked = {name: agent[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: get["path"] for name, get in asked.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert {get["port"] for get in asked.values()} == {"metrics"}
    assert agent["ports"] == [{"name": "metrics", "containerPort": DEFAULTS["listen"][1]}]


def test_memory_is_limited_and_cpu_is_not(agent: Any) -> None:
    assert agent["resources"] == {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}


def test_a_command_that_is_oom_killed_in_its_container_does_not_take_the_agent_with_it() -> None:
    labels = read("daemonset.yaml")["spec"]["template"]["metadata"]["labels"]
    assert labels["oomward.dev/mode"] == "single"


def test_its_root_filesystem_can_t_be_written(agent: Any) -> None:
    context = agent["securityContext"]
    assert context == {"privileged": True, "runAsUser": 0, "runAsGroup": 0, "readOnlyRootFilesystem": True}


def test_it_starts_as_the_agent_does_and_knows_its_node(agent: Any) -> None:
    assert agent["args"] == ["run"]
    assert "command" not in agent, "the image's entrypoint is oomward"
    variables = {entry["name"]: entry for entry in agent["env"]}
    assert variables.keys() <= {setting.variable for setting in SETTINGS}
    assert variables["NODE_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}


def test_the_mounts_are_where_the_agent_looks(pod: Any, agent: Any) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount for mount in agent["volumeMounts"]}
    assert volumes.keys() == mounts.keys() == {"config", "cgroup", "kmsg", "nri", "state"}
    for name, setting, kind in (
        ("cgroup", "cgroup_mount", "Directory"),
        ("kmsg", "kmsg", "CharDevice"),
        ("state", "state_dir", "DirectoryOrCreate"),
    ):
        assert mounts[name]["mountPath"] == str(DEFAULTS[setting])
        assert volumes[name]["hostPath"] == {"path": str(DEFAULTS[setting]), "type": kind}
    folder = str(DEFAULTS["nri_socket"].parent)
    assert mounts["nri"] == {"name": "nri", "mountPath": folder, "readOnly": True}, (
        "the runtime makes a new socket at each start"
    )
    assert volumes["nri"]["hostPath"] == {"path": folder, "type": "DirectoryOrCreate"}
    assert {name for name, mount in mounts.items() if mount.get("readOnly")} == {"config", "kmsg", "nri"}


def test_the_configuration_is_mounted_so_that_the_kubelet_can_swap_it(agent: Any) -> None:
    """A subPath would stay as it was when the pod started."""
    (mount,) = [mount for mount in agent["volumeMounts"] if mount["name"] == "config"]
    assert "subPath" not in mount
    variables = {entry["name"]: entry.get("value") for entry in agent["env"]}
    (generated,) = read("kustomization.yaml")["configMapGenerator"]
    assert [f"{mount['mountPath']}/{file}" for file in generated["files"]] == [variables["OOMWARD_CONFIG"]]
    assert generated["options"]["disableNameSuffixHash"] is True


def test_the_default_configuration_changes_no_setting() -> None:
    settings = load({"config": str(BASE / "config.yaml")}, {"NODE_NAME": "node"})
    plain = load({}, {"NODE_NAME": "node"})
    assert [s.name for s in SETTINGS if getattr(settings, s.name) != getattr(plain, s.name)] == ["config"]
    assert settings.rules == plain.rules


def test_what_the_default_configuration_proposes_is_a_configuration(tmp_path: Path) -> None:
    """Its commented lines that are YAML, without the blank before them; and what it says are defaults are."""
    text = (BASE / "config.yaml").read_text().replace("rules: []\n", "")
    proposed = "\n".join(re.findall(r"^# ((?:[a-zA-Z]+:|-|  ).*)$", text, re.MULTILINE))
    file = tmp_path / "config.yaml"
    file.write_text(proposed)
    settings = load({"config": str(file)}, {"NODE_NAME": "node"})
    assert [rule.name for rule in settings.rules.rules] == ["notebooks"]
    assert settings.rules.ignore_labels_in == ("kube-*",)
    given = yaml.safe_load(proposed).keys() - {"rules", "ignoreLabelsIn"}
    assert given
    assert {s.key: getattr(settings, s.name) for s in SETTINGS if s.key in given} == {
        s.key: DEFAULTS[s.name] for s in SETTINGS if s.key in given
    }
