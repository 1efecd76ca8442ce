"""Each component does what it says to the base; rendered by kustomize they are compared with the chart in tests/manifests/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.commands.parsers import parser
from agent.runtime.drop_in import UNITS
from agent.runtime.oom_policy import TRANSIENT
from agent.settings import SETTINGS
from tests.manifests.cases import CASES
from tests.manifests.objects import BASE, COMPONENTS, MANIFESTS, OVERLAYS

DEFAULTS: dict[str, Any] = {s.name: s.default and s.parse(s.default) for s in SETTINGS}
POLICIES = {f"{kind}AdmissionPolicy{part}" for kind in ("Validating", "Mutating") for part in ("", "Binding")}
CLUSTER_SCOPED = {"Namespace", "ClusterRole", "ClusterRoleBinding", "SecurityContextConstraints"} | POLICIES


def read(path: str) -> Any:
    (found,) = yaml.safe_load_all((MANIFESTS / path).read_text())
    return found


def base_agent() -> tuple[Any, Any]:
    spec = read("base/daemonset.yaml")["spec"]["template"]["spec"]
    return spec, spec["containers"][0]


def name(path: Path) -> str:
    return str(path.relative_to(MANIFESTS))


@pytest.mark.parametrize("component", COMPONENTS, ids=name)
def test_a_component_holds_all_that_is_in_its_folder(component: Path) -> None:
    kustomization = yaml.safe_load((component / "kustomization.yaml").read_text())
    assert (kustomization["apiVersion"], kustomization["kind"]) == ("kustomize.config.k8s.io/v1alpha1", "Component")
    files = {*kustomization.get("resources", []), *(p["path"] for p in kustomization.get("patches", []) if "path" in p)}
    files |= {file.rpartition("=")[2] for made in kustomization.get("configMapGenerator", []) for file in made["files"]}
    assert files == {path.name for path in component.iterdir()} - {"kustomization.yaml"}


@pytest.mark.parametrize("component", COMPONENTS, ids=name)
def test_a_component_is_compared_with_the_chart(component: Path) -> None:
    assert component.name in {part for case in CASES for part in case.components}


@pytest.mark.parametrize("folder", [BASE, *COMPONENTS], ids=name)
def test_all_objects_are_the_agent_s_by_label_and_in_its_namespace(folder: Path) -> None:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for file in kustomization.get("resources", []):
        item = yaml.safe_load((folder / file).read_text())
        assert item["metadata"]["labels"]["app.kubernetes.io/name"] == "oomward"
        assert item["metadata"].get("namespace") == (None if item["kind"] in CLUSTER_SCOPED else "oomward")
    for made in kustomization.get("configMapGenerator", []):
        assert made["namespace"] == "oomward"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=name)
def test_an_overlay_stands_on_the_base(overlay: Path) -> None:
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    assert kustomization["resources"] == ["../../base"]


def test_least_privilege_takes_all_capabilities_but_those_that_are_explained() -> None:
    spec = read("components/least-privilege/daemonset.yaml")["spec"]["template"]["spec"]
    (agent,) = spec["containers"]
    context = agent["securityContext"]
    assert (context["privileged"], context["allowPrivilegeEscalation"]) == (False, False)
    assert context["capabilities"]["drop"] == ["ALL"]
    assert spec["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    page = (MANIFESTS.parent / "docs" / "reference" / "manifests.md").read_text()
    assert set(re.findall(r"^\| capability `([A-Z_]+)`", page, re.MULTILINE)) == set(context["capabilities"]["add"])


def test_least_privilege_leaves_of_the_node_the_cgroup_tree_and_the_agent_s_own_folder() -> None:
    spec, agent = base_agent()
    patch = read("components/least-privilege/daemonset.yaml")["spec"]["template"]["spec"]
    gone = {volume["name"] for volume in patch["volumes"] if volume.get("$patch") == "delete"}
    mounts_gone = {
        mount["mountPath"] for mount in patch["containers"][0]["volumeMounts"] if mount.get("$patch") == "delete"
    }
    left = [
        volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume and volume["name"] not in gone
    ]
    assert left == [str(DEFAULTS["cgroup_mount"]), str(DEFAULTS["state_dir"])]
    assert {m["name"] for m in agent["volumeMounts"] if m["mountPath"] in mounts_gone} == gone
    added = [volume for volume in patch["volumes"] if "hostPath" in volume]
    assert [volume["hostPath"] for volume in added] == [{"path": TRANSIENT, "type": "DirectoryOrCreate"}]
    mounts = [mount for mount in patch["containers"][0]["volumeMounts"] if "$patch" not in mount]
    assert mounts == [{"name": added[0]["name"], "mountPath": TRANSIENT, "readOnly": True}], (
        "nothing else of /run/systemd"
    )


def test_oom_policy_installs_the_drop_in_before_the_agent_starts_and_makes_no_folder_that_claims_systemd() -> None:
    spec = read("components/oom-policy/daemonset.yaml")["spec"]["template"]["spec"]
    _, agent = base_agent()
    (init,) = spec["initContainers"]
    assert init["args"] == ["oom-policy", "install"]
    assert (init["image"], init["resources"]) == (agent["image"], agent["resources"])
    (volume,) = spec["volumes"]
    assert volume["hostPath"] == {"path": UNITS, "type": "Directory"}, "DirectoryOrCreate would claim that systemd runs"
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": UNITS, "readOnly": True}
    assert all(mount["readOnly"] for mount in init["volumeMounts"])


def test_metrics_tls_switches_pages_probes_and_scrapes_together() -> None:
    spec = read("components/metrics-tls/daemonset.yaml")["spec"]["template"]["spec"]
    (agent,) = spec["containers"]
    probes = {key for key in base_agent()[1] if key.endswith("Probe")}
    assert {key: agent[key]["httpGet"]["scheme"] for key in probes} == dict.fromkeys(probes, "HTTPS")
    folder = agent["volumeMounts"][0]["mountPath"]
    assert {one["name"]: one["value"] for one in agent["env"]} == {
        "OOMWARD_TLS_CERT": f"{folder}/tls.crt",
        "OOMWARD_TLS_KEY": f"{folder}/tls.key",
    }


@pytest.mark.parametrize("component", ["metrics-tls", "metrics-basic-auth"])
def test_the_secrets_of_the_pages_are_mounted_read_only_as_folders_and_the_guide_makes_them(component: str) -> None:
    spec = read(f"components/{component}/daemonset.yaml")["spec"]["template"]["spec"]
    (mount,), (volume,) = spec["containers"][0]["volumeMounts"], spec["volumes"]
    assert (mount["readOnly"], "subPath" in mount, mount["name"]) == (True, False, volume["name"])
    assert {one["name"] for one in spec["containers"][0]["env"]} <= {setting.variable for setting in SETTINGS}
    guide = (MANIFESTS.parent / "docs" / "howto" / "secure-metrics.md").read_text()
    assert (
        f"create secret {'tls' if component == 'metrics-tls' else 'generic'} {volume['secret']['secretName']}" in guide
    )


def test_uninstall_replaces_the_agent_and_every_probe_of_it_on_all_nodes_at_once() -> None:
    spec = read("components/uninstall/daemonset.yaml")["spec"]
    (agent,) = spec["template"]["spec"]["containers"]
    _, base = base_agent()
    assert agent["name"] == base["name"]
    assert {key for key in agent if key.endswith("Probe")} == {key for key in base if key.endswith("Probe")}
    assert (agent["startupProbe"], agent["livenessProbe"], agent["readinessProbe"]["httpGet"]) == (None, None, None)
    assert spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "100%"
    for words in (agent["args"], agent["readinessProbe"]["exec"]["command"][1:]):
        assert parser().parse_args(words).command == "uninstall"


def test_the_network_policy_is_of_the_agent_s_pods_and_lets_its_port_in() -> None:
    spec = read("components/network-policy/networkpolicy.yaml")["spec"]
    labels = read("base/daemonset.yaml")["spec"]["template"]["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    (ingress,) = spec["ingress"]
    assert ingress == {"ports": [{"protocol": "TCP", "port": DEFAULTS["listen"][1]}]}
    out = {(port["protocol"], port["port"]) for rule in spec["egress"] for port in rule["ports"]}
    assert out == {("TCP", 443), ("TCP", 6443), ("UDP", 53), ("TCP", 53)}


def test_the_security_context_constraints_allow_what_the_pod_asks_for_and_no_more() -> None:
    scc = read("components/openshift/securitycontextconstraints.yaml")
    spec, agent = base_agent()
    assert scc["allowPrivilegedContainer"] is agent["securityContext"]["privileged"]
    assert scc["allowHostPID"] is spec["hostPID"]
    kinds = {key for volume in spec["volumes"] for key in volume if key != "name"} | {"projected"}  # the token's
    assert set(scc["volumes"]) == kinds
    assert not any(scc[f"allowHost{what}"] for what in ("IPC", "Network", "Ports"))
    assert (scc["users"], scc["groups"], scc["allowedCapabilities"]) == ([], [], [])


def test_those_for_least_privilege_allow_its_capabilities_only() -> None:
    patch = read("components/openshift-least-privilege/securitycontextconstraints.yaml")
    profile = read("components/least-privilege/daemonset.yaml")["spec"]["template"]["spec"]
    context = profile["containers"][0]["securityContext"]
    assert (patch["allowPrivilegedContainer"], patch["allowPrivilegeEscalation"]) == (False, False)
    assert patch["allowedCapabilities"] == context["capabilities"]["add"]
    assert patch["seccompProfiles"] == ["runtime/default"]


def test_only_the_agent_s_account_may_use_the_constraints() -> None:
    (rule,) = read("components/openshift/role.yaml")["rules"]
    assert (rule["resources"], rule["resourceNames"], rule["verbs"]) == (
        ["securitycontextconstraints"],
        ["oomward"],
        ["use"],
    )
    binding = read("components/openshift/rolebinding.yaml")
    assert binding["roleRef"]["name"] == read("components/openshift/role.yaml")["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "oomward", "namespace": "oomward"}]


def test_the_quota_is_for_the_priority_that_the_pods_have() -> None:
    (expression,) = read("components/gke/resourcequota.yaml")["spec"]["scopeSelector"]["matchExpressions"]
    spec, _ = base_agent()
    assert (expression["scopeName"], expression["values"]) == ("PriorityClass", [spec["priorityClassName"]])
